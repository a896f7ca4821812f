"""From prompts to everything an update needs: rollout, scores, per-token rewards, advantages.

As in TRL 0.7.2, the score is normalised by moments that include the current batch, KL enters with
the coefficient held before this batch, and advantages are whitened over the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rllr.errors import RllrError
from rllr.training.ppo.batch import Batch, RowWise
from rllr.training.ppo.core import (
    AdaptiveKL,
    RunningMoments,
    advantages_and_returns,
    explained_variance,
    masked_whiten,
    token_rewards,
)
from rllr.training.ppo.rewards import Scorer, combine
from rllr.training.ppo.roles import POLICY
from rllr.training.ppo.rollout import Rollout, Sampler, sample
from rllr.training.ppo.settings import PPOSettings, PromptRow

Metrics = dict[str, float]


@dataclass(frozen=True)
class Experience(RowWise):
    """One batch of responses with what the update compares them to; all but `batch` are (B, T)."""

    batch: Batch
    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


def require_finite(values: Tensor, quantity: str, where: str) -> None:
    """RllrError naming the quantity and the step if any value is NaN or infinite."""
    if not torch.isfinite(values).all():
        raise RllrError(
            f"PPO, {where}: {quantity} is NaN or infinite; lower the learning rate, check the "
            "reward terms, or compute in float32"
        )


class Collector:
    """Makes experience with the present policy; holds the running moments and the KL controller."""

    def __init__(self, scorer: Scorer, sampler: Sampler, settings: PPOSettings) -> None:
        self.scorer = scorer
        self.sampler = sampler
        self.settings = settings
        self.moments = RunningMoments()
        self.kl = AdaptiveKL(
            settings.kl_coef, settings.kl_target, settings.kl_horizon, settings.adaptive_kl
        )

    def collect(
        self, rows: Sequence[PromptRow], generator: torch.Generator, where: str
    ) -> tuple[Experience, Metrics]:
        """One response per row with its advantages; changes the moments, not the controller."""
        rollout = self._sample(rows, generator, where)
        raw = self.scorer(rollout.batch, [row.gold for row in rows])
        for name, rewards in raw.items():
            require_finite(rewards, f"reward {name!r}", where)
        total = combine(self.scorer.terms, raw)
        self.moments.update(total)
        scores = self.moments.normalise(total) if self.settings.normalise_rewards else total
        experience, metrics = self._estimate(rollout, scores, where)
        metrics |= {"reward": total.mean().item(), "reward_std": total.std(correction=0).item()}
        metrics |= {f"reward/{name}": rewards.mean().item() for name, rewards in raw.items()}
        return experience, metrics

    def _sample(self, rows: Sequence[PromptRow], generator: torch.Generator, where: str) -> Rollout:
        one_base = self.scorer.one_base
        one_base.activate(POLICY)
        return sample(one_base, [row.ids for row in rows], self.sampler, generator, where)

    def _estimate(self, rollout: Rollout, scores: Tensor, where: str) -> tuple[Experience, Metrics]:
        """Per-token rewards from scores (B) and KL, then advantages and returns."""
        batch, settings, one_base = rollout.batch, self.settings, self.scorer.one_base
        kl = rollout.logprobs - self._by_piece(one_base.reference_logprobs, batch)
        values = self._by_piece(one_base.values, batch)
        require_finite(kl, "log-probability", where)
        require_finite(values, "value", where)
        rewards = token_rewards(scores, kl, batch.mask, self.kl.coefficient)
        advantages, returns = advantages_and_returns(
            rewards, values, batch.mask, settings.gamma, settings.lam
        )
        whitened = masked_whiten(advantages, batch.mask) if settings.whiten else advantages
        return Experience(batch, rollout.logprobs, values, whitened, returns), {
            "kl": kl.sum(1).mean().item(),
            "kl_coef": self.kl.coefficient,
            "score": scores.mean().item(),
            "explained_variance": explained_variance(values, returns, batch.mask),
            "response_length": batch.lengths.float().mean().item(),
            "ended": rollout.ended.float().mean().item(),
        }

    def _by_piece(self, role: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
        pieces = batch.split(len(batch), self.settings.micro_batch_size)
        return torch.cat([role(piece) for piece in pieces])
