"""What each stage of a run took, from the manifests, and all that a method rests on."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rllr.reporting.results.collect import Run
from rllr.reporting.results.spent import Spent

# What `stage` of a manifest says, in the order in which stages run.
KINDS = ("base", "sft", "sample", "judge", "reward", "policy", "predict")
TRAINED = ("sft", "reward", "policy")
BASE = "base"
JUDGED = "rationale_sensitive"


class Stage(NamedTuple):
    """A kind of stage and its own name; of sampling, judging and prediction that of the method."""

    kind: str
    name: str


class Part(NamedTuple):
    """One artefact of a stage; `unit` is `mixture` or a task. A base model has no seed."""

    model: str
    stage: Stage
    unit: str
    seed: int | None


@dataclass(frozen=True)
class Cost:
    """What one or several artefacts took; None where it was not recorded or does not apply.

    `gpu_seconds` is wall time times GPUs. Memory is in MiB, the largest of any; all else adds up.
    """

    seconds: float
    gpu_seconds: float | None
    memory: float | None
    gpu_memory: float | None
    steps: float | None
    tokens: float | None


def cost_of(spent: Spent) -> Cost:
    """The cost of one artefact."""
    return Cost(
        seconds=spent.seconds,
        gpu_seconds=spent.seconds * spent.gpus if spent.gpus else None,
        memory=spent.peak_rss_mib,
        gpu_memory=spent.peak_gpu_mib,
        steps=spent.steps,
        tokens=spent.tokens,
    )


@dataclass(frozen=True)
class Mean:
    """The mean cost over the seeds that have all artefacts; `seeds` is how many those are."""

    cost: Cost
    seeds: int


@dataclass(frozen=True)
class Ledger:
    """The manifests of a run's models and seeds, by the artefact that each one is of."""

    run: Run
    parts: dict[Part, Spent]

    def stages(self) -> list[Stage]:
        """Every stage that some model has, in running order; methods in the grid's."""
        order = [entry.key for entry in self.run.grid.methods]
        place = {name: index for index, name in enumerate(order)}
        found = {part.stage for part in self.parts}
        return sorted(found, key=lambda s: (KINDS.index(s.kind), place.get(s.name, -1), s.name))

    def behind(self, model: str, method: str) -> list[Stage] | None:
        """All stages that a method of a model rests on, itself first; None if one has no manifest.

        Its start, its reward models and theirs and, where the judge's pairs train one of them,
        sampling and judging. Not: the base model, and what all models share (data, rationales).
        """
        waiting, found = [method], list[Stage]()
        while waiting:
            name = waiting.pop(0)
            declared = self._declared(model, name)
            if declared is None:
                return None
            stage, spent = declared
            if stage not in found:
                found += [stage, *_judged(spent)]
                waiting += _starts(spent)
        return list(dict.fromkeys(found))

    def mean(self, model: str, stages: Iterable[Stage]) -> Mean | None:
        """What some stages of a model took together, mean over seeds; None if none has all."""
        wanted = list(stages)
        found = [cost for cost in (self.seed_cost(model, wanted, s) for s in self.seeds) if cost]
        return Mean(_combine(found, statistics.fmean), len(found)) if found else None

    @property
    def seeds(self) -> tuple[int, ...]:
        """The run's."""
        return self.run.grid.seeds

    def seed_cost(self, model: str, stages: Sequence[Stage], seed: int) -> Cost | None:
        """What some stages of a model took with one seed; None if an artefact has no manifest."""
        wanted = [
            Part(model, stage, unit, None if stage.kind == BASE else seed)
            for stage in stages
            for unit in self._units(stage)
        ]
        if not wanted or any(part not in self.parts for part in wanted):
            return None
        return _total([(part.stage, cost_of(self.parts[part])) for part in wanted])

    def _units(self, stage: Stage) -> list[str]:
        grid = self.run.grid
        if stage.kind == BASE:
            return [""]
        if stage.kind == "predict":
            return [task.key for task in grid.test_tasks]
        return ["mixture"] if grid.scope == "mixture" else [task.key for task in grid.tasks]

    def _declared(self, model: str, name: str) -> tuple[Stage, Spent] | None:
        for part, spent in self.parts.items():
            if (part.model, part.stage.name) == (model, name) and part.stage.kind in TRAINED:
                return part.stage, spent
        return None


def open_ledger(run: Run) -> Ledger:
    """Sort a run's manifests; those of no model or seed of its grid are left out."""
    found = {_part(run, path, spent): spent for path, spent in run.spent.items()}
    return Ledger(run, {part: spent for part, spent in found.items() if part is not None})


def _part(run: Run, path: Path, spent: Spent) -> Part | None:
    bases = {Path(base): model for model, base in run.grid.bases.items()}
    if path.parent in bases:
        return Part(bases[path.parent], Stage(BASE, BASE), "", None)
    if spent.stage not in KINDS or len(path.parts) < 5:
        return None
    model, name, unit, folder = path.parts[-5:-1]
    if spent.stage == "predict":  # its path names the task first
        name, unit = unit, name
    number = folder.removeprefix("seed")
    seed = int(number) if number.isdecimal() else None
    known = model in {entry.key for entry in run.grid.models} and seed in run.grid.seeds
    return Part(model, Stage(spent.stage, name), unit, seed) if known else None


def _starts(spent: Spent) -> Iterator[str]:
    """Names of the trained stages that one is trained from, or with."""
    names = (spent.start, *spent.reward_models, _reward_start(spent))
    yield from (name for name in names if name not in (None, BASE))


def _judged(spent: Spent) -> list[Stage]:
    start = _reward_start(spent)
    if start is None or spent.pairs != JUDGED:
        return []
    return [Stage("sample", start), Stage("judge", start)]


def _reward_start(spent: Spent) -> str | None:
    declared = spent.settings.get("reward_model")
    start = declared.get("start") if isinstance(declared, dict) else None
    return start if isinstance(start, str) else None


# --- sums and means ------------------------------------------------------------------------------

Values = list[float | None]


def _total(found: Sequence[tuple[Stage, Cost]]) -> Cost:
    """Several artefacts together; what a trained one did not record is not known of all."""
    costs = [cost for _, cost in found]
    trained = [cost for stage, cost in found if stage.kind in TRAINED]
    total = _combine(costs, sum)
    return replace(
        total,
        steps=total.steps if all(cost.steps is not None for cost in trained) else None,
        tokens=total.tokens if all(cost.tokens is not None for cost in trained) else None,
    )


def _combine(costs: Sequence[Cost], add: Callable[[list[float]], float]) -> Cost:
    """Costs by their sum or mean, peaks by the largest."""
    return Cost(
        seconds=add([cost.seconds for cost in costs]),
        gpu_seconds=_known(add, [cost.gpu_seconds for cost in costs]),
        memory=_known(max, [cost.memory for cost in costs]),
        gpu_memory=_known(max, [cost.gpu_memory for cost in costs]),
        steps=_known(add, [cost.steps for cost in costs]),
        tokens=_known(add, [cost.tokens for cost in costs]),
    )


def _known(function: Callable[[list[float]], float], values: Values) -> float | None:
    """The sum, mean or largest of what is known; None if nothing is."""
    known = [value for value in values if value is not None]
    return function(known) if known else None
