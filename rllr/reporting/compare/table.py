"""Run B minus run A, method by method, over all, per model, per task or per cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rllr.reporting.compare.both import SIDES, Both, on
from rllr.reporting.results.analysis import Estimate
from rllr.reporting.results.grid import CellKey
from rllr.reporting.statistics.hypothesis import holm
from rllr.reporting.tables.cells import (
    MINUS,
    estimate_text,
    interval_text,
    marks,
    points,
    signed,
)
from rllr.reporting.tables.deltas import p_text
from rllr.reporting.tables.notes import GENERATED, interval_note, scale_note, seeds_note
from rllr.reporting.tables.table import MISSING, Footnotes, Row, Table, TableCell

EVERYTHING = "All models and tasks"
PAIRED = (
    f"B {MINUS} A in points, above 0 where B is better: only over cells that both runs have, seed "
    "by seed and, in its interval, test example by test example."
)
TESTED = "p: two-sided, corrected by Holm for the rows of this table."


@dataclass(frozen=True)
class Line:
    """One row before it is written: its group, its method, both sides and their difference."""

    group: str
    method: str
    sides: tuple[Estimate | None, ...]
    difference: Estimate | None


def compare_table(both: Both, by: str) -> Table:
    """The differences of two runs; without a cell that both have it has no rows.

    `by` is method, model, task or cell: how finely models and tasks are told apart.
    """
    lines, footnotes = list(_lines(both, by)), Footnotes()
    tested = {
        i: line.difference.interval.p
        for i, line in enumerate(lines)
        if line.difference and line.difference.interval
    }
    corrected = holm(tested) if tested else {}
    rows = [_row(line, corrected.get(i), footnotes) for i, line in enumerate(lines)]
    names = list(dict.fromkeys(line.group for line in lines))
    groups = [[row for row in rows if row[0].text == name] for name in names]
    return Table(
        name="compare",
        title=f"{both.runs[1].run.folder} (B) minus {both.runs[0].run.folder} (A)",
        caption=_caption(both) if lines else "No cell of a trained method is in both runs.",
        columns=("", "Method", "A", "B", f"B {MINUS} A", "95 % CI", "p"),
        groups=tuple(tuple(group) for group in groups),
        footnotes=footnotes.texts(),
        notes=tuple(_notes(both)),
    )


def _caption(both: Both) -> str:
    analysis = both.analysis
    parts = [scale_note(analysis), PAIRED, seeds_note(analysis), interval_note(analysis), TESTED]
    return " ".join(parts)


def _notes(both: Both) -> Iterator[str]:
    """What a reader must know of the two runs' cells."""
    if both.analysis.run.grid.generated:
        yield GENERATED
    first, second = (set(analysis.run.cells) for analysis in both.runs)
    same = sum(_same(both, key) for key in first & second)
    yield (
        f"{len(first & second)} cells are in both runs, {len(first - second)} in A alone, "
        f"{len(second - first)} in B alone; of those in both, {same} have the same responses to "
        "the same examples."
    )
    seeds = [", ".join(map(str, analysis.run.grid.seeds)) for analysis in both.runs]
    if seeds[0] != seeds[1]:
        yield f"Only seeds that both have are compared: A has {seeds[0]}, B has {seeds[1]}."
    if both.other_examples:
        names = ", ".join(both.other_examples)
        yield f"No interval where test examples or gold labels differ: {names}."
    if both.unread:
        yield f"No interval where a run has no usable predictions: {', '.join(both.unread)}."
    if both.other_metric:
        yield f"Left out, as measured differently: {', '.join(both.other_metric)}."


def _same(both: Both, key: CellKey) -> bool:
    first, second = (analysis.predictions.get(key) for analysis in both.runs)
    return first is not None and first == second


def _lines(both: Both, by: str) -> Iterator[Line]:
    for group, models, tasks in _blocks(both, by):
        for method in both.methods:
            places = [(model, task) for model in models for task in tasks]
            line = _line(both, group, method.name, method.key, places)
            if line.difference is not None:
                yield line


def _blocks(both: Both, by: str) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """(name, models, tasks) of each group of rows."""
    grid = both.analysis.run.grid
    models, tasks = ([entry.key for entry in of] for of in (grid.models, grid.tasks))
    if by == "method":
        yield EVERYTHING, models, tasks
    elif by == "model":
        yield from ((entry.name, [entry.key], tasks) for entry in grid.models)
    elif by == "task":
        yield from ((entry.name, models, [entry.key]) for entry in grid.tasks)
    else:
        for model in grid.models:
            yield from ((f"{model.name}, {t.name}", [model.key], [t.key]) for t in grid.tasks)


def _line(
    both: Both, group: str, name: str, method: str, places: Sequence[tuple[str, str]]
) -> Line:
    analysis = both.analysis
    seeds = analysis.seeds_of(on("A", method))
    sides = tuple(
        analysis.estimate([both.score(side, *place, method) for place in places], seeds)
        for side in SIDES
    )
    difference = analysis.estimate([both.delta(*place, method) for place in places], seeds)
    return Line(group, name, sides, difference)


def _row(line: Line, p: float | None, footnotes: Footnotes) -> Row:
    found = line.difference
    letters = marks(found, (), footnotes)
    texts = [points(one.value) if one else MISSING for one in line.sides]
    shown = estimate_text(found, signed(found.value)) if found else MISSING
    interval = interval_text(found.low, found.high) if found else MISSING
    cells = [*texts, shown, interval, p_text(p)]
    head = (TableCell(line.group), replace(TableCell(line.method), marks=letters))
    return (*head, *(TableCell(text) for text in cells))
