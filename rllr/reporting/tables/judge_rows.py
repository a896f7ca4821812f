"""The judge's row of the mismatch table: what its pairs say of the label."""

from __future__ import annotations

import statistics as stdlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.mismatch import ALL, PARTS, Judged
from rllr.reporting.tables.cells import coverage, points, to_points
from rllr.reporting.tables.table import MISSING, Record, Row, TableCell

JUDGE = "Judge"
# Of judged pairs: the counts that a share is of, part and whole.
Share = Callable[[Judged], tuple[int, int]]
SHARES: dict[str, Share] = {
    "same_label": lambda one: (one.same_label, one.pairs),
    "right_above_wrong": lambda one: (one.right_preferred, one.one_right),
}
# By part, then task (or `ALL`), of one seed.
Parts = Mapping[str, Mapping[str, Judged]]


def judge_rows(analysis: Analysis, model: str) -> Iterator[Row]:
    """One row for each stage whose responses were judged (usually one)."""
    judged = {key: of for key, of in analysis.mismatch.judged.items() if key.model == model}
    for start in sorted({key.stage for key in judged}):
        mine = [(key.seed, of) for key, of in judged.items() if key.stage == start]
        seeds = sorted({seed for seed, _ in mine})
        found = {seed: _pooled([of for other, of in mine if other == seed]) for seed in seeds}
        yield _row(analysis, model, start, found, coverage(len(mine), analysis.run.grid.runs))


def _pooled(units: Sequence[Parts]) -> dict[str, dict[str, Judged]]:
    """Counts of several units added up."""
    found: dict[str, dict[str, Judged]] = {part: {} for part in PARTS}
    for unit in units:
        for part, tasks in unit.items():
            for task, one in tasks.items():
                found[part][task] = found[part].get(task, Judged()).plus(one)
    return found


def _row(
    analysis: Analysis, model: str, start: str, found: Mapping[int, Parts], covered: str
) -> Row:
    name = analysis.run.grid.name
    identity = {"model": model, "ranked_by": "judge", "start": start}
    trained = [parts["train"].get(ALL, Judged()) for parts in found.values()]
    texts = {share: _text([SHARES[share](one) for one in trained], covered) for share in SHARES}
    records = {share: tuple(_records(identity, share, found)) for share in SHARES}
    same, right = (TableCell(texts[share], records=records[share]) for share in SHARES)
    head = (TableCell(name(model)), TableCell(JUDGE), TableCell(f"responses of {name(start)}"))
    pairs = TableCell(str(sum(one.one_right for one in trained)))
    return (*head, same, TableCell(""), TableCell(""), right, pairs)


def _text(counts: Sequence[tuple[int, int]], covered: str) -> str:
    """The mean of the seeds' shares, with its spread where there are several."""
    shares = [part / whole for part, whole in counts if whole]
    if not shares:
        return MISSING
    spread = f" ±{points(stdlib.stdev(shares))}" if len(shares) > 1 else ""
    return f"{points(stdlib.mean(shares))}{spread}{covered}"


def _records(identity: Record, share: str, found: Mapping[int, Parts]) -> Iterator[Record]:
    for seed, parts in found.items():
        for split, tasks in parts.items():
            for task, one in tasks.items():
                part, whole = SHARES[share](one)
                yield {
                    **identity,
                    "pairs_of": split,
                    "task": task,
                    "seed": seed,
                    "measure": share,
                    "points": to_points(part / whole) if whole else None,
                    "n": whole,
                }
