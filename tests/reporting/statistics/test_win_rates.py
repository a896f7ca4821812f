"""Intervals of win rates, against scipy, the crossed interval of means, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rllr.reporting.statistics.components import Block, crossed_interval
from rllr.reporting.statistics.win_rates import OVERALL, Sums, crossed_ratio, resampled_ratios


def ratio(points: np.ndarray, verdicts: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(points.sum(axis) / verdicts.sum(axis))


def test_one_task_is_scipys_bootstrap_of_a_ratio() -> None:
    random = np.random.default_rng(1)
    verdicts = random.integers(0, 4, size=80).astype(float)
    points = np.minimum(verdicts, random.integers(0, 4, size=80))
    (ends,) = resampled_ratios({"sst2": (points[None], verdicts[None])})["sst2"]
    expected = stats.bootstrap(
        (points, verdicts), ratio, paired=True, method="percentile", n_resamples=9999, rng=random
    ).confidence_interval
    assert ends == pytest.approx((expected.low, expected.high), abs=0.01)


def test_tasks_are_pooled_and_their_examples_drawn_apart() -> None:
    random = np.random.default_rng(2)
    tasks = {name: random.random((1, 50)) for name in ("a", "b")}
    ones = np.ones((1, 50))
    (found,) = resampled_ratios({name: (x, ones) for name, x in tasks.items()})[OVERALL]
    middle = np.mean([x.mean() for x in tasks.values()])
    error = np.sqrt(sum(x.var() / 50 for x in tasks.values())) / 2
    assert found == pytest.approx((middle - 1.96 * error, middle + 1.96 * error), abs=0.012)


def test_too_little_has_no_interval() -> None:
    rare = np.zeros((1, 10))
    rare[0, 0] = 1.0
    assert resampled_ratios({"a": (rare, rare)})["a"] == [(None, None)]
    assert resampled_ratios({}) == {}
    assert crossed_ratio([]) == (None, None)
    assert crossed_ratio([Sums("m", "a", (0,), rare, rare)]) == (None, None)


def test_where_every_comparison_has_a_verdict_it_is_the_crossed_interval_of_a_mean() -> None:
    random = np.random.default_rng(3)
    blocks = [(model, task) for model in "xy" for task in "ab"]
    points = {block: random.integers(0, 3, size=(4, 30)) / 2 for block in blocks}
    seeds = (0, 1, 2, 3)
    parts = [Sums(*block, seeds, x, np.ones_like(x)) for block, x in points.items()]
    expected = crossed_interval([Block(*block, seeds, x) for block, x in points.items()])
    assert expected is not None
    assert crossed_ratio(parts) == pytest.approx((expected.low, expected.high))


def simulated(random: np.random.Generator, runs: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and verdicts, (runs, n): three comparisons an example, of a quality that they share.

    A win has probability q, the example's own; a fifth of comparisons has no verdict.
    """
    quality = random.beta(2, 2, size=(runs, n, 1))
    there = random.random((runs, n, 3)) < 0.8
    won = random.random((runs, n, 3)) < quality
    return (there & won).sum(-1).astype(float), there.sum(-1).astype(float)


def test_coverage_of_the_bootstrap() -> None:
    """1,000 repeats: the binomial standard error of a share of 0.95 is 0.007."""
    points, verdicts = simulated(np.random.default_rng(4), 1000, 100)
    found = resampled_ratios({"a": (points, verdicts)})["a"]
    covered = np.mean([low < 0.5 < high for low, high in found if low and high])
    assert 0.95 - 3 * 0.007 <= covered <= 0.95 + 3 * 0.007


def test_coverage_with_several_seeds() -> None:
    """Three seeds that move the rate, examples that they share; 1,000 repeats, as above."""
    random, inside = np.random.default_rng(5), 0
    for _ in range(1000):
        shift = random.normal(0, 0.05, size=(3, 1)) + random.normal(0, 0.2, size=60)
        there = (random.random((3, 60)) < 0.9).astype(float)
        won = there * (random.random((3, 60)) < np.clip(0.5 + shift, 0, 1))
        low, high = crossed_ratio([Sums("m", "a", (0, 1, 2), won, there)])
        inside += low is not None and high is not None and low < 0.5 < high
    assert inside / 1000 >= 0.95 - 3 * 0.007
