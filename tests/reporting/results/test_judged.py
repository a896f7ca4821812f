from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import SyntheticRun, compared_row

from rllr.reporting.results.collect import Run, load_run
from rllr.reporting.results.judged import Compared, JudgedKey

GOOD = [compared_row(0, 1, 1), compared_row(1, 0, 0)]


def load(run: SyntheticRun) -> Run:
    return load_run(run.folder)


def test_reads_comparisons_and_who_judged(small_run: SyntheticRun) -> None:
    small_run.judged("llama", GOOD)
    small_run.judged("bloom", GOOD[:1], judge={"backend": "openai", "model": "big"})
    found = load(small_run)
    llama, bloom = (found.judged[JudgedKey(m, "mixture", 0)] for m in ("llama", "bloom"))
    assert (llama.judge, bloom.judge) == ("lexical", "openai, big")
    assert llama.rows[0] == Compared("sst2", "sst2-0", "rllr", "sft", (1, 1), False, True)
    assert (len(llama.rows), len(bloom.rows), found.warnings) == (2, 1, [])


@pytest.mark.parametrize(
    "verdicts, points, counts",
    [
        ((1, 1), 1.0, {"won", "asked"}),
        ((-1, -1), 0.0, {"lost", "asked"}),
        ((0, 0), 0.5, {"tied", "asked"}),
        ((1, -1), 0.5, {"tied", "asked", "inconsistent", "first_place"}),
        ((-1, 1), 0.5, {"tied", "asked", "inconsistent", "second_place"}),
        ((1, 0), 0.5, {"tied", "asked", "inconsistent"}),
        ((0, -1), 0.5, {"tied", "asked", "inconsistent"}),
        ((None, 1), None, {"no_verdict"}),
        ((None, None), None, {"no_verdict"}),
    ],
)
def test_what_a_comparison_counts_as(
    verdicts: tuple[Any, Any], points: float | None, counts: set[str]
) -> None:
    one = Compared("sst2", "1", "rllr", "sft", verdicts, same_text=False, same_label=False)
    assert one.points == points
    assert set(one.counts) == {"comparisons", *counts}


def test_the_same_text_is_a_tie_that_nobody_was_asked_about() -> None:
    one = Compared("sst2", "1", "rllr", "sft", (0, 0), same_text=True, same_label=True)
    assert set(one.counts) == {"comparisons", "tied", "same_text"}


@pytest.mark.parametrize(
    "content, reason",
    [
        ("{broken", "comparisons.jsonl:1: not valid JSON"),
        ({"verdicts": [2, 0]}, "comparisons.jsonl:1: not a comparison: verdicts.0"),
        ({"verdicts": [1]}, "comparisons.jsonl:1: not a comparison: verdicts"),
        ({"id": None}, "comparisons.jsonl:1: not a comparison: id"),
    ],
)
def test_a_broken_file_is_named_and_left_out(
    small_run: SyntheticRun, content: str | dict[str, Any], reason: str
) -> None:
    folder = small_run.judged("llama", GOOD)
    row = content if isinstance(content, str) else json.dumps({**GOOD[0], **content})
    (folder / "comparisons.jsonl").write_text(row + "\n")
    found = load(small_run)
    assert found.judged == {}
    (warning,) = found.warnings
    assert warning.startswith("judged/llama/mixture/seed0: left out: ") and reason in warning
    assert str(small_run.folder) not in warning


def test_a_comparison_that_is_there_twice(small_run: SyntheticRun) -> None:
    small_run.judged("llama", [*GOOD, GOOD[0]])
    found = load(small_run)
    assert found.judged == {} and ":3: it compares sst2/sst2-0/rllr/sft twice" in found.warnings[0]


@pytest.mark.parametrize("name", ["manifest.json", "comparisons.jsonl"])
def test_a_folder_without_one_of_its_files_is_not_done(small_run: SyntheticRun, name: str) -> None:
    (small_run.judged("llama", GOOD) / name).unlink()
    found = load(small_run)
    assert found.judged == {} and f"left out: {name}" in found.warnings[0]


def test_a_file_in_place_of_a_folder(small_run: SyntheticRun) -> None:
    small_run.write("judged/llama/mixture/seed0", "")
    found = load(small_run)
    assert (
        found.judged == {} and "seed0: left out: manifest.json: cannot be read" in found.warnings[0]
    )


def test_a_manifest_of_something_else(small_run: SyntheticRun) -> None:
    small_run.judged("llama", GOOD, judge=None)
    found = load(small_run)
    assert found.judged == {} and "no settings.judge.backend" in found.warnings[0]


@pytest.mark.parametrize(
    "model, changes",
    [("gpt", {}), ("llama", {"unit": "sst2"}), ("llama", {"seed": 7}), ("llama", {"seed": "x"})],
)
def test_what_lies_outside_the_grid_is_named(
    small_run: SyntheticRun, model: str, changes: dict[str, Any]
) -> None:
    folder: Path = small_run.judged(model, GOOD, **changes)
    found = load(small_run)
    assert found.judged == {}
    assert found.warnings[0].startswith(f"{folder.relative_to(small_run.folder)}: left out: ")


def test_tasks_and_methods_outside_the_grid_are_counted(small_run: SyntheticRun) -> None:
    others = [compared_row(2, 1, 1, task="mnli"), compared_row(3, 1, 1, method="dpo")]
    small_run.judged("llama", [*GOOD, *others])
    found = load(small_run)
    assert len(found.judged[JudgedKey("llama", "mixture", 0)].rows) == 2
    assert "2 comparisons lie outside the run's grid" in found.warnings[0]
