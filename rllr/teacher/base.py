"""What teachers and judges are: who writes rationales for labels, right or wrong, and who ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rllr.tasks.labels import Label


@dataclass(frozen=True)
class Ask:
    """A rationale that is wanted: one that argues for `label`, the gold one or not."""

    example: Mapping[str, Any]
    label: Label
    gold: bool


@dataclass(frozen=True)
class Comparison:
    """Two responses to one example. A judge reads neither the example's label nor its id."""

    example: Mapping[str, Any]
    first: str
    second: str


class Teacher(Protocol):
    """Writes rationales for one task."""

    def rationales(self, asks: Sequence[Ask]) -> list[str | None]:
        """A short text for each, in order; None where none that can be used was written."""

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it, once it has written."""


# Verdicts on one comparison, shown as it is and turned round: 1 the first response is better, -1
# the second, 0 neither; None: no verdict.
BothOrders = tuple[int | None, int | None]


class Judge(Protocol):
    """Ranks responses of one task by their rationales."""

    def prefer(self, comparisons: Sequence[Comparison]) -> list[int | None]:
        """For each, in order: 1 first is better, -1 second, 0 neither; None: no verdict."""

    def both_orders(self, comparisons: Sequence[Comparison]) -> list[BothOrders]:
        """For each, in order: the verdicts with the first and with the second shown first."""

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it, once it has judged."""
