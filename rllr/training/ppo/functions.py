"""Reward functions: rewards computed from the response's text, without a reward model.

Each takes responses (decoded, without end token) and, per response, its `Gold`; each returns one
float per response. Beyond the paper, which has reward models only: `label_correct` alone is what is
now called reinforcement learning with verifiable rewards (RLVR; Lambert et al. 2024, arXiv
2411.15124).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rllr.config.schema import ScoreLabels, TaskConfig
from rllr.errors import RllrError
from rllr.tasks.labels import Label
from rllr.tasks.response import parse_response
from rllr.tasks.verdict import is_right


@dataclass(frozen=True)
class Gold:
    """What a function may know of a prompt: its task and, where the data has one, its label."""

    task: TaskConfig
    label: Label | None = None


def label_correct(responses: Sequence[str], golds: Sequence[Gold]) -> list[float]:
    """1 where the stated label is the gold one, else 0; RllrError without a gold label.

    A score is hardly ever met exactly; it gives 1 - |stated - gold| / range. No readable label: 0.
    """
    return [_correct(text, gold) for text, gold in zip(responses, golds, strict=True)]


def _correct(text: str, gold: Gold) -> float:
    if gold.label is None:
        raise RllrError(
            f"reward function label_correct needs gold labels, and a prompt of task "
            f"{gold.task.name!r} has none; label the prompts (split rl), or use a reward model"
        )
    stated, labels = parse_response(gold.task, text).label, gold.task.labels
    if stated is None:
        return 0.0
    if isinstance(labels, ScoreLabels):
        distance = abs(float(stated) - float(gold.label))
        return 1 - distance / (labels.maximum - labels.minimum)
    return float(is_right(stated, gold.label, score=False))


def format_valid(responses: Sequence[str], golds: Sequence[Gold]) -> list[float]:
    """1 where a legal label can be read from the response, else 0."""
    pairs = zip(responses, golds, strict=True)
    return [float(parse_response(gold.task, text).label is not None) for text, gold in pairs]


def length(responses: Sequence[str], golds: Sequence[Gold]) -> list[float]:
    """Words of the response; give it a small negative weight to ask for short ones.

    Words, not tokens: so that one weight means the same for models of different tokenizers.
    """
    return [float(len(text.split())) for text in responses]


FUNCTIONS: dict[str, Callable[[Sequence[str], Sequence[Gold]], list[float]]] = {
    "label_correct": label_correct,
    "format_valid": format_valid,
    "length": length,
}
