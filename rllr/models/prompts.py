"""Prompt ids, built segment by segment; the only code that turns a question into ids.

A space that ends the text before the question belongs to the question's first word, as within any
text. Tokenizers that put a space before a text do so at its start and after each control token.

Deviation: the released code encodes the question and the text around it as one string. Ids differ
where a tokenizer merges across the border: a sentencepiece one does not, unless the question ends
in spaces; BLOOM's may make one token of a full stop and the newline after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rllr.config.schema import ModelConfig, Segment, TaskConfig
from rllr.errors import RllrError
from rllr.files import read_json
from rllr.models.tokenizers import TextEncoder
from rllr.tasks.question import Piece, question_pieces


@dataclass(frozen=True)
class Prompt:
    """Token ids of a prompt, and whether the input had to be cut to fit."""

    ids: list[int]
    cut: bool


class PromptBuilder:
    """Builds prompts and responses for one model, and counts what it had to cut."""

    def __init__(self, model: ModelConfig, folder: Path, max_tokens: int) -> None:
        self.encoder = TextEncoder(folder)
        self.max_tokens = max_tokens
        self.count_anew()
        self.eos = self.encoder.control(model.source.eos)
        self.pad = self.encoder.control(model.source.pad)
        self.ends = (self.eos, *_turn_ends(folder, self.eos))
        at = next(i for i, segment in enumerate(model.prompt) if segment.question)
        before, self.lead = self._lead(model.prompt[:at])
        self.before = self._ids(before, begins=True)
        self.after = self._ids(model.prompt[at + 1 :], begins=False)
        self.ends_in_space = (model.prompt[-1].text or "").endswith(" ")

    def _lead(self, before: list[Segment]) -> tuple[list[Segment], str]:
        """The segments before the question, and the space that belongs to the question, or ""."""
        if not before or before[-1].text is None:
            return before, self.encoder.prefix
        text = before[-1].text
        kept = text.removesuffix(" ")
        return [*before[:-1], Segment(text=kept)], text[len(kept) :]

    def _ids(self, segments: list[Segment], *, begins: bool) -> list[int]:
        """Ids of segments; `begins`: a text starts here."""
        ids: list[int] = []
        for segment in segments:
            if segment.token is not None:
                ids.append(self.encoder.control(segment.token))
            else:
                prefix = self.encoder.prefix if begins else ""
                ids += self.encoder.encode(prefix + (segment.text or ""))
            begins = segment.token is not None
        return ids

    def prompt(self, task: TaskConfig, example: Mapping[str, Any]) -> Prompt:
        """The prompt of an example; an over-long input is cut at its end, the instruction kept.

        Raises RllrError when the instruction alone is longer than the limit.
        """
        pieces = question_pieces(task, example)
        texts = [self.lead + pieces[0].text, *(piece.text for piece in pieces[1:])]
        encoded = [self.encoder.encode(text) for text in texts]
        room = self.max_tokens - len(self.before) - len(self.after)
        kept = _fit(pieces, encoded, room, task.name)
        ids = [*self.before, *(token for part in kept for token in part), *self.after]
        cut = sum(map(len, kept)) < sum(map(len, encoded))
        self.counts["prompts_built"] += 1
        self.counts["prompts_cut"] += cut
        return Prompt(ids, cut)

    def count_anew(self) -> dict[str, int]:
        """Counts from here on, for a stage's summary: of prompts made, and those that were cut."""
        self.counts = {"prompts_built": 0, "prompts_cut": 0}
        return self.counts

    def response(self, text: str) -> list[int]:
        """Ids of a response, its end-of-sequence token included.

        Its leading space is left out if the prompt ends in one. A tokenizer that puts a space
        before every text keeps both, as published.
        """
        if self.ends_in_space and not self.encoder.prefix:
            text = text.removeprefix(" ")
        return [*self.encoder.encode(text), self.eos]

    def decode(self, ids: list[int]) -> str:
        """The text of a response, up to the token that ends it."""
        end = next((place for place, token in enumerate(ids) if token in self.ends), len(ids))
        return self.encoder.decode(ids[:end]).strip()


def _turn_ends(folder: Path, eos: int) -> list[int]:
    """Further tokens that end a response; ChatGLM3 as published ends its turns with the next."""
    config = folder / "config.json"
    ends = read_json(config).get("eos_token_id") if config.exists() else None
    return [token for token in ends if token != eos] if isinstance(ends, list) else []


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
