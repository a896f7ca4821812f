"""Intervals of win rates: a bootstrap over test examples, as everywhere.

A win rate is a ratio of sums over comparisons: points (1 a win, 1/2 a tie, 0 a loss) over
comparisons with a verdict. Several comparisons are of one example (those of several models and
seeds), so examples are resampled, each with all of its comparisons, and each task's by themselves
(Field & Welsh 2007, "Bootstrapping clustered data"; Efron & Tibshirani 1993, "An Introduction to
the Bootstrap", chapter 13 for the percentile interval).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rllr.reporting.statistics.bootstrap import Floats, accuracy_resamples, percentile_interval

Interval = tuple[float | None, float | None]
OVERALL = "overall"


def ratio_intervals(tasks: Mapping[str, tuple[Floats, Floats]]) -> dict[str, list[Interval]]:
    """95 % intervals of each row's ratio of sums, by task and, as `OVERALL`, over all tasks.

    Of each task: numerators and denominators, both of shape (rows, examples). A row has no interval
    where a resample's denominators are 0: there is too little behind it.
    """
    found: dict[str, list[Interval]] = {}
    total: Floats | None = None
    for task, sums in tasks.items():
        resampled = _resampled_sums(task, *sums)
        found[task] = _intervals(resampled)
        total = resampled if total is None else total + resampled
    return found if total is None else {**found, OVERALL: _intervals(total)}


def _resampled_sums(task: str, numerators: Floats, denominators: Floats) -> Floats:
    """Shape (2, rows, resamples); both sums from the same draws."""
    rows, examples = numerators.shape
    sums = accuracy_resamples(np.concatenate([numerators, denominators]), task) * examples
    return sums.reshape(2, rows, -1)


def _intervals(sums: Floats) -> list[Interval]:
    # Sums of products are not exact: what is less than a tenth of a comparison is none.
    return [
        percentile_interval(above / below) if below.min() > 0.1 else (None, None)
        for above, below in zip(*sums, strict=True)
    ]
