from __future__ import annotations

import csv
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from synthetic_run import SyntheticRun, judged_pairs, sampled_rows

from rllr.reporting.results.collect import load_run
from rllr.reporting.tables.build import build_tables, write_tables
from rllr.reporting.tables.table import MISSING, Table


def mismatch(run: SyntheticRun) -> Table:
    return build_tables(load_run(run.folder))["mismatch"]


def lines(table: Table) -> dict[tuple[str, str], list[str]]:
    """(model, ranked by) -> shown texts of the other columns."""
    rows = [row for group in table.groups for row in group]
    return {(row[0].text, row[1].text): [cell.text for cell in row[2:]] for row in rows}


def rewards(task: str, seed: int, gap: float, prompts: int = 25) -> list[dict[str, Any]]:
    """Four responses a prompt; a right one scores `gap` higher on average."""
    random = np.random.default_rng(seed)
    drawn = {
        f"{task}-{prompt}": [
            (float(random.normal() + gap * right), bool(right)) for right in random.random(4) < 0.5
        ]
        for prompt in range(prompts)
    }
    return sampled_rows(task, drawn)


def by_hand(rows: list[dict[str, Any]]) -> tuple[float, float, int, int]:
    """Correlation, AUC, pairs of one prompt that the right response wins, and all of them."""
    right = np.array([row["label_correct"] for row in rows])
    reward = np.array([row["reward"] for row in rows])
    u = stats.mannwhitneyu(reward[right], reward[~right])[0]
    pairs = [
        one["reward"] > other["reward"]
        for one in rows
        for other in rows
        if one["id"] == other["id"] and one["label_correct"] and not other["label_correct"]
    ]
    r = stats.pointbiserialr(right, reward)[0]
    return r, u / (right.sum() * (~right).sum()), sum(pairs), len(pairs)


def test_numbers_by_hand(small_run: SyntheticRun, tmp_path: Path) -> None:
    parts = [rewards("sst2", 1, 1.0), rewards("stsb", 2, 0.5)]
    small_run.sampled("llama", "rllr_rm", [*parts[0], *parts[1]])
    small_run.ranked("llama", judged_pairs(200, 0.6, 50, 0.54))
    found = lines(mismatch(small_run))
    assert found["Llama", "Judge"] == ["responses of SFT", "60.0", "", "", "54.0", "50"]
    hand = [by_hand(part) for part in parts]
    shown = found["Llama", "rllr_rm"]
    assert shown[0] == "label-sensitive pairs"
    for text, value in zip(shown[2:4], np.mean(hand, axis=0)[:2], strict=True):
        assert text.startswith(f"{100 * value:.1f} [")
    wins, pairs = (sum(part[place] for part in hand) for place in (2, 3))
    assert shown[4].startswith(f"{100 * wins / pairs:.1f} [")
    assert shown[5] == str(pairs)
    write_tables(small_run.folder, tmp_path)
    rows = list(csv.DictReader((tmp_path / "mismatch.csv").open()))
    (one,) = [r for r in rows if r["task"] == "stsb" and r["measure"] == "correlation"]
    assert float(one["points"]) == pytest.approx(100 * hand[1][0], abs=1e-3)
    assert float(one["ci_low_points"]) < float(one["points"]) < float(one["ci_high_points"])
    assert (one["n"], one["ranked_by"], one["seed"]) == ("100", "rllr_rm", "0")


def test_several_seeds_are_a_mean_with_its_spread(small_run: SyntheticRun) -> None:
    small_run.grid(seeds=[0, 1])
    parts = [rewards("sst2", seed, 1.0) for seed in (3, 4)]
    for seed, part in enumerate(parts):
        small_run.sampled("llama", "rllr_rm", part, seed=seed)
        small_run.ranked("llama", judged_pairs(100, 0.5 + 0.1 * seed, 10, 0.5), seed=seed)
    table = mismatch(small_run)
    aucs = [100 * by_hand(part)[1] for part in parts]
    mean, sd = statistics.mean(aucs), statistics.stdev(aucs)
    assert lines(table)["Llama", "rllr_rm"][3] == f"{mean:.1f} ±{sd:.1f}"
    assert lines(table)["Llama", "Judge"][1] == "55.0 ±7.1"
    assert "Mean over 2 seeds" in table.caption and "is in the CSV" in table.caption


def test_a_missing_seed_and_a_task_without_wrong_responses_show(small_run: SyntheticRun) -> None:
    small_run.grid(seeds=[0, 1])
    right = sampled_rows("stsb", {"a": [(1.0, True), (2.0, True)]})
    small_run.sampled("llama", "rllr_rm", rewards("sst2", 1, 1.0) + right)
    small_run.ranked("llama", judged_pairs(100, 0.5, 10, 0.5))
    table = mismatch(small_run)
    assert lines(table)["Llama", "rllr_rm"][2].endswith("] (1/4)")
    assert lines(table)["Llama", "rllr_rm"][4].endswith("] (1/4)")
    assert lines(table)["Llama", "Judge"][1] == "50.0 (1/2)"
    assert any(note.startswith("(7/8): 7 of 8 tasks") for note in table.notes)


def test_reward_models_of_tasks_are_taken_together(small_run: SyntheticRun) -> None:
    small_run.grid(scope="per_task")
    hand = []
    for seed, task in enumerate(("sst2", "stsb")):
        rows = rewards(task, seed, 1.0)
        small_run.sampled("llama", "rllr_rm", rows, unit=task)
        small_run.ranked("llama", judged_pairs(100, 0.4 + 0.2 * seed, 10, 0.5), unit=task)
        hand.append(by_hand(rows)[1])
    found = lines(mismatch(small_run))
    assert found["Llama", "rllr_rm"][3].startswith(f"{100 * statistics.mean(hand):.1f} [")
    assert found["Llama", "Judge"][1] == "50.0"


def test_without_scored_responses_there_is_a_dash_and_a_reason(small_run: SyntheticRun) -> None:
    small_run.sampled("llama", "rllr_rm", [])
    table = mismatch(small_run)
    for name in ("rlhf_rm", "rllr_rm"):
        assert lines(table)["Llama", name][2:] == [MISSING] * 4
    assert any("rllr_rm of Llama, rlhf_rm of BLOOM" in note for note in table.notes)


def test_without_judge_and_reward_models_there_is_no_row(run: SyntheticRun) -> None:
    run.accuracy("llama", "sft", 3)
    table = mismatch(run)
    assert table.groups == () and table.caption.startswith("Neither judged pairs nor")
