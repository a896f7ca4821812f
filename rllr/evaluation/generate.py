"""Greedy decoding and sampling in left-padded batches, longest prompts first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; the default is greedy decoding."""

    temperature: float = 0.0
    samples: int = 1


def generate_ids(
    model: Any,
    prompts: Sequence[list[int]],
    *,
    pad_id: int,
    eos_ids: Sequence[int],
    max_new_tokens: int,
    batch_size: int,
    sampling: Sampling = Sampling(),
) -> list[list[list[int]]]:
    """For each prompt, `sampling.samples` responses as ids up to and including one of `eos_ids`.

    A response cut at `max_new_tokens` has no end token. Sampling draws from torch's global
    generator; seed it first.
    """
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    results: list[list[list[int]]] = [[] for _ in prompts]
    for at in range(0, len(order), batch_size):
        part = order[at : at + batch_size]
        rows = _generate_batch(
            model, [prompts[i] for i in part], pad_id, eos_ids, max_new_tokens, sampling
        )
        for place, index in enumerate(part):
            results[index] = rows[place * sampling.samples : (place + 1) * sampling.samples]
        print(f"generated {min(at + batch_size, len(order))}/{len(order)} prompts", flush=True)
    return results


def _generate_batch(
    model: Any,
    prompts: Sequence[list[int]],
    pad_id: int,
    eos_ids: Sequence[int],
    max_new_tokens: int,
    sampling: Sampling,
) -> list[list[int]]:
    import torch

    width = max(map(len, prompts))
    ids = torch.tensor([[pad_id] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    draw: dict[str, Any] = {"do_sample": False, "num_return_sequences": 1}
    if sampling.temperature:
        # top_k=0: by default transformers silently samples from the 50 likeliest tokens only.
        draw = {"do_sample": True, "temperature": sampling.temperature, "top_k": 0, "top_p": 1.0}
        draw["num_return_sequences"] = sampling.samples
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=max_new_tokens,
            pad_token_id=pad_id,
            eos_token_id=list(eos_ids),
            **draw,
        )
    return [_until_end(row, eos_ids) for row in out[:, width:].tolist()]


def _until_end(ids: list[int], eos_ids: Sequence[int]) -> list[int]:
    end = next((place for place, token in enumerate(ids) if token in eos_ids), len(ids))
    return ids[: end + 1]
