"""Reward terms: what each gives to a batch of responses, and their sum.

The published mixed reward, min(r_label, tau) + r_rationale, is two terms, the first with a cap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rllr.errors import RllrError
from rllr.training.ppo.batch import Batch
from rllr.training.ppo.roles import OneBase
from rllr.training.ppo.settings import RewardFunction, RewardTerm

Decode = Callable[[list[int]], str]


@dataclass(frozen=True)
class Scorer:
    """Scores responses by every term. `decode` turns response ids without EOS into text."""

    one_base: OneBase
    terms: Sequence[RewardTerm]
    decode: Decode
    eos_ids: tuple[int, ...]
    micro_batch_size: int
    watched: Mapping[str, RewardFunction] = field(default_factory=dict)

    def __call__(self, batch: Batch, gold: list[Any]) -> dict[str, Tensor]:
        """Raw reward of each term, before cap and weight: name -> (B) float32."""
        functions = [term.function for term in self.terms if term.function is not None]
        texts = self._texts(batch) if functions else []
        return {term.name: self._raw(term, batch, texts, gold) for term in self.terms}

    def observe(self, batch: Batch, gold: list[Any]) -> dict[str, float]:
        """Means of what is only watched, by name; no reward and no gradient depends on them."""
        texts = self._texts(batch) if self.watched else []
        return {
            name: _call(name, function, texts, gold).mean().item()
            for name, function in self.watched.items()
        }

    def _texts(self, batch: Batch) -> list[str]:
        return [self.decode(ids) for ids in batch.responses(self.eos_ids)]

    def _raw(self, term: RewardTerm, batch: Batch, texts: list[str], gold: list[Any]) -> Tensor:
        if term.function is not None:
            return _call(term.name, term.function, texts, gold).to(batch.ids.device)
        pieces = batch.split(len(batch), self.micro_batch_size)
        return torch.cat([self.one_base.score(term.name, piece) for piece in pieces])


def combine(terms: Sequence[RewardTerm], raw: Mapping[str, Tensor]) -> Tensor:
    """Sum over terms of weight * min(raw, cap): (B)."""
    return torch.stack([capped(term, raw[term.name]) for term in terms]).sum(0)


def capped(term: RewardTerm, raw: Tensor) -> Tensor:
    """What a term adds to the reward, weight * min(raw, cap): (B) -> (B)."""
    return term.weight * (raw if term.cap is None else raw.clamp(max=term.cap))


def check_terms(terms: Sequence[RewardTerm]) -> None:
    """RllrError unless there is a term, and no two share a name."""
    names = [term.name for term in terms]
    if not names or len(set(names)) < len(names):
        raise RllrError(f"PPO: reward terms need distinct names, and at least one; got {names}")


def _call(name: str, function: RewardFunction, texts: list[str], gold: list[Any]) -> Tensor:
    rewards = list(function(texts, gold))
    if len(rewards) != len(texts):
        raise RllrError(
            f"reward function {name!r} gave {len(rewards)} rewards for {len(texts)} responses"
        )
    return torch.tensor(rewards, dtype=torch.float32)
