from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rllr.reporting.statistics.hypothesis import holm, mcnemar_exact, permuted_pearson

RANDOM = np.random.default_rng(13)


@pytest.mark.parametrize(("only_first", "only_second"), [(8, 2), (1, 9), (5, 5), (0, 6)])
def test_mcnemar_is_the_binomial_test_of_the_discordant(only_first: int, only_second: int) -> None:
    first = np.array([1.0] * only_first + [0.0] * only_second + [1.0, 0.0] * 10)
    second = np.array([0.0] * only_first + [1.0] * only_second + [1.0, 0.0] * 10)
    n = only_first + only_second
    tail = stats.binom(n, 0.5).cdf(min(only_first, only_second))
    assert mcnemar_exact(first, second) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar_exact(second, first) == mcnemar_exact(first, second)


def test_mcnemar_of_equal_answers_is_one() -> None:
    assert mcnemar_exact(np.ones(4), np.ones(4)) == 1.0


def test_permutation_test_agrees_with_scipy() -> None:
    gold = RANDOM.normal(0, 1, 60)
    a, b = gold + RANDOM.normal(0, 0.8, 60), gold + RANDOM.normal(0, 1.2, 60)
    a, b = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()

    def difference(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return stats.pearsonr(x, gold, axis=axis)[0] - stats.pearsonr(y, gold, axis=axis)[0]

    theirs = stats.permutation_test(
        (a, b), difference, permutation_type="samples", n_resamples=4000, vectorized=True, rng=1
    )
    (ours,) = permuted_pearson([a], [b], gold, "stsb")
    assert 0.01 < ours < 0.9
    assert ours == pytest.approx(theirs.pvalue, abs=0.03)


def test_permutation_test_ignores_scale_and_sees_a_clear_difference() -> None:
    gold = RANDOM.normal(0, 1, 80)
    close, far = gold + RANDOM.normal(0, 0.3, 80), RANDOM.normal(0, 1, 80)
    found = permuted_pearson([close, close, far], [far, 2 * close + 1, far], gold, "stsb")
    assert found[0] == pytest.approx(1 / 2001)
    assert found[1] == found[2] == 1.0
    constant = permuted_pearson([close], [np.full(80, 2.5)], gold, "stsb")
    assert constant[0] < 0.01


def test_holm_by_hand() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, then 0.04 x 1, which may not be below the one before.
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
