"""A right, a wrong and an unparseable response of each model and method, to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from rllr import files
from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.grid import CellKey
from rllr.tasks.verdict import is_right

Outcome = Literal["right", "wrong", "unparsed"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "unparsed")
LONGEST = 1200
ROWS_LOOKED_AT = 1000


@dataclass(frozen=True)
class Sample:
    """One response with its prompt, both cut to a readable length."""

    outcome: Outcome
    task: str
    id: str
    prompt: str
    response: str
    label: str
    prediction: str


def samples_of(analysis: Analysis, model: str, method: str) -> list[Sample]:
    """The first response of each outcome that this model and method have, in the run's first seed.

    Each model starts from another task, so that a report shows several tasks, and a model's
    methods can be compared on the same ones.
    """
    grid = analysis.run.grid
    start = [entry.key for entry in grid.models].index(model)
    tasks = [task.key for task in grid.tasks]
    turned = tasks[start % len(tasks) :] + tasks[: start % len(tasks)]
    found: dict[Outcome, Sample] = {}
    for task in turned:
        for sample in _read(analysis, CellKey(model, task, method, grid.seeds[0])):
            found.setdefault(sample.outcome, sample)
            if len(found) == len(OUTCOMES):
                break
        if len(found) == len(OUTCOMES):
            break
    return [found[outcome] for outcome in OUTCOMES if outcome in found]


def _read(analysis: Analysis, key: CellKey) -> Iterator[Sample]:
    # Only files that could be read in full when they were analysed.
    if key not in analysis.predictions:
        return
    path = analysis.run.folder / key.path / "predictions.jsonl"
    pearson = analysis.run.cells[key].metric == "pearson"
    for _, row in islice(files.numbered_rows(path), ROWS_LOOKED_AT):
        yield _sample(key.task, row, pearson=pearson)


def _sample(task: str, row: dict[str, Any], *, pearson: bool) -> Sample:
    return Sample(
        outcome=_outcome(row, pearson=pearson),
        task=task,
        id=str(row["id"]),
        prompt=_cut(str(row.get("prompt", ""))),
        response=_cut(str(row["response"])),
        label=str(row["label"]),
        prediction=str(row["prediction"]),
    )


def _outcome(row: dict[str, Any], *, pearson: bool) -> Outcome:
    if row["prediction"] is None:
        return "unparsed"
    return "right" if is_right(row["prediction"], row["label"], score=pearson) else "wrong"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text)} characters)"
