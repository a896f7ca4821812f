from __future__ import annotations

import math
from pathlib import Path

import pytest
from tiny_project import TASKS, TinyRun, files_of

from rllr import stages
from rllr.errors import RllrError
from rllr.files import read_json, read_jsonl
from rllr.layout import ADAPTER, FULL_MODEL, MANIFEST, SUMMARY
from rllr.tasks.response import parse_response
from rllr.training.sft import sft_rows


@pytest.mark.parametrize("method", ["sft", "sft_label"])
def test_the_loss_is_on_the_response_and_its_end_only(based: TinyRun, method: str) -> None:
    job = based.job()
    rows = sft_rows(job, method, "sft")
    examples = [
        (task, row) for task in TASKS for row in read_jsonl(based.layout.data(task) / "sft.jsonl")
    ]
    assert len(rows) == len(examples)
    for row, (task, example) in zip(rows, examples, strict=True):
        schema = job.project.tasks[task]
        prompt = job.builder.prompt(schema, example).ids
        learned = row["labels"][len(prompt) :]
        assert row["input_ids"][: len(prompt)] == prompt
        assert row["labels"][: len(prompt)] == [-100] * len(prompt)
        assert learned == row["input_ids"][len(prompt) :]
        assert learned[-1] == job.builder.eos and learned.count(job.builder.eos) == 1
        parsed = parse_response(schema, job.builder.decode(learned))
        assert parsed.label == example["label"]
        assert bool(parsed.rationale) is (method == "sft")


def test_the_rationale_is_the_one_of_the_stated_label(based: TinyRun) -> None:
    job = based.job()
    row = sft_rows(job, "sft", "sft")[0]
    written = read_jsonl(based.layout.rationales(TASKS[0]) / "sft.jsonl")[0]["rationale"]
    response = [token for token in row["labels"] if token != -100]
    assert parse_response(job.project.tasks[TASKS[0]], job.builder.decode(response)).rationale == (
        written
    )


def test_prompts_are_the_same_in_training_and_prediction(based: TinyRun) -> None:
    """The first token of a response is learned right after the last one of the prompt."""
    job = based.job()
    example = read_jsonl(based.layout.data("mr") / "sft.jsonl")[0]
    row = sft_rows(job, "sft", "sft")[0]
    first = next(i for i, label in enumerate(row["labels"]) if label != -100)
    assert job.builder.prompt(job.project.tasks["mr"], example).ids == row["input_ids"][:first]


def test_a_response_that_could_never_be_finished(based: TinyRun) -> None:
    short = based.but(generation={"max_new_tokens": 3})
    with pytest.raises(
        RllrError, match=r"80 of 80 responses are longer .* \(3\), the longest with \d+ tokens"
    ):
        sft_rows(short.job(), "sft", "sft")


@pytest.mark.parametrize("tuning, weights", [("full", FULL_MODEL), ("lora", ADAPTER)])
def test_a_real_run_learns_and_writes_safetensors(
    based: TinyRun, tmp_path: Path, tuning: str, weights: str
) -> None:
    run = based.copy(tmp_path / "copy", training={"sft": {"tuning": tuning}})
    job = run.job(seed=3)
    stages.sft(job, "sft")
    folder = job.trained("sft")
    assert job.layout.weights(job.model, "sft", job.unit, job.seed) == folder / weights
    assert (folder / weights).exists()
    assert {path.suffix for path in files_of(folder)} == {".json", ".jsonl", ".safetensors"}
    summary = read_json(folder / SUMMARY)
    settings = run.project.sft(job.model, "sft")
    examples = len(TASKS) * run.project.config.data.sizes.sft
    assert summary["examples"] == examples
    assert summary["steps"] == math.ceil(examples / settings.batch_size) * settings.epochs
    tokens = sum(len(row["input_ids"]) for row in sft_rows(job, "sft", "sft"))
    assert summary["tokens"] == tokens * settings.epochs
    assert 0 < summary["validation_loss_after"] < summary["validation_loss_before"]
    manifest = read_json(folder / MANIFEST)
    assert manifest["gpus"] == 0 and "peak_gpu_mib" not in manifest
    assert manifest["seed"] == 3 and manifest["settings"]["settings"]["tuning"] == tuning


def test_a_model_trained_on_one_task_sees_that_task_only(based: TinyRun) -> None:
    job = based.but(scope="per_task").job(unit="stsb")
    rows = sft_rows(job, "sft", "sft")
    assert len(rows) == based.project.config.data.sizes.sft
    assert set(job.data) == {"stsb"}
