from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_project import TASKS, TinyRun, prepare, write_samples

from rllr import stages
from rllr.data.pairs import write_rationale_pairs
from rllr.files import read_json, read_jsonl, write_jsonl
from rllr.job import Job
from rllr.layout import MANIFEST
from rllr.tasks.response import format_response, parse_response
from rllr.teacher.base import Judge
from rllr.teacher.choose import make_judges

SPLIT_OF = {"train": "rm", "heldout": "validation"}


def judges_of(job: Job) -> dict[str, Judge]:
    return make_judges(job.project, job.data)


def label_pairs(run: TinyRun, task: str, name: str) -> list[dict[str, Any]]:
    return read_jsonl(run.layout.label_pairs(task) / f"{name}.jsonl")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", SPLIT_OF)
def test_label_pairs_set_the_stated_label_against_a_wrong_one(
    prepared: TinyRun, task: str, name: str
) -> None:
    schema = prepared.project.tasks[task]
    source = read_jsonl(prepared.layout.data(task) / f"{SPLIT_OF[name]}.jsonl")
    examples = {row["id"]: row for row in source}
    pairs = label_pairs(prepared, task, name)
    assert [pair["example"]["id"] for pair in pairs] == list(examples)
    for pair in pairs:
        chosen, rejected = (parse_response(schema, pair[side]) for side in ("chosen", "rejected"))
        assert pair["example"] == examples[pair["example"]["id"]]
        assert chosen.label == pair["example"]["label"]
        assert rejected.label is not None and rejected.label != chosen.label
        assert chosen.rationale and rejected.rationale
        if task == "stsb":
            assert abs(rejected.label - chosen.label) >= 1


def test_pairs_for_every_wrong_label(run: TinyRun) -> None:
    run = run.but(pairs={"wrong_labels": "all"}, tasks=["mr", "mnli"])
    prepare(run)
    for task, wrong in {"mr": 1, "mnli": 2}.items():
        size = run.project.config.data.sizes.rm
        pairs = label_pairs(run, task, "train")
        assert len(pairs) == wrong * size
        assert len({(p["example"]["id"], p["rejected"]) for p in pairs}) == len(pairs)


def test_no_text_is_in_both_parts(prepared: TinyRun) -> None:
    for task in TASKS:
        ids = [
            {pair["example"]["id"] for pair in label_pairs(prepared, task, name)}
            for name in SPLIT_OF
        ]
        assert not ids[0] & ids[1]


@pytest.mark.parametrize("task", TASKS)
def test_the_manifest_has_statistics_of_the_pairs(prepared: TinyRun, task: str) -> None:
    noted = read_json(prepared.layout.label_pairs(task) / MANIFEST)
    for name in SPLIT_OF:
        found = noted["statistics"][name]
        assert found["pairs"] == noted["pairs"][name] == len(label_pairs(prepared, task, name))
        assert (found["equal_labels"], found["same_text"]) == (0, 0)
        groups = found["by_task"][task]["by_label"]
        assert sum(group["pairs"] for group in groups.values()) == found["pairs"]


# --- rationale-sensitive pairs -------------------------------------------------------------------


@pytest.fixture
def judged(prepared: TinyRun, tmp_path: Path) -> TinyRun:
    run = prepared.copy(tmp_path / "copy")
    shutil.rmtree(run.layout.run / "samples", ignore_errors=True)
    write_samples(run.job())
    stages.judge(run.job(), "sft")
    return run


def test_the_judge_stage_records_the_mismatch_and_its_agreement(judged: TinyRun) -> None:
    folder = judged.job().rationale_pairs("sft")
    noted = read_json(folder / MANIFEST)
    for name in SPLIT_OF:
        pairs = read_jsonl(folder / f"{name}.jsonl")
        found = noted["statistics"][name]
        assert found["pairs"] == noted["pairs"][name] == len(pairs) > 0
        # The stand-in samples state two labels per prompt, so no pair has equal ones.
        assert found["equal_labels"] == 0
        assert 0 <= found["judge_prefers_right"] <= 1
        assert found["same_text"] == 0


def test_judging_is_repeatable(judged: TinyRun) -> None:
    folder = judged.job().rationale_pairs("sft")
    before = {name: (folder / f"{name}.jsonl").read_bytes() for name in SPLIT_OF}
    stages.judge(judged.job(), "sft")
    assert before == {name: (folder / f"{name}.jsonl").read_bytes() for name in SPLIT_OF}


def test_judging_never_needs_a_gold_label(judged: TinyRun, tmp_path: Path) -> None:
    job = judged.job()
    folder = job.rationale_pairs("sft")
    rows = read_jsonl(job.samples("sft") / "samples.jsonl")
    for row in rows:
        del row["example"]["label"]
    write_jsonl(tmp_path / "blind.jsonl", rows)
    noted = write_rationale_pairs(
        job.project, judges_of(job), tmp_path / "blind.jsonl", tmp_path, 0
    )
    for name in SPLIT_OF:
        blind, seen = (
            [(pair["chosen"], pair["rejected"]) for pair in read_jsonl(root / f"{name}.jsonl")]
            for root in (tmp_path, folder)
        )
        assert blind == seen
        assert noted["statistics"][name]["judge_prefers_right"] is None


def test_responses_that_the_judge_cannot_tell_apart_make_no_pair(
    prepared: TinyRun, tmp_path: Path
) -> None:
    job = prepared.job()
    (example, *_) = read_jsonl(job.data["mr"] / "rm.jsonl")
    shared = {"task": "mr", "split": "train", "example": example}
    word = example["text"].split()[0]
    good = format_response(job.project.tasks["mr"], "positive", f'"{word}" decides.')
    rows = [
        {**shared, "responses": ["no answer", "none either", "no answer"]},
        {**shared, "responses": [good] * 4},
        {**shared, "responses": [good, "no answer", good, "no answer"]},
    ]
    write_jsonl(tmp_path / "samples.jsonl", rows)
    write_rationale_pairs(job.project, judges_of(job), tmp_path / "samples.jsonl", tmp_path, 0)
    (pair,) = read_jsonl(tmp_path / "train.jsonl")
    assert (pair["chosen"], pair["rejected"]) == (good, "no answer")
