"""The numbers behind tables, figures and report, computed once per run.

Every number shown is a linear combination of cells (a mean, or a difference of two), so its value,
its interval and its spread over seeds all follow from the same weights. The interval of a number
that rests on one seed is a bootstrap over test examples; with several seeds it is one of Student's
t over seeds and test examples, see `rllr.reporting.statistics`.
"""

from __future__ import annotations

import statistics as stdlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rllr.reporting.results.checks import Flag, check_run
from rllr.reporting.results.collect import Run
from rllr.reporting.results.grid import CellKey, TaskEntry
from rllr.reporting.results.mismatch import Mismatch, load_mismatch
from rllr.reporting.results.predictions import Predictions, load_predictions
from rllr.reporting.statistics.bootstrap import (
    Floats,
    accuracy_resamples,
    pearson,
    pearson_resamples,
    resampled_interval,
    wilson_interval,
)
from rllr.reporting.statistics.components import Block, crossed_interval, pearson_values
from rllr.reporting.statistics.interval import Interval

# Scorers may round what they write; a tenth of a shown digit is not a disagreement.
VALUE_TOLERANCE = 5e-4

Weights = Mapping[CellKey, float]
# One unit of an average, usually one (model, task): for each seed, the cells it combines.
Group = Mapping[int, Weights]


@dataclass(frozen=True)
class Estimate:
    """A shown number as a fraction, with what a reader needs to judge it.

    `interval` is None where predictions are missing, or one seed is there where several are
    expected; `sd` is over seeds (None: fewer than two, or seeds that cover different cells);
    `covered` are the (group, seed) behind it, of `expected`; `codes` are the flags of all its
    cells.
    """

    value: float
    interval: Interval | None
    sd: float | None
    covered: frozenset[tuple[int, int]]
    expected: int
    n: int
    unparsed: int
    codes: tuple[str, ...]

    @property
    def low(self) -> float | None:
        """The interval's lower end."""
        return self.interval.low if self.interval else None

    @property
    def high(self) -> float | None:
        """The interval's upper end."""
        return self.interval.high if self.interval else None


@dataclass(frozen=True)
class Analysis:
    """A run with its predictions and flags, and what intervals are made from.

    `resamples` are joint bootstrap values of each cell's metric, (resamples,); `values` are the
    parts of its test examples in it, (examples,), whose mean it is. Cells that cannot be compared
    example by example have neither. `mismatch` is what judged pairs and rewards say of labels.
    """

    run: Run
    predictions: dict[CellKey, Predictions]
    flags: dict[CellKey, tuple[Flag, ...]]
    resamples: dict[CellKey, Floats]
    values: dict[CellKey, Floats]
    mismatch: Mismatch

    def score_group(self, model: str, task: str, method: str) -> Group:
        """The cells of one model, task and method, by seed; empty where there is none."""
        # The majority baseline is always seed 0, whatever the run's seeds are.
        seeds = sorted({0, *self.run.grid.seeds})
        keys = [CellKey(model, task, method, seed) for seed in seeds]
        return {key.seed: {key: 1.0} for key in keys if key in self.run.cells}

    def delta_group(self, model: str, task: str, method: str, other: str) -> Group:
        """`method` minus `other`, for the seeds that both have."""
        mine = self.score_group(model, task, method)
        theirs = self.score_group(model, task, other)
        return {
            seed: {**mine[seed], **{key: -1.0 for key in theirs[seed]}}
            for seed in mine
            if seed in theirs
        }

    def seeds_of(self, method: str) -> int:
        """How many seeds a complete run has of a method (of a context method: how many it has)."""
        if method in {entry.key for entry in self.run.grid.methods}:
            return len(self.run.grid.seeds)
        return max(1, len({key.seed for key in self.run.cells if key.method == method}))

    def estimate(self, groups: Sequence[Group], seeds: int) -> Estimate | None:
        """Mean over groups of each group's mean over its seeds; empty groups do not count.

        `seeds` is how many a complete group has. None if every group is empty.
        """
        present = [group for group in groups if group]
        if not present:
            return None
        weights = _mean([_mean(list(group.values())) for group in present])
        cells = [self.run.cells[key] for key in weights]
        return Estimate(
            value=self._value(weights),
            interval=self._interval(present, weights, seeds),
            sd=self._spread(present),
            covered=frozenset((index, s) for index, group in enumerate(groups) for s in group),
            expected=len(groups) * seeds,
            n=sum(cell.n for cell in cells),
            unparsed=sum(cell.unparsed for cell in cells),
            codes=self._codes(weights),
        )

    def _value(self, weights: Weights) -> float:
        return sum(weight * self.run.cells[key].value for key, weight in weights.items())

    def _interval(self, groups: Sequence[Group], weights: Weights, seeds: int) -> Interval | None:
        if any(key not in self.values for key in weights):
            return None
        if seeds > 1 or any(len(group) > 1 for group in groups):
            return crossed_interval([self._block(group) for group in groups])
        samples = [weight * self.resamples[key] for key, weight in weights.items()]
        found = resampled_interval(np.sum(samples, axis=0))
        return found if found.low < found.high else self._unanimous(weights, found)

    def _unanimous(self, weights: Weights, found: Interval) -> Interval:
        """Of a cell that is all right or all wrong: Wilson's, as no resample differs from it.

        An interval without width would claim that no other example can come out otherwise.
        """
        (key, _), *others = weights.items()
        cell = self.run.cells[key]
        if others or cell.metric != "accuracy":
            return found
        low, high = wilson_interval(round(cell.value * cell.n), cell.n)
        return replace(found, low=low, high=high)

    def _block(self, group: Group) -> Block:
        """A group's signed values; under `mixture`, seeds are shared by a model's tasks."""
        rows = [
            np.sum([weight * self.values[key] for key, weight in cells.items()], axis=0)
            for cells in group.values()
        ]
        key = next(iter(next(iter(group.values()))))
        shared = self.run.grid.scope == "mixture"
        cluster = key.model if shared else f"{key.model}/{key.task}"
        return Block(cluster, key.task, tuple(group), np.stack(rows))

    def _spread(self, groups: Sequence[Group]) -> float | None:
        seeds = set(groups[0])
        if len(seeds) < 2 or any(set(group) != seeds for group in groups):
            return None
        return stdlib.stdev(self._value(_mean([group[seed] for group in groups])) for seed in seeds)

    def _codes(self, keys: Iterable[CellKey]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(flag.code for key in keys for flag in self.flags[key]))


def _mean(parts: Sequence[Weights]) -> Weights:
    weights: dict[CellKey, float] = {}
    for part in parts:
        for key, weight in part.items():
            weights[key] = weights.get(key, 0.0) + weight / len(parts)
    return weights


def analyse(run: Run) -> Analysis:
    """Load predictions, check every cell, and resample; the warnings found are added to the run."""
    predictions, warnings = load_predictions(run)
    flags = check_run(run, predictions)
    resamples: dict[CellKey, Floats] = {}
    values: dict[CellKey, Floats] = {}
    for task in run.grid.test_tasks:
        excluded = _excluded(run, task, predictions)
        for key, flag in excluded.items():
            flags[key] = (*flags[key], flag)
        usable = [k for k in predictions if k.task == task.key and k not in excluded]
        found = {key: predictions[key] for key in usable}
        resamples.update(_resample(task, found))
        values.update(_example_values(task, found))
    mismatch, more = load_mismatch(run)
    run = replace(run, warnings=run.warnings + warnings + more)
    return Analysis(run, predictions, flags, resamples, values, mismatch)


def _excluded(
    run: Run, task: TaskEntry, predictions: Mapping[CellKey, Predictions]
) -> dict[CellKey, Flag]:
    """Cells of a task that cannot be resampled with the others, and why."""
    mine = {key: found for key, found in predictions.items() if key.task == task.key}
    examples = Counter(found.examples for found in mine.values())
    excluded = {}
    for key, found in mine.items():
        cell = run.cells[key]
        if len(found.ids) != cell.n or abs(_value(task, found) - cell.value) > VALUE_TOLERANCE:
            excluded[key] = Flag("predictions_disagree", str(key.path))
        elif found.examples != examples.most_common(1)[0][0]:
            excluded[key] = Flag("other_examples", str(key.path))
    return excluded


def _value(task: TaskEntry, found: Predictions) -> float:
    if not found.ids:
        return 0.0
    if task.metric == "accuracy":
        return float(found.correct().mean())
    return pearson(found.scores(sum(task.score_range) / 2), found.gold())


def _resample(task: TaskEntry, predictions: Mapping[CellKey, Predictions]) -> dict[CellKey, Floats]:
    if not predictions:
        return {}
    found = list(predictions.values())
    if task.metric == "accuracy":
        rows = accuracy_resamples(np.stack([one.correct() for one in found]), task.key)
    else:
        rows = pearson_resamples(_scores(task, found), found[0].gold(), task.key)
    return dict(zip(predictions, rows, strict=True))


def _example_values(
    task: TaskEntry, predictions: Mapping[CellKey, Predictions]
) -> dict[CellKey, Floats]:
    """Of each cell, values of its examples whose mean is its metric."""
    if task.metric == "accuracy":
        return {key: one.correct() for key, one in predictions.items()}
    if not predictions:
        return {}
    found = list(predictions.values())
    rows = pearson_values(_scores(task, found), found[0].gold())
    return dict(zip(predictions, rows, strict=True))


def _scores(task: TaskEntry, found: Sequence[Predictions]) -> Floats:
    """Predicted scores, (cells, examples); unparsed ones are the range's midpoint."""
    return np.stack([one.scores(sum(task.score_range) / 2) for one in found])
