"""The score tables: models x methods against tasks and their average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rllr.reporting.results.analysis import Analysis, Estimate, Group
from rllr.reporting.results.grid import BASELINE_MODEL, MAJORITY, Grid
from rllr.reporting.tables.cells import (
    describe,
    emphasise,
    estimate_text,
    interval_text,
    marks,
    points,
    shared_codes,
    unparsed_share,
)
from rllr.reporting.tables.notes import (
    examples_note,
    interval_note,
    scale_note,
    score_notes,
    seeds_note,
)
from rllr.reporting.tables.records import AVERAGE, score_records
from rllr.reporting.tables.table import MISSING, Emphasis, Footnotes, Row, Table, TableCell

HEADLINE = ("sft", "rlhf", "rllr")
ALL_MODELS = "All models"


def headline_table(analysis: Analysis) -> Table:
    """The three methods of the paper's comparison, as far as the run has them."""
    methods = [entry.key for entry in analysis.run.grid.methods if entry.key in HEADLINE]
    return _score_table(analysis, "headline", "SFT, RLHF and RLLR", methods)


def main_table(analysis: Analysis) -> Table:
    """All methods of the run."""
    methods = [entry.key for entry in analysis.run.grid.methods]
    return _score_table(analysis, "main", "All methods", methods)


def score_estimates(
    analysis: Analysis, models: Sequence[str], method: str
) -> list[Estimate | None]:
    """One estimate per task (mean over `models`), their average, and one per further test set."""
    grid = analysis.run.grid
    columns, context = (
        [_column(analysis, models, task.key, method) for task in tasks]
        for tasks in (grid.tasks, grid.context_tasks)
    )
    columns.append([group for column in columns for group in column])
    columns += context
    return [analysis.estimate(column, analysis.seeds_of(method)) for column in columns]


def average_estimate(analysis: Analysis, models: Sequence[str], method: str) -> Estimate | None:
    """The average over tasks, of the mean over `models`."""
    return score_estimates(analysis, models, method)[len(analysis.run.grid.tasks)]


def _column(analysis: Analysis, models: Sequence[str], task: str, method: str) -> list[Group]:
    return [analysis.score_group(model, task, method) for model in models]


def _columns(grid: Grid) -> list[tuple[str, str]]:
    """(key, heading) of each column that holds a score."""
    tasks, context = ([(t.key, t.name) for t in of] for of in (grid.tasks, grid.context_tasks))
    return [*tasks, (AVERAGE, "Average"), *context]


def model_blocks(grid: Grid) -> list[tuple[str, tuple[str, ...]]]:
    """(shown name, model keys) of each block of rows: every model and, where several, all."""
    blocks: list[tuple[str, tuple[str, ...]]] = [(one.name, (one.key,)) for one in grid.models]
    everything = (ALL_MODELS, tuple(one.key for one in grid.models))
    return [*blocks, everything] if len(blocks) > 1 else blocks


def _score_table(analysis: Analysis, name: str, title: str, methods: Sequence[str]) -> Table:
    """The methods' rows per model, with the majority class and zero-shot as context."""
    footnotes, grid = Footnotes(), analysis.run.grid
    context = [entry.key for entry in grid.model_context]
    groups = []
    if any(key.method == MAJORITY for key in analysis.run.cells):
        groups.append(_group(analysis, "Baseline", (BASELINE_MODEL,), [], [MAJORITY], footnotes))
    groups += [
        _group(analysis, *block, methods, context, footnotes) for block in model_blocks(grid)
    ]
    return Table(
        name=name,
        title=title,
        caption=_caption(analysis),
        columns=("Model", "Method", *_headings(grid), "% unparsed"),
        groups=tuple(group for group in groups if group),
        footnotes=footnotes.texts(),
        notes=score_notes(analysis, marked=bool(footnotes.codes)),
    )


def _headings(grid: Grid) -> list[str]:
    """The average's interval stands behind it."""
    names = [[name, "95 % CI"] if key == AVERAGE else [name] for key, name in _columns(grid)]
    return [name for group in names for name in group]


def _caption(analysis: Analysis) -> str:
    best = "Best trained method of each model in bold, second underlined."
    sizes = (examples_note(analysis), seeds_note(analysis))
    parts = [scale_note(analysis), *sizes, best, interval_note(analysis)]
    if len(analysis.run.grid.seeds) > 1:
        parts.append("Context rows have one seed, and an interval for test sampling only.")
    return " ".join(part for part in parts if part)


def _group(
    analysis: Analysis,
    model_name: str,
    models: tuple[str, ...],
    methods: Sequence[str],
    context: Sequence[str],
    footnotes: Footnotes,
) -> tuple[Row, ...]:
    """The rows of one model (or of all): context methods first, then the ranked ones."""
    ranked = [score_estimates(analysis, models, method) for method in methods]
    unranked = [score_estimates(analysis, models, method) for method in context]
    # Transposed twice: emphasis is decided down each column, rows are written across.
    emphasis = list(zip(*(emphasise(column) for column in zip(*ranked, strict=True)), strict=True))
    plain = [("",) * len(_columns(analysis.run.grid))] * len(unranked)
    rows = zip([*context, *methods], [*unranked, *ranked], [*plain, *emphasis], strict=True)
    return tuple(
        _row(analysis, model_name, models, method, estimates, bold, footnotes)
        for method, estimates, bold in rows
    )


def _row(
    analysis: Analysis,
    model_name: str,
    models: tuple[str, ...],
    method: str,
    estimates: Sequence[Estimate | None],
    emphasis: Sequence[Emphasis],
    footnotes: Footnotes,
) -> Row:
    columns = [key for key, _ in _columns(analysis.run.grid)]
    place = columns.index(AVERAGE)
    average = estimates[place]
    row_codes = shared_codes([*estimates[:place], *estimates[place + 1 :]])
    method_name = analysis.run.grid.name(method)
    head = (TableCell(model_name), TableCell(method_name, marks=footnotes.letters(row_codes)))
    cells = []
    for task, estimate, standing in zip(columns, estimates, emphasis, strict=True):
        records = score_records(analysis, models, method, task, estimate)
        cell = _cell(estimate, row_codes, footnotes)
        cells.append(replace(cell, emphasis=standing, records=records))
    interval = TableCell(interval_text(average.low, average.high) if average else MISSING)
    cells.insert(place + 1, interval)
    unparsed = TableCell(unparsed_share(average) if average else MISSING)
    return (*head, *cells, unparsed)


def _cell(estimate: Estimate | None, row_codes: tuple[str, ...], footnotes: Footnotes) -> TableCell:
    if estimate is None:
        return TableCell(MISSING, detail="no such cell in this run")
    text = estimate_text(estimate, points(estimate.value))
    return TableCell(text, marks=marks(estimate, row_codes, footnotes), detail=describe(estimate))
