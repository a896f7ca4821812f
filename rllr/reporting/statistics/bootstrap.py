"""Paired bootstrap over test examples, and the Wilson interval for pair accuracies.

Test examples of a task are shared by all models, methods and seeds, so one resample of a task's
examples is applied to all its cells at once (paired bootstrap: Koehn 2004, "Statistical
Significance Tests for Machine Translation Evaluation", section 4; Efron & Tibshirani 1993, "An
Introduction to the Bootstrap", chapter 13 for the percentile interval). Tasks are resampled
independently of one another. Models, tasks and seeds are not resampled: intervals cover test
sampling only, and are for numbers of one seed; `components` has those of several.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rllr.reporting.statistics.interval import Interval

Floats = NDArray[np.float64]

RESAMPLES = 2000
CONFIDENCE = 0.95
Z = 1.959963984540054
BLOCK_NUMBERS = 4_000_000
TINY_VARIANCE = 1e-12
# Sums of fractions are not exact: what is alike is so to this many decimals.
EXACT_DECIMALS = 12


def accuracy_resamples(correct: Floats, task: str, resamples: int = RESAMPLES) -> Floats:
    """Accuracy of each cell in each bootstrap resample of a task's examples.

    `correct` is (cells, examples), 0 or 1; returns (cells, resamples). With w the number of times
    an example is drawn, accuracy = sum(w * correct) / examples.
    """
    blocks = [correct @ weights.T for weights in _weight_blocks(correct.shape[1], task, resamples)]
    return np.concatenate(blocks, axis=1) / correct.shape[1]


def pearson_resamples(
    scores: Floats, gold: Floats, task: str, resamples: int = RESAMPLES
) -> Floats:
    """Pearson correlation of each cell with the gold scores in each bootstrap resample.

    `scores` is (cells, examples), `gold` (examples,); returns (cells, resamples). From weighted
    moments: (E[xy] - E[x]E[y]) / sqrt(Var[x] Var[y]); a constant side counts as correlation 0.
    """
    n = gold.shape[0]
    x = scores - scores.mean(axis=1, keepdims=True)
    y = gold - gold.mean()
    blocks = [_pearson(x, y, weights / n) for weights in _weight_blocks(n, task, resamples)]
    return np.concatenate(blocks, axis=1)


def pearson(scores: Floats, gold: Floats) -> float:
    """Pearson correlation of two vectors of equal length; 0 where either is constant."""
    weights = np.full((1, gold.shape[0]), 1 / gold.shape[0])
    return float(_pearson((scores - scores.mean())[None], gold - gold.mean(), weights)[0, 0])


def _pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    mean_x, mean_y = x @ weights.T, weights @ y
    covariance = (x * y) @ weights.T - mean_x * mean_y
    variance_x = (x * x) @ weights.T - mean_x**2
    variance_y = weights @ (y * y) - mean_y**2
    constant = (variance_x <= TINY_VARIANCE) | (variance_y <= TINY_VARIANCE)
    product = np.where(constant, 1.0, variance_x * variance_y)
    return np.where(constant, 0.0, covariance / np.sqrt(product))


def _weight_blocks(n: int, task: str, resamples: int) -> Iterator[Floats]:
    """How often each example is drawn, as blocks of (resamples, n); the task's name is the seed.

    So a task's resamples depend neither on other tasks nor on which cells are there.
    """
    random = np.random.default_rng(zlib.crc32(task.encode()))
    block = max(1, BLOCK_NUMBERS // n)
    for start in range(0, resamples, block):
        yield _draw(random, n, min(block, resamples - start))


def _draw(random: np.random.Generator, n: int, count: int) -> Floats:
    drawn = random.integers(0, n, size=(count, n)) + n * np.arange(count)[:, None]
    return np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)


def percentile_interval(samples: Floats) -> tuple[float, float]:
    """The central 95 % of bootstrap values, shape (resamples,): percentiles 2.5 and 97.5."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def resampled_interval(samples: Floats) -> Interval:
    """What bootstrap values of a number, shape (resamples,), say of it.

    p inverts the percentile interval: twice the smaller share of values on either side of 0, each
    side with one more than was found (Davison & Hinkley 1997, "Bootstrap Methods and Their
    Application", section 4.4). It is never below 2 / (resamples + 1).
    """
    samples = samples.round(EXACT_DECIMALS)  # a tie counts on both sides
    low, high = percentile_interval(samples)
    smaller = min(int((samples <= 0).sum()), int((samples >= 0).sum()))
    p = min(1.0, 2 * (smaller + 1) / (len(samples) + 1))
    return Interval(low, high, float(samples.std(ddof=1)), p)


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927, "Probable Inference"); `n` above 0.

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), for independent trials.
    """
    p, z2 = correct / n, Z * Z / n
    centre = (p + z2 / 2) / (1 + z2)
    half = math.sqrt(p * (1 - p) * z2 + z2 * z2 / 4) / (1 + z2)
    return max(0.0, centre - half), min(1.0, centre + half)
