"""Single-text tasks: the label is the one whose cue words are in the majority.

Every label of the task has at least one cue in every text, so that a rationale for a wrong label
has something to quote. A hard text gives one rival label a second cue (for stars, a neighbouring
label). With `negation`, "not W" is a cue for the label that W speaks against (two labels only).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rllr.data.generated.draft import Draft, Label
from rllr.data.generated.words import CONTENT

NEGATED = 0.2
TEMPLATES = ("the word {0} decides.", "{0} stands out.", "it turns on {0}.")


@dataclass(frozen=True)
class CueGrammar:
    """`majority` cues of the label, one of every other label and `fillers` neutral words."""

    lexicon: Mapping[Any, tuple[str, ...]]
    fillers: int
    majority: int = 3
    negation: bool = False
    ordered: bool = False
    templates: tuple[str, ...] = TEMPLATES

    @property
    def labels(self) -> tuple[Label, ...]:
        return tuple(self.lexicon)

    def draw(self, label: Label, hard: bool, rng: random.Random) -> Draft:
        """Write a text for `label`."""
        counts = {other: 1 for other in self.labels} | {label: self.majority}
        if hard:
            counts[self._rival(label, rng)] += 1
        decks = {each: rng.sample(words, len(words)) for each, words in self.lexicon.items()}
        cues = {each: [self._cue(each, decks, rng) for _ in range(counts[each])] for each in counts}
        units = [cue for group in cues.values() for cue in group]
        units += rng.sample(CONTENT, self.fillers)
        rng.shuffle(units)
        quotes: dict[Label, tuple[str, ...]] = {
            each: (rng.choice(group),) for each, group in cues.items()
        }
        return Draft({"text": " ".join(units)}, quotes)

    def _rival(self, label: Label, rng: random.Random) -> Label:
        place = self.labels.index(label)
        near = [place - 1, place + 1] if self.ordered else range(len(self.labels))
        return self.labels[
            rng.choice([i for i in near if 0 <= i < len(self.labels) and i != place])
        ]

    def _cue(self, label: Label, decks: dict[Label, list[str]], rng: random.Random) -> str:
        if self.negation and rng.random() < NEGATED:
            (other,) = (each for each in decks if each != label)
            return f"not {decks[other].pop()}"
        return decks[label].pop()

    def read(self, fields: dict[str, Any]) -> Label:
        """The label with most cues in the text."""
        owner = {word: label for label, words in self.lexicon.items() for word in words}
        counts = dict.fromkeys(self.labels, 0)
        words = fields["text"].split()
        for before, word in zip(["", *words], words, strict=False):
            if word in owner:
                counts[self._meant(owner[word], before)] += 1
        return max(counts, key=lambda label: counts[label])

    def _meant(self, label: Label, before: str) -> Label:
        if before != "not":
            return label
        return next(other for other in self.labels if other != label)
