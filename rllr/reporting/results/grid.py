"""What a run is meant to hold: models, tasks, methods and seeds, with their names and order.

Read from `grid.json`; where a run has none, it is inferred from the cells that are there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from rllr import files
from rllr.errors import RllrError

BASELINE_MODEL = "_baseline"
MAJORITY = "majority"
CONTEXT_METHODS = (MAJORITY, "zero_shot")
METHOD_NAMES = {
    MAJORITY: "Majority class",
    "zero_shot": "Zero-shot",
    "sft_label": "SFT (label only)",
    "sft": "SFT",
    "rlhf": "RLHF",
    "rllr": "RLLR",
    "rllr_mixed": "RLLR mixed",
}

Metric = Literal["accuracy", "pearson"]
# Of an example, or predicted: a class name, stars, or a score.
Label = str | int | float


class CellKey(NamedTuple):
    """The identity of a result; its path in the results folder."""

    model: str
    task: str
    method: str
    seed: int

    @property
    def path(self) -> Path:
        """The cell's folder, relative to the run's."""
        return Path("cells", self.model, self.task, self.method, f"seed{self.seed}")


@dataclass(frozen=True)
class Entry:
    """A model or method: the key used in paths and the name shown to readers."""

    key: str
    name: str


@dataclass(frozen=True)
class ModelEntry(Entry):
    """A model; `size` is billions of parameters."""

    family: str | None = None
    size: float | None = None


@dataclass(frozen=True)
class TaskEntry:
    """A task; an unparseable score counts as the midpoint of `score_range` (pearson only)."""

    key: str
    name: str
    metric: Metric
    score_range: tuple[float, float] = (0.0, 5.0)


@dataclass(frozen=True)
class Grid:
    """A run's models, tasks and methods in the order in which tables show them.

    `methods` are trained; `context_methods` are rows for comparison that train nothing;
    `context_tasks` are further test sets, which no average and no difference counts.
    """

    run: str
    models: tuple[ModelEntry, ...]
    tasks: tuple[TaskEntry, ...]
    methods: tuple[Entry, ...]
    context_methods: tuple[Entry, ...] = ()
    context_tasks: tuple[TaskEntry, ...] = ()
    seeds: tuple[int, ...] = (0,)
    scope: str = "mixture"
    paper: bool = False
    generated: bool = False
    # Of the data, of rationales and of judgements: what `data`, `teacher` and `judge` say.
    origins: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    # (method, against) whose test responses a judge compares; None where nobody says.
    comparisons: tuple[tuple[str, str], ...] | None = None
    # Base models' folders by model, seen from the run's: runs share them.
    bases: dict[str, str] = field(default_factory=dict)
    # Digests of the settings of each stage, by its folder; see `rllr.expected`.
    expected_settings: dict[str, str] = field(default_factory=dict)

    @property
    def test_tasks(self) -> tuple[TaskEntry, ...]:
        """All that models are evaluated on."""
        return (*self.tasks, *self.context_tasks)

    def name(self, key: str) -> str:
        """The shown name of a model or method; the key itself where the grid has no such entry."""
        entries: tuple[Entry, ...] = (*self.models, *self.context_methods, *self.methods)
        named = {entry.key: entry.name for entry in entries}
        return named.get(key, METHOD_NAMES.get(key, key))

    @property
    def model_context(self) -> tuple[Entry, ...]:
        """Context methods that are run on each model (all but the majority baseline)."""
        return tuple(entry for entry in self.context_methods if entry.key != MAJORITY)

    @property
    def runs(self) -> int:
        """How often a complete run trains one stage of a model: for each seed and unit."""
        return len(self.seeds) * (len(self.tasks) if self.scope != "mixture" else 1)

    def holds(self, key: CellKey) -> bool:
        """Whether a cell belongs to this grid; the majority baseline belongs to every grid."""
        if key.task not in {task.key for task in self.test_tasks}:
            return False
        if key.model == BASELINE_MODEL:
            return key.method == MAJORITY
        methods = {entry.key for entry in (*self.methods, *self.model_context)}
        known_model = key.model in {entry.key for entry in self.models}
        return known_model and key.method in methods and key.seed in self.seeds

    def expected(self) -> list[CellKey]:
        """Every cell of a trained method that a complete run holds."""
        return [
            CellKey(model.key, task.key, method.key, seed)
            for model in self.models
            for method in self.methods
            for task in self.test_tasks
            for seed in self.seeds
        ]


_GRID: TypeAdapter[Grid] = TypeAdapter(Grid)


def read_grid(path: Path) -> Grid:
    """Read `grid.json`. Raises RllrError that names the file and key where it is malformed."""
    return parse_grid(files.read_json(path), str(path))


def parse_grid(content: Any, where: str) -> Grid:
    """The grid that `grid.json` holds, or would hold. Raises RllrError as `read_grid` does."""
    try:
        return _GRID.validate_python(content)
    except ValidationError as error:
        raise RllrError(f"{where}: not a grid: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """The first problem of a pydantic error as one line: key and reason."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the file"
    return f"{where}: {problem['msg']}"


def infer_grid(run: str, cells: Iterable[tuple[CellKey, Metric]], scopes: set[str]) -> Grid:
    """The grid that the cells found make up: sorted, known methods in their usual order.

    `scopes` are what they say of theirs; where they do not agree, it is a mixture.
    """
    found = list(cells)
    metrics = {key.task: metric for key, metric in found}
    methods = sorted({key.method for key, _ in found if key.model != BASELINE_MODEL}, key=_order)
    trained = [key for key in methods if key not in CONTEXT_METHODS]
    context = [key for key in methods if key in CONTEXT_METHODS]
    models = sorted({key.model for key, _ in found} - {BASELINE_MODEL})
    seeds = sorted({key.seed for key, _ in found if key.model != BASELINE_MODEL})
    return Grid(
        run=run,
        models=tuple(ModelEntry(key, key) for key in models),
        tasks=tuple(TaskEntry(key, key, metrics[key]) for key in sorted(metrics)),
        methods=tuple(Entry(key, METHOD_NAMES.get(key, key)) for key in trained),
        context_methods=tuple(Entry(key, METHOD_NAMES[key]) for key in context),
        seeds=tuple(seeds) or (0,),
        scope=next(iter(scopes)) if len(scopes) == 1 else "mixture",
    )


def _order(method: str) -> tuple[int, str]:
    known = list(METHOD_NAMES)
    return (known.index(method) if method in known else len(known), method)
