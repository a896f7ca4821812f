"""A task's label set: legal labels, their text, reading them back, and wrong ones."""

from __future__ import annotations

import math
import random
from typing import Any

from rllr.config.schema import ClassLabels, ScoreLabels, TaskConfig
from rllr.errors import RllrError

Label = str | int | float


def legal_label(task: TaskConfig, value: Any) -> Label:
    """Return `value` as a label of the task; RllrError says what is allowed."""
    labels = task.labels
    if isinstance(labels, ScoreLabels):
        if not _is_number(value):
            raise RllrError(f"label {value!r} is not a number")
        if not labels.minimum <= value <= labels.maximum:
            raise RllrError(f"label {value!r} is outside {labels.minimum:g}..{labels.maximum:g}")
        return float(value)
    if isinstance(value, bool) or value not in labels.values:
        raise RllrError(f"label {value!r} is none of {', '.join(map(repr, labels.values))}")
    return next(label for label in labels.values if label == value)


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a float can be; true and false are none."""
    try:
        return not isinstance(value, bool) and math.isfinite(value)
    except (TypeError, OverflowError):
        return False


def label_text(task: TaskConfig, label: Label) -> str:
    """The label as a response states it."""
    if isinstance(task.labels, ScoreLabels):
        return f"{float(label):.{task.labels.decimals}f}"
    return str(label)


def label_bin(task: TaskConfig, label: Label) -> str:
    """The class that a label is counted under: its text, scores rounded to whole numbers."""
    if isinstance(task.labels, ScoreLabels):
        return str(math.floor(float(label) + 0.5))
    return label_text(task, label)


def read_label(task: TaskConfig, text: str) -> Label | None:
    """The label that `text` states, or None when it states no legal one."""
    if isinstance(task.labels, ScoreLabels):
        return _read_score(task.labels, _bare(text))
    by_text = {_bare(str(label)): label for label in task.labels.values}
    return by_text.get(_bare(text))


def _bare(text: str) -> str:
    """Case-folded, without quotes and closing punctuation; a leading point is a score's own."""
    return text.rstrip(" \t\r\n\"'`*.,;:!").lstrip(" \t\r\n\"'`*").casefold()


def _read_score(labels: ScoreLabels, text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if labels.minimum <= value <= labels.maximum else None


def wrong_labels(task: TaskConfig, gold: Label) -> list[Label]:
    """Every other class; for scores the multiples of `wrong_step` at least `wrong_by` away."""
    labels = task.labels
    if isinstance(labels, ClassLabels):
        return [label for label in labels.values if label != gold]
    steps = round((labels.maximum - labels.minimum) / labels.wrong_step)
    grid = [labels.minimum + step * labels.wrong_step for step in range(steps + 1)]
    return [score for score in grid if abs(score - float(gold)) >= labels.wrong_by - 1e-9]


def sampled_wrong_labels(
    task: TaskConfig, gold: Label, count: int | str, rng: random.Random
) -> list[Label]:
    """All wrong labels (`count` = "all") or `count` of them without repetition."""
    wrong = wrong_labels(task, gold)
    return wrong if count == "all" else rng.sample(wrong, min(int(count), len(wrong)))


def midpoint(task: TaskConfig) -> float:
    """What an unparseable response scores as, for a task of kind score."""
    assert isinstance(task.labels, ScoreLabels)
    return (task.labels.minimum + task.labels.maximum) / 2
