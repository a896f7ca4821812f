"""What a reader needs to distrust a cell: bad answers, KL, skipped batches, flags.

Each row is a model and a method; the worst task is named beside, all of them stand in the CSV.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.checks import stage_of
from rllr.reporting.results.grid import CellKey
from rllr.reporting.results.health import TaskHealth, task_health
from rllr.reporting.results.summaries import RlSummary
from rllr.reporting.tables.cells import MINUS, points, signed, to_points
from rllr.reporting.tables.notes import run_notes
from rllr.reporting.tables.table import MISSING, Footnotes, Record, Row, Table, TableCell

COLUMNS = (
    "Model",
    "Method",
    "% unparsed",
    "% truncated",
    "% prompts cut",
    "Label shift",
    "Worst task",
    "KL",
    "Skipped",
    "Flagged",
)
CAPTION = (
    "Of all responses to test examples: in how many no label could be read, how many were cut at "
    "the limit of new tokens, how many prompts were cut; in brackets the task where it is worst. "
    "Label shift: total variation distance, in points, between the labels predicted (as far as "
    "read; scores rounded) and the gold labels, mean over tasks; then the task where it is "
    "largest, in brackets the label that is predicted too often and by how many points. KL "
    "divergence from the start, in nats per response, at the last step, and batches that training "
    "skipped, mean over training runs. Flagged: cells that carry a flag."
)


def health_table(analysis: Analysis) -> Table:
    """The `health` table; it covers context methods too."""
    grid, footnotes = analysis.run.grid, Footnotes()
    methods = [entry.key for entry in (*grid.model_context, *grid.methods)]
    blocks = [
        tuple(row for method in methods if (row := _row(analysis, model.key, method, footnotes)))
        for model in grid.models
    ]
    return Table(
        name="health",
        title="What to distrust",
        caption=CAPTION,
        columns=COLUMNS,
        groups=tuple(block for block in blocks if block),
        footnotes=footnotes.texts(),
        notes=run_notes(analysis, marked=bool(footnotes.codes)),
    )


def _row(analysis: Analysis, model: str, method: str, footnotes: Footnotes) -> Row | None:
    """One model and method; None if it has no cell."""
    grid = analysis.run.grid
    tasks = [
        found for task in grid.test_tasks if (found := task_health(analysis, model, task, method))
    ]
    if not tasks:
        return None
    keys = [key for task in tasks for key in task.cells]
    codes = tuple(dict.fromkeys(flag.code for key in keys for flag in analysis.flags[key]))
    flagged = sum(bool(analysis.flags[key]) for key in keys)
    policies = _policies(analysis, keys)
    identity = {"model": model, "method": method}
    records = tuple(_record(analysis, identity, task) for task in tasks)
    return (
        TableCell(grid.name(model)),
        TableCell(grid.name(method), records=records),
        TableCell(_share(tasks, lambda task: task.unparsed)),
        TableCell(_share(tasks, lambda task: task.responses_cut)),
        TableCell(_share(tasks, lambda task: task.prompts_cut)),
        *map(TableCell, _shift(tasks)),
        TableCell(_mean([one.kl.final for one in policies if one.kl], 2)),
        TableCell(_mean([one.skipped_batches for one in policies], 1)),
        TableCell(f"{flagged}/{len(keys)}", marks=footnotes.letters(codes)),
    )


def _share(tasks: Sequence[TaskHealth], count: Callable[[TaskHealth], int]) -> str:
    """A share of all responses in percent and, where tasks differ, the task with the largest."""
    shares = [count(task) / task.n for task in tasks]
    shown = points(sum(map(count, tasks)) / sum(task.n for task in tasks))
    if max(shares) == min(shares):
        return shown
    worst = shares.index(max(shares))
    return f"{shown} ({tasks[worst].task.name} {points(shares[worst])})"


def _shift(tasks: Sequence[TaskHealth]) -> tuple[str, str]:
    """Mean label shift, and the task where it is largest with its most over-predicted label."""
    shifts = [(task.task.name, task.shift) for task in tasks if task.shift]
    if not shifts:
        return MISSING, MISSING
    name, worst = max(shifts, key=lambda pair: pair[1].distance)
    mean = statistics.fmean(shift.distance for _, shift in shifts)
    if not worst.distance:
        return points(mean), MISSING
    return points(mean), f"{name} {points(worst.distance)} ({worst.label}: {signed(worst.excess)})"


def _mean(values: Sequence[float], decimals: int) -> str:
    if not values:
        return MISSING
    return f"{statistics.fmean(values):.{decimals}f}".replace("-", MINUS)


def _policies(analysis: Analysis, keys: Sequence[CellKey]) -> list[RlSummary]:
    """The training summaries of the policies behind some cells, each once."""
    stages = dict.fromkeys(stage_of(analysis.run, key, key.method) for key in keys)
    found = [analysis.run.stages.get(stage) for stage in stages]
    return [summary for summary in found if isinstance(summary, RlSummary)]


def _record(analysis: Analysis, identity: dict[str, str], found: TaskHealth) -> Record:
    """One task's row of the CSV; seeds are pooled."""
    codes = [flag.code for key in found.cells for flag in analysis.flags[key]]
    policies = _policies(analysis, found.cells)
    shift = found.shift
    counts = {"unparsed": found.unparsed, "responses_cut": found.responses_cut}
    counts["prompts_cut"] = found.prompts_cut
    return {
        **identity,
        "task": found.task.key,
        "cells": len(found.cells),
        "n": found.n,
        **counts,
        **{f"{name}_percent": round(100 * k / found.n, 4) for name, k in counts.items()},
        "label_shift_points": to_points(shift.distance) if shift else None,
        "over_predicted": shift.label if shift else None,
        "over_predicted_points": to_points(shift.excess) if shift else None,
        "mean_difference": shift.mean_difference if shift else None,
        "kl_final": statistics.fmean(kl)
        if (kl := [p.kl.final for p in policies if p.kl])
        else None,
        "skipped_batches": sum(one.skipped_batches for one in policies) if policies else None,
        "flags": ";".join(dict.fromkeys(codes)),
    }
