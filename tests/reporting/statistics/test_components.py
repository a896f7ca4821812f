from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from simulation import blocks, right_answers

from rllr.reporting.statistics.components import Block, crossed_interval, pearson_values

RANDOM = np.random.default_rng(11)


def test_seeds_alone_give_the_t_interval_of_their_means() -> None:
    means = RANDOM.normal(0.1, 0.05, 5)
    found = crossed_interval([Block("m", "t", tuple(range(5)), np.tile(means[:, None], 30))])
    theirs = stats.ttest_1samp(means, 0)
    assert found is not None
    expected = theirs.confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.p, found.df) == pytest.approx((theirs.pvalue, 4))
    assert found.se == pytest.approx(stats.sem(means))


def test_examples_alone_give_the_paired_t_interval() -> None:
    mine, theirs = RANDOM.random((2, 40)) < 0.7
    values = np.tile(mine.astype(float) - theirs, (3, 1))
    found = crossed_interval([Block("m", "t", (0, 1, 2), values)])
    expected = stats.ttest_rel(mine.astype(float), theirs.astype(float)).confidence_interval()
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_variance_components_are_those_of_a_two_way_analysis_of_variance() -> None:
    """One model and task: A + B - C from the mean squares of seeds, examples and their residual."""
    x = RANDOM.normal(0, 1, (4, 1)) + RANDOM.normal(0, 1, (1, 25)) + RANDOM.normal(0, 1, (4, 25))
    seeds, n = x.shape
    ms_seeds = n * x.mean(1).var(ddof=1)
    ms_examples = seeds * x.mean(0).var(ddof=1)
    residual = x - x.mean(1, keepdims=True) - x.mean(0) + x.mean()
    ms_residual = (residual**2).sum() / ((seeds - 1) * (n - 1))
    found = crossed_interval([Block("m", "t", tuple(range(seeds)), x)])
    assert found is not None
    assert found.se**2 == pytest.approx((ms_seeds + ms_examples - ms_residual) / (seeds * n))


def test_models_share_examples_and_tasks_share_seeds() -> None:
    x = RANDOM.normal(0, 1, (2, 3, 20))
    x[1] = x[0]
    shared = crossed_interval([Block("a", "t", (0, 1, 2), x[0]), Block("b", "t", (0, 1, 2), x[1])])
    one = crossed_interval([Block("a", "t", (0, 1, 2), x[0])])
    apart = crossed_interval([Block("a", "t", (0, 1, 2), x[0]), Block("b", "u", (0, 1, 2), x[1])])
    assert shared and one and apart
    # Two models that answer alike are no more examples than one; two tasks are.
    assert apart.se < shared.se <= one.se
    # One training run of two tasks adds its luck to both; two runs do not.
    same_run = crossed_interval([Block("a", t, (0, 1, 2), x[0]) for t in ("t", "u")])
    assert same_run
    assert same_run.se > apart.se


def test_missing_seeds_are_approximated_and_too_few_give_nothing() -> None:
    full, _ = right_answers(RANDOM, (1, 4, 2, 80), 0.3)
    whole = blocks(full)
    cut = [whole[0], Block("model0", "task1", (0, 1, 3), whole[1].values[[0, 1, 3]])]
    complete, partial = crossed_interval(whole), crossed_interval(cut)
    assert complete and partial
    assert 0.6 < partial.se / complete.se < 1.8
    assert crossed_interval([whole[0], Block("model0", "task1", (0,), full[0, :1, 1])]) is None
    assert crossed_interval([Block("m", "t", (0, 1), full[0, :2, 0, :1])]) is None
    assert crossed_interval([]) is None


def test_a_number_without_any_variance_is_itself() -> None:
    nothing = crossed_interval([Block("m", "t", (0, 1), np.zeros((2, 5)))])
    always = crossed_interval([Block("m", "t", (0, 1), np.ones((2, 5)))])
    assert nothing and always
    assert (nothing.low, nothing.high, nothing.p) == (0.0, 0.0, 1.0)
    assert (always.low, always.high, always.p) == (1.0, 1.0, 0.0)


def test_pearson_values_average_to_r_and_give_its_error() -> None:
    gold = RANDOM.uniform(0, 5, 300)
    scores = gold + RANDOM.normal(0, 1.5, 300)
    constant = np.full(300, 0.1)
    values = pearson_values(np.stack([scores, constant]), gold)
    assert values[0].mean() == pytest.approx(stats.pearsonr(scores, gold)[0], abs=1e-12)
    assert not values[1].any()
    left_out = [np.delete(np.arange(300), i) for i in range(300)]
    again = [stats.pearsonr(scores[rest], gold[rest])[0] for rest in left_out]
    jackknife = np.sqrt(299**2 / 300 * np.var(again, ddof=1))
    assert stats.sem(values[0]) == pytest.approx(jackknife, rel=0.03)
    assert not pearson_values(scores[None], constant).any()


def test_perfect_correlations_differ_by_nothing() -> None:
    gold = np.random.default_rng(8).uniform(0, 5, 50)
    mine = pearson_values(np.stack([gold, 0.3 * gold + 1, 0.7 * gold]), gold)
    theirs = pearson_values(np.stack([0.9 * gold, gold, 0.11 * gold + 0.3]), gold)
    found = crossed_interval([Block("m", "stsb", (0, 1, 2), mine - theirs)])
    assert found is not None and (found.se, found.p, found.df) == (0.0, 1.0, None)
