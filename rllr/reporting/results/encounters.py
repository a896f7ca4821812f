"""The judge's comparisons by pair of methods: counted, and as points of each test example."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from rllr.reporting.results.collect import Run
from rllr.reporting.results.judged import Compared, Pair
from rllr.reporting.statistics.bootstrap import Floats

# Of all comparisons, or of those alone where both responses state the same label.
Labels = Literal["all", "same"]
LABELS: tuple[Labels, ...] = ("all", "same")


class Place(NamedTuple):
    """Where comparisons of one pair of methods belong."""

    model: str
    task: str
    seed: int


Rows = Sequence[tuple[Place, Compared]]


@dataclass(frozen=True)
class Scores:
    """One task's points, and whether there is a verdict (1 or 0): both (places, examples).

    The examples are the same, in one order, for any labels.
    """

    places: tuple[Place, ...]
    points: Floats
    verdicts: Floats


@dataclass(frozen=True)
class Encounters:
    """All comparisons of one pair of methods: counts by place, points by task."""

    counts: Mapping[Labels, Mapping[Place, Counter[str]]]
    scores: Mapping[Labels, Mapping[str, Scores]]


def encounters(run: Run) -> dict[Pair, Encounters]:
    """Of each pair of methods: the run's own pairs first, whether or not any is there."""
    met: dict[Pair, list[tuple[Place, Compared]]] = defaultdict(list)
    for key, judged in run.judged.items():
        for one in judged.rows:
            met[one.method, one.against].append((Place(key.model, one.task, key.seed), one))
    pairs = dict.fromkeys([*(run.grid.comparisons or ()), *_in_order(run, met)])
    return {pair: _encounters(met[pair]) for pair in pairs}


def _in_order(run: Run, pairs: Iterable[Pair]) -> list[Pair]:
    """By the order of methods in the run, those against the first method first."""
    places = {entry.key: place for place, entry in enumerate(run.grid.methods)}
    return sorted(pairs, key=lambda pair: (places[pair[1]], places[pair[0]]))


def _encounters(rows: Rows) -> Encounters:
    counts: dict[Labels, dict[Place, Counter[str]]] = {name: {} for name in LABELS}
    tasks: dict[str, list[tuple[Place, Compared]]] = defaultdict(list)
    for place, one in rows:
        for labels in LABELS:
            counted = counts[labels].setdefault(place, Counter())
            counted.update(one.counts if _counts(one, labels) else ())
        tasks[place.task].append((place, one))
    scores = {name: {task: _scores(of, name) for task, of in tasks.items()} for name in LABELS}
    return Encounters(counts, scores)


def _counts(one: Compared, labels: Labels) -> bool:
    return labels == "all" or one.same_label


def _scores(rows: Rows, labels: Labels) -> Scores:
    places = {place: index for index, place in enumerate(dict.fromkeys(p for p, _ in rows))}
    examples = {name: index for index, name in enumerate(sorted({one.id for _, one in rows}))}
    points, verdicts = np.zeros((2, len(places), len(examples)))
    for place, one in rows:
        if one.points is not None and _counts(one, labels):
            where = places[place], examples[one.id]
            points[where], verdicts[where] = one.points, 1.0
    return Scores(tuple(places), points, verdicts)


def win_rate(counts: Counter[str]) -> float | None:
    """Wins and half of the ties, as a share of all with a verdict; None without any."""
    judged = counts["won"] + counts["tied"] + counts["lost"]
    return (counts["won"] + counts["tied"] / 2) / judged if judged else None
