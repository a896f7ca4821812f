"""Random numbers that depend on a seed and a purpose, never on what ran before.

Each use (the responses of step 12, the prompt order of pass 3) has a seed of its own, so that a run
taken up at any step draws what an unbroken run draws, with no generator state to save.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def generator_for(
    seed: int, *purpose: str | int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A generator seeded with 63 bits of SHA-256 over the seed and the purpose."""
    text = ":".join(str(part) for part in (seed, *purpose))
    mixed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
    return torch.Generator(device=device).manual_seed(mixed)


def prompt_order(count: int, batch_size: int, step: int, seed: int) -> list[int]:
    """Indices of the prompts of 0-based step `step`: a shuffled pass after the other.

    Each pass over the `count` prompts has its own seeded order; a batch may span two passes.
    """
    first, last = step * batch_size, (step + 1) * batch_size
    chosen: list[int] = []
    for epoch in range(first // count, (last - 1) // count + 1):
        order: Tensor = torch.randperm(count, generator=generator_for(seed, "prompts", epoch))
        start = epoch * count
        chosen += order[max(first - start, 0) : last - start].tolist()
    return chosen
