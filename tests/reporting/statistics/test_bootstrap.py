from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rllr.reporting.statistics.bootstrap import (
    BLOCK_NUMBERS,
    accuracy_resamples,
    pearson,
    pearson_resamples,
    percentile_interval,
    resampled_interval,
    wilson_interval,
)

RANDOM = np.random.default_rng(7)


def test_accuracy_interval_is_the_binomial_one() -> None:
    n, correct = 200, 140
    row = np.zeros((1, n))
    row[0, :correct] = 1
    low, high = percentile_interval(accuracy_resamples(row, "sst2", 20000)[0])
    expected = stats.binom(n, correct / n).ppf([0.025, 0.975]) / n
    assert (low, high) == pytest.approx(expected, abs=1.01 / n)


def test_paired_difference_agrees_with_scipy() -> None:
    a = (RANDOM.random(150) < 0.7).astype(float)
    b = np.where(RANDOM.random(150) < 0.8, a, 1 - a)
    ours = accuracy_resamples(np.stack([a, b]), "mr", 10000)
    theirs = stats.bootstrap(
        (a, b),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        paired=True,
        method="percentile",
        n_resamples=10000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert percentile_interval(ours[0] - ours[1]) == pytest.approx(theirs, abs=0.007)


def test_pearson_interval_agrees_with_scipy() -> None:
    gold = RANDOM.uniform(0, 5, 120)
    scores = gold + RANDOM.normal(0, 1.5, 120)
    ours = percentile_interval(pearson_resamples(scores[None], gold, "stsb", 10000)[0])
    theirs = stats.bootstrap(
        (scores, gold),
        lambda x, y, axis: stats.pearsonr(x, y, axis=axis)[0],
        paired=True,
        method="percentile",
        n_resamples=10000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert ours == pytest.approx(theirs, abs=0.01)


def test_pearson_value_agrees_with_scipy_and_a_constant_counts_zero() -> None:
    gold, scores = RANDOM.uniform(0, 5, 40), RANDOM.uniform(0, 5, 40)
    assert pearson(scores, gold) == pytest.approx(stats.pearsonr(scores, gold)[0], abs=1e-12)
    assert pearson(np.full(40, 0.1), gold) == 0.0
    assert not pearson_resamples(np.full((1, 40), 0.1), gold, "stsb", 50).any()


def test_a_tasks_cells_share_their_resamples() -> None:
    row = (RANDOM.random(50) < 0.6).astype(float)
    alone = accuracy_resamples(row[None], "qqp", 100)
    together = accuracy_resamples(np.stack([1 - row, row]), "qqp", 100)
    assert np.array_equal(alone[0], together[1])
    assert np.allclose(together.sum(axis=0), 1.0)
    assert not np.array_equal(alone, accuracy_resamples(row[None], "mrpc", 100))


def test_blocks_of_resamples_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    row = (RANDOM.random((1, 30)) < 0.6).astype(float)
    whole = accuracy_resamples(row, "mnli", 100)
    assert BLOCK_NUMBERS > 30 * 100
    monkeypatch.setattr("rllr.reporting.statistics.bootstrap.BLOCK_NUMBERS", 30 * 7)
    assert np.array_equal(accuracy_resamples(row, "mnli", 100), whole)


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (812, 1000), (55, 100), (10, 10)])
def test_wilson_agrees_with_scipy(correct: int, n: int) -> None:
    theirs = stats.binomtest(correct, n).proportion_ci(method="wilson")
    assert wilson_interval(correct, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_ties_count_on_both_sides_of_zero_however_they_are_summed() -> None:
    thirds = np.array([0.1 + 0.2 - 0.3, 0.3 - 0.2 - 0.1, 0.0])
    assert len(set(thirds)) == 3  # alike, but for what binary fractions cannot hold
    samples = np.concatenate([np.tile(thirds, 100), np.full(700, 0.5)])
    assert resampled_interval(samples).p == pytest.approx(2 * 301 / 1001)
