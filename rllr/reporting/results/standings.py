"""How two methods stand to each other under the judge: rates, intervals, spread over seeds."""

from __future__ import annotations

import statistics as stdlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rllr.reporting.results.encounters import (
    LABELS,
    Encounters,
    Labels,
    Place,
    Scores,
    win_rate,
)
from rllr.reporting.results.grid import Grid
from rllr.reporting.statistics.bootstrap import Floats
from rllr.reporting.statistics.win_rates import (
    OVERALL,
    Ends,
    Sums,
    crossed_ratio,
    resampled_ratios,
)


class Line(NamedTuple):
    """Which comparisons of two methods: of these models, with these labels, of one or all seeds."""

    models: tuple[str, ...]
    labels: Labels
    seed: int | None

    def holds(self, place: Place) -> bool:
        """Whether a place's comparisons are among them."""
        return place.model in self.models and self.seed in (None, place.seed)


@dataclass(frozen=True)
class Standing:
    """All comparisons of a line counted together, and each task's; the ends of rates' intervals.

    `places` are the (model, task, seed) behind it, of `expected`.
    """

    counts: Counter[str]
    ends: Ends
    tasks: Mapping[str, tuple[Counter[str], Ends]]
    places: frozenset[Place]
    expected: int

    @property
    def rate(self) -> float | None:
        """The win rate."""
        return win_rate(self.counts)


def standings(
    grid: Grid, met: Encounters, blocks: Sequence[tuple[str, ...]]
) -> dict[Line, Standing]:
    """Of each block of models: with any labels and the same one; all seeds together, and each.

    With several seeds, the interval of all is for seeds and test sampling, else for the latter.
    """
    seeds = (None, *grid.seeds) if len(grid.seeds) > 1 else (None,)
    lines = [Line(models, labels, seed) for models in blocks for labels in LABELS for seed in seeds]
    resampled = resampled_ratios({task: _sums(met, task, lines) for task in met.scores["all"]})
    found = {}
    for row, line in enumerate(lines):
        ends = {task: each[row] for task, each in resampled.items()}
        crossed = line.seed is None and len(seeds) > 1
        found[line] = _standing(grid, met, line, _crossed(grid, met, line) if crossed else ends)
    return found


def _standing(grid: Grid, met: Encounters, line: Line, ends: Mapping[str, Ends]) -> Standing:
    counts = {place: one for place, one in met.counts[line.labels].items() if line.holds(place)}
    tasks: dict[str, Counter[str]] = {}
    for place, one in counts.items():
        tasks.setdefault(place.task, Counter()).update(one)
    return Standing(
        counts=sum(tasks.values(), Counter()),
        ends=ends.get(OVERALL, (None, None)),
        tasks={task: (one, ends[task]) for task, one in tasks.items()},
        places=frozenset(counts),
        expected=len(line.models) * len(grid.tasks) * (len(grid.seeds) if line.seed is None else 1),
    )


def _sums(met: Encounters, task: str, lines: Sequence[Line]) -> tuple[Floats, Floats]:
    """Points and verdicts of each line, both (lines, examples)."""
    found = []
    for line in lines:
        scores = met.scores[line.labels][task]
        rows = _rows(scores, line)
        found.append((scores.points[rows].sum(0), scores.verdicts[rows].sum(0)))
    both = np.array(found)
    return both[:, 0], both[:, 1]


def _rows(scores: Scores, line: Line) -> list[int]:
    return [row for row, place in enumerate(scores.places) if line.holds(place)]


def _crossed(grid: Grid, met: Encounters, line: Line) -> dict[str, Ends]:
    """Intervals for seeds and test sampling, by task and overall."""
    found, everything = {}, []
    for task, scores in met.scores[line.labels].items():
        parts = list(_parts(grid, task, scores, line))
        found[task] = crossed_ratio(parts)
        everything += parts
    return {**found, OVERALL: crossed_ratio(everything)}


def _parts(grid: Grid, task: str, scores: Scores, line: Line) -> Iterator[Sums]:
    """A task's sums, one of each model that has a verdict."""
    for model in line.models:
        rows = [row for row in _rows(scores, line) if scores.places[row].model == model]
        if scores.verdicts[rows].any():
            cluster = model if grid.scope == "mixture" else f"{model}/{task}"
            seeds = tuple(scores.places[row].seed for row in rows)
            yield Sums(cluster, task, seeds, scores.points[rows], scores.verdicts[rows])


def spread(found: Mapping[Line, Standing], line: Line, seeds: Sequence[int]) -> float | None:
    """Standard deviation over seeds of a line's rate; None for one, or where they cover others."""
    if len(seeds) < 2:
        return None
    each = [found[line._replace(seed=seed)] for seed in seeds]
    covered = {frozenset((place.model, place.task) for place in one.places) for one in each}
    rates = [one.rate for one in each if one.rate is not None]
    return stdlib.stdev(rates) if len(covered) == 1 and len(rates) == len(each) else None
