"""Mean reward on held-out prompts, before and after, from sampled responses."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from rllr.training.ppo.finite import require_finite
from rllr.training.ppo.randomness import generator_for
from rllr.training.ppo.rewards import Decode, Scorer, combine
from rllr.training.ppo.roles import POLICY, OneBase
from rllr.training.ppo.rollout import sample
from rllr.training.ppo.settings import PPOSettings, PromptRow, RewardTerm
from rllr.training.ppo.trainer import make_sampler


def evaluate_reward(
    one_base: OneBase,
    prompts: Sequence[PromptRow],
    *,
    settings: PPOSettings,
    terms: Sequence[RewardTerm],
    decode: Decode,
    pad_id: int,
    eos_ids: Sequence[int],
    use_policy: bool,
    seed: int,
) -> list[float]:
    """Total raw reward (capped and weighted, not normalised) of one sampled response per prompt.

    `use_policy=False` samples from the frozen base, that is, from the policy before training. Both
    draw from the same random numbers, so the two lists may be compared prompt by prompt.
    """
    sampler = make_sampler(settings, pad_id, eos_ids)
    scorer = Scorer(one_base, terms, decode, tuple(eos_ids), settings.micro_batch_size)
    rewards: list[float] = []
    for start in range(0, len(prompts), settings.batch_size):
        rows, where = prompts[start : start + settings.batch_size], "held-out reward"
        generator = generator_for(seed, "held-out", start, device=one_base.device)
        one_base.activate(POLICY)
        with nullcontext() if use_policy else one_base.reference():
            rollout = sample(one_base, [row.ids for row in rows], sampler, generator, where)
        total = combine(terms, scorer(rollout.batch, [row.gold for row in rows]))
        require_finite(total, "reward", where)
        rewards += total.tolist()
    return rewards
