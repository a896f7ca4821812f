"""What a set of preference pairs is like, beside how many there are.

Reward models cheat where they can: a chosen response that is mostly the longer one teaches length
(Singhal et al. 2023), and a pair of equal responses teaches nothing. Agreement is how often the
better response's label is right, counted where exactly one of the two labels is (a score within
half a point of the gold one); the gold label is used for this figure alone, after the pairs were
made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rllr.config.load import Project
from rllr.config.schema import ScoreLabels, TaskConfig
from rllr.tasks.labels import Label, label_text
from rllr.tasks.response import parse_response
from rllr.tasks.verdict import is_right

Pair = Mapping[str, Any]
UNLABELLED = "unlabelled"


def pair_statistics(project: Project, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Of all pairs, and below `by_task` of each task's, there below `by_label` by gold label.

    Shares are fractions, None where there is nothing to count; differences in length are chosen
    less rejected. Scores are grouped by their integer part.
    """
    by_task: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_task[pair["task"]].append(pair)
    groups = {task: _task_statistics(project.tasks[task], rows) for task, rows in by_task.items()}
    return {**_statistics(project.tasks, pairs), "by_task": dict(sorted(groups.items()))}


def _task_statistics(task: TaskConfig, pairs: Sequence[Pair]) -> dict[str, Any]:
    by_label: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_label[label_group(task, pair["example"].get("label"))].append(pair)
    tasks = {pair["task"]: task for pair in pairs}
    groups = {name: _statistics(tasks, rows) for name, rows in sorted(by_label.items())}
    return {**_statistics(tasks, pairs), "by_label": groups}


def label_group(task: TaskConfig, label: Label | None) -> str:
    """A class's name, or the integer part of a score."""
    if label is None:
        return UNLABELLED
    return str(int(label)) if isinstance(task.labels, ScoreLabels) else label_text(task, label)


def _statistics(tasks: Mapping[str, TaskConfig], pairs: Sequence[Pair]) -> dict[str, Any]:
    characters = [len(pair["chosen"]) - len(pair["rejected"]) for pair in pairs]
    words = [len(pair["chosen"].split()) - len(pair["rejected"].split()) for pair in pairs]
    return {
        "pairs": len(pairs),
        **_labels(tasks, pairs),
        "same_text": sum(pair["chosen"].strip() == pair["rejected"].strip() for pair in pairs),
        "longer_by_characters": fmean(characters) if pairs else None,
        "longer_by_words": fmean(words) if pairs else None,
        "chosen_is_longer": _share(sum(count > 0 for count in characters), len(pairs)),
        "rejected_is_longer": _share(sum(count < 0 for count in characters), len(pairs)),
    }


def _labels(tasks: Mapping[str, TaskConfig], pairs: Sequence[Pair]) -> dict[str, Any]:
    equal = agree = split = 0
    for pair in pairs:
        task, gold = tasks[pair["task"]], pair["example"].get("label")
        sides = [pair[side] for side in ("chosen", "rejected")]
        chosen, rejected = (stated_label(task, text) for text in sides)
        equal += chosen is not None and chosen == rejected
        if gold is None:
            continue
        score = isinstance(task.labels, ScoreLabels)
        labels = (parse_response(task, text).label for text in sides)
        good, bad = (is_right(label, gold, score=score) for label in labels)
        split += good != bad
        agree += good > bad
    return {
        "equal_labels": _share(equal, len(pairs)),
        "one_label_right": split,
        "judge_prefers_right": _share(agree, split),
    }


def stated_label(task: TaskConfig, response: str) -> str | None:
    """A response's label as a response writes it, so that 3.75 and 3.8 are the same."""
    label = parse_response(task, response).label
    return None if label is None else label_text(task, label)


def _share(count: int, of: int) -> float | None:
    return count / of if of else None
