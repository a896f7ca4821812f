"""What is evaluated is never trained on: within a task, and across related ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from data_project import Rows, ids, make, pairs, project_for, single, write
from release_files import data_settings, make_row, rows_of, write_release_files
from tiny_project import TinyRun

from rllr import slices
from rllr.config.load import Project, load
from rllr.data.sources import source_files
from rllr.errors import RllrError
from rllr.layout import related_tasks


def write_task(folder: Path, task: str, **parts: Rows) -> None:
    for name, rows in parts.items():
        write(folder / task / f"{name}.jsonl", rows)


REVIEW = {
    "name": "Mine",
    "instruction": "Is this review negative or positive?",
    "input": "{text}",
    "labels": {"kind": "class", "values": ["negative", "positive"]},
    "metric": "accuracy",
}


def write_tasks(folder: Path, tasks: dict[str, Any]) -> None:
    (folder / "tasks").mkdir()
    for name, task in tasks.items():
        (folder / f"tasks/{name}.yaml").write_text(yaml.safe_dump(task))


def three(prefix: str, count: int = 12) -> dict[str, Rows]:
    return {name: single(f"{prefix} {name}", count) for name in ("train", "validation", "test")}


def trained_texts(made: dict[str, Rows]) -> set[str]:
    return {row["text"] for name in ("sft", "rm", "rl") for row in made[name]}


# --- within a task -------------------------------------------------------------------------------


def test_an_overlap_is_refused_with_its_place_unless_it_is_to_be_dropped(tmp_path: Path) -> None:
    parts = three("a")
    parts["train"][3:5] = [{**row, "label": "positive"} for row in parts["test"][6:8]]
    parts["validation"][1] = parts["test"][2]
    write_task(tmp_path / "data", "mr", **parts)
    with pytest.raises(RllrError) as caught:
        make(project_for(tmp_path / "data"), "mr", tmp_path / "to")
    for words in (
        "task 'mr': 2 texts of train are also in test (first: ",
        "mr/train.jsonl:4 and ",
        "mr/test.jsonl:7); 1 texts of validation are also in test",
        "set `data.overlap: drop`",
    ):
        assert words in str(caught.value)
    assert not any((tmp_path / "to").iterdir())
    made, facts = make(project_for(tmp_path / "data", overlap="drop"), "mr", tmp_path / "to")
    found = facts["overlaps"]
    assert found["rule"] == "drop"
    assert found["within"] == {
        "train in validation": 0,
        "train in test": 2,
        "validation in test": 1,
    }
    assert len(made["test"]) == 12 and len(made["validation"]) == 11
    assert len(trained_texts(made)) == 10


def test_repeated_texts_are_kept_once_and_conflicts_counted_apart(tmp_path: Path) -> None:
    parts = three("a")
    first = parts["train"][0]
    parts["train"] += [
        {**first, "text": first["text"].upper()},
        {**first, "label": "positive"},
        {**first, "text": first["text"] + "!", "label": "positive"},
    ]
    write_task(tmp_path / "data", "mr", **parts)
    made, facts = make(project_for(tmp_path / "data"), "mr", tmp_path / "to")
    assert facts["duplicates_removed"]["train"] == 1
    assert facts["conflicting_labels"]["train"] == 2
    assert facts["rows_read"]["train"] == 15 and len(trained_texts(made)) == 12
    kept = next(r for n in ("sft", "rm", "rl") for r in made[n] if r["text"] == first["text"])
    assert kept["label"] == "negative"


def test_pairs_that_share_one_sentence_with_test_are_reported_and_kept(tmp_path: Path) -> None:
    parts = {name: pairs(name, 8) for name in ("train", "validation", "test")}
    parts["train"][0]["text_a"] = parts["test"][0]["text_b"].upper()
    parts["train"][1]["text_b"] = parts["test"][5]["text_b"]
    rows = {n: [{**r, "label": "equivalent"} for r in found] for n, found in parts.items()}
    write_task(tmp_path / "data", "mrpc", **rows)
    project = project_for(tmp_path / "data", ["mrpc"])
    made, facts = make(project, "mrpc", tmp_path / "to")
    assert facts["overlaps"]["train pairs that share one sentence with test"] == 2
    assert sum(len(made[name]) for name in ("sft", "rm", "rl")) == 8


# --- across related tasks ------------------------------------------------------------------------


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """mr and sst2: two of mr's training texts are tests of sst2, three of sst2's train of mr's."""
    folder = tmp_path / "data"
    mr, sst2 = three("mr"), three("sst2")
    mr["train"] += sst2["test"][:2] + sst2["train"][:3]
    write_task(folder, "mr", **mr)
    write_task(folder, "sst2", **sst2)
    return folder


def test_texts_that_a_related_task_is_tested_on(reviews: Path, tmp_path: Path) -> None:
    both = ["mr", "sst2"]
    with pytest.raises(
        RllrError, match=r"2 texts of train are also in sst2's test \(first: .*mr/t"
    ):
        make(project_for(reviews, both), "mr", tmp_path / "to")
    made, facts = make(project_for(reviews, both, overlap="drop"), "mr", tmp_path / "to")
    assert facts["overlaps"]["across"] == {
        "train in sst2's validation": 0,
        "train in sst2's test": 2,
    }
    # A text that both train on may stay.
    assert len(trained_texts(made)) == 15
    assert slices.data(project_for(reviews, both), "mr")["related"]


def test_alone_or_with_models_of_its_own_no_other_task_is_looked_at(
    reviews: Path, tmp_path: Path
) -> None:
    alone, facts = make(project_for(reviews), "mr", tmp_path / "alone")
    assert len(trained_texts(alone)) == 17 and facts["overlaps"]["across"] == {}
    data = {"source": "local", "path": str(reviews)}
    raw = {"extends": "tiny", "tasks": ["mr", "sst2"], "scope": "per_task", "data": data}
    assert make(load(raw), "mr", tmp_path / "own")[0] == alone


def test_what_a_related_task_carves_is_what_its_own_stage_carves(tmp_path: Path) -> None:
    shared = single("shared", 60)
    folder = tmp_path / "data"
    for task in ("mr", "sst2"):
        write_task(folder, task, train=shared + single(task, 40))
    project = project_for(
        folder, ["mr", "sst2"], files={"validation": None, "test": None}, overlap="drop"
    )
    mr, facts = make(project, "mr", tmp_path / "mr")
    sst2, _ = make(project, "sst2", tmp_path / "sst2")
    for one, other in ((mr, sst2), (sst2, mr)):
        evaluated = {row["text"] for name in ("validation", "test") for row in one[name]}
        assert len(evaluated) == 10 + 4  # a tenth of 100, a twentieth of 90
        assert not evaluated & trained_texts(other)
    assert sum(facts["overlaps"]["across"].values()) > 0


GENERATED = {
    "source": "generated",
    "sizes": {"sft": 9, "rm": 9, "rl": 9, "validation": 9, "test": 9},
}


def test_generated_data_are_compared_with_none(reviews: Path, tmp_path: Path) -> None:
    raw = {
        "extends": "tiny",
        "tasks": ["mr", "sst2"],
        "data": GENERATED,
        "task_data": {"mr": {"source": "local", "path": str(reviews)}},
        "teacher": {"backend": "lexical"},
    }
    project = load(raw)
    assert related_tasks(project, "mr") == related_tasks(project, "sst2") == []
    _, facts = make(project, "mr", tmp_path / "to")
    assert facts["overlaps"]["across"] == {}


def test_a_relation_holds_both_ways(tmp_path: Path) -> None:
    tasks = {"mine": {"related": ["mr"]}, "other": {}}
    write_tasks(tmp_path, {name: {**REVIEW, **more} for name, more in tasks.items()})
    raw = {"extends": "tiny", "tasks": ["mr", "mine", "other"]}
    project = load({**raw, "data": {"source": "local", "path": "data"}}, tmp_path)
    found = {task: related_tasks(project, task) for task in project.data_tasks}
    assert found == {"mr": ["mine"], "mine": ["mr"], "other": []}


# --- sources of two kinds ------------------------------------------------------------------------


@pytest.fixture
def two_sources(tmp_path: Path) -> dict[str, Any]:
    """mr of the release, sst2 in local files; each is tested on one of the other's training texts.

    One more of sst2's training texts is in mr's held-out pairs.
    """
    sst2 = three("sst2")
    text = sst2["test"][3]["text"]
    seen = {**make_row("mr", "sft", 0, ("a", 0)), "input": text.upper() + "!"}
    write_release_files(tmp_path / "release", sft=[seen])
    sst2["train"] += [
        {"text": rows_of("mr", kind)[2]["input"], "label": "positive"}
        for kind in ("test", "label_sensitive_heldout")
    ]
    write_task(tmp_path / "data", "sst2", **sst2)
    local = {"source": "local", "path": str(tmp_path / "data")}
    return {
        "extends": "tiny",
        "tasks": ["mr", "sst2"],
        "data": data_settings(tmp_path / "release"),
        "task_data": {"sst2": local},
    }


def test_local_data_are_compared_with_the_releases(
    two_sources: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(
        RllrError,
        match=r"1 texts of train are also in mr's test \(first: .*:13 and .*test\.json, row 3\); 1 "
        r"texts of train are also in mr's label_sensitive_heldout",
    ):
        make(load(two_sources), "sst2", tmp_path / "to")
    two_sources["task_data"]["sst2"]["overlap"] = "drop"
    made, facts = make(load(two_sources), "sst2", tmp_path / "to")
    assert len(trained_texts(made)) == 12
    assert facts["overlaps"]["across"] == {
        "train in mr's test": 1,
        "train in mr's label_sensitive_heldout": 1,
    }


def test_and_the_release_with_local_data(two_sources: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RllrError, match=r"those of related tasks too\): sft 1;"):
        make(load(two_sources), "mr", tmp_path / "to")
    two_sources["data"]["overlap"] = "drop"
    _, facts = make(load(two_sources), "mr", tmp_path / "to")
    assert facts["overlaps"]["dropped"]["sft"] == 1


# --- further test sets ---------------------------------------------------------------------------


def further(folder: Path, **data: Any) -> Project:
    """mnli with its mismatched test set, in a folder of the test's own."""
    raw = {
        "extends": "tiny",
        "tasks": ["mnli"],
        "context_tasks": ["mnli_mm"],
        "data": {"source": "local", "path": str(folder), **data},
    }
    return load(raw)


def test_a_further_test_set_has_nothing_but_a_test_and_is_not_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    parts = {name: pairs(name, 10) for name in ("train", "validation", "test", "other")}
    rows = {name: [{**row, "label": "neutral"} for row in p] for name, p in parts.items()}
    other = rows.pop("other")
    rows["train"][4] = {**other[2], "label": "entailment"}
    write_task(folder, "mnli", **rows)
    write_task(folder, "mnli_mm", test=other)
    with pytest.raises(RllrError, match="1 texts of train are also in mnli_mm's test"):
        make(further(folder), "mnli", tmp_path / "to")
    project = further(folder, overlap="drop")
    made, _ = make(project, "mnli", tmp_path / "to")
    assert sum(len(made[name]) for name in ("sft", "rm", "rl")) == 9
    mismatched, facts = make(project, "mnli_mm", tmp_path / "mm")
    assert facts["examples"] == {"sft": 0, "rm": 0, "rl": 0, "validation": 0, "test": 10}
    assert len(ids(mismatched["test"])) == 10
    files = source_files(project, "mnli")
    assert [str(path.relative_to(folder)) for path in files] == [
        *(f"mnli/{name}.jsonl" for name in ("test", "train", "validation")),
        "mnli_mm/test.jsonl",
    ]


def test_the_further_test_set_of_a_related_task(tmp_path: Path) -> None:
    """A text of mr that is in a test set of sst2's that has a file of its own."""
    folder = tmp_path / "data"
    write_tasks(tmp_path, {"sst2_x": {**REVIEW, "test_of": "sst2"}})
    mr, more = three("mr"), single("more", 6)
    write_task(folder, "mr", **{**mr, "train": [*mr["train"], more[4]]})
    write_task(folder, "sst2", **three("sst2"))
    write_task(folder, "sst2_x", test=more)
    data = {"source": "local", "path": str(folder)}
    raw = {"extends": "tiny", "tasks": ["mr", "sst2"], "context_tasks": ["sst2_x"], "data": data}
    project = load(raw, tmp_path)
    found = {task: related_tasks(project, task) for task in project.data_tasks}
    assert found == {"mr": ["sst2", "sst2_x"], "sst2": ["mr", "sst2_x"], "sst2_x": []}
    with pytest.raises(RllrError, match=r"1 texts of train are also in sst2_x's test"):
        make(project, "mr", tmp_path / "to")
    assert folder / "sst2_x/test.jsonl" in source_files(project, "mr")


def test_generated_data_have_no_files(run: TinyRun) -> None:
    assert source_files(run.project, "mr") == []
