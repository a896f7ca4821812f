"""The offline teacher for any data: quotes the input's words most associated with a label.

Associations are counted on the task's SFT split alone. Right and wrong rationales come from the
same templates; a wrong one quotes the words that speak most for the wrong label.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rllr.config.schema import TaskConfig
from rllr.data.examples import read_examples
from rllr.tasks.labels import Label
from rllr.teacher.base import Ask
from rllr.teacher.lexicon import Lexicon, features

TEMPLATES = (
    'It says "{0}" and "{1}".',
    'The words "{0}" and "{1}" decide.',
    'Note "{0}" and then "{1}".',
)
NOTHING = "It says very little."


class LexicalTeacher:
    """Writes rationales from a word-label lexicon."""

    def __init__(self, task: TaskConfig, lexicon: Lexicon, seed: int) -> None:
        self.task = task
        self.lexicon = lexicon
        self.seed = seed

    @classmethod
    def from_training_data(cls, task: TaskConfig, folder: Path, seed: int) -> LexicalTeacher:
        """Count the lexicon on `folder`/sft.jsonl."""
        return cls(task, Lexicon.count(task, read_examples(folder / "sft.jsonl", task)), seed)

    def rationales(self, asks: Sequence[Ask]) -> list[str | None]:
        """A rationale for each ask; none is ever missing."""
        return [self.rationale(ask.example, ask.label) for ask in asks]

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"backend": "lexical"}

    def rationale(self, example: Mapping[str, Any], label: Label) -> str:
        """Quote the two words of the input that speak most for `label` (ties: alphabetical)."""
        found = features(self.task, example)
        ranked = sorted(found, key=lambda word: (-self.lexicon.score(found[word], label), word))
        if not ranked:
            return NOTHING
        rng = random.Random(f"{self.seed}/{example['id']}/{label}")
        return rng.choice(TEMPLATES).format(ranked[0], ranked[min(1, len(ranked) - 1)])
