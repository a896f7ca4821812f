"""RLLR minus each method that it is compared with, per model, per task and overall.

A difference is taken only where both sides have the cell, seed by seed (seed k of a policy starts
from seed k of its base).
"""

from __future__ import annotations

from dataclasses import replace

from rllr.reporting.results.analysis import Analysis, Estimate
from rllr.reporting.tables.cells import (
    MINUS,
    estimate_record,
    estimate_text,
    interval_text,
    marks,
    shared_codes,
    signed,
    to_points,
)
from rllr.reporting.tables.comparisons import (
    METHOD,
    OVERALL,
    SIGNIFICANT,
    Comparison,
    RunTest,
    Test,
    compare,
    compared,
    is_all,
    level,
)
from rllr.reporting.tables.notes import (
    interval_note,
    paper_note,
    score_notes,
    seeds_note,
    tests_note,
)
from rllr.reporting.tables.scores import model_blocks
from rllr.reporting.tables.table import MISSING, Footnotes, Record, Row, Table, TableCell

STAR = "*"
LEAST_P = 0.001


def comparison_name(analysis: Analysis, other: str) -> str:
    """How a comparison is called in tables and figures: `RLLR - SFT`."""
    return f"{analysis.run.grid.name(METHOD)} {MINUS} {analysis.run.grid.name(other)}"


def delta_table(analysis: Analysis) -> Table:
    """The `delta` table; without RLLR or anything to compare it with it has no rows."""
    grid, footnotes = analysis.run.grid, Footnotes()
    comparisons = [compare(analysis, other) for other in compared(analysis)]
    groups = tuple(
        tuple(_row(analysis, one, name, models, footnotes) for name, models in model_blocks(grid))
        for one in comparisons
    )
    tasks = (task.name for task in grid.tasks)
    return Table(
        name="delta",
        title="RLLR minus other methods",
        caption=_caption(analysis, comparisons),
        columns=("Difference", "Model", *tasks, "Overall", "95 % CI", "p"),
        groups=groups,
        footnotes=footnotes.texts(),
        notes=score_notes(analysis, marked=bool(footnotes.codes)),
    )


def _caption(analysis: Analysis, comparisons: list[Comparison]) -> str:
    if not comparisons:
        return "This run has no RLLR, or no method to compare it with."
    everything = tuple(model.key for model in analysis.run.grid.models)
    overall = {one.other: one.estimates[everything, OVERALL] for one in comparisons}
    what = "Differences in points, above 0 where RLLR is better; only over cells that both have."
    notes = (
        seeds_note(analysis),
        interval_note(analysis),
        tests_note(),
        paper_note(analysis, overall),
    )
    return " ".join(part for part in (what, *notes) if part)


def _row(
    analysis: Analysis, one: Comparison, name: str, models: tuple[str, ...], footnotes: Footnotes
) -> Row:
    tasks = [task.key for task in analysis.run.grid.tasks]
    estimates = [one.estimates[models, task] for task in (*tasks, OVERALL)]
    row_codes = shared_codes(estimates[:-1])
    head = (
        TableCell(comparison_name(analysis, one.other)),
        TableCell(name, marks=footnotes.letters(row_codes)),
    )
    cells = [
        replace(
            _cell(estimate, one.tests.get((models, task)), row_codes, footnotes),
            records=_records(analysis, one, models, task),
        )
        for task, estimate in zip((*tasks, OVERALL), estimates, strict=True)
    ]
    overall, test = estimates[-1], one.tests.get((models, OVERALL))
    interval = interval_text(overall.low, overall.high) if overall else MISSING
    return (*head, *cells, TableCell(interval), TableCell(p_text(test.corrected if test else None)))


def p_text(p: float | None) -> str:
    """A p-value with three decimals, or that it is below what they show."""
    if p is None:
        return MISSING
    return f"{p:.3f}" if p >= LEAST_P else f"<{LEAST_P}"


def _cell(
    estimate: Estimate | None, test: Test | None, row_codes: tuple[str, ...], footnotes: Footnotes
) -> TableCell:
    if estimate is None:
        return TableCell(MISSING, detail="no cell that both sides have")
    star = STAR if test and test.corrected < SIGNIFICANT else ""
    text = estimate_text(estimate, signed(estimate.value) + star)
    detail = f"95 % CI {interval_text(estimate.low, estimate.high)}"
    if test:
        detail += f"; p = {p_text(test.p)} ({test.name}), corrected {p_text(test.corrected)}"
    return TableCell(text, marks=marks(estimate, row_codes, footnotes), detail=detail)


# --- CSV -----------------------------------------------------------------------------------------


def _records(
    analysis: Analysis, one: Comparison, models: tuple[str, ...], task: str
) -> tuple[Record, ...]:
    """A difference and, for a cell, each of its runs."""
    all_models = is_all(analysis, models)
    shown: Record = {
        "method": METHOD,
        "minus": one.other,
        "model": "all" if all_models else models[0],
        "task": task,
        "level": level(models, task, all_models=all_models),
        "seed": None,
        **_numbers(one.estimates[models, task]),
        **_test_record(one.tests.get((models, task))),
    }
    runs = () if all_models else [run for run in one.runs if run.key[:2] == (models[0], task)]
    return (shown, *(_run_record(one.other, run) for run in runs))


def _numbers(estimate: Estimate | None) -> Record:
    """An estimate's CSV fields without its counts of responses, which add up both sides."""
    counts = ("n", "unparsed", "unparsed_percent")
    return {name: value for name, value in estimate_record(estimate).items() if name not in counts}


def _test_record(test: Test | None) -> Record:
    if test is None:
        return {}
    return {"test": test.name, "p": round(test.p, 6), "p_holm": round(test.corrected, 6)}


def _run_record(other: str, run: RunTest) -> Record:
    key = run.key
    return {
        "method": METHOD,
        "minus": other,
        "model": key.model,
        "task": key.task,
        "level": "run",
        "seed": key.seed,
        "points": to_points(run.difference),
        **_test_record(run.test),
        "only_method_right": run.only_mine,
        "only_minus_right": run.only_theirs,
    }
