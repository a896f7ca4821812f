"""The judge's comparisons, counted: by who met whom, of which model, on which task."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from rllr.reporting.results.collect import Run
from rllr.reporting.results.judged import Compared, Pair
from rllr.reporting.statistics.bootstrap import Floats


class Place(NamedTuple):
    """Where comparisons of one pair of methods belong."""

    model: str
    task: str
    seed: int


@dataclass
class Tally:
    """Counts of comparisons (the names of `Compared.counts`), and each example's points.

    `points` maps an example to the points of its comparisons and to how many have a verdict.
    """

    counts: Counter[str] = field(default_factory=Counter)
    points: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, one: Compared) -> None:
        """Count a comparison."""
        self.counts.update(one.counts())
        if one.points is not None:
            self._add(one.id, one.points, 1)

    def merge(self, other: Tally) -> None:
        """Count all that another one has."""
        self.counts.update(other.counts)
        for example, (points, count) in other.points.items():
            self._add(example, points, count)

    def _add(self, example: str, points: float, count: int) -> None:
        before = self.points.get(example, (0.0, 0))
        self.points[example] = (before[0] + points, before[1] + count)

    @property
    def rate(self) -> float | None:
        """Wins and half of the ties, as a share of all with a verdict; None without any."""
        judged = self.counts["won"] + self.counts["tied"] + self.counts["lost"]
        return (self.counts["won"] + self.counts["tied"] / 2) / judged if judged else None


@dataclass(frozen=True)
class Encounters:
    """All comparisons of one pair of methods: of any labels, and of equal ones alone."""

    every: Mapping[Place, Tally]
    same_label: Mapping[Place, Tally]


def encounters(run: Run) -> dict[Pair, Encounters]:
    """Of each pair of methods: the run's own pairs first, whether or not any is there."""
    every: dict[Pair, dict[Place, Tally]] = defaultdict(lambda: defaultdict(Tally))
    same: dict[Pair, dict[Place, Tally]] = defaultdict(lambda: defaultdict(Tally))
    for place, one in _rows(run):
        pair = (one.method, one.against)
        every[pair][place].add(one)
        if one.same_label:
            same[pair][place].add(one)
    pairs = dict.fromkeys([*(run.grid.comparisons or ()), *_in_order(run, every)])
    return {pair: Encounters(every[pair], same[pair]) for pair in pairs}


def _rows(run: Run) -> Iterator[tuple[Place, Compared]]:
    for key, judged in run.judged.items():
        for one in judged.rows:
            yield Place(key.model, one.task, key.seed), one


def _in_order(run: Run, pairs: Iterable[Pair]) -> list[Pair]:
    """By the order of methods in the run, those against the first method first."""
    places = {entry.key: place for place, entry in enumerate(run.grid.methods)}
    return sorted(pairs, key=lambda pair: (places[pair[1]], places[pair[0]]))


def pooled(tallies: Iterable[Tally]) -> Tally:
    """All comparisons together."""
    whole = Tally()
    for tally in tallies:
        whole.merge(tally)
    return whole


def aligned(tallies: Iterable[Tally]) -> tuple[Floats, Floats]:
    """Points and numbers of verdicts, both (tallies, examples), over all examples of any.

    With the examples in one order, so that all are resampled jointly.
    """
    found = list(tallies)
    examples = sorted({example for tally in found for example in tally.points})
    sums = [[tally.points.get(example, (0.0, 0)) for example in examples] for tally in found]
    both = np.array(sums, dtype=np.float64).reshape(len(found), len(examples), 2)
    return both[:, :, 0], both[:, :, 1]
