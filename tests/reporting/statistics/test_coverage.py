"""Do 95 % intervals hold what they promise? On simulated experiments, at least 1,000 of them.

The margin is the binomial one: twice sqrt(0.95 x 0.05 / 1000) is 1.4 points, so a true 95 % shows
as 93.6 to 96.4. Above that an interval is longer than it need be, which is no fault.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from simulation import blocks, right_answers

from rllr.reporting.statistics.bootstrap import (
    Floats,
    accuracy_resamples,
    pearson_resamples,
    resampled_interval,
)
from rllr.reporting.statistics.components import Block, crossed_interval, pearson_values
from rllr.reporting.statistics.hypothesis import mcnemar_exact, permuted_pearson
from rllr.reporting.statistics.interval import Interval

REPEATS = 1000
MARGIN = 2 * math.sqrt(0.95 * 0.05 / REPEATS)


def _covered(found: Sequence[Interval | None], truth: float = 0.0) -> float:
    assert len(found) >= REPEATS
    assert all(one is not None for one in found)
    return float(np.mean([one.low <= truth <= one.high for one in found if one]))


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("run_noise", [0.05, 0.2])
@pytest.mark.parametrize(("models", "tasks"), [(1, 1), (1, 4), (2, 2)])
def test_coverage_over_seeds(seeds: int, run_noise: float, models: int, tasks: int) -> None:
    random = np.random.default_rng(seeds * 100 + tasks)
    found = []
    for _ in range(REPEATS):
        mine, theirs = right_answers(random, (models, seeds, tasks, 60), run_noise)
        found.append(crossed_interval(blocks(mine - theirs)))
    assert _covered(found) >= 0.95 - MARGIN
    # A false positive is an interval without 0, and p says the same.
    rejected = np.mean([one.p < 0.05 for one in found if one])
    assert rejected <= 0.05 + MARGIN


def test_leaving_out_either_factor_would_not_do() -> None:
    """Each factor matters in this simulation: without it, intervals are too short by far."""
    random = np.random.default_rng(1)
    seeds_alone, examples_alone = [], []
    for _ in range(REPEATS):
        mine, theirs = right_answers(random, (2, 5, 1, 60), 0.2)
        x = mine - theirs
        error = float(np.sqrt(x.mean(axis=(0, 1, 2)).var(ddof=1) / 60))
        examples_alone.append(abs(x.mean()) <= 1.96 * error)
        of_seeds = x.mean(axis=(2, 3)).var(axis=1, ddof=1)
        seeds_alone.append(abs(x.mean()) <= 1.96 * float(np.sqrt(of_seeds.sum() / 5)) / 2)
    assert np.mean(examples_alone) < 0.90
    assert np.mean(seeds_alone) < 0.95 - MARGIN


def test_coverage_of_a_correlation_over_seeds() -> None:
    """True correlations of two systems with gold, gold plus noise each."""
    random = np.random.default_rng(2)
    found: list[Interval | None] = []
    for _ in range(REPEATS):
        gold = random.normal(0, 1, 100)
        noise = random.normal(0, 0.7, 100) + random.normal(0, 0.7, (2, 3, 100))
        mine, theirs = gold + noise
        values = pearson_values(mine, gold) - pearson_values(theirs, gold)
        found.append(crossed_interval([Block("m", "stsb", (0, 1, 2), values)]))
    assert _covered(found) >= 0.95 - MARGIN


def test_coverage_with_one_seed_is_for_this_runs_own_difference() -> None:
    """Trained models stay the same, test examples are drawn anew: what the bootstrap promises."""
    random = np.random.default_rng(3)
    n, models, tasks = 150, 2, 2
    both = random.uniform(0.05, 0.15, (2, models, tasks))  # only mine, only theirs
    truth = float((both[0] - both[1]).mean())
    total: Floats = np.zeros((REPEATS, 2000))
    for task in range(tasks):
        drawn = random.random((REPEATS, n))  # one example, all models
        for model in range(models):
            turned = (drawn + 0.3 * model) % 1.0
            mine = turned < both[0, model, task]
            theirs = turned > 1 - both[1, model, task]
            values = mine.astype(np.float64) - theirs
            total += accuracy_resamples(values, f"task{task}") / (models * tasks)
    found = [resampled_interval(row) for row in total]
    assert _covered(found, truth) >= 0.95 - MARGIN


def test_false_positives_of_a_correlations_difference_with_one_seed() -> None:
    random = np.random.default_rng(4)
    gold = random.normal(0, 1, 100)
    shared = gold + random.normal(0, 0.7, (REPEATS, 100))
    mine, theirs = shared + random.normal(0, 0.7, (2, REPEATS, 100))
    apart = pearson_resamples(mine, gold, "stsb") - pearson_resamples(theirs, gold, "stsb")
    assert np.mean([resampled_interval(row).p < 0.05 for row in apart]) <= 0.05 + MARGIN
    # The permutation test, on fewer: it is the slower one.
    p = permuted_pearson(list(mine[:300]), list(theirs[:300]), gold, "stsb")
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


def test_false_positives_of_mcnemars_test() -> None:
    random = np.random.default_rng(5)
    p = [mcnemar_exact(*(random.random((2, 200)) < 0.8).astype(np.float64)) for _ in range(REPEATS)]
    assert 0.01 < np.mean(np.array(p) < 0.05) <= 0.05 + MARGIN


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_coverage_of_a_whole_grid(seeds: int) -> None:
    random = np.random.default_rng(6)
    found = []
    for _ in range(REPEATS):
        mine, theirs = right_answers(random, (5, seeds, 8, 60), 0.2)
        found.append(crossed_interval(blocks(mine - theirs)))
    assert _covered(found) >= 0.95 - MARGIN
