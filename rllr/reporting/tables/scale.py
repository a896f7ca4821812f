"""The same methods across the sizes of a model family."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from rllr.reporting.results.analysis import Analysis, Estimate
from rllr.reporting.results.grid import Grid, ModelEntry
from rllr.reporting.tables.cells import (
    describe,
    emphasise,
    estimate_record,
    estimate_text,
    interval_text,
    marks,
    points,
    signed,
)
from rllr.reporting.tables.comparisons import METHOD, delta_estimates
from rllr.reporting.tables.deltas import comparison_name
from rllr.reporting.tables.notes import (
    interval_note,
    scale_note,
    score_notes,
    seeds_note,
)
from rllr.reporting.tables.records import AVERAGE
from rllr.reporting.tables.scores import average_estimate
from rllr.reporting.tables.table import MISSING, Footnotes, Record, Row, Table, TableCell

OTHER = "sft"
NO_FAMILY = (
    "No two models of this run are of one family and of different size, as far as their files say "
    "(family, size): there is nothing to compare."
)
Sized = tuple[ModelEntry, float]


def scale_table(analysis: Analysis) -> Table:
    """The `scale` table: a block per family of at least two sizes; without one it has no rows."""
    grid, found, footnotes = analysis.run.grid, families(analysis.run.grid), Footnotes()
    names = [entry.name for entry in grid.methods]
    groups = tuple(
        tuple(_row(analysis, family, *sized, footnotes) for sized in members)
        for family, members in found.items()
    )
    return Table(
        name="scale",
        title="Methods by size of the model",
        caption=_caption(analysis) if found else NO_FAMILY,
        columns=("Family", "Model", "Size", *names, *_difference(analysis)),
        groups=groups,
        footnotes=footnotes.texts(),
        notes=score_notes(analysis, marked=bool(footnotes.codes)),
    )


def families(grid: Grid) -> dict[str, list[Sized]]:
    """Models by family, smallest first, of each family that the run has in two sizes or more."""
    sized = [(one, one.size) for one in grid.models if one.family and one.size is not None]
    ordered = sorted(sized, key=lambda pair: (pair[0].family or "", pair[1]))
    groups = {
        family: list(members) for family, members in groupby(ordered, lambda pair: pair[0].family)
    }
    return {
        family: members
        for family, members in groups.items()
        if family and len({size for _, size in members}) > 1
    }


def size_text(size: float) -> str:
    """Billions of parameters with a unit that fits: `13 B`, `560 M`, `193 K`; three digits."""
    for unit, count in (("B", 1.0), ("M", 1e-3)):
        if size >= count:
            return f"{float(f'{size / count:.3g}'):g} {unit}"
    return f"{float(f'{size * 1e6:.3g}'):g} K"


def _difference(analysis: Analysis) -> tuple[str, ...]:
    """Headings of the difference and its interval, where the run has both methods."""
    methods = {entry.key for entry in analysis.run.grid.methods}
    return (comparison_name(analysis, OTHER), "95 % CI") if {METHOD, OTHER} <= methods else ()


def _caption(analysis: Analysis) -> str:
    what = "Average over tasks of each method, smallest model of a family first."
    best = "Best method of each model in bold, second underlined."
    notes = (scale_note(analysis), seeds_note(analysis), best, interval_note(analysis))
    return " ".join((what, *notes))


def _row(
    analysis: Analysis, family: str, model: ModelEntry, size: float, footnotes: Footnotes
) -> Row:
    methods = [entry.key for entry in analysis.run.grid.methods]
    averages = [average_estimate(analysis, [model.key], method) for method in methods]
    identity: Record = {"family": family, "model": model.key, "size_billions": size}
    # Each model ranks its own methods, as in the score tables.
    cells = [
        replace(
            _cell(average, {**identity, "method": method, "minus": None, "task": AVERAGE}),
            emphasis=standing,
            marks=marks(average, (), footnotes),
        )
        for method, average, standing in zip(methods, averages, emphasise(averages), strict=True)
    ]
    head = (TableCell(family), TableCell(model.name), TableCell(size_text(size)))
    return (*head, *cells, *_difference_cells(analysis, identity, footnotes))


def _cell(estimate: Estimate | None, identity: Record) -> TableCell:
    record = {**identity, **estimate_record(estimate)}
    if estimate is None:
        return TableCell(MISSING, detail="no such cell in this run", records=(record,))
    text = estimate_text(estimate, points(estimate.value))
    return TableCell(text, detail=describe(estimate), records=(record,))


def _difference_cells(
    analysis: Analysis, identity: Record, footnotes: Footnotes
) -> list[TableCell]:
    if not _difference(analysis):
        return []
    overall = delta_estimates(analysis, [str(identity["model"])], OTHER)[-1]
    names = {"method": METHOD, "minus": OTHER, "task": AVERAGE}
    record = {**identity, **names, **estimate_record(overall)}
    if overall is None:
        return [TableCell(MISSING, records=(record,)), TableCell(MISSING)]
    text = estimate_text(overall, signed(overall.value))
    return [
        TableCell(text, marks=marks(overall, (), footnotes), records=(record,)),
        TableCell(interval_text(overall.low, overall.high)),
    ]
