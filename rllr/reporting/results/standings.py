"""How two methods stand to each other under the judge: rates, intervals, spread over seeds."""

from __future__ import annotations

import statistics as stdlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from rllr.reporting.results.encounters import Encounters, Place, Tally, aligned, pooled
from rllr.reporting.results.grid import Grid
from rllr.reporting.statistics.win_rates import (
    OVERALL,
    Ends,
    Sums,
    crossed_ratio,
    resampled_ratios,
)

Labels = Literal["all", "same"]
LABELS: tuple[Labels, ...] = ("all", "same")
Places = Mapping[Place, Tally]


class Line(NamedTuple):
    """Which comparisons of two methods: of these models, with these labels, of one or all seeds."""

    models: tuple[str, ...]
    labels: Labels
    seed: int | None


@dataclass(frozen=True)
class Standing:
    """All comparisons of a line counted together, and each task's; the ends of rates' intervals.

    `places` are the (model, task, seed) behind it, of `expected`.
    """

    whole: Tally
    ends: Ends
    tasks: Mapping[str, tuple[Tally, Ends]]
    places: frozenset[Place]
    expected: int


def standings(
    grid: Grid, met: Encounters, blocks: Sequence[tuple[str, ...]]
) -> dict[Line, Standing]:
    """Of each block of models: with any labels and the same one; all seeds together, and each."""
    seeds = (None, *grid.seeds)
    lines = [Line(models, labels, seed) for models in blocks for labels in LABELS for seed in seeds]
    chosen = {line: _chosen(met, line) for line in lines}
    found = _resampled(grid, chosen)
    if len(grid.seeds) == 1:
        return found
    return {
        line: _crossed(grid, chosen[line], one) if line.seed is None else one
        for line, one in found.items()
    }


def _chosen(met: Encounters, line: Line) -> Places:
    """Its places, those too where no comparison has the same label."""
    tallies = met.every if line.labels == "all" else met.same_label
    return {
        place: tallies.get(place, Tally())
        for place in met.every
        if place.model in line.models and line.seed in (None, place.seed)
    }


def _resampled(grid: Grid, chosen: Mapping[Line, Places]) -> dict[Line, Standing]:
    """With intervals for test sampling, all lines from the same draws."""
    tallies = [_by_task(places) for places in chosen.values()]
    sums = {task.key: aligned([of.get(task.key, Tally()) for of in tallies]) for task in grid.tasks}
    ends = resampled_ratios({task: both for task, both in sums.items() if both[0].size})
    none: list[Ends] = [(None, None)] * len(tallies)
    return {
        line: Standing(
            whole=pooled(tallies[row].values()),
            ends=ends.get(OVERALL, none)[row],
            tasks={task: (one, ends.get(task, none)[row]) for task, one in tallies[row].items()},
            places=frozenset(places),
            expected=_expected(grid, line),
        )
        for row, (line, places) in enumerate(chosen.items())
    }


def _expected(grid: Grid, line: Line) -> int:
    return len(line.models) * len(grid.tasks) * (len(grid.seeds) if line.seed is None else 1)


def _by_task(places: Places) -> dict[str, Tally]:
    found: dict[str, list[Tally]] = defaultdict(list)
    for place, tally in places.items():
        found[place.task].append(tally)
    return {task: pooled(tallies) for task, tallies in found.items()}


def _crossed(grid: Grid, places: Places, one: Standing) -> Standing:
    """The same with intervals for seeds and test sampling."""
    parts = [part for task in grid.tasks for part in _sums(grid, task.key, places)]
    tasks = {
        task: (tally, crossed_ratio([part for part in parts if part.task == task]))
        for task, (tally, _) in one.tasks.items()
    }
    return replace(one, ends=crossed_ratio(parts), tasks=tasks)


def _sums(grid: Grid, task: str, places: Places) -> Iterator[Sums]:
    """A task's sums, one of each model that has a verdict, over the same examples."""
    mine = [place for place in places if place.task == task]
    points, verdicts = aligned([places[place] for place in mine])
    for model in dict.fromkeys(place.model for place in mine):
        rows = [row for row, place in enumerate(mine) if place.model == model]
        if verdicts[rows].any():
            cluster = model if grid.scope == "mixture" else f"{model}/{task}"
            seeds = tuple(mine[row].seed for row in rows)
            yield Sums(cluster, task, seeds, points[rows], verdicts[rows])


def spread(found: Mapping[Line, Standing], line: Line, seeds: Iterable[int]) -> float | None:
    """Standard deviation over seeds of a line's rate; None where seeds cover different places."""
    each = [found[line._replace(seed=seed)] for seed in seeds]
    covered = {frozenset((place.model, place.task) for place in one.places) for one in each}
    rates = [one.whole.rate for one in each if one.whole.rate is not None]
    if len(each) < 2 or len(covered) > 1 or len(rates) < len(each):
        return None
    return stdlib.stdev(rates)
