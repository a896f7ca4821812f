"""Tests of two methods on the same test examples, and the correction for many tests.

One seed's answers are compared with one seed's: never pooled over seeds, whose answers to the same
example are not independent.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from scipy import stats

from rllr.reporting.statistics.bootstrap import RESAMPLES, Floats

BLOCK = 500
Key = TypeVar("Key")


def mcnemar_exact(first: Floats, second: Floats) -> float:
    """Two-sided p-value that two systems are right equally often; both (examples,) of 0 and 1.

    Of the examples that exactly one of them has right, b and c, each is as likely either's: a
    binomial test of b in b + c at 1/2 (McNemar 1947, "Note on the Sampling Error of the Difference
    Between Correlated Proportions or Percentages", Psychometrika 12, in its exact form). 1 where
    they never differ.
    """
    only_first, only_second = int((first > second).sum()), int((second > first).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def permuted_pearson(
    first: Sequence[Floats], second: Sequence[Floats], gold: Floats, task: str
) -> list[float]:
    """Two-sided p-values that pairs of systems correlate equally with `gold`, one per pair.

    Each example's two scores are swapped with probability 1/2, both standardised before, so that a
    system's scale plays no part; p is the share of such swaps with at least the observed difference
    of correlations, itself counted (Noreen 1989, "Computer-Intensive Methods for Testing
    Hypotheses", chapter 2; Dror et al. 2018, "The Hitchhiker's Guide to Testing Statistical
    Significance in NLP", section 3.2). The swaps are the same for every pair, drawn from the task's
    name.
    """
    pairs = [(_standard(a), _standard(b)) for a, b in zip(first, second, strict=True)]
    y = _standard(gold)
    observed = [abs(float((a - b) @ y)) / len(y) for a, b in pairs]
    reached = np.ones(len(pairs))
    for kept in _swaps(len(y), task):
        for index, (a, b) in enumerate(pairs):
            one = _correlations(kept, a, b, y)
            other = _correlations(1.0 - kept, a, b, y)
            reached[index] += (np.abs(one - other) >= observed[index] - 1e-12).sum()
    return [float(count) / (RESAMPLES + 1) for count in reached]


def _standard(values: Floats) -> Floats:
    spread = values.std()
    result: Floats = (values - values.mean()) / (spread if np.ptp(values) else 1.0)
    return result


def _swaps(n: int, task: str) -> Iterator[Floats]:
    """Blocks of (permutations, n): 1 where an example's scores stay as they are."""
    random = np.random.default_rng(zlib.crc32(f"swap/{task}".encode()))
    for start in range(0, RESAMPLES, BLOCK):
        size = (min(BLOCK, RESAMPLES - start), n)
        yield random.integers(0, 2, size).astype(np.float64)


def _correlations(kept: Floats, a: Floats, b: Floats, y: Floats) -> Floats:
    """Of each permutation, the correlation of a's kept scores and b's others with y, (rows,)."""
    n = len(y)
    columns = np.stack([a - b, a * a - b * b, (a - b) * y], axis=1)
    mixed = (kept @ columns + np.array([b.sum(), b @ b, b @ y])) / n
    variance = mixed[:, 1] - mixed[:, 0] ** 2
    flat = variance <= 1e-12
    # y has mean 0 and variance 1.
    result: Floats = np.where(flat, 0.0, mixed[:, 2] / np.sqrt(np.where(flat, 1.0, variance)))
    return result


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's step-down correction within one family (1979, "A Simple Sequentially Rejective
    Multiple Test Procedure", Scandinavian Journal of Statistics 6): the i-th smallest p times
    (m - i + 1), never below the one before it, at most 1.
    """
    corrected: dict[Key, float] = {}
    worst = 0.0
    for rank, key in enumerate(sorted(p_values, key=lambda one: p_values[one])):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[key]))
        corrected[key] = worst
    return corrected
