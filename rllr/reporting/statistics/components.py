"""The interval of a mean over seeds: test examples and seeds are sampled, models and tasks fixed.

A shown number is a mean over blocks, one per model and task, of a signed value x[s, i] of seed s on
test example i (for accuracy 1 where the label is right; for a correlation see `pearson_values`; for
a difference of two methods their difference). Two things were sampled, and neither lies within
the other: every seed meets every example. Blocks share both: models and seeds are tested on the
same examples of a task, and one training run serves all tasks of a mixture. So the variance is
that of two crossed random factors, each counted jointly over what shares it, less what both count:

    V = A + B - C
    A   seeds: sum over clusters (a model's training runs) of S/(S-1) sum_s e_s^2, where e_s is what
        seed s adds to the number, as a deviation: a cluster-robust variance (Liang & Zeger 1986,
        "Longitudinal Data Analysis Using Generalized Linear Models", Biometrika 73)
    B   examples: sum over tasks of Var_i(z_i) / n, where z_i is what example i adds to n times the
        number, over all models and seeds
    C   noise of single answers, the seed-by-example residual, which A and B both hold: it is taken
        off once (two-way clustering: Cameron, Gelbach & Miller 2011, "Robust Inference With
        Multiway Clustering", Journal of Business & Economic Statistics 29, equation 2.8; as
        variance components: Searle, Casella & McCulloch 1992, "Variance Components", chapter 4)

V is never taken below A or B. The interval is value +- t(df) sqrt(V), with Satterthwaite's degrees
of freedom (1946, "An Approximate Distribution of Estimates of Variance Components", Biometrics
Bulletin 2): V^2 / (sum A_c^2 / (S_c - 1) + sum B_t^2 / (n_t - 1)).

Deviations: the variances add up as for a balanced design; where seeds are missing in some blocks
they are approximate. Few seeds make long intervals: with three, t has as little as two degrees of
freedom.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from rllr.reporting.statistics.bootstrap import CONFIDENCE, EXACT_DECIMALS, Floats
from rllr.reporting.statistics.interval import Interval


@dataclass(frozen=True)
class Block:
    """Signed values of one model and task: `values` is (seeds, examples), `seeds` names its rows.

    Blocks of one `cluster` share their training runs, blocks of one `task` their examples.
    """

    cluster: str
    task: str
    seeds: tuple[int, ...]
    values: Floats


@dataclass(frozen=True)
class Part:
    """One summand of a variance, with its degrees of freedom."""

    variance: float
    df: int


def crossed_interval(blocks: Sequence[Block]) -> Interval | None:
    """The interval of the mean over blocks of each one's mean over seeds and examples.

    None where a block has fewer than two seeds or examples: what these add is then unknown.
    """
    if not blocks or min(min(block.values.shape) for block in blocks) < 2:
        return None
    value = float(np.mean([block.values.mean() for block in blocks]))
    seeds, examples = _seeds(blocks), _examples(blocks)
    a, b = (sum(part.variance for part in parts) for parts in (seeds, examples))
    variance = max(a + b - _residual(blocks), a, b)
    if round(math.sqrt(variance), EXACT_DECIMALS) == 0:
        nothing = round(value, EXACT_DECIMALS) == 0
        return Interval(value, value, 0.0, p=1.0 if nothing else 0.0, df=None)
    df = variance**2 / sum(part.variance**2 / part.df for part in (*seeds, *examples))
    se = math.sqrt(variance)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, df)) * se
    p = 2 * float(stats.t.sf(abs(value) / se, df))
    return Interval(value - reach, value + reach, se, p, df)


def _seeds(blocks: Sequence[Block]) -> list[Part]:
    """A: per cluster, the variance of what its seeds add."""
    parts = []
    for mine in _by(blocks, "cluster"):
        added: dict[int, float] = {}
        for block in mine:
            means = block.values.mean(axis=1)
            for seed, deviation in zip(block.seeds, means - means.mean(), strict=True):
                share = deviation / (len(blocks) * len(block.seeds))
                added[seed] = added.get(seed, 0.0) + float(share)
        count = len(added)
        total = sum(deviation**2 for deviation in added.values())
        parts.append(Part(count / (count - 1) * total, count - 1))
    return parts


def _examples(blocks: Sequence[Block]) -> list[Part]:
    """B: per task, the variance of what its examples add, over all models and seeds."""
    parts = []
    for mine in _by(blocks, "task"):
        added = np.sum([block.values.mean(axis=0) for block in mine], axis=0) / len(blocks)
        n = len(added)
        parts.append(Part(float(added.var(ddof=1)) / n, n - 1))
    return parts


def _residual(blocks: Sequence[Block]) -> float:
    """C: the part of single answers that neither the seed nor the example explains."""
    total = 0.0
    for block in blocks:
        x = block.values
        residual = x - x.mean(1, keepdims=True) - x.mean(0, keepdims=True) + x.mean()
        seeds, n = x.shape
        total += float((residual**2).sum()) / ((seeds - 1) * (n - 1) * seeds * n)
    return total / len(blocks) ** 2


def _by(blocks: Iterable[Block], name: str) -> list[list[Block]]:
    groups: dict[str, list[Block]] = {}
    for block in blocks:
        groups.setdefault(getattr(block, name), []).append(block)
    return list(groups.values())


def pearson_values(scores: Floats, gold: Floats) -> Floats:
    """Of each example, r plus its influence on r; `scores` is (cells, examples), so the result.

    With x and y standardised, the influence is xy - r (x^2 + y^2) / 2 (Devlin, Gnanadesikan &
    Kettenring 1975, "Robust Estimation and Outlier Detection with Correlation Coefficients",
    Biometrika 62). Its mean over examples is 0, so the values' mean is r, and their variance over n
    is r's, to first order. 0 throughout where either side is constant.
    """
    x, y = (one - one.mean(axis=-1, keepdims=True) for one in (scores, gold))
    flat = (np.ptp(scores, axis=-1) == 0) | (np.ptp(gold) == 0)
    x = x / np.where(flat, 1.0, np.sqrt((x * x).mean(axis=-1)))[:, None]
    y = y / (1.0 if np.ptp(gold) == 0 else np.sqrt((y * y).mean()))
    r = (x * y).mean(axis=-1, keepdims=True)
    values: Floats = np.where(flat[:, None], 0.0, r + x * y - r * (x * x + y * y) / 2)
    return values
