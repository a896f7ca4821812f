"""The offline judge: ranks responses by their rationale and never sees the gold label.

A response scores by two things: which share of the words it quotes as evidence stands in the
input, and how much a word-label lexicon, counted on training data, says that they support the
label that the response states. Words between double quotes are evidence; where nothing is quoted,
every word of the rationale that occurs in training inputs is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rllr.config.schema import TaskConfig
from rllr.data.examples import read_examples
from rllr.tasks.labels import Label
from rllr.tasks.response import parse_response
from rllr.teacher.base import BothOrders, Comparison
from rllr.teacher.lexicon import Lexicon, features, words_of

QUOTED = re.compile(r'"([^"]+)"')
SUPPORT_LIMIT = 2.0
UNREADABLE = -2.0


class LexicalJudge:
    """Scores responses of one task; larger is better."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.vocabulary = lexicon.vocabulary

    @classmethod
    def from_training_data(cls, task: TaskConfig, data_folder: Path) -> LexicalJudge:
        """The judge whose lexicon is counted on a task's sft split."""
        return cls(Lexicon.count(task, read_examples(data_folder / "sft.jsonl", task)))

    def prefer(self, comparisons: Sequence[Comparison]) -> list[int | None]:
        """The response with the larger score is better; equal scores are ties."""
        return [self._verdict(one) for one in comparisons]

    def both_orders(self, comparisons: Sequence[Comparison]) -> list[BothOrders]:
        """Twice the same: each response is scored by itself, wherever it is shown."""
        return [(verdict, verdict) for verdict in map(self._verdict, comparisons)]

    def _verdict(self, one: Comparison) -> int:
        first, second = (self.score(one.example, text) for text in (one.first, one.second))
        return (first > second) - (first < second)

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"backend": "lexical"}

    def evidence(self, rationale: str) -> list[str]:
        """The words that a rationale offers as evidence."""
        quoted = [word for part in QUOTED.findall(rationale) for word in words_of(part)]
        return quoted or [word for word in words_of(rationale) if word in self.vocabulary]

    def score(self, example: Mapping[str, Any], response: str) -> float:
        """In [-2, 2]: share of evidence found in the input, plus its support (-1..1)."""
        parsed = parse_response(self.lexicon.task, response)
        words = self.evidence(parsed.rationale)
        if parsed.label is None:
            return UNREADABLE
        if not words:
            return -1.0
        found = features(self.lexicon.task, example)
        grounded = [word for word in words if word in found]
        support = sum(self._support(found[word], parsed.label) for word in grounded)
        return (len(grounded) + support) / len(words)

    def _support(self, feature: str, label: Label) -> float:
        """The lexicon's score of one word, squashed to [-1, 1]."""
        score = self.lexicon.score(feature, label)
        return max(-SUPPORT_LIMIT, min(SUPPORT_LIMIT, score)) / SUPPORT_LIMIT
