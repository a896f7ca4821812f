"""RLLR against one other method: every difference with its test, corrected for their number.

A family of tests is what one comparison asks at one level: overall, per model, per task, per cell
(a model and task), per run (one seed of a cell). Levels answer different questions, so each is
corrected on its own (`rllr.reporting.statistics.hypothesis.holm`).

The test of a cell that has one seed, and of every run, is one of the two methods' answers to the
same examples: McNemar's exact test, for a correlation a permutation test. All other numbers are
tested as their interval is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rllr.reporting.results.analysis import Analysis, Estimate, Group
from rllr.reporting.results.grid import CellKey, TaskEntry
from rllr.reporting.statistics.hypothesis import holm, mcnemar_exact, permuted_pearson
from rllr.reporting.tables.scores import model_blocks

METHOD = "rllr"
OTHERS = ("sft", "sft_label", "rlhf")
OVERALL = "overall"
# A corrected p-value below this is marked.
SIGNIFICANT = 0.05

# Of a shown difference: its models' keys, and its task or `overall`.
Place = tuple[tuple[str, ...], str]


@dataclass(frozen=True)
class Test:
    """A two-sided test of no difference: its name, its p-value, and that corrected by Holm."""

    name: str
    p: float
    corrected: float


@dataclass(frozen=True)
class RunTest:
    """One seed of a cell. For an accuracy, on how many examples one side alone is right."""

    key: CellKey
    difference: float
    only_mine: int | None
    only_theirs: int | None
    test: Test


@dataclass(frozen=True)
class Comparison:
    """All differences of RLLR and `other`, their tests, and those of single runs."""

    other: str
    estimates: Mapping[Place, Estimate | None]
    tests: Mapping[Place, Test]
    runs: tuple[RunTest, ...]


def compared(analysis: Analysis) -> list[str]:
    """The methods of this run that RLLR is compared with; empty if the run has no RLLR."""
    methods = {entry.key for entry in analysis.run.grid.methods}
    return [other for other in OTHERS if other in methods] if METHOD in methods else []


def compare(analysis: Analysis, other: str) -> Comparison:
    """Every difference of RLLR and `other` with its test."""
    columns = [*(task.key for task in analysis.run.grid.tasks), OVERALL]
    estimates = {
        (models, task): estimate
        for _, models in model_blocks(analysis.run.grid)
        for task, estimate in zip(columns, delta_estimates(analysis, models, other), strict=True)
    }
    runs = _run_tests(analysis, other)
    return Comparison(other, estimates, _corrected(analysis, estimates, runs), runs)


def delta_estimates(analysis: Analysis, models: Sequence[str], other: str) -> list[Estimate | None]:
    """RLLR minus `other`: one estimate per task (mean over `models`) and, last, the overall one."""
    columns: list[list[Group]] = [
        [analysis.delta_group(model, task.key, METHOD, other) for model in models]
        for task in analysis.run.grid.tasks
    ]
    columns.append([group for column in columns for group in column])
    return [analysis.estimate(column, analysis.seeds_of(METHOD)) for column in columns]


# --- levels --------------------------------------------------------------------------------------


def level(models: Sequence[str], task: str, *, all_models: bool) -> str:
    """Which question a difference answers: overall, model, task or cell."""
    if task == OVERALL:
        return OVERALL if all_models else "model"
    return "task" if all_models else "cell"


def is_all(analysis: Analysis, models: Sequence[str]) -> bool:
    """Whether a block of several models is that of all."""
    return len(models) == len(analysis.run.grid.models) > 1


def _corrected(
    analysis: Analysis, estimates: Mapping[Place, Estimate | None], runs: Sequence[RunTest]
) -> dict[Place, Test]:
    several = len(analysis.run.grid.seeds) > 1
    single = {} if several else {((run.key.model,), run.key.task): run.test for run in runs}
    families: dict[str, dict[Place, float]] = {}
    names: dict[Place, str] = {}
    for place, estimate in estimates.items():
        if estimate is None or estimate.interval is None:
            continue
        names[place] = single[place].name if place in single else _name(estimate)
        p = single[place].p if place in single else estimate.interval.p
        kind = level(*place, all_models=is_all(analysis, place[0]))
        families.setdefault(kind, {})[place] = p
    return {
        place: Test(names[place], family[place], corrected)
        for family in families.values()
        for place, corrected in holm(family).items()
    }


def _name(estimate: Estimate) -> str:
    crossed = estimate.interval is not None and estimate.interval.df is not None
    return "t" if crossed else "bootstrap"


# --- single runs ---------------------------------------------------------------------------------


def _run_tests(analysis: Analysis, other: str) -> tuple[RunTest, ...]:
    found = [
        run
        for task in analysis.run.grid.tasks
        for run in _tests_of_task(analysis, task, _pairs(analysis, task.key, other))
    ]
    corrected = holm({run.key: run.test.p for run in found})
    return tuple(
        replace(run, test=replace(run.test, corrected=corrected[run.key])) for run in found
    )


def _pairs(analysis: Analysis, task: str, other: str) -> list[tuple[CellKey, CellKey]]:
    """RLLR's cells of a task and the other method's, of one model and seed each."""
    grid = analysis.run.grid
    mine = [CellKey(m.key, task, METHOD, seed) for m in grid.models for seed in grid.seeds]
    pairs = [(key, key._replace(method=other)) for key in mine]
    return [pair for pair in pairs if all(key in analysis.values for key in pair)]


def _tests_of_task(
    analysis: Analysis, task: TaskEntry, pairs: Sequence[tuple[CellKey, CellKey]]
) -> Iterator[RunTest]:
    sides = [[analysis.predictions[key] for key in pair] for pair in pairs]
    differences = [analysis.run.cells[a].value - analysis.run.cells[b].value for a, b in pairs]
    if task.metric == "accuracy":
        for (key, _), both, difference in zip(pairs, sides, differences, strict=True):
            first, second = (one.correct() for one in both)
            counts = int((first > second).sum()), int((second > first).sum())
            p = mcnemar_exact(first, second)
            yield RunTest(key, difference, *counts, Test("McNemar exact", p, p))
    elif pairs:
        middle = sum(task.score_range) / 2
        mine, theirs = ([both[side].scores(middle) for both in sides] for side in (0, 1))
        values = permuted_pearson(mine, theirs, sides[0][0].gold(), task.key)
        for (key, _), difference, p in zip(pairs, differences, values, strict=True):
            yield RunTest(key, difference, None, None, Test("permutation", p, p))
