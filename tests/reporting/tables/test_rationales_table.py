from __future__ import annotations

import itertools
import statistics
from typing import Any

import pytest
from synthetic_run import SyntheticRun, compared_row

from rllr.reporting.results.collect import load_run
from rllr.reporting.tables.build import build_tables
from rllr.reporting.tables.rationales import COLUMNS
from rllr.reporting.tables.table import MISSING, Record, Row, Table

# Three wins, one loss, one tie, one verdict that follows the first place, two equal texts, one
# without a verdict, and one win where the labels differ.
TEN = [
    *(compared_row(i, 1, 1) for i in range(3)),
    compared_row(3, -1, -1),
    compared_row(4, 0, 0),
    compared_row(5, 1, -1),
    compared_row(6, 0, 0, same_text=True),
    compared_row(7, 0, 0, same_text=True),
    compared_row(8, 1, None),
    compared_row(9, 1, 1, same_label=False),
]


def table(run: SyntheticRun) -> Table:
    return build_tables(load_run(run.folder))["rationales"]


def rows(found: Table) -> dict[tuple[str, str], dict[str, str]]:
    return {(row[0].text, row[1].text): texts(row) for group in found.groups for row in group}


def texts(row: Row) -> dict[str, str]:
    return {name: cell.text for name, cell in zip(COLUMNS[2:], row[2:], strict=True)}


def record(found: Table, **wanted: Any) -> Record:
    (one,) = [r for r in found.records() if all(r[key] == value for key, value in wanted.items())]
    return one


def test_every_number_by_hand(small_run: SyntheticRun) -> None:
    small_run.judged("llama", TEN)
    found = table(small_run)
    row = rows(found)["Llama", "RLLR vs SFT"]
    # Of nine with a verdict: four won, four tied.
    assert row.pop("Win rate").startswith(f"{100 * (4 + 4 / 2) / 9:.1f} [")
    assert row.pop("Win rate there").startswith(f"{100 * (3 + 4 / 2) / 8:.1f} [")
    assert row == {
        "% won": "40.0",
        "% tied": "40.0",
        "% lost": "10.0",
        "% none": "10.0",
        "% same text": "20.0",
        "% same label": "90.0",
        "% bias": f"{100 / 7:.1f}",
        "n": "10",
    }


def test_a_judge_that_always_prefers_the_first_place(small_run: SyntheticRun) -> None:
    judge = {"backend": "openai", "model": "big"}
    small_run.judged("llama", [compared_row(i, 1, -1) for i in range(9)], judge=judge)
    found = table(small_run)
    row = rows(found)["Llama", "RLLR vs SFT"]
    assert (row["% won"], row["% tied"], row["% bias"]) == ("0.0", "100.0", "100.0")
    assert row["Win rate"].startswith("50.0 [50.0, 50.0]")
    one = record(found, model="llama", labels="all", task="all")
    assert (one["first_place"], one["second_place"], one["inconsistent"]) == (9, 0, 9)
    assert "Judge: openai, big." in found.caption and "lexical" not in found.caption


def test_the_lexical_judge_has_no_bias_by_construction(small_run: SyntheticRun) -> None:
    small_run.judged("llama", [compared_row(0, 1, 1), compared_row(1, -1, -1)])
    found = table(small_run)
    assert rows(found)["Llama", "RLLR vs SFT"]["% bias"] == "0.0"
    assert "no position bias by construction" in found.caption


def test_without_any_verdict_there_is_a_dash(small_run: SyntheticRun) -> None:
    small_run.judged("llama", [compared_row(i, None, 0) for i in range(4)])
    row = rows(table(small_run))["Llama", "RLLR vs SFT"]
    assert (row["Win rate"], row["% bias"], row["% none"]) == (MISSING, MISSING, "100.0")


def test_models_are_pooled_and_a_missing_one_shows(small_run: SyntheticRun) -> None:
    small_run.judged("llama", [compared_row(i, 1, 1) for i in range(4)])
    found = rows(table(small_run))
    # Four places: two models, two tasks.
    assert found["BLOOM", "RLLR vs SFT"]["Win rate"] == MISSING
    assert found["All models", "RLLR vs SFT"]["Win rate"] == "100.0 [100.0, 100.0] (1/4)"
    small_run.judged("bloom", [compared_row(i, -1, -1) for i in range(12)])
    pooled = rows(table(small_run))["All models", "RLLR vs SFT"]
    assert pooled["Win rate"].startswith("25.0 [") and pooled["n"] == "16"


def test_comparisons_stand_in_the_runs_order(small_run: SyntheticRun) -> None:
    small_run.grid(comparisons=[["rlhf", "sft"], ["rllr", "sft"], ["rllr", "rlhf"]])
    small_run.judged("llama", [compared_row(0, 1, 1), compared_row(1, 1, 1, against="rlhf")])
    found = rows(table(small_run))
    names = ["RLHF vs SFT", "RLLR vs SFT", "RLLR vs RLHF"]
    assert [name for model, name in found if model == "Llama"] == names
    assert found["Llama", "RLHF vs SFT"]["Win rate"] == MISSING


def test_tasks_stand_apart_in_the_csv(small_run: SyntheticRun) -> None:
    second = [compared_row(i, -1, -1, task="stsb", id=f"stsb-{i}") for i in range(5)]
    small_run.judged("llama", [*(compared_row(i, 1, 1) for i in range(5)), *second])
    found = table(small_run)
    shown = {
        task: record(found, model="llama", labels="all", task=task)["win_rate_points"]
        for task in ("all", "sst2", "stsb")
    }
    assert shown == {"all": 50.0, "sst2": 100.0, "stsb": 0.0}
    assert record(found, model="llama", labels="all", task="all")["seed"] == 0


def test_several_seeds_show_their_spread(small_run: SyntheticRun) -> None:
    small_run.grid(seeds=[0, 1, 2])
    wins = {0: 6, 1: 7, 2: 8}
    for model, (seed, won) in itertools.product(("llama", "bloom"), wins.items()):
        made = [compared_row(i, *((1, 1) if i < won else (-1, -1))) for i in range(10)]
        small_run.judged(model, made, seed=seed)
    found = table(small_run)
    sd = statistics.stdev([60, 70, 80])
    assert rows(found)["Llama", "RLLR vs SFT"]["Win rate"] == f"70.0 ±{sd:.1f} (3/6)"
    whole = record(found, model="llama", labels="all", task="all", seed="all")
    assert (whole["win_rate_points"], whole["sd_points"], whole["n"]) == (70.0, 10.0, 30)
    one = record(found, model="llama", labels="all", task="all", seed=1)
    assert one["win_rate_points"] == 70.0
    # What seeds add is in the interval of all of them, and not in that of one.
    assert whole["ci_low_points"] is not None and one["ci_low_points"] is not None
    assert "3 seeds together" in found.caption


def test_judges_that_differ_are_named(small_run: SyntheticRun) -> None:
    small_run.judged("llama", TEN)
    small_run.judged("bloom", TEN, judge={"backend": "openai", "model": "big"})
    assert "lexical (Llama)" in table(small_run).caption.partition("Judges differ")[2]


@pytest.mark.parametrize(
    "changes, why",
    [
        ({}, "this folder holds none"),
        ({"comparisons": []}, "judge.test_prompts is 0, or fewer than two"),
    ],
)
def test_an_empty_table_says_why(
    small_run: SyntheticRun, changes: dict[str, Any], why: str
) -> None:
    small_run.grid(**changes)
    found = table(small_run)
    assert found.groups == () and why in found.caption


def test_a_run_whose_comparisons_are_still_to_come_shows_dashes(small_run: SyntheticRun) -> None:
    small_run.grid(comparisons=[["rllr", "sft"]])
    found = table(small_run)
    assert rows(found)["Llama", "RLLR vs SFT"]["Win rate"] == MISSING
    assert "has not run" in found.caption


def test_models_trained_per_task(small_run: SyntheticRun) -> None:
    small_run.grid(scope="per_task")
    small_run.judged("llama", TEN, unit="sst2")
    second = [compared_row(i, 1, 1, task="stsb") for i in range(10)]
    small_run.judged("llama", second, unit="stsb")
    row = rows(table(small_run))["Llama", "RLLR vs SFT"]
    assert row["n"] == "20" and "(" not in row["Win rate"]
