"""A task's question: the instruction and the example's texts, as pieces to encode one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rllr.config.schema import TaskConfig

FIELD = re.compile(r"\{(text|text_a|text_b)\}")


@dataclass(frozen=True)
class Piece:
    """A stretch of the question; only pieces that are input may be cut when it is too long."""

    text: str
    is_input: bool


def question_pieces(task: TaskConfig, example: Mapping[str, Any]) -> list[Piece]:
    """Instruction, field names and field texts, in order.

    A space before a field is moved to the field's start, so that the field's first word is
    tokenised like any other word of it.
    """
    parts = FIELD.split(f"{task.instruction}\n{task.input}")
    pieces = []
    for index in range(0, len(parts), 2):
        literal, field = parts[index], parts[index + 1] if index + 1 < len(parts) else None
        space = " " if field and literal.endswith(" ") else ""
        pieces.append(Piece(literal.removesuffix(" ") if space else literal, False))
        if field:
            pieces.append(Piece(space + str(example[field]), True))
    return [piece for piece in pieces if piece.text]


def question_text(task: TaskConfig, example: Mapping[str, Any]) -> str:
    """The whole question as text."""
    return "".join(piece.text for piece in question_pieces(task, example))


def input_text(task: TaskConfig, example: Mapping[str, Any]) -> str:
    """The example's own texts, joined by a newline."""
    return "\n".join(str(example[field]) for field in task.fields)
