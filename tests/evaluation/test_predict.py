from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file, save_file
from tiny_project import LLAMA, TASKS, TinyRun

from rllr.config.load import CONFIG_DIR, read_yaml
from rllr.errors import RllrError
from rllr.evaluation.predict import Predictor, predict
from rllr.files import read_json, read_jsonl, sha256, write_jsonl
from rllr.layout import FULL_MODEL, PREDICTIONS, PREDICTIONS_MANIFEST
from rllr.models.load import load_policy
from rllr.tasks.question import question_text
from rllr.tasks.response import parse_response

QUICK = {"max_new_tokens": 4}


@pytest.fixture
def made(tuned: TinyRun, tmp_path: Path) -> TinyRun:
    """A copy whose SFT model has predicted all tasks."""
    run = tuned.copy(tmp_path / "copy", generation=QUICK)
    predict(run.job(), "sft")
    return run


def cell(run: TinyRun, task: str, method: str = "sft") -> Path:
    return run.layout.cell(LLAMA, task, method, 0)


def redone(run: TinyRun, method: str = "sft") -> set[str]:
    """The tasks that a further run predicts anew."""
    predictor = Predictor(run.job(), method)
    return {task for task in TASKS if predictor.predict_task(task)}


def test_predictions_hold_the_contract(made: TinyRun) -> None:
    for task in TASKS:
        schema = made.project.tasks[task]
        examples = read_jsonl(made.layout.data(task) / "test.jsonl")
        rows = read_jsonl(cell(made, task) / PREDICTIONS)
        assert [row["id"] for row in rows] == [example["id"] for example in examples]
        for row, example in zip(rows, examples, strict=True):
            assert row["label"] == example["label"]
            assert row["prompt"] == question_text(schema, example)
            assert row["prediction"] == parse_response(schema, row["response"]).label
            assert row["parsed"] is (row["prediction"] is not None)


def test_the_manifest_counts_what_was_cut(made: TinyRun) -> None:
    task, builder = made.project.tasks["mr"], made.job().builder
    path = made.layout.data("mr") / "test.jsonl"
    rows = read_jsonl(path)
    longest = max(len(builder.prompt(task, row).ids) for row in rows)
    long = {"text": " ".join(f"word{number}" for number in range(200))}
    write_jsonl(path, [{**row, **long} if place < 2 else row for place, row in enumerate(rows)])
    short = made.but(generation={"max_prompt_tokens": longest})
    Predictor(short.job(), "sft").predict_task("mr")
    manifest = read_json(cell(made, "mr") / PREDICTIONS_MANIFEST)
    assert manifest["prompts_cut"] == 2
    assert 0 <= manifest["responses_cut"] <= len(rows)
    assert manifest["sha256"] == sha256(cell(made, "mr") / PREDICTIONS)


def test_unchanged_inputs_are_not_decoded_again_but_marked_current(made: TinyRun) -> None:
    files = [cell(made, t) / n for t in TASKS for n in (PREDICTIONS, PREDICTIONS_MANIFEST)]
    before = {path: path.read_bytes() for path in files}
    for path in files:
        os.utime(path, (1, 1))
    assert redone(made) == set()
    assert before == {path: path.read_bytes() for path in files}
    assert all(path.stat().st_mtime > 1 for path in files)


def test_other_batches_or_threads_do_not_change_what_is_predicted(made: TinyRun) -> None:
    assert redone(made.but(generation={"batch_size": 3}, seeds=[0, 1])) == set()


def test_a_skipped_run_does_not_even_load_the_model(made: TinyRun) -> None:
    predictor = Predictor(made.job(), "sft")
    for task in TASKS:
        predictor.predict_task(task)
    assert "model" not in vars(predictor)


@pytest.mark.parametrize("name", [PREDICTIONS, PREDICTIONS_MANIFEST])
def test_what_was_deleted_is_made_again(made: TinyRun, name: str) -> None:
    before = (cell(made, "mr") / PREDICTIONS).read_bytes()
    (cell(made, "mr") / name).unlink()
    assert redone(made) == {"mr"}
    assert (cell(made, "mr") / PREDICTIONS).read_bytes() == before


def test_tampered_predictions_are_made_again(made: TinyRun) -> None:
    path = cell(made, "stsb") / PREDICTIONS
    before = path.read_bytes()
    write_jsonl(path, [{**row, "prediction": row["label"]} for row in read_jsonl(path)])
    assert redone(made) == {"stsb"}
    assert path.read_bytes() == before


def test_changed_weights(made: TinyRun) -> None:
    path = made.job().trained("sft") / FULL_MODEL
    state = load_file(path)
    state["lm_head.weight"][0, 0] += 1
    save_file(state, path, metadata={"format": "pt"})
    assert redone(made) == set(TASKS)


def test_a_changed_test_split(made: TinyRun) -> None:
    path = made.layout.data("mr") / "test.jsonl"
    write_jsonl(path, read_jsonl(path)[1:])
    assert redone(made) == {"mr"}
    assert len(read_jsonl(cell(made, "mr") / PREDICTIONS)) == len(read_jsonl(path))


@pytest.mark.parametrize("change", ["instruction", "labels"])
def test_a_changed_task(made: TinyRun, change: str) -> None:
    task = read_yaml(CONFIG_DIR / "tasks/mr.yaml")
    values = {"kind": "class", "values": [*reversed(task["labels"]["values"])]}
    task |= {"instruction": {"instruction": "Which is it?"}, "labels": {"labels": values}}[change]
    base = made.layout.base(LLAMA)
    (made.root / "tasks").mkdir()
    (made.root / "tasks/mr.yaml").write_text(yaml.safe_dump(task))
    # The base model depends on the task's text too; here only the predictions are looked at.
    base.rename(made.layout.base(LLAMA))
    assert redone(made) == {"mr"}


def test_a_changed_length(made: TinyRun) -> None:
    assert redone(made.but(generation={"max_new_tokens": 3})) == set(TASKS)
    assert redone(made.but(generation={"max_new_tokens": 3})) == set()


def test_the_base_model_answers_zero_shot(made: TinyRun) -> None:
    predict(made.job(), "zero_shot")
    for task in TASKS:
        inputs = read_json(cell(made, task, "zero_shot") / PREDICTIONS_MANIFEST)["inputs"]
        assert not any("trained" in Path(name).parts for name in inputs)


def test_missing_weights_are_named(made: TinyRun) -> None:
    (made.job().trained("sft") / FULL_MODEL).unlink()
    with pytest.raises(RllrError, match="was the stage pruned"):
        predict(made.job(), "sft")
    with pytest.raises(RllrError):
        predict(made.job(), "rllr")


def test_a_policy_is_its_adapter_on_the_sft_model(rewarded: TinyRun, tmp_path: Path) -> None:
    """A reward model's adapter would fit too, so the adapter is a policy's, made by PPO."""
    from rllr import stages

    run = rewarded.copy(tmp_path / "copy", generation=QUICK)
    stages.policy(run.job(), "rllr")
    model: Any = Predictor(run.job(), "rllr").model
    start = load_policy(run.job().base, run.job().trained("sft"))
    adapter = load_file(run.job().trained("rllr") / "adapter_model.safetensors")
    prefix = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    config = read_json(run.job().trained("rllr") / "adapter_config.json")
    scale = config["lora_alpha"] / config["r"]
    change = scale * adapter[f"{prefix}B.weight"] @ adapter[f"{prefix}A.weight"]
    before, after = (m.model.layers[0].self_attn.q_proj.weight.detach() for m in (start, model))
    assert change.abs().max() > 0
    assert (after - before - change).abs().max() < 1e-6
