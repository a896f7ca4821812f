"""RLLR minus each method that it is compared with, per model, per task and overall.

A difference is taken only where both sides have the cell, seed by seed (seed k of a policy starts
from seed k of its base).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rllr.reporting.results.analysis import Analysis, Estimate, Group
from rllr.reporting.tables.cells import (
    MINUS,
    estimate_record,
    estimate_text,
    interval_text,
    marks,
    shared_codes,
    signed,
)
from rllr.reporting.tables.notes import interval_note, run_notes, seeds_note
from rllr.reporting.tables.scores import model_blocks
from rllr.reporting.tables.table import MISSING, Footnotes, Record, Row, Table, TableCell

METHOD = "rllr"
OTHERS = ("sft", "sft_label", "rlhf")
OVERALL = "overall"
PAPER = (
    "The paper reports +1.54 points over SFT (which of the two SFT variants is not known) and "
    "+0.69 over RLHF, averaged over its five models and eight tasks."
)


def compared(analysis: Analysis) -> list[str]:
    """The methods of this run that RLLR is compared with; empty if the run has no RLLR."""
    methods = {entry.key for entry in analysis.run.grid.methods}
    return [other for other in OTHERS if other in methods] if METHOD in methods else []


def comparison_name(analysis: Analysis, other: str) -> str:
    """How a comparison is called in tables and figures: `RLLR - SFT`."""
    return f"{analysis.run.grid.name(METHOD)} {MINUS} {analysis.run.grid.name(other)}"


def delta_estimates(analysis: Analysis, models: Sequence[str], other: str) -> list[Estimate | None]:
    """RLLR minus `other`: one estimate per task (mean over `models`) and, last, the overall one."""
    columns: list[list[Group]] = [
        [analysis.delta_group(model, task.key, METHOD, other) for model in models]
        for task in analysis.run.grid.tasks
    ]
    columns.append([group for column in columns for group in column])
    return [analysis.estimate(column, analysis.seeds_of(METHOD)) for column in columns]


def delta_table(analysis: Analysis) -> Table:
    """The `delta` table; without RLLR or anything to compare it with it has no rows."""
    grid, footnotes = analysis.run.grid, Footnotes()
    groups = tuple(
        tuple(_row(analysis, other, name, models, footnotes) for name, models in model_blocks(grid))
        for other in compared(analysis)
    )
    return Table(
        name="delta",
        title="RLLR minus other methods",
        caption=_caption(analysis),
        columns=("Difference", "Model", *(task.name for task in grid.tasks), "Overall", "95 % CI"),
        groups=groups,
        footnotes=footnotes.texts(),
        notes=run_notes(analysis),
    )


def _caption(analysis: Analysis) -> str:
    what = "Differences in points, above 0 where RLLR is better; only over cells that both have."
    paper = f" {PAPER}" if analysis.run.grid.paper else ""
    return f"{what} {seeds_note(analysis)} {interval_note(analysis)}{paper}"


def _row(
    analysis: Analysis, other: str, name: str, models: tuple[str, ...], footnotes: Footnotes
) -> Row:
    grid = analysis.run.grid
    estimates = delta_estimates(analysis, models, other)
    row_codes = shared_codes(estimates[:-1])
    head = (
        TableCell(comparison_name(analysis, other)),
        TableCell(name, marks=footnotes.letters(row_codes)),
    )
    model = models[0] if len(models) == 1 else "all"
    identity = {"method": METHOD, "minus": other, "model": model}
    tasks = [*(task.key for task in grid.tasks), OVERALL]
    cells = [
        replace(
            _cell(estimate, row_codes, footnotes),
            records=({**identity, "task": task, **_numbers(estimate)},),
        )
        for task, estimate in zip(tasks, estimates, strict=True)
    ]
    overall = estimates[-1]
    interval = interval_text(overall.low, overall.high) if overall else MISSING
    return (*head, *cells, TableCell(interval))


def _numbers(estimate: Estimate | None) -> Record:
    """An estimate's CSV fields without its counts of responses, which add up both sides."""
    counts = ("n", "unparsed", "unparsed_percent")
    return {name: value for name, value in estimate_record(estimate).items() if name not in counts}


def _cell(estimate: Estimate | None, row_codes: tuple[str, ...], footnotes: Footnotes) -> TableCell:
    if estimate is None:
        return TableCell(MISSING, detail="no cell that both sides have")
    text = estimate_text(estimate, signed(estimate.value))
    detail = f"95 % CI {interval_text(estimate.low, estimate.high)}"
    return TableCell(text, marks=marks(estimate, row_codes, footnotes), detail=detail)
