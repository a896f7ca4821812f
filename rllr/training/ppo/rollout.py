"""Sampling responses from the policy, and the log-probabilities that PPO needs of them.

An own decoding loop, because it keeps one float per token where `generate(output_logits=True)`
keeps the logits of every step (several GB for a batch of 256 tokens over a large vocabulary), draws
from a generator of its own, and takes no second pass for the log-probabilities.

The log-probabilities are of the full softmax, before temperature, top-k and top-p, as TRL
recomputes them; the released code samples with top-k 50 and does the same.

Deviation from TRL 0.7.2, which takes them from a further pass: with half-precision weights, a pass
token by token and one over whole responses round differently, and the ratio before the first update
is 1 to about a hundredth only (in float32 to 1e-5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from rllr.training.ppo.batch import Batch, left_pad
from rllr.training.ppo.cache import make_cache
from rllr.training.ppo.core import token_logprobs
from rllr.training.ppo.finite import NotFiniteError
from rllr.training.ppo.roles import OneBase
from rllr.training.world import ALONE, World


@dataclass(frozen=True)
class Sampler:
    """How responses are drawn. `eos_ids` end a response; `pad_id` (any id) fills up rows.

    Of a batch shared out in `world`, every process draws the random numbers and uses its rows'.
    """

    pad_id: int
    eos_ids: tuple[int, ...]
    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    world: World = ALONE

    def draw(self, logits: Tensor, generator: torch.Generator, where: str) -> Tensor:
        """One token per row, (B, V) -> (B, 1), after temperature, top-k, top-p in this order.

        What top-k drops is never looked at again: sampling among k words, not V, is cheaper.
        """
        scores, words = logits / self.temperature, None
        if self.top_k > 0 or self.top_p < 1.0:
            scores, words = scores.topk(min(self.top_k or scores.shape[-1], scores.shape[-1]))
        probabilities = scores.softmax(-1)
        if not torch.isfinite(probabilities).all():
            raise NotFiniteError("a logit", where, None)
        if self.top_p < 1.0:  # words are sorted: keep those before which less than top_p lies
            probabilities = probabilities * (probabilities.cumsum(-1) - probabilities < self.top_p)
        drawn = draw_index(probabilities, generator, self.world)
        return drawn if words is None else words.gather(1, drawn)


def draw_index(weights: Tensor, generator: torch.Generator, world: World = ALONE) -> Tensor:
    """One index per row with probability proportional to its weight, (B, n) -> (B, 1).

    By inverting the cumulative sum: one random number per row. `torch.multinomial` takes one per
    weight, a tenth of a decoding step for 32,000 words on a CPU. Where these rows are the share of
    one process in `world`, the numbers are those that they have in the whole batch.
    """
    sums = weights.double().cumsum(-1)
    total = sums[:, -1:]
    whole, own = (len(sums) * world.size, 1), world.rows(len(sums) * world.size)
    point = torch.rand(whole, generator=generator, dtype=sums.dtype, device=sums.device)
    point = point[own.start : own.stop]
    below = torch.nextafter(total, torch.zeros_like(total))  # an index of weight 0 is never drawn
    return torch.searchsorted(sums, (point * total).minimum(below), right=True)


@dataclass(frozen=True)
class Rollout:
    """Sampled responses: the batch, its log-probabilities (B, T), and which rows met an EOS (B)."""

    batch: Batch
    logprobs: Tensor
    ended: Tensor


def sample_grouped(
    one_base: OneBase,
    prompts: Sequence[Sequence[int]],
    sampler: Sampler,
    generator: torch.Generator,
    where: str,
    size: int | None,
) -> Rollout:
    """As `sample`, at most `size` prompts at a time, those of like length together.

    A short prompt then is not padded to the longest one, and a group of short responses is done
    early; rows keep the order of `prompts`.
    """
    if size is None or size >= len(prompts):
        return sample(one_base, prompts, sampler, generator, where)
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    parts = [sample(one_base, [prompts[i] for i in g], sampler, generator, where) for g in groups]
    place = torch.tensor(order, device=one_base.device).argsort()
    return _joined(parts, sampler.pad_id, place)


def _joined(parts: Sequence[Rollout], pad_id: int, place: Tensor) -> Rollout:
    """Rollouts of different widths as one; row i of the result is row `place[i]` of the parts."""
    left = max(part.batch.prompt_width for part in parts)
    right = max(part.batch.mask.shape[1] for part in parts)

    def wide(part: Rollout, rows: Tensor, lead: bool, fill: int) -> Tensor:
        before = left - part.batch.prompt_width if lead else 0
        return pad(rows, (before, right - part.batch.mask.shape[1]), value=fill)

    def join(rows: list[Tensor]) -> Tensor:
        return torch.cat(rows)[place]

    batch = Batch(
        join([wide(part, part.batch.ids, True, pad_id) for part in parts]),
        join([wide(part, part.batch.attention, True, 0) for part in parts]),
        join([wide(part, part.batch.mask, False, 0) for part in parts]),
    )
    logprobs = join([wide(part, part.logprobs, False, 0) for part in parts])
    return Rollout(batch, logprobs, join([part.ended for part in parts]))


@torch.no_grad()
def sample(
    one_base: OneBase,
    prompts: Sequence[Sequence[int]],
    sampler: Sampler,
    generator: torch.Generator,
    where: str,
) -> Rollout:
    """Draw one response per prompt in the active role; T is the longest response.

    `where` names the step in errors. RllrError: a logit that is NaN or infinite.
    """
    ids, attention = (tensor.to(one_base.device) for tensor in left_pad(prompts, sampler.pad_id))
    width = ids.shape[1]
    eos = torch.tensor(sampler.eos_ids, dtype=torch.long, device=ids.device)
    alive = torch.ones(len(prompts), dtype=torch.bool, device=ids.device)
    cache = make_cache(one_base.config, width + sampler.max_new_tokens)
    fresh, logprobs = ids, []
    while ids.shape[1] - width < sampler.max_new_tokens and alive.any():
        output = one_base.hidden(fresh, attention, past_key_values=cache, use_cache=True)
        logits = one_base.logits(output.last_hidden_state[:, -1])
        fresh = sampler.draw(logits, generator, where)
        logprobs.append(token_logprobs(logits, fresh[:, 0]))
        fresh = torch.where(alive[:, None], fresh, sampler.pad_id)
        ids = torch.cat([ids, fresh], 1)
        attention = torch.cat([attention, alive[:, None].long()], 1)
        alive = alive & ~torch.isin(fresh[:, 0], eos)
    mask = attention[:, width:].bool()
    return Rollout(Batch(ids, attention, mask), torch.stack(logprobs, 1) * mask, ~alive)
