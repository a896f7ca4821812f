"""Does a reward go with right labels? Correlation, AUC and pairs of one prompt, with resamples.

With x the reward of a response and y = 1 where its label is right, else 0:

- point-biserial correlation, which is Pearson's: (E[xy] - E[x]E[y]) / sqrt(Var[x] Var[y])
  (Tate 1954, "Correlation between a discrete and a continuous variable");
- AUC: the share of all pairs of a right and a wrong response in which the right one has the higher
  reward, ties half; U / (n1 n0) of Mann and Whitney (1947; Hanley & McNeil 1982). It asks for the
  order alone, not for a scale;
- the same share over pairs of responses to one prompt, which is all that a policy sees of a reward:
  what a prompt adds to all its responses cancels.

Responses to one prompt are not independent: whole prompts are drawn with replacement (cluster
bootstrap; Davison & Hinkley 1997, "Bootstrap Methods and their Application", section 3.8). A
statistic is a function of how often each prompt is drawn, `weights` of shape (draws, prompts); a
draw without a right or without a wrong response has none (NaN).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rllr.reporting.statistics.bootstrap import RESAMPLES, TINY_VARIANCE, percentile_interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Measure:
    """A fraction with the ends of its 95 % interval; all None where there is nothing to compare."""

    value: float | None
    low: float | None
    high: float | None


@lru_cache(maxsize=64)
def prompt_weights(prompts: int, task: str, resamples: int = RESAMPLES) -> Floats:
    """How often each prompt counts, (1 + resamples, prompts): once each in row 0, then as drawn.

    The task's name is the seed: reward models of one task are held against the same draws.
    """
    random = np.random.default_rng(zlib.crc32(task.encode()))
    drawn = random.multinomial(prompts, np.full(prompts, 1 / prompts), size=resamples)
    return np.vstack([np.ones((1, prompts)), drawn])


def correlations(prompts: Ints, rewards: Floats, right: Bools, weights: Floats) -> Floats:
    """Point-biserial correlation in each draw, (draws,); equal rewards throughout count as 0.

    `prompts`, `rewards` and `right` are (responses,).
    """
    x, y = rewards - rewards.mean(), right.astype(np.float64)
    x /= x.std() if np.ptp(rewards) > 0 else 1.0
    parts = (np.ones_like(x), x, y, x * y, x * x)
    sums = np.stack([np.bincount(prompts, part, weights.shape[1]) for part in parts])
    n, sum_x, sum_y, sum_xy, sum_xx = sums @ weights.T
    mean_x, mean_y = sum_x / n, sum_y / n
    variance = sum_xx / n - mean_x**2
    flat = variance <= TINY_VARIANCE
    scale = np.sqrt(np.where(flat, 1.0, variance) * mean_y * (1 - mean_y))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(flat, 0.0, sum_xy / n - mean_x * mean_y) / scale
    return np.where((sum_y == 0) | (sum_y == n), np.nan, found)


def contests(prompts: Ints, rewards: Floats, right: Bools) -> tuple[Floats, Floats]:
    """Pairs of a right response to prompt p and a wrong one to prompt q, (prompts, prompts) each.

    In how many the right one has the higher reward (ties half), and how many there are; arguments
    as in `correlations`. Pairs of one prompt are on the diagonal.
    """
    size = int(prompts.max()) + 1
    won = 0.5 + 0.5 * np.sign(rewards[right][:, None] - rewards[~right][None, :])
    places = prompts[right][:, None] * size + prompts[~right][None, :]
    wins, pairs = (
        np.bincount(places.ravel(), of.ravel(), size * size).reshape(size, size).astype(np.float64)
        for of in (won, np.ones_like(won))
    )
    return wins, pairs


def aucs(wins: Floats, pairs: Floats, weights: Floats) -> Floats:
    """AUC in each draw, (draws,), from `contests`: a pair counts as often as both its prompts."""
    won, all_of_them = (((weights @ of) * weights).sum(axis=1) for of in (wins, pairs))
    return shares(won, all_of_them)


def within(wins: Floats, pairs: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Of `contests` within prompts, (draws,) each: how many the right response wins, how many."""
    return weights @ wins.diagonal(), weights @ pairs.diagonal()


def shares(part: Floats, whole: Floats) -> Floats:
    """Part of whole in each draw, (draws,); NaN where there is no whole."""
    found: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return found


def measure(draws: Floats) -> Measure:
    """Value and percentile interval of (1 + resamples,), the value first; NaN draws are out."""
    if not np.isfinite(draws[0]):
        return Measure(None, None, None)
    return Measure(float(draws[0]), *percentile_interval(draws[1:][np.isfinite(draws[1:])]))
