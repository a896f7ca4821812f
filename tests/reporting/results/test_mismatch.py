from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from synthetic_run import SyntheticRun, judged_pairs, sampled_rows

from rllr.reporting.results.analysis import analyse
from rllr.reporting.results.clouds import Cloud, calibrated, clouds
from rllr.reporting.results.collect import load_run
from rllr.reporting.results.mismatch import ALL, Judged, load_mismatch
from rllr.reporting.results.summaries import StageKey

REWARDS = "trained/llama/rllr_rm/mixture/seed0/sample_rewards.jsonl"
MANIFEST = "pairs/rationale_sensitive/llama/sft/mixture/seed0/manifest.json"
KEY = StageKey("llama", "rllr_rm", "mixture", 0)
ROWS = sampled_rows("sst2", {"b": [(2.5, True), (-1.0, False)], "a": [(0.5, True)]})


def test_rewards_are_arrays_by_task_with_numbered_prompts(small_run: SyntheticRun) -> None:
    other = sampled_rows("stsb", {"a": [(7.0, False)]})
    small_run.sampled("llama", "rllr_rm", ROWS + other)
    found, warnings = load_mismatch(load_run(small_run.folder))
    assert warnings == []
    assert set(found.scored[KEY]) == {"sst2", "stsb"}
    one = found.scored[KEY]["sst2"]
    assert one.prompts.tolist() == [1, 1, 0]
    assert one.rewards.tolist() == [2.5, -1.0, 0.5]
    assert one.right.tolist() == [True, False, True]
    assert one.parsed.tolist() == [True] * 3


def test_an_empty_file_is_no_mistake(small_run: SyntheticRun) -> None:
    """No responses are sampled where pairs were released with the data."""
    small_run.sampled("llama", "rllr_rm", [])
    found, warnings = load_mismatch(load_run(small_run.folder))
    assert (found.scored[KEY], warnings) == ({}, [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{broken", "sample_rewards.jsonl:4: not valid JSON"),
        ({"task": "sst2"}, "line 4: id: Field required"),
        ({**ROWS[0], "reward": "high"}, "line 4: reward"),
        ({**ROWS[0], "reward": float("nan")}, "line 4: reward"),
        ({**ROWS[0], "label_correct": 0.5}, "line 4: label_correct"),
    ],
)
def test_a_broken_file_of_rewards_is_named_and_left_out(
    small_run: SyntheticRun, line: str | dict[str, Any], reason: str
) -> None:
    small_run.sampled("bloom", "rllr_rm", ROWS)
    text = line if isinstance(line, str) else json.dumps(line)
    small_run.write(REWARDS, "".join(json.dumps(row) + "\n" for row in ROWS) + text + "\n")
    analysis = analyse(load_run(small_run.folder))
    assert list(analysis.mismatch.scored) == [KEY._replace(model="bloom")]
    (warning,) = analysis.run.warnings
    assert warning.startswith(f"{REWARDS}: left out: ") and reason in warning
    assert str(small_run.folder) not in warning


def test_judged_pairs_are_counts_by_part_and_task(small_run: SyntheticRun) -> None:
    small_run.ranked("llama", judged_pairs(10, 0.6, 3, 2 / 3))
    found, warnings = load_mismatch(load_run(small_run.folder))
    counts = {ALL: Judged(10, 6, 3, 2), "sst2": Judged(10, 6, 3, 2)}
    assert found.judged == {KEY._replace(stage="sft"): {"train": counts, "heldout": counts}}
    assert warnings == []


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ({"stage": "judge"}, "no statistics"),
        ({"statistics": {"train": {"pairs": -1}}}, "train.pairs"),
        ("[]", "no statistics"),
        ("{", "not valid JSON"),
    ],
)
def test_a_broken_manifest_of_pairs_is_named(
    small_run: SyntheticRun, manifest: Any, reason: str
) -> None:
    small_run.write(MANIFEST, manifest)
    found, (warning,) = load_mismatch(load_run(small_run.folder))
    assert found.judged == {}
    assert warning.startswith(f"{MANIFEST}: left out: ") and reason in warning


def test_what_is_outside_the_grid_is_not_read(small_run: SyntheticRun) -> None:
    small_run.sampled("gpt", "rllr_rm", ROWS)
    small_run.sampled("llama", "rllr_rm", ROWS, seed=7)
    small_run.sampled("llama", "rllr_rm", ROWS, unit="sst2")
    assert load_mismatch(load_run(small_run.folder))[0].scored == {}


def test_figures_show_rewards_in_standard_deviations_on_each_task(
    small_run: SyntheticRun,
) -> None:
    far = sampled_rows("stsb", {"a": [(100.0, True), (300.0, False)]})
    small_run.sampled("llama", "rllr_rm", ROWS + far)
    small_run.sampled("bloom", "rllr_rm", [])
    found = clouds(analyse(load_run(small_run.folder)))
    assert list(found) == ["llama"]
    one = found["llama"]["rllr_rm"]
    near = np.array([2.5, -1.0, 0.5])
    assert one.rewards.tolist() == pytest.approx([*(near - near.mean()) / near.std(), -1.0, 1.0])
    assert one.right.tolist() == [True, False, True, True, False]


def test_bins_hold_a_tenth_each_and_fewer_where_responses_are_few() -> None:
    right = np.arange(400) >= 200
    found = calibrated(Cloud(np.arange(400.0), right))
    assert [one.n for one in found] == [40] * 10
    assert [one.right for one in found] == [0] * 5 + [40] * 5
    assert found[0].reward == np.arange(40).mean()
    assert [one.n for one in calibrated(Cloud(np.arange(50.0), right[:50]))] == [25, 25]
    assert [one.n for one in calibrated(Cloud(np.arange(3.0), right[:3]))] == [3]


def test_equal_rewards_share_a_bin() -> None:
    (one,) = calibrated(Cloud(np.zeros(100), np.arange(100) < 30))
    assert (one.reward, one.right, one.n) == (0.0, 30, 100)
