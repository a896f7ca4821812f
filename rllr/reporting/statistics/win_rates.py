"""Intervals of win rates, which are ratios: points over comparisons with a verdict.

A point is a win, half a point a tie. Several comparisons are of one example (those of several
models and seeds), so examples are what is sampled, each with all of its comparisons, each task's by
themselves.

One seed: a percentile bootstrap over examples, as elsewhere (`bootstrap`; with all that belongs to
an example: Field & Welsh 2007, "Bootstrapping clustered data", Journal of the Royal Statistical
Society B 69). Several seeds: `components`' interval for crossed seeds and examples, of the ratio
R = sum(x) / sum(y) made linear: each x - R y, over the mean of y (Cochran 1977, "Sampling
Techniques", section 6.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rllr.reporting.statistics.bootstrap import Floats, accuracy_resamples, percentile_interval
from rllr.reporting.statistics.components import Block, crossed_interval

Ends = tuple[float | None, float | None]
OVERALL = "overall"
# Sums of products are not exact: less than a tenth of a comparison is none.
NONE = 0.1


@dataclass(frozen=True)
class Sums:
    """Numerators and denominators of one model and task, both (seeds, examples).

    `cluster` names the training runs that they share with others.
    """

    cluster: str
    task: str
    seeds: tuple[int, ...]
    numerators: Floats
    denominators: Floats


def resampled_ratios(tasks: Mapping[str, tuple[Floats, Floats]]) -> dict[str, list[Ends]]:
    """95 % intervals of each row's ratio of sums, by task and, as `OVERALL`, over all tasks.

    Of each task: numerators and denominators, both of shape (rows, examples). A row has no interval
    where a resample's denominators are 0: there is too little behind it.
    """
    found: dict[str, list[Ends]] = {}
    total: Floats | None = None
    for task, sums in tasks.items():
        resampled = _resampled_sums(task, *sums)
        found[task] = _ends(resampled)
        total = resampled if total is None else total + resampled
    return found if total is None else {**found, OVERALL: _ends(total)}


def _resampled_sums(task: str, numerators: Floats, denominators: Floats) -> Floats:
    """Shape (2, rows, resamples); both sums from the same draws."""
    rows, examples = numerators.shape
    sums = accuracy_resamples(np.concatenate([numerators, denominators]), task) * examples
    return sums.reshape(2, rows, -1)


def _ends(sums: Floats) -> list[Ends]:
    return [
        percentile_interval(above / below) if below.min() > NONE else (None, None)
        for above, below in zip(*sums, strict=True)
    ]


def crossed_ratio(parts: Sequence[Sums]) -> Ends:
    """The 95 % interval of the ratio of all sums, over seeds and examples.

    (None, None) where there is nothing, or where a part has fewer than two seeds or examples.
    """
    total = sum(float(part.denominators.sum()) for part in parts)
    if not total:
        return None, None
    ratio = sum(float(part.numerators.sum()) for part in parts) / total
    blocks = [_linear(part, ratio, total / len(parts)) for part in parts]
    interval = crossed_interval(blocks)
    return (interval.low, interval.high) if interval else (None, None)


def _linear(part: Sums, ratio: float, mean_total: float) -> Block:
    """Values whose mean over blocks is the ratio: each cell's deviation, by its block's share."""
    deviations = part.numerators - ratio * part.denominators
    values = ratio + deviations * deviations.size / mean_total
    return Block(part.cluster, part.task, part.seeds, values)
