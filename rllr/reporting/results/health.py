"""What makes a number suspect: unreadable, cut and lopsided answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.grid import CellKey, TaskEntry
from rllr.reporting.results.predictions import Label, Predictions


@dataclass(frozen=True)
class LabelShift:
    """Predicted labels against gold ones, over responses that could be read.

    `distance` is the total variation distance of the two distributions, in 0..1: half the sum over
    labels of |predicted share - gold share|. `label` is the most over-predicted one, `excess` by
    what share. Scores are rounded to whole numbers; `mean_difference` is predicted minus gold
    (classes: None).
    """

    distance: float
    label: str
    excess: float
    mean_difference: float | None


@dataclass(frozen=True)
class TaskHealth:
    """One model's responses to one task under one method, seeds pooled."""

    task: TaskEntry
    n: int
    unparsed: int
    responses_cut: int
    prompts_cut: int
    shift: LabelShift | None
    cells: tuple[CellKey, ...]


def task_health(analysis: Analysis, model: str, task: TaskEntry, method: str) -> TaskHealth | None:
    """What is known of one task; None where the run has no such cell.

    Without predictions there is no label shift.
    """
    keys = tuple(
        k for group in analysis.score_group(model, task.key, method).values() for k in group
    )
    if not keys:
        return None
    cells = [analysis.run.cells[key] for key in keys]
    found = [analysis.predictions[key] for key in keys if key in analysis.predictions]
    return TaskHealth(
        task=task,
        n=sum(cell.n for cell in cells),
        unparsed=sum(cell.unparsed for cell in cells),
        responses_cut=sum(cell.responses_cut for cell in cells),
        prompts_cut=sum(cell.prompts_cut for cell in cells),
        shift=label_shift(found, scores=task.metric == "pearson"),
        cells=keys,
    )


def label_shift(found: Iterable[Predictions], *, scores: bool) -> LabelShift | None:
    """The shift of some predictions; None if no response could be read.

    Gold labels are those of all responses, read or not: a model that answers only where the label
    is easy to say is lopsided too.
    """
    rows = list(found)
    gold = [label for one in rows for label in one.labels]
    predicted = [value for one in rows for value in one.values if value is not None]
    if not predicted:
        return None
    mine, theirs = (_shares(values, scores=scores) for values in (predicted, gold))
    excess = {label: mine.get(label, 0.0) - theirs.get(label, 0.0) for label in {**theirs, **mine}}
    label = max(sorted(excess), key=lambda name: excess[name])
    distance = sum(abs(value) for value in excess.values()) / 2
    difference = _mean(predicted) - _mean(gold) if scores else None
    return LabelShift(distance, label, excess[label], difference)


def _shares(values: Sequence[Label], *, scores: bool) -> dict[str, float]:
    counts = Counter(label_bin(value, scores=scores) for value in values)
    return {label: count / len(values) for label, count in counts.items()}


def label_bin(value: Label, *, scores: bool) -> str:
    """What a label is counted under; a score is rounded to a whole number."""
    return str(math.floor(float(value) + 0.5)) if scores else str(value)


def _mean(values: Sequence[Label]) -> float:
    return sum(map(float, values)) / len(values)
