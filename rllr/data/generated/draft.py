"""What a grammar hands over: the input it wrote and the quotations that back each label."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Protocol

Label = str | int | float


@dataclass(frozen=True)
class Draft:
    """One input: `fields` holds text, or text_a and text_b. `quotes` maps every label of the task,
    right or wrong, to what fills the places of a rationale template (the same number for each).
    """

    fields: dict[str, str]
    quotes: dict[Label, tuple[str, ...]]


class Grammar(Protocol):
    """How one task writes an input for a given label, and reads the label off an input."""

    @property
    def labels(self) -> tuple[Label, ...]:
        """Every label of the task, in order."""

    @property
    def templates(self) -> tuple[str, ...]:
        """Rationale templates; which one is used has nothing to do with the label."""

    def draw(self, label: Any, hard: bool, rng: random.Random) -> Draft:
        """Write an input whose label is `label`."""

    def read(self, fields: dict[str, Any]) -> Label:
        """The label of an input, from its text alone."""
