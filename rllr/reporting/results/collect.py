"""Reads a folder of results: cells, training summaries and the grid; bad files are left out.

Nothing here fails because one file is missing or broken: what cannot be used is named in
`Run.warnings`, with paths relative to the run's folder.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from rllr import files
from rllr.errors import RllrError
from rllr.reporting.results.find import find_metrics, other_folder
from rllr.reporting.results.grid import CellKey, Grid, Metric, first_problem, infer_grid, read_grid
from rllr.reporting.results.judged import Judged, JudgedKey, load_judged
from rllr.reporting.results.provenance import Provenance, trace
from rllr.reporting.results.spent import Spent, read_spent

Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
PairKind = Literal["label_sensitive", "rationale_sensitive"]
PAIR_KINDS: tuple[PairKind, ...] = ("label_sensitive", "rationale_sensitive")


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


class StageKey(NamedTuple):
    """The identity of something trained; `unit` is `mixture` or a task."""

    model: str
    stage: str
    unit: str
    seed: int

    @property
    def path(self) -> Path:
        """The stage's folder, relative to the run's."""
        return Path("trained", self.model, self.stage, self.unit, f"seed{self.seed}")


@dataclass(frozen=True)
class PairCount:
    """How many held-out pairs a reward model ranked correctly, of how many."""

    correct: Count
    n: Count
    by_task: dict[str, PairCount] = field(default_factory=dict)


@dataclass(frozen=True)
class SftSummary:
    """Supervised fine-tuning: mean validation loss per response token (nats)."""

    kind: Literal["sft"]
    validation_loss_before: Finite
    validation_loss_after: Finite


@dataclass(frozen=True)
class RewardSummary:
    """A reward model, trained on `pairs` and scored on held-out pairs of each kind."""

    kind: Literal["reward"]
    pairs: PairKind
    accuracy: dict[PairKind, PairCount | None]


@dataclass(frozen=True)
class Gain:
    """Mean rise of the reward over held-out prompts, and its standard error."""

    mean: Finite
    se: Finite


@dataclass(frozen=True)
class Divergence:
    """KL divergence from the start at the last step, in nats per response."""

    final: Finite


@dataclass(frozen=True)
class RlSummary:
    """A policy: the method it starts from, its reward models, its reward on held-out prompts.

    A reward term that is a function has no model: None among `reward_models`.
    """

    kind: Literal["rl"]
    start: str | None
    reward_gain: Gain
    reward_models: tuple[str | None, ...] = ()
    skipped_batches: float = Field(0, ge=0)
    kl: Divergence | None = None


StageSummary = Annotated[SftSummary | RewardSummary | RlSummary, Field(discriminator="kind")]

_CELL: TypeAdapter[Cell] = TypeAdapter(Cell)
_STAGE: TypeAdapter[SftSummary | RewardSummary | RlSummary] = TypeAdapter(StageSummary)
# As they are written: seed00 would be a second file of seed 0.
_SEED = re.compile(r"seed(0|[1-9][0-9]*)")


@dataclass(frozen=True)
class Run:
    """A folder of results as found; `cells` holds only those that the grid names.

    `warnings` names each file that could not be used, and `left_out` counts the metrics files
    among them. `spent` is what each manifest says of its stage, by path relative to the folder.
    """

    folder: Path
    grid: Grid
    cells: dict[CellKey, Cell]
    stages: dict[StageKey, SftSummary | RewardSummary | RlSummary]
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
    found = {cell.key: cell for cell in _read_cells(run_dir, warnings)}
    grid = grid or _own_grid(run_dir, found)
    inside = {key: cell for key, cell in found.items() if grid.holds(key)}
    cells = dict(_with_known_metric(inside, grid, warnings))
    left_out = len(warnings)
    if not cells:
        raise RllrError(_nothing(run_dir, len(found) - len(inside), warnings))
    if len(found) > len(inside):
        outside = len(found) - len(inside)
        warnings.append(f"{outside} cells lie outside the run's grid and are not in the tables")
    stages = dict(_read_stages(run_dir, warnings))
    judged = load_judged(run_dir, grid, warnings)
    spent = read_spent(run_dir, grid.bases.values(), warnings)
    traced = trace(run_dir, grid.run, cells, grid.expected_settings, warnings)
    return Run(run_dir, grid, cells, stages, warnings, left_out, judged, spent, traced)


def _own_grid(run_dir: Path, found: dict[CellKey, Cell]) -> Grid:
    path = run_dir / "grid.json"
    if path.exists():
        return read_grid(path)
    return infer_grid(run_dir.resolve().name, ((c.key, c.metric) for c in found.values()))


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
        print(f"rllr: warning: {warning}", file=sys.stderr)


def _nothing(run_dir: Path, outside: int, warnings: list[str]) -> str:
    looked = f"{run_dir}: no usable cell in cells/<model>/<task>/<method>/seed<k>/metrics.json"
    if outside:
        looked += f"; {outside} cells lie outside grid.json"
    if warnings:
        looked += f"; left out: {len(warnings)}, the first: {warnings[0]}"
    return f"{looked}. {other_folder(run_dir)}"


def _read_cells(run_dir: Path, warnings: list[str]) -> Iterator[Cell]:
    found, unread = find_metrics(run_dir)
    warnings += [f"{problem}: left out" for problem in unread]
    for path in found:
        shown = path.relative_to(run_dir)
        try:
            yield _read_cell(path, shown)
        except RllrError as error:
            warnings.append(f"{shown}: left out: {error}")


def _read_cell(path: Path, shown: Path) -> Cell:
    key = _cell_key(shown)
    content = _read_object(path, shown)
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
    seed = _SEED.fullmatch(parts[-1]) if len(parts) == 4 else None
    if seed is None:
        raise RllrError("foreign: not at cells/<model>/<task>/<method>/seed<k>/metrics.json")
    model, task, method, _ = parts
    return CellKey(model, task, method, int(seed[1]))


def _read_object(path: Path, shown: Path) -> dict[str, Any]:
    try:
        content = files.read_json(path)
    except RllrError as error:
        raise RllrError(str(error).replace(f"{path}: ", "")) from error
    if not isinstance(content, dict):
        raise RllrError(f"expected a JSON object, found {type(content).__name__}")
    return content


StageItem = tuple[StageKey, SftSummary | RewardSummary | RlSummary]


def _read_stages(run_dir: Path, warnings: list[str]) -> Iterator[StageItem]:
    for path in sorted(run_dir.glob("trained/*/*/*/seed*/summary.json")):
        shown = path.relative_to(run_dir)
        _, model, stage, unit, seed, _ = shown.parts
        match = _SEED.fullmatch(seed)
        try:
            if match is None:
                raise RllrError("foreign: its folder is not seed<k>")
            summary = _STAGE.validate_python(_read_object(path, shown))
            yield StageKey(model, stage, unit, int(match[1])), summary
        except RllrError as error:
            warnings.append(f"{shown}: left out: {error}")
        except ValidationError as error:
            warnings.append(f"{shown}: left out: {first_problem(error)}")
