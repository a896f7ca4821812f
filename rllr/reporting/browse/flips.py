"""What changed from one method to another on the same test examples: flips, and some of them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from rllr.errors import RllrError
from rllr.reporting.browse.sheet import Column, Sheet
from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.grid import CellKey
from rllr.reporting.results.responses import OUTCOMES, Outcome, Response, read_responses

GAINED, LOST = "wrong or unparseable before, right now", "right before, wrong or unparseable now"


@dataclass(frozen=True)
class Pair:
    """One test example under two methods: the row and outcome of each."""

    before: Response
    after: Response
    was: Outcome
    became: Outcome


@dataclass(frozen=True)
class Flips:
    """The shared test examples of two methods; `before` and `after` are the methods' names."""

    before: str
    after: str
    pairs: list[Pair]


def flips_of(analysis: Analysis, key: CellKey, base: CellKey) -> Flips:
    """The examples of `base` and `key` that have one id and gold label.

    Raises RllrError where one of the two has no usable predictions.
    """
    before, after = (_by_id(analysis, one) for one in (base, key))
    metric = analysis.run.cells[key].metric
    pairs = [
        Pair(before[name], row, before[name].outcome(metric), row.outcome(metric))
        for name, row in after.items()
        if name in before and before[name].label == row.label
    ]
    name = analysis.run.grid.name
    return Flips(name(base.method), name(key.method), pairs)


def show_flips(flips: Flips, sheet: Sheet, draw: random.Random, count: int) -> None:
    """Print how outcomes changed, and `count` examples of each kind of flip."""
    sheet.heading(f"From {flips.before} to {flips.after}: {len(flips.pairs)} shared test examples")
    _counts(flips, sheet)
    kinds = {
        GAINED: [pair for pair in flips.pairs if pair.became == "right" != pair.was],
        LOST: [pair for pair in flips.pairs if pair.was == "right" != pair.became],
    }
    for title, found in kinds.items():
        chosen = sorted(draw.sample(range(len(found)), min(count, len(found))))
        sheet.heading(f"{title}: {len(chosen)} of {len(found)} examples")
        for index in chosen:
            _example(found[index], flips, sheet)


def _by_id(analysis: Analysis, key: CellKey) -> dict[str, Response]:
    path = analysis.run.folder / key.path / "predictions.jsonl"
    if key not in analysis.predictions:
        raise RllrError(f"{path}: not there, or not usable; without it nothing can be compared")
    return {row.id: row for row in read_responses(path)}


def _counts(flips: Flips, sheet: Sheet) -> None:
    """A row for each outcome before, a column for each outcome after."""
    counts = Counter((pair.was, pair.became) for pair in flips.pairs)
    rows = [
        [f"{flips.before} {was}", *(str(counts[was, became]) for became in OUTCOMES)]
        for was in OUTCOMES
    ]
    sheet.table(["", *(f"{flips.after} {became}" for became in OUTCOMES)], rows, words=1)
    same = sum(pair.before.response == pair.after.response for pair in flips.pairs)
    sheet.note(f"{same} of {len(flips.pairs)} responses are the same, letter by letter.")


def _example(pair: Pair, flips: Flips, sheet: Sheet) -> None:
    sheet.prompt(pair.after)
    sheet.compare(
        Column(flips.before, [(_stated(pair.before), pair.before.response)]),
        Column(flips.after, [(_stated(pair.after), pair.after.response)]),
    )


def _stated(row: Response) -> str:
    return "no label" if row.prediction is None else str(row.prediction)
