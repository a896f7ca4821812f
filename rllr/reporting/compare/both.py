"""Two runs as one: each method once as run A has it and once as run B does, so that what can be
asked of a run, differences with their intervals, can be asked of the two.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from rllr.reporting.results.analysis import Analysis, Group
from rllr.reporting.results.grid import CellKey, Entry, Grid, TaskEntry

SIDES = ("A", "B")


class Keyed(Protocol):
    """An entry of a grid."""

    @property
    def key(self) -> str:
        """Its name in paths."""


K = TypeVar("K", bound=Keyed)
V = TypeVar("V")


@dataclass(frozen=True)
class Both:
    """Run A and run B, and what both have as one analysis.

    `methods` are those that both have. Names of tasks: `other_examples` of those whose test
    examples differ and `unread` of those that one run has no usable predictions of, which have no
    intervals; `other_metric` of those that are measured differently and left out.
    """

    runs: tuple[Analysis, Analysis]
    analysis: Analysis
    methods: tuple[Entry, ...]
    other_examples: tuple[str, ...]
    unread: tuple[str, ...]
    other_metric: tuple[str, ...]

    def delta(self, model: str, task: str, method: str) -> Group:
        """B minus A, for the seeds that both have."""
        return self.analysis.delta_group(model, task, on("B", method), on("A", method))

    def score(self, side: str, model: str, task: str, method: str) -> Group:
        """One side's cells, for the seeds that both have."""
        shared = self.delta(model, task, method)
        mine = self.analysis.score_group(model, task, on(side, method))
        return {seed: cells for seed, cells in mine.items() if seed in shared}


def on(side: str, method: str) -> str:
    """A method's key as one side has it."""
    return f"{method}@{side}"


def put_together(first: Analysis, second: Analysis) -> Both:
    """The analysis of what two runs share."""
    grids = (first.run.grid, second.run.grid)
    unlike = [one for one in _shared(*(g.tasks for g in grids)) if not _same_metric(one, grids[1])]
    tasks = tuple(one for one in _shared(*(g.tasks for g in grids)) if one not in unlike)
    examples = {one: [_examples(run, one) for run in (first, second)] for one in tasks}
    unread = [one for one, found in examples.items() if None in found]
    differ = [one for one, (a, b) in examples.items() if one not in unread and a != b]
    methods = _shared(*((*g.methods, *g.model_context) for g in grids))
    return Both(
        runs=(first, second),
        analysis=_joined(first, second, tasks, {one.key for one in differ}),
        methods=methods,
        other_examples=tuple(one.name for one in differ),
        unread=tuple(one.name for one in unread),
        other_metric=tuple(one.name for one in unlike),
    )


def _shared(mine: tuple[K, ...], theirs: tuple[K, ...]) -> tuple[K, ...]:
    """Entries of A whose key B has too, in A's order."""
    keys = {entry.key for entry in theirs}
    return tuple(entry for entry in mine if entry.key in keys)


def _same_metric(task: TaskEntry, grid: Grid) -> bool:
    other = next(entry for entry in grid.tasks if entry.key == task.key)
    return (task.metric, task.score_range) == (other.metric, other.score_range)


def _examples(analysis: Analysis, task: TaskEntry) -> object:
    """Ids and gold labels of a task's test examples; None where no cell has usable predictions."""
    keys = (key for key in analysis.values if key.task == task.key)
    return next((analysis.predictions[key].examples for key in keys), None)


def _joined(
    first: Analysis, second: Analysis, tasks: tuple[TaskEntry, ...], differ: set[str]
) -> Analysis:
    mine, theirs = first.run.grid, second.run.grid
    grid = replace(
        mine,
        models=_shared(mine.models, theirs.models),
        tasks=tasks,
        methods=_sided(_shared(mine.methods, theirs.methods)),
        context_methods=_sided(_shared(mine.model_context, theirs.model_context)),
        context_tasks=(),
        seeds=tuple(seed for seed in mine.seeds if seed in theirs.seeds),
        generated=mine.generated or theirs.generated,
        paper=False,
    )
    return replace(
        first,
        run=replace(first.run, grid=grid, cells=_two(first.run.cells, second.run.cells)),
        predictions=_two(first.predictions, second.predictions),
        flags=_two(first.flags, second.flags),
        resamples=_two(first.resamples, second.resamples, differ),
        values=_two(first.values, second.values, differ),
    )


def _sided(methods: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return tuple(
        Entry(on(side, one.key), f"{one.name}, {side}") for one in methods for side in SIDES
    )


def _two(
    mine: Mapping[CellKey, V], theirs: Mapping[CellKey, V], without: Collection[str] = ()
) -> dict[CellKey, V]:
    """What both runs have of each cell, under the method's key of its side."""
    return {
        key._replace(method=on(side, key.method)): value
        for side, found in zip(SIDES, (mine, theirs), strict=True)
        for key, value in found.items()
        if key.task not in without
    }
