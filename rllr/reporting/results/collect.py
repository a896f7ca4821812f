"""Reads a folder of results; bad files are left out.

Nothing here fails because one file is missing or broken: what cannot be used is named in
`Run.warnings`, with paths relative to the run's folder.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rllr.errors import RllrError
from rllr.plain import plain
from rllr.reporting.results.cells import Cell, read_cells
from rllr.reporting.results.find import other_folder
from rllr.reporting.results.grid import CellKey, Grid, infer_grid, read_grid
from rllr.reporting.results.judged import Judged, JudgedKey, load_judged
from rllr.reporting.results.provenance import Provenance, trace
from rllr.reporting.results.spent import Spent, read_spent
from rllr.reporting.results.summaries import StageKey, Summary, read_summaries


@dataclass(frozen=True)
class Run:
    """A folder of results as found; `cells` holds only those that the grid names.

    `warnings` names each file that could not be used, and `left_out` counts the metrics files
    among them. `spent` is what each manifest says of its stage, by path relative to the folder.
    """

    folder: Path
    grid: Grid
    cells: dict[CellKey, Cell]
    stages: dict[StageKey, Summary]
    warnings: list[str]
    left_out: int = 0
    judged: dict[JudgedKey, Judged] = field(default_factory=dict)
    spent: dict[Path, Spent] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)


def load_run(run_dir: Path, grid: Grid | None = None) -> Run:
    """Read a run's folder; without a `grid`, its own `grid.json` or what its cells make up.

    Raises RllrError if there is no such folder, if it holds no usable metrics file, or if its
    `grid.json` is malformed.
    """
    if not run_dir.is_dir():
        raise RllrError(f"{run_dir}: no such folder of results")
    warnings: list[str] = []
    found = {cell.key: cell for cell in read_cells(run_dir, warnings)}
    grid = grid or _own_grid(run_dir, found)
    inside = {key: cell for key, cell in found.items() if grid.holds(key)}
    cells = dict(_with_known_metric(inside, grid, warnings))
    left_out = len(warnings)
    if not cells:
        raise RllrError(_nothing(run_dir, len(found) - len(inside), warnings))
    if len(found) > len(inside):
        outside = len(found) - len(inside)
        warnings.append(f"{outside} cells lie outside the run's grid and are not in the tables")
    stages = dict(read_summaries(run_dir, warnings))
    judged = load_judged(run_dir, grid, warnings)
    traced = trace(run_dir, grid.run, cells, grid.expected_settings, warnings)
    spent = read_spent(run_dir, grid.bases.values(), warnings)
    warnings = _once(warnings)
    return Run(run_dir, grid, cells, stages, warnings, left_out, judged, spent, traced)


def _once(warnings: list[str]) -> list[str]:
    """Each broken manifest named once: more than one reader may have stumbled over it."""
    named: dict[str, str] = {}
    for warning in warnings:
        where = warning.split(": ", 1)[0]
        named.setdefault(where if where.endswith("manifest.json") else warning, warning)
    return list(named.values())


def _own_grid(run_dir: Path, found: dict[CellKey, Cell]) -> Grid:
    path = run_dir / "grid.json"
    if path.exists():
        return read_grid(path)
    cells = found.values()
    scopes = {cell.scope for cell in cells}
    return infer_grid(run_dir.resolve().name, ((c.key, c.metric) for c in cells), scopes)


def _with_known_metric(
    cells: dict[CellKey, Cell], grid: Grid, warnings: list[str]
) -> Iterator[tuple[CellKey, Cell]]:
    metrics = {task.key: task.metric for task in grid.test_tasks}
    for key, cell in cells.items():
        if cell.metric == metrics[key.task]:
            yield key, cell
        else:
            where = key.path / "metrics.json"
            reason = f"its metric is {cell.metric}, its task's is {metrics[key.task]}"
            warnings.append(f"{where}: left out: foreign: {reason}")


def announce(warnings: list[str]) -> None:
    """Print a run's warnings to stderr, one line each."""
    for warning in warnings:
        print(f"rllr: warning: {plain(warning)}", file=sys.stderr)


def _nothing(run_dir: Path, outside: int, warnings: list[str]) -> str:
    looked = f"{run_dir}: no usable cell in cells/<model>/<task>/<method>/seed<k>/metrics.json"
    if outside:
        looked += f"; {outside} cells lie outside grid.json"
    if warnings:
        looked += f"; left out: {len(warnings)}, the first: {warnings[0]}"
    return f"{looked}. {other_folder(run_dir)}"
