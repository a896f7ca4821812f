"""How two methods stand to each other under the judge: rates, intervals, spread over seeds."""

from __future__ import annotations

import statistics as stdlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rllr.reporting.results.encounters import Encounters, Place, Tally, aligned, pooled
from rllr.reporting.results.grid import Grid
from rllr.reporting.statistics.win_rates import OVERALL, Interval, ratio_intervals

Labels = Literal["all", "same"]
LABELS: tuple[Labels, ...] = ("all", "same")


class Line(NamedTuple):
    """Which comparisons of two methods: of these models, with these labels, of one or all seeds."""

    models: tuple[str, ...]
    labels: Labels
    seed: int | None


@dataclass(frozen=True)
class Standing:
    """All comparisons of a line counted together, and each task's; intervals are of rates.

    `places` are the (model, task, seed) behind it, of `expected`.
    """

    whole: Tally
    interval: Interval
    tasks: Mapping[str, tuple[Tally, Interval]]
    places: frozenset[Place]
    expected: int


def standings(
    grid: Grid, met: Encounters, blocks: Sequence[tuple[str, ...]]
) -> dict[Line, Standing]:
    """Of each block of models: with any labels and the same one; all seeds together, and each."""
    seeds = (None, *grid.seeds)
    lines = [Line(models, labels, seed) for models in blocks for labels in LABELS for seed in seeds]
    chosen = [_chosen(met, line) for line in lines]
    tallies = [_by_task(places) for places in chosen]
    sums = {task.key: aligned([of.get(task.key, Tally()) for of in tallies]) for task in grid.tasks}
    intervals = ratio_intervals({task: both for task, both in sums.items() if both[0].size})
    return {
        line: Standing(
            whole=pooled(tallies[row].values()),
            interval=intervals[OVERALL][row] if intervals else (None, None),
            tasks={task: (tally, intervals[task][row]) for task, tally in tallies[row].items()},
            places=frozenset(chosen[row]),
            expected=len(line.models)
            * len(grid.tasks)
            * (len(grid.seeds) if line[2] is None else 1),
        )
        for row, line in enumerate(lines)
    }


def _chosen(met: Encounters, line: Line) -> dict[Place, Tally]:
    places = met.every if line.labels == "all" else met.same_label
    return {
        place: tally
        for place, tally in places.items()
        if place.model in line.models and line.seed in (None, place.seed)
    }


def _by_task(places: Mapping[Place, Tally]) -> dict[str, Tally]:
    found: dict[str, list[Tally]] = defaultdict(list)
    for place, tally in places.items():
        found[place.task].append(tally)
    return {task: pooled(tallies) for task, tallies in found.items()}


def spread(found: Mapping[Line, Standing], line: Line, seeds: Sequence[int]) -> float | None:
    """Standard deviation over seeds of a line's rate; None where seeds cover different places."""
    each = [found[line._replace(seed=seed)] for seed in seeds]
    covered = {frozenset((place.model, place.task) for place in one.places) for one in each}
    rates = [one.whole.rate for one in each if one.whole.rate is not None]
    if len(seeds) < 2 or len(covered) > 1 or len(rates) < len(seeds):
        return None
    return stdlib.stdev(rates)
