"""What to distrust, by hand."""

from __future__ import annotations

import csv
import io

import pytest
from synthetic_run import SyntheticRun, class_row, rl_summary, score_row

from rllr.reporting.results.collect import load_run
from rllr.reporting.results.health import label_shift
from rllr.reporting.results.predictions import Label, Predictions
from rllr.reporting.tables.build import build_tables
from rllr.reporting.tables.render import to_csv
from rllr.reporting.tables.table import MISSING, Table

UNPARSED, TRUNCATED, PROMPTS_CUT, SHIFT, WORST, KL, SKIPPED, FLAGGED = range(2, 10)


def health(run: SyntheticRun) -> Table:
    return build_tables(load_run(run.folder))["health"]


def shown(table: Table, model: str, method: str) -> dict[int, str]:
    rows = [row for group in table.groups for row in group]
    row = next(r for r in rows if (r[0].text, r[1].text) == (model, method))
    return {index: cell.text for index, cell in enumerate(row)}


def predictions(gold: list[Label], predicted: list[Label | None]) -> Predictions:
    return Predictions(tuple(map(str, range(len(gold)))), tuple(gold), tuple(predicted), "")


def test_label_shift_of_classes_by_hand() -> None:
    found = label_shift([predictions(["a", "a", "b", "c"], ["a", "b", "b", "b"])], scores=False)
    assert found is not None
    assert found.distance == pytest.approx((0.25 + 0.5 + 0.25) / 2)
    assert (found.label, found.excess, found.mean_difference) == ("b", 0.5, None)


def test_label_shift_of_scores_counts_whole_numbers() -> None:
    found = label_shift([predictions([0.4, 2.0, 4.6], [0.1, 2.4, 2.5])], scores=True)
    assert found is not None
    assert found.label == "3" and found.distance == pytest.approx(1 / 3)
    assert found.mean_difference == pytest.approx((0.1 + 2.4 + 2.5 - 7.0) / 3)


def test_what_was_not_read_is_no_label() -> None:
    found = label_shift([predictions(["a", "b"], ["a", None])], scores=False)
    assert found is not None and (found.label, found.distance) == ("a", 0.5)
    assert label_shift([predictions(["a"], [None])], scores=False) is None


def test_shares_name_the_worst_task(small_run: SyntheticRun) -> None:
    small_run.cell("llama", "stsb", "rllr", [score_row(i, i % 6, i % 6) for i in range(10)])
    rows = [class_row(i, True) for i in range(9)]
    rows.append(class_row(9, False, prediction=None, parsed=False))
    small_run.cell("llama", "sst2", "rllr", rows, responses_cut=3, prompts_cut=1)
    found = shown(health(small_run), "Llama", "RLLR")
    assert found[UNPARSED] == "5.0 (SST-2 10.0)" and found[TRUNCATED] == "15.0 (SST-2 30.0)"
    assert found[PROMPTS_CUT] == "5.0 (SST-2 10.0)"
    # Gold: 5 negative, 5 positive; read: 5 negative, 4 positive. STS-B has no shift.
    assert found[SHIFT] == "2.8" and found[WORST] == "SST-2 5.6 (negative: +5.6)"


def test_training_and_flags_are_named(small_run: SyntheticRun) -> None:
    summary = rl_summary(["rllr_rm"], 0.0, 0.1) | {"skipped_batches": 2.0, "kl": {"final": 1.234}}
    small_run.summary("llama", "rllr", summary)
    table = health(small_run)
    found = shown(table, "Llama", "RLLR")
    assert (found[KL], found[SKIPPED], found[FLAGGED]) == ("1.23", "2.0", "1/1")
    assert any("did not raise" in sentence for _, sentence in table.footnotes)
    assert shown(table, "Llama", "SFT")[KL] == MISSING


def test_without_predictions_there_is_no_shift(small_run: SyntheticRun) -> None:
    (small_run.folder / "cells/llama/sst2/rllr/seed0/predictions.jsonl").unlink()
    found = shown(health(small_run), "Llama", "RLLR")
    assert (found[UNPARSED], found[SHIFT], found[WORST]) == ("0.0", MISSING, MISSING)


def test_the_csv_has_a_row_per_task(small_run: SyntheticRun) -> None:
    small_run.cell("llama", "stsb", "rllr", [score_row(i, i % 6, 1.0) for i in range(12)])
    rows = list(csv.DictReader(io.StringIO(to_csv(health(small_run)))))
    mine = {row["task"]: row for row in rows if (row["model"], row["method"]) == ("llama", "rllr")}
    assert set(mine) == {"sst2", "stsb"} and mine["sst2"]["kl_final"] == "1.0"
    assert mine["stsb"]["over_predicted"] == "1"
    assert float(mine["stsb"]["over_predicted_points"]) == pytest.approx(100 * 5 / 6, abs=1e-3)
    assert float(mine["stsb"]["mean_difference"]) == pytest.approx(-1.5)
    assert "constant_prediction" in mine["stsb"]["flags"]
