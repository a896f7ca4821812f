"""Reads metrics files: one per cell, at the path that it says it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from rllr.errors import RllrError
from rllr.reporting.results.find import find_metrics
from rllr.reporting.results.grid import CellKey, Metric, first_problem
from rllr.reporting.results.reading import SEED, Count, Finite, read_object


@dataclass(frozen=True)
class Cell:
    """One `metrics.json`: metric values and interval ends are fractions, the rest are counts."""

    model: str
    task: str
    method: str
    seed: int
    metric: Metric
    value: Annotated[float, Field(ge=-1, le=1)]
    n: Annotated[int, Field(gt=0)]
    unparsed: Count
    ci_low: Finite | None = None
    ci_high: Finite | None = None
    prompts_cut: Count = 0
    responses_cut: Count = 0
    extra: dict[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    scope: str = "mixture"

    @property
    def key(self) -> CellKey:
        """The cell's identity."""
        return CellKey(self.model, self.task, self.method, self.seed)


_CELL: TypeAdapter[Cell] = TypeAdapter(Cell)


def read_cells(run_dir: Path, warnings: list[str]) -> Iterator[Cell]:
    """Every usable metrics file of a folder; `warnings` names the others."""
    found, unread = find_metrics(run_dir)
    warnings += [f"{problem}: left out" for problem in unread]
    for path in found:
        shown = path.relative_to(run_dir)
        try:
            yield read_cell(path, shown)
        except RllrError as error:
            warnings.append(f"{shown}: left out: {error}")


def read_cell(path: Path, shown: Path) -> Cell:
    """The cell of a metrics file; `shown` is its path from the run's folder.

    Raises RllrError, without the path, where it is none, or another cell's.
    """
    key = _cell_key(shown)
    content = read_object(path)
    try:
        cell = _CELL.validate_python(content)
    except ValidationError as error:
        raise RllrError(f"not a metrics file: {first_problem(error)}") from error
    if cell.key != key:
        raise RllrError(f"foreign: it says it is {'/'.join(map(str, cell.key))}")
    if cell.unparsed > cell.n:
        raise RllrError(f"{cell.unparsed} of {cell.n} responses unparsed")
    return cell


def _cell_key(shown: Path) -> CellKey:
    parts = shown.parts[1:-1]
    seed = SEED.fullmatch(parts[-1]) if len(parts) == 4 else None
    if seed is None:
        raise RllrError("foreign: not at cells/<model>/<task>/<method>/seed<k>/metrics.json")
    model, task, method, _ = parts
    return CellKey(model, task, method, int(seed[1]))
