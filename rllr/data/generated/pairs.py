"""Sentence-pair tasks: the label says how what one sentence is about relates to the other.

A sentence has a subject: most of its words come from one of a few word fields. The label compares
the subjects of the two sentences, which no single word gives away. A rationale quotes a word of
each sentence; for a wrong label it quotes stray words, as far as there are any that would do.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from rllr.data.generated.draft import Draft, Label
from rllr.data.generated.words import QUESTIONS, SUBJECTS

TEMPLATES = ("second says {0} first says {1}.", "compare {0} with {1}.", "look at {0} and {1}.")
FIELDS = range(len(SUBJECTS))


def _words(field: int, count: int, rng: random.Random) -> list[str]:
    return rng.sample(SUBJECTS[field], count)


def _other(field: int, rng: random.Random) -> int:
    return rng.choice([other for other in FIELDS if other != field])


def _shuffled(words: list[str], rng: random.Random) -> list[str]:
    return rng.sample(words, len(words))


def _field_of(word: str) -> int | None:
    return next((field for field in FIELDS if word in SUBJECTS[field]), None)


def subject(text: str) -> int:
    """The word field that most words of a sentence come from."""
    found = [field for word in text.split() if (field := _field_of(word)) is not None]
    return max(FIELDS, key=found.count)


def _quotes(second: str, first: str) -> tuple[str, ...]:
    return second, first


@dataclass(frozen=True)
class SubjectGrammar:
    """Two sentences about the same subject, or not; a question word first if `questions`.

    `words` words of each sentence are about its subject, and the second has a stray one: of the
    first sentence's subject where the two differ. In a hard pair the first sentence has a stray
    word too.
    """

    same: str
    different: str
    words: int
    questions: bool = False
    templates: tuple[str, ...] = TEMPLATES

    @property
    def labels(self) -> tuple[Label, ...]:
        return (self.same, self.different)

    def draw(self, label: Label, hard: bool, rng: random.Random) -> Draft:
        """Write a pair for `label`."""
        field = rng.choice(FIELDS)
        other = field if label == self.same else _other(field, rng)
        first, second = _words(field, self.words, rng), _words(other, self.words, rng)
        stray = _words(_other(field, rng) if label == self.same else field, 1, rng)
        second_all = _shuffled(second + [word for word in stray if word not in second], rng)
        extra = _words(_other(field, rng), 1, rng) if hard else []
        kept = rng.choice(first)
        truth, lie = _quotes(rng.choice(second), kept), _quotes(stray[0], kept)
        quotes: dict[Label, tuple[str, ...]] = {self.same: truth, self.different: lie}
        if label == self.different:
            quotes = {self.same: lie, self.different: truth}
        asked = [rng.choice(QUESTIONS)] if self.questions else []
        texts = [" ".join([*asked, *part]) for part in (_shuffled(first + extra, rng), second_all)]
        return Draft({"text_a": texts[0], "text_b": texts[1]}, quotes)

    def read(self, fields: dict[str, Any]) -> Label:
        """`same` if both sentences have one subject."""
        return (
            self.same if subject(fields["text_a"]) == subject(fields["text_b"]) else self.different
        )


@dataclass(frozen=True)
class InferenceGrammar:
    """The hypothesis speaks of the premise's subject, denies it, or speaks of something else.

    In a hard neutral hypothesis there is a "not" too: it alone does not contradict.
    """

    words: int
    templates: tuple[str, ...] = TEMPLATES
    labels: tuple[Label, ...] = ("entailment", "neutral", "contradiction")

    def draw(self, label: Label, hard: bool, rng: random.Random) -> Draft:
        """Write a premise and a hypothesis for `label`."""
        field = rng.choice(FIELDS)
        other = _other(field, rng) if label == "neutral" else field
        first, second = _words(field, self.words + 1, rng), _words(other, self.words, rng)
        stray = _words(_other(field, rng) if label != "neutral" else field, 1, rng)[0]
        kept, near, far = rng.choice(first), rng.choice(second), stray
        if label == "neutral":
            near, far = far, near
        quotes: dict[Label, tuple[str, ...]] = {
            "entailment": _quotes(near, kept),
            "neutral": _quotes(far, kept),
            "contradiction": _quotes(near, kept),
        }
        hypothesis = _shuffled([*second, stray], rng)
        if label == "contradiction" or (label == "neutral" and hard):
            hypothesis.insert(rng.randrange(len(hypothesis) + 1), "not")
        return Draft(
            {"text_a": " ".join(_shuffled(first, rng)), "text_b": " ".join(hypothesis)}, quotes
        )

    def read(self, fields: dict[str, Any]) -> Label:
        """Another subject is neutral, a denied one contradicts, else it is entailed."""
        if subject(fields["text_a"]) != subject(fields["text_b"]):
            return "neutral"
        return "contradiction" if "not" in fields["text_b"].split() else "entailment"


@dataclass(frozen=True)
class OverlapGrammar:
    """The score, 0 to 5, is how many of the five words are about the first sentence's subject.

    A hard pair's other words are all about one other subject.
    """

    length: int = 5
    templates: tuple[str, ...] = TEMPLATES

    @property
    def labels(self) -> tuple[Label, ...]:
        return tuple(float(score) for score in range(self.length + 1))

    def draw(self, label: Label, hard: bool, rng: random.Random) -> Draft:
        """Write a pair of score `label`."""
        field = rng.choice(FIELDS)
        others = [word for other in FIELDS if other != field for word in SUBJECTS[other]]
        if hard:
            others = list(SUBJECTS[_other(field, rng)])
        first = _words(field, self.length - 1, rng)
        near = _words(field, int(label), rng)
        far = rng.sample(others, self.length - int(label))
        second = _shuffled(near + far, rng)
        quotes: dict[Label, tuple[str, ...]] = {
            score: self._evidence(score, near, far, rng.choice(first), rng) for score in self.labels
        }
        return Draft({"text_a": " ".join(first), "text_b": " ".join(second)}, quotes)

    def _evidence(
        self, score: Any, near: list[str], far: list[str], kept: str, rng: random.Random
    ) -> tuple[str, ...]:
        """High scores quote a word that fits, low ones a word that does not, if there is one."""
        wanted = near if score > self.length / 2 else far
        return _quotes(rng.choice(wanted or near or far), kept)

    def read(self, fields: dict[str, Any]) -> Label:
        """The number of words of the second text that are about the first one's subject."""
        field = subject(fields["text_a"])
        return float(sum(_field_of(word) == field for word in fields["text_b"].split()))
