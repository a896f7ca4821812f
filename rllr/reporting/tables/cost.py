"""What stages and methods cost, so that methods can be compared at equal budget.

`cost` has a row per stage, `method_cost` one per method with all that it rests on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.cost import BASE, Cost, Ledger, Mean, Part, Stage, cost_of, open_ledger
from rllr.reporting.results.grid import Grid
from rllr.reporting.results.spent import Spent
from rllr.reporting.tables.cells import coverage
from rllr.reporting.tables.table import MISSING, Record, Row, Table, TableCell

SECONDS = {"h": 3600.0, "min": 60.0}
# Above this many seconds in the longest row, a table is in hours.
LONG = 2 * SECONDS["h"]
MIB_PER_GIB = 1024
MILLION = 1e6
MEASURES = (
    "Wall time is of all attempts, killed ones too, and start-up; GPU hours are wall hours times "
    "GPUs, a dash without a GPU. Memory is the peak of a stage's first process. Tokens in "
    "training are those of prompts and responses (in each epoch), in sampling and prediction "
    "the generated ones."
)


@dataclass(frozen=True)
class Line:
    """A row before it is shown: its model, its name, its cost."""

    model: str
    name: str
    mean: Mean | None
    records: tuple[Record, ...]


def cost_table(analysis: Analysis) -> Table:
    """The `cost` table: a row per model and stage; without manifests it has no rows."""
    grid, ledger = analysis.run.grid, open_ledger(analysis.run)
    blocks = [list(_stage_lines(ledger, model.key)) for model in grid.models]
    caption = "Mean over seeds, sum over training units. " + MEASURES
    return _table(ledger, blocks, ("cost", "Cost of each stage", "Stage"), caption)


def method_cost_table(analysis: Analysis) -> Table:
    """The `method_cost` table: a row per model and method; without manifests it has no rows."""
    grid, ledger = analysis.run.grid, open_ledger(analysis.run)
    blocks = [[_method_line(ledger, m.key, one.key) for one in grid.methods] for m in grid.models]
    caption = (
        "A method with all that it rests on: its start, its reward models and, where the judge's "
        "pairs train one, sampling and judging. Not the base model, nor what all models share "
        "(data, rationales), nor prediction. Mean over seeds. " + MEASURES
    )
    return _table(ledger, blocks, ("method_cost", "Cost of each method", "Method"), caption)


def method_mean(ledger: Ledger, model: str, method: str) -> Mean | None:
    """What a method of a model took with all that it rests on; None where that is not known."""
    stages = ledger.behind(model, method)
    return ledger.mean(model, stages) if stages else None


def _stage_lines(ledger: Ledger, model: str) -> Iterable[Line]:
    grid, stages = ledger.run.grid, ledger.stages()
    trained = {entry.key for entry in grid.methods}
    for stage in (stage for stage in stages if stage.kind != "predict"):
        mean = ledger.mean(model, [stage])
        yield Line(model, _stage_name(grid, stage), mean, _part_records(ledger, model, [stage]))
    predicting = [stage for stage in stages if stage.kind == "predict" and stage.name in trained]
    if predicting:
        records = _part_records(ledger, model, [s for s in stages if s.kind == "predict"])
        yield Line(model, "Prediction, all methods", ledger.mean(model, predicting), records)


def _stage_name(grid: Grid, stage: Stage) -> str:
    if stage.kind == BASE:
        return "Base model"
    names = {"sample": "Sampling from", "judge": "Judging", "reward": "Reward model"}
    return (
        f"{names[stage.kind]} {grid.name(stage.name)}"
        if stage.kind in names
        else (grid.name(stage.name))
    )


def _method_line(ledger: Ledger, model: str, method: str) -> Line:
    stages = ledger.behind(model, method) or []
    shown = ";".join(f"{stage.kind}/{stage.name}" for stage in stages)
    identity = {"model": model, "method": method, "stages": shown}
    costs = {seed: ledger.seed_cost(model, stages, seed) for seed in ledger.seeds}
    records = tuple({**identity, "seed": s, **_numbers(c)} for s, c in costs.items() if c)
    missing: tuple[Record, ...] = ({**identity, "seed": None},)
    mean = ledger.mean(model, stages)
    return Line(model, ledger.run.grid.name(method), mean, records or missing)


def _part_records(ledger: Ledger, model: str, stages: Sequence[Stage]) -> tuple[Record, ...]:
    found = [(part, one) for part, one in ledger.parts.items() if part.model == model]
    return tuple(_part_record(part, one) for part, one in found if part.stage in stages)


def _part_record(part: Part, spent: Spent) -> Record:
    identity = {"model": part.model, "kind": part.stage.kind, "stage": part.stage.name}
    numbers = {**_numbers(cost_of(spent)), "gpus": spent.gpus}
    how = {"attempts": spent.attempts, "device": spent.device}
    return {**identity, "unit": part.unit or None, "seed": part.seed, **numbers, **how}


def _numbers(cost: Cost) -> Record:
    return {
        "wall_seconds": round(cost.seconds, 2),
        "gpu_hours": None if cost.gpu_seconds is None else round(cost.gpu_seconds / 3600, 6),
        "memory_mib": cost.memory,
        "gpu_memory_mib": cost.gpu_memory,
        "steps": cost.steps,
        "tokens": cost.tokens,
    }


# --- what is shown -------------------------------------------------------------------------------


def _table(
    ledger: Ledger, blocks: list[list[Line]], names: tuple[str, str, str], caption: str
) -> Table:
    """`names` are the table's, its title and what its rows are."""
    name, title, what = names
    lines = [line for block in blocks for line in block if ledger.parts]
    known = [line.mean for line in lines if line.mean]
    unit, grid = time_unit([mean.cost.seconds for mean in known]), ledger.run.grid
    heads = ("GPU hours", "Memory (GiB)", "GPU memory (GiB)", "Steps", "Tokens (M)")
    return Table(
        name=name,
        title=title,
        caption=caption if lines else "This run has no manifests: what it took is not known.",
        columns=("Model", what, f"Wall time ({unit})", *heads),
        groups=tuple(
            tuple(_row(grid, line, unit) for line in block) for block in blocks if lines and block
        ),
        notes=tuple(_holes(lines, len(grid.seeds))),
    )


def _holes(lines: Sequence[Line], seeds: int) -> Iterator[str]:
    missing = sum(line.mean is None for line in lines)
    if missing:
        yield f"{missing} of {len(lines)} rows lack a manifest of some artefact: a dash."
    if any(line.mean and line.mean.seeds < seeds for line in lines):
        yield "(2/3): 2 of 3 seeds have all manifests; the mean is theirs."


def _row(grid: Grid, line: Line, unit: str) -> Row:
    head = (TableCell(grid.name(line.model)), TableCell(line.name))
    if line.mean is None:
        dashes = [TableCell(MISSING) for _ in range(6)]
        return (*head, TableCell(MISSING, records=line.records), *dashes[1:])
    cost = line.mean.cost
    wall = amount(cost.seconds / SECONDS[unit]) + coverage(line.mean.seeds, len(grid.seeds))
    others = (
        _scaled(cost.gpu_seconds, SECONDS["h"]),
        _scaled(cost.memory, MIB_PER_GIB),
        _scaled(cost.gpu_memory, MIB_PER_GIB),
        MISSING if cost.steps is None else f"{cost.steps:,.0f}",
        _scaled(cost.tokens, MILLION),
    )
    return (*head, TableCell(wall, records=line.records), *map(TableCell, others))


def time_unit(seconds: Sequence[float]) -> str:
    """The unit in which a table or figure shows wall times: hours where the longest is long."""
    return "h" if max(seconds, default=0.0) > LONG else "min"


def _scaled(value: float | None, by: float) -> str:
    return MISSING if value is None else amount(value / by)


def amount(value: float) -> str:
    """A number with about three digits and no exponent: 1,234, 12.3, 1.23, 0.123."""
    decimals = next((d for d, above in enumerate((100, 10, 1)) if value >= above), 3)
    return f"{value:,.{decimals}f}"
