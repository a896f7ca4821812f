"""The one place that knows how a response is written and read: `{rationale} Answer: {label}`."""

from __future__ import annotations

from dataclasses import dataclass

from rllr.config.schema import TaskConfig
from rllr.tasks.labels import Label, label_text, read_label

MARK = "Answer:"


@dataclass(frozen=True)
class Parsed:
    """A response taken apart; `label` is None when no legal label can be read."""

    rationale: str
    label: Label | None


def format_response(task: TaskConfig, label: Label, rationale: str | None) -> str:
    """The response text; it starts with a space, which belongs to its first token."""
    lead = f" {rationale.strip()}" if rationale else ""
    return f"{lead} {MARK} {label_text(task, label)}"


def parse_response(task: TaskConfig, response: str) -> Parsed:
    """Split a response at its last answer mark; without one, no label is read."""
    rationale, mark, answer = response.rpartition(MARK)
    if not mark:
        return Parsed(response.strip(), None)
    first_line = answer.strip().split("\n", 1)[0]
    return Parsed(rationale.strip(), read_label(task, first_line))
