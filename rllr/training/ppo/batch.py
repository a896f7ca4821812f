"""Prompts and responses of one PPO step as padded tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor

Rows = TypeVar("Rows", bound="RowWise")


class RowWise:
    """A dataclass whose fields are tensors, or further such classes, with one row per response."""

    def rows(self: Rows, index: Tensor) -> Rows:
        """The rows that `index` (int64, any length) names, in its order."""
        chosen = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            chosen[field.name] = value.rows(index) if isinstance(value, RowWise) else value[index]
        return type(self)(**chosen)

    def split(self: Rows, count: int, size: int) -> Iterator[Rows]:
        """Consecutive pieces of at most `size` of the `count` rows."""
        for start in range(0, count, size):
            yield self.rows(torch.arange(start, min(start + size, count)))


@dataclass(frozen=True)
class Batch(RowWise):
    """B rows of P prompt columns (padded on the left) and T response columns (on the right).

    ids (B, P + T) int64; attention (B, P + T) int64, 1 at tokens and 0 at padding; mask (B, T)
    bool, true at a response's tokens up to and including its EOS. No response is without tokens.
    """

    ids: Tensor
    attention: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return self.ids.shape[0]

    @property
    def prompt_width(self) -> int:
        """P, the number of prompt columns."""
        return self.ids.shape[1] - self.mask.shape[1]

    @property
    def lengths(self) -> Tensor:
        """Tokens per response, EOS included: (B)."""
        return self.mask.sum(1)

    @property
    def tokens(self) -> Tensor:
        """Every response token in row order: (N)."""
        return self.ids[:, self.prompt_width :][self.mask]

    def spread(self, flat: Tensor) -> Tensor:
        """Put one value per response token, (N), in place: (B, T), 0 outside the mask."""
        placed = torch.zeros(self.mask.shape, dtype=flat.dtype, device=flat.device)
        placed[self.mask] = flat
        return placed

    def responses(self, eos_ids: Sequence[int]) -> list[list[int]]:
        """Each response's token ids without its EOS."""
        rows = self.ids[:, self.prompt_width :].tolist()
        texts = [row[:length] for row, length in zip(rows, self.lengths.tolist(), strict=True)]
        return [ids[:-1] if ids[-1] in eos_ids else ids for ids in texts]


def position_ids(attention: Tensor) -> Tensor:
    """Position of each token in its own row, padding not counted: (B, L) -> (B, L).

    Under left padding the decoders' own default (0, 1, 2, ... per column) gives a row other
    positions than it has alone; rotary embeddings then differ by rounding, others would differ
    outright. BLOOM derives ALiBi from the attention mask and ignores these.
    """
    return (attention.cumsum(1) - 1).clamp(min=0)


def left_pad(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Pad on the left to the longest prompt: ids (B, P) and attention (B, P), both int64."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad_id, dtype=torch.long)
    attention = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt, dtype=torch.long)
        attention[row, width - len(prompt) :] = 1
    return ids, attention


def batch_of(
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    pad_id: int,
    device: torch.device | str = "cpu",
) -> Batch:
    """Given prompts and responses (ids up to and including the end token) as one batch."""
    ids, attention = left_pad(prompts, pad_id)
    lengths = torch.tensor([len(response) for response in responses])
    width = int(lengths.max())
    rows = [[*response, *[pad_id] * (width - len(response))] for response in responses]
    mask = torch.arange(width) < lengths[:, None]
    parts = (torch.cat([ids, torch.tensor(rows)], 1), torch.cat([attention, mask.long()], 1), mask)
    return Batch(*(part.to(device) for part in parts))
