from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tiny_project import LLAMA, TASKS, TinyRun

from rllr import stages
from rllr.files import read_json, read_jsonl, write_json, write_jsonl
from rllr.layout import METRICS, PREDICTIONS, PREDICTIONS_MANIFEST


@pytest.fixture
def run(prepared: TinyRun, tmp_path: Path) -> TinyRun:
    """A copy with predictions of method sft written by hand: every third unreadable."""
    run = prepared.copy(tmp_path / "copy")
    for task in TASKS:
        folder = run.layout.cell(LLAMA, task, "sft", 0)
        rows = []
        for number, row in enumerate(read_jsonl(run.layout.data(task) / "test.jsonl")):
            label = row["label"] if number % 3 else None
            rows.append({**row, "prediction": label, "parsed": label is not None})
        write_jsonl(folder / PREDICTIONS, rows)
        write_json(folder / PREDICTIONS_MANIFEST, {"prompts_cut": 2, "responses_cut": 1})
    return run


def metrics(run: TinyRun, task: str) -> dict[str, object]:
    stages.score(run.job(), "sft")
    return read_json(run.layout.cell(LLAMA, task, "sft", 0) / METRICS)


def test_a_cell_says_what_it_is_and_how_it_fared(run: TinyRun) -> None:
    found = metrics(run, "mr")
    count = run.project.config.data.sizes.test
    unread = len(range(0, count, 3))
    wanted = {
        "model": LLAMA,
        "task": "mr",
        "method": "sft",
        "seed": 0,
        "scope": "mixture",
        "metric": "accuracy",
        "n": count,
        "value": pytest.approx(1 - unread / count),
        "unparsed": unread,
        "prompts_cut": 2,
        "responses_cut": 1,
    }
    assert {key: found[key] for key in wanted} == wanted
    assert found["ci_low"] <= found["value"] <= found["ci_high"]


def test_metrics_hold_results_only(run: TinyRun) -> None:
    found = metrics(run, "stsb")
    assert set(found) == {
        *("model", "task", "method", "seed", "scope", "metric", "n", "value"),
        *("ci_low", "ci_high", "extra", "flags", "unparsed", "prompts_cut", "responses_cut"),
    }


def test_scoring_twice_gives_the_same_bytes(run: TinyRun) -> None:
    path = run.layout.cell(LLAMA, "stsb", "sft", 0) / METRICS
    metrics(run, "stsb")
    before = path.read_bytes()
    metrics(run, "stsb")
    assert path.read_bytes() == before


def test_the_baseline_of_classes_is_the_majority_of_the_sft_split(run: TinyRun) -> None:
    path = run.layout.data("mr") / "sft.jsonl"
    rows = read_jsonl(path)
    # One label is made the clear majority, the one that is not the first of the set.
    changed = [
        {**row, "label": "positive"} if number % 3 else row for number, row in enumerate(rows)
    ]
    write_jsonl(path, changed)
    stages.baseline(run.project, "mr")
    folder = run.layout.baseline("mr")
    test = Counter(row["label"] for row in read_jsonl(run.layout.data("mr") / "test.jsonl"))
    assert {row["prediction"] for row in read_jsonl(folder / PREDICTIONS)} == {"positive"}
    found = read_json(folder / METRICS)
    assert found["value"] == pytest.approx(test["positive"] / test.total())
    assert (found["model"], found["method"], found["unparsed"]) == ("_baseline", "majority", 0)


def test_the_baseline_of_scores_is_the_mean_and_flagged_as_constant(run: TinyRun) -> None:
    stages.baseline(run.project, "stsb")
    folder = run.layout.baseline("stsb")
    labels = [row["label"] for row in read_jsonl(run.layout.data("stsb") / "sft.jsonl")]
    (predicted,) = {row["prediction"] for row in read_jsonl(folder / PREDICTIONS)}
    assert predicted == pytest.approx(sum(labels) / len(labels), abs=0.0501)
    found = read_json(folder / METRICS)
    assert found["value"] == 0 and found["flags"] == ["constant_prediction"]
