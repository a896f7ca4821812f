"""From what a user types, `llama2-7b/sst2/rllr`, to a cell that is there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rllr.config.messages import nearest
from rllr.errors import RllrError
from rllr.reporting.results.collect import Run
from rllr.reporting.results.grid import BASELINE_MODEL, MAJORITY, CellKey

SHAPE = "a cell is MODEL/TASK/METHOD or MODEL/TASK/METHOD/seedK, for instance llama2-7b/sst2/rllr"
METRICS = "metrics.json"


def split_path(name: str) -> tuple[Path | None, str]:
    """The run's folder and the cell's name, where a whole path was given; else None and the name.

    `results/tiny/cells/llama2-tiny/sst2/rllr/seed0/metrics.json` is as good as its cell.
    """
    run, found, cell = name.rstrip("/").removesuffix(f"/{METRICS}").rpartition("cells/")
    return (Path(run or "."), cell) if found else (None, cell)


def find_cell(run: Run, name: str) -> CellKey:
    """The cell of that name; without a seed the first that is there.

    Raises RllrError that suggests the nearest name, or says how a missing cell is made.
    """
    parts = name.split("/")
    seed = re.fullmatch(r"seed(\d+)", parts[3]) if len(parts) == 4 else None
    if len(parts) != 3 and seed is None:
        raise RllrError(f"{name!r}: {SHAPE}")
    model, task, method = parts[:3]
    _known("model", model, [BASELINE_MODEL, *(entry.key for entry in run.grid.models)], name)
    _known("task", task, [entry.key for entry in run.grid.test_tasks], name)
    _known("method", method, _methods(run, model), name)
    there = seeds_of(run, CellKey(model, task, method, 0))
    key = CellKey(model, task, method, next(iter(there), run.grid.seeds[0]))
    if seed:
        key = key._replace(seed=int(seed[1]))
    if key not in run.cells:
        raise RllrError(_missing(run, key, there))
    return key


def seeds_of(run: Run, key: CellKey) -> list[int]:
    """The seeds of which a model, task and method have a cell, sorted."""
    return sorted(other.seed for other in run.cells if other[:3] == key[:3])


def _methods(run: Run, model: str) -> list[str]:
    if model == BASELINE_MODEL:
        return [MAJORITY]
    return [entry.key for entry in (*run.grid.methods, *run.grid.model_context)]


def _known(what: str, name: str, known: Sequence[str], cell: str) -> None:
    if name not in known:
        raise RllrError(f"{cell}: no {what} {name!r} in this run{nearest(name, list(known))}")


def _missing(run: Run, key: CellKey, there: Sequence[int]) -> str:
    """Why a cell of the grid is not there, and what makes it."""
    path = run.folder / key.path / METRICS
    spoilt = [text for text in run.warnings if text.startswith(f"{key.path / METRICS}:")]
    if spoilt:
        return f"{run.folder / spoilt[0]}; delete it, and {made_by(path)}"
    if not run.grid.holds(key) or (there and key.model == BASELINE_MODEL):
        seeds = ", ".join(map(str, there or run.grid.seeds))
        return f"{run.folder / key.path}: no seed {key.seed} of it in this run (seeds: {seeds})"
    return f"{run.folder / key.path}: not there yet; {made_by(path)}"


def made_by(path: Path) -> str:
    """The command that makes a file."""
    return f"`snakemake -c2 {path}` makes it (for a run of your own with --configfile FILE)"
