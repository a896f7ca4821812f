"""The tidy CSV rows behind the score tables."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from rllr.reporting.results.analysis import Analysis, Estimate
from rllr.reporting.results.cells import Cell
from rllr.reporting.results.grid import CellKey
from rllr.reporting.tables.cells import estimate_record, to_points
from rllr.reporting.tables.table import Record

AVERAGE = "average"


def score_records(
    analysis: Analysis,
    models: tuple[str, ...],
    method: str,
    task: str,
    estimate: Estimate | None,
) -> tuple[Record, ...]:
    """The CSV rows of a shown number: itself and, where it averages seeds, each seed's cell.

    Further metrics (macro-F1, F1, Spearman) are averaged as the number itself; over tasks they are
    not, as no two tasks need have the same.
    """
    model = models[0] if len(models) == 1 else "all"
    metric = {entry.key: str(entry.metric) for entry in analysis.run.grid.test_tasks}.get(
        task, "mean"
    )
    identity = {"model": model, "method": method, "task": task, "metric": metric}
    seeds = _cell_records(analysis, identity) if model != "all" and task != AVERAGE else []
    if len(seeds) == 1 and estimate is not None:
        return ({**identity, "seed": None, **estimate_record(estimate), **seeds[0]},)
    further = {} if task == AVERAGE else _mean_extras(analysis, models, method, task)
    return ({**identity, "seed": "mean", **estimate_record(estimate), **further}, *seeds)


def _mean_extras(analysis: Analysis, models: tuple[str, ...], method: str, task: str) -> Record:
    """Further metrics, mean over models of the mean over seeds; those that all cells have."""
    groups = [analysis.score_group(model, task, method) for model in models]
    cells = [
        [analysis.run.cells[key] for one in group.values() for key in one]
        for group in groups
        if group
    ]
    found = [set(_extras(cell)) for group in cells for cell in group]
    names = set.intersection(*found) if found else set()
    return {
        name: round(fmean(fmean(_extras(cell)[name] for cell in group) for group in cells), 4)
        for name in sorted(names)
    }


def _extras(cell: Cell) -> dict[str, float]:
    """A cell's further metrics as CSV fields, in points."""
    numbers = {name: value for name, value in cell.extra.items() if _is_fraction(value)}
    return {f"{name}_points": round(100 * value, 4) for name, value in sorted(numbers.items())}


def _is_fraction(value: object) -> bool:
    """Whether it is a share or a correlation; neither NaN nor infinity is."""
    return isinstance(value, float | int) and not isinstance(value, bool) and -1 <= value <= 1


def _cell_records(analysis: Analysis, identity: dict[str, str]) -> list[dict[str, Any]]:
    group = analysis.score_group(identity["model"], identity["task"], identity["method"])
    return [_cell_record(analysis, identity, key) for seed in group.values() for key in seed]


def _cell_record(analysis: Analysis, identity: dict[str, str], key: CellKey) -> dict[str, Any]:
    cell = analysis.run.cells[key]
    return {
        **identity,
        "seed": key.seed,
        "points": to_points(cell.value),
        **_interval(analysis, key),
        "cells": 1,
        "n": cell.n,
        "unparsed": cell.unparsed,
        "unparsed_percent": round(100 * cell.unparsed / cell.n, 4),
        "prompts_cut": cell.prompts_cut,
        "responses_cut": cell.responses_cut,
        **_extras(cell),
        "flags": ";".join(dict.fromkeys(flag.code for flag in analysis.flags[key])),
    }


def _interval(analysis: Analysis, key: CellKey) -> dict[str, Any]:
    """That of the cell's predictions; where they are missing, the one in its metrics file."""
    estimate, cell = analysis.estimate([{key.seed: {key: 1.0}}], seeds=1), analysis.run.cells[key]
    found = estimate.interval if estimate else None
    low, high = (found.low, found.high) if found else (cell.ci_low, cell.ci_high)
    return {"ci_low_points": to_points(low), "ci_high_points": to_points(high)}
