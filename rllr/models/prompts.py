"""Prompt ids, built segment by segment; the only code that turns a question into ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rllr.config.schema import ModelConfig, TaskConfig
from rllr.errors import RllrError
from rllr.models.tokenizers import TextEncoder
from rllr.tasks.question import Piece, question_pieces


@dataclass(frozen=True)
class Prompt:
    """Token ids of a prompt, and whether the input had to be cut to fit."""

    ids: list[int]
    cut: bool


class PromptBuilder:
    """Builds prompts and responses for one model."""

    def __init__(self, model: ModelConfig, folder: Path, max_tokens: int) -> None:
        self.encoder = TextEncoder(folder)
        self.max_tokens = max_tokens
        self.eos = self.encoder.control(model.source.eos)
        self.pad = self.encoder.control(model.source.pad)
        at = next(i for i, segment in enumerate(model.prompt) if segment.question)
        self.before = [i for s in model.prompt[:at] for i in self._segment(s.token, s.text)]
        self.after = [i for s in model.prompt[at + 1 :] for i in self._segment(s.token, s.text)]

    def _segment(self, token: str | None, text: str | None) -> list[int]:
        return [self.encoder.control(token)] if token else self.encoder.encode(text or "")

    def prompt(self, task: TaskConfig, example: Mapping[str, Any]) -> Prompt:
        """The prompt of an example; an over-long input is cut at its end, the instruction kept.

        Raises RllrError when the instruction alone is longer than the limit.
        """
        pieces = question_pieces(task, example)
        encoded = [self.encoder.encode(piece.text) for piece in pieces]
        room = self.max_tokens - len(self.before) - len(self.after)
        kept = _fit(pieces, encoded, room, task.name)
        ids = [*self.before, *(token for part in kept for token in part), *self.after]
        return Prompt(ids, cut=sum(map(len, kept)) < sum(map(len, encoded)))

    def response(self, text: str) -> list[int]:
        """Ids of a response, its end-of-sequence token included."""
        return [*self.encoder.encode(text), self.eos]

    def decode(self, ids: list[int]) -> str:
        """The text of a response, up to its end-of-sequence token."""
        end = ids.index(self.eos) if self.eos in ids else len(ids)
        return self.encoder.decode(ids[:end]).strip()


def _fit(pieces: list[Piece], encoded: list[list[int]], room: int, name: str) -> list[list[int]]:
    """Shorten input pieces, the longest first, until all fit into `room` tokens."""
    fixed = sum(len(ids) for piece, ids in zip(pieces, encoded, strict=True) if not piece.is_input)
    inputs = [i for i, piece in enumerate(pieces) if piece.is_input]
    if room - fixed < len(inputs):
        raise RllrError(
            f"generation.max_prompt_tokens leaves {room} tokens for a question of task {name!r}, "
            f"whose instruction alone takes {fixed}; raise it"
        )
    lengths = {i: len(encoded[i]) for i in inputs}
    excess = sum(lengths.values()) - (room - fixed)
    while excess > 0:
        longest = max(lengths, key=lambda i: lengths[i])
        lengths[longest] -= 1
        excess -= 1
    return [ids[: lengths.get(i, len(ids))] for i, ids in enumerate(encoded)]
