"""One cell in the terminal: its numbers, what to distrust, its files, and some of its responses."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rllr.errors import RllrError
from rllr.reporting.browse.cell_name import METRICS, find_cell, seeds_of, split_path
from rllr.reporting.browse.examples import only_run
from rllr.reporting.browse.flips import Flips, flips_of, show_flips
from rllr.reporting.browse.sheet import Sheet
from rllr.reporting.results.analysis import Analysis, analyse
from rllr.reporting.results.checks import meaning, stage_of
from rllr.reporting.results.collect import announce, load_run
from rllr.reporting.results.grid import BASELINE_MODEL, CellKey
from rllr.reporting.results.responses import (
    OUTCOMES,
    Outcome,
    Response,
    read_responses,
)
from rllr.reporting.tables.cells import interval_text, points
from rllr.tasks.verdict import SCORE_TOLERANCE

PREDICTIONS = "predictions.jsonl"
BESIDE = (METRICS, PREDICTIONS, "predictions.manifest.json")
TRAINED = ("summary.json", "manifest.json", "log.jsonl")
OUTCOME_NAMES: dict[Outcome, str] = {
    "right": "right",
    "wrong": "wrong",
    "unparsed": "unparseable",
}
NEAR = f"A score within {SCORE_TOLERANCE:g} of the gold one is shown as right."


@dataclass(frozen=True)
class CellRequest:
    """Which cell to show, and which of its responses: `count` of each outcome."""

    name: str
    run: Path | None = None
    against: str | None = None
    outcome: Outcome | None = None
    count: int = 2
    seed: int = 0


def show_cell(request: CellRequest) -> None:
    """Print one cell; with `against`, what changed from that method to this one.

    Raises RllrError where there is no such cell.
    """
    folder, name = split_path(request.name)
    if folder and request.run:
        raise RllrError(f"--run: {request.name} names its run's folder itself")
    analysis = analyse(load_run(request.run or folder or only_run()))
    key = find_cell(analysis.run, name)
    flips = _flips(analysis, key, request)
    announce([text for text in analysis.run.warnings if text.startswith(f"{key.path}/")])
    sheet = Sheet()
    _numbers(analysis, key, sheet)
    _flags(analysis, key, sheet)
    _files(analysis, key, sheet)
    if flips is None:
        _responses(analysis, key, request, sheet)
    else:
        show_flips(flips, sheet, random.Random(request.seed), request.count)


def _flips(analysis: Analysis, key: CellKey, request: CellRequest) -> Flips | None:
    """The comparison that is asked for, before anything is printed; None if there is none."""
    if request.against is None:
        return None
    base = f"{key.model}/{key.task}/{request.against}/seed{key.seed}"
    return flips_of(analysis, key, find_cell(analysis.run, base))


def _numbers(analysis: Analysis, key: CellKey, sheet: Sheet) -> None:
    grid, cell = analysis.run.grid, analysis.run.cells[key]
    task = {entry.key: entry.name for entry in grid.test_tasks}[key.task]
    model = "" if key.model == BASELINE_MODEL else f" of {grid.name(key.model)}"
    sheet.heading(f"{grid.name(key.method)}{model} on {task}, seed {key.seed}")
    seeds = [key._replace(seed=seed) for seed in seeds_of(analysis.run, key)]
    rows = [[f"{cell.metric}, seed {one.seed}", *_value(analysis, one)] for one in seeds]
    rows += [
        [name, points(value), "", ""]
        for name, value in sorted(cell.extra.items())
        if isinstance(value, float | int) and -1 <= value <= 1
    ]
    sheet.table(["in points", "", "95 % CI", "unparseable"], rows, words=1)
    cut = f"prompts cut: {cell.prompts_cut}, responses cut: {cell.responses_cut}"
    sheet.note(f"{cell.n} test examples; {cut}. The interval covers test sampling only.")
    if cell.metric == "pearson":
        sheet.note(NEAR)


def _value(analysis: Analysis, key: CellKey) -> list[str]:
    """The interval of tables and report; without predictions that of the metrics file."""
    cell, estimate = analysis.run.cells[key], analysis.estimate([{key.seed: {key: 1.0}}], seeds=1)
    found = estimate.interval if estimate else None
    low, high = (found.low, found.high) if found else (cell.ci_low, cell.ci_high)
    share = f"{cell.unparsed} ({100 * cell.unparsed / cell.n:.1f} %)"
    return [points(cell.value), interval_text(low, high), share]


def _flags(analysis: Analysis, key: CellKey, sheet: Sheet) -> None:
    for flag in analysis.flags[key]:
        detail = f" ({flag.detail})" if flag.detail else ""
        sheet.note(f"! {flag.code}: {meaning(flag.code)}{detail}")
    if not analysis.flags[key] and analysis.run.stages:
        sheet.note("No flag.")
    if not analysis.run.stages:
        sheet.note("No training summaries were found: whether stages did something is unchecked.")


def _files(analysis: Analysis, key: CellKey, sheet: Sheet) -> None:
    run = analysis.run
    sheet.heading("Files")
    for path in (run.folder / key.path / name for name in BESIDE):
        sheet.note(str(path) if path.exists() else f"{path} (not there)")
    trained = run.folder / stage_of(run, key, key.method).path
    for path in (trained / name for name in TRAINED):
        if path.exists():
            sheet.note(str(path))
    folder = run.folder / key.path
    sheet.note("To make it again (with the --configfile or --profile that the run had, if any):")
    sheet.note(f"  rm -r {folder}")
    sheet.note(f"  snakemake -c2 {folder / METRICS}")


def _responses(analysis: Analysis, key: CellKey, request: CellRequest, sheet: Sheet) -> None:
    if key not in analysis.predictions:
        sheet.heading("No usable predictions: there are no responses to show")
        return
    metric = analysis.run.cells[key].metric
    rows = list(read_responses(analysis.run.folder / key.path / PREDICTIONS))
    draw = random.Random(request.seed)
    for outcome in OUTCOMES if request.outcome is None else (request.outcome,):
        those = [row for row in rows if row.outcome(metric) == outcome]
        chosen = list(sampled(draw, those, request.count))
        sheet.heading(f"{OUTCOME_NAMES[outcome]}: {len(chosen)} of {len(those)} responses")
        for row in chosen:
            sheet.response(row)


def sampled(draw: random.Random, rows: Sequence[Response], count: int) -> Iterator[Response]:
    """At most `count` of the rows, in their order."""
    for index in sorted(draw.sample(range(len(rows)), min(count, len(rows)))):
        yield rows[index]
