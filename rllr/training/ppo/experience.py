"""From prompts to everything an update needs: rollout, scores, per-token rewards, advantages.

As in TRL 0.7.2, the score is normalised by moments that include the current batch, KL enters with
the coefficient held before this batch, and advantages are whitened over the whole batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rllr.training.ppo.batch import Batch, RowWise
from rllr.training.ppo.core import (
    AdaptiveKL,
    RunningMoments,
    advantages_and_returns,
    explained_variance,
    masked_whiten,
    token_rewards,
)
from rllr.training.ppo.finite import require_finite
from rllr.training.ppo.rewards import Scorer, capped, combine
from rllr.training.ppo.roles import POLICY
from rllr.training.ppo.rollout import Rollout, Sampler, sample_grouped
from rllr.training.ppo.settings import PPOSettings, PromptRow
from rllr.training.world import ALONE, World

Metrics = dict[str, float]


@dataclass(frozen=True)
class Experience(RowWise):
    """One batch of responses with what the update compares them to; all but `batch` are (B, T)."""

    batch: Batch
    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


def now(device: torch.device) -> float:
    """Seconds on a clock, read when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Collector:
    """Makes experience with the present policy; holds the running moments and the KL controller."""

    def __init__(
        self, scorer: Scorer, sampler: Sampler, settings: PPOSettings, world: World = ALONE
    ) -> None:
        self.scorer = scorer
        self.sampler = sampler
        self.settings = settings
        self.world = world
        self.moments = RunningMoments()
        self.kl = AdaptiveKL(
            settings.kl_coef, settings.kl_target, settings.kl_horizon, settings.adaptive_kl
        )

    def collect(
        self, rows: Sequence[PromptRow], generator: torch.Generator, where: str
    ) -> tuple[Experience, Metrics]:
        """One response per row with its advantages; changes the moments, not the controller."""
        device = self.scorer.one_base.device
        started = now(device)
        rollout = self._sample(rows, generator, where)
        sampled = now(device)
        experience, metrics = self.judge(rollout, [row.gold for row in rows], where)
        phases = {"rollout": sampled - started, "score": now(device) - sampled}
        return experience, metrics | {f"seconds/{name}": t for name, t in phases.items()}

    def judge(self, rollout: Rollout, gold: list[Any], where: str) -> tuple[Experience, Metrics]:
        """Rewards, values and advantages of given responses."""
        raw = self.scorer(rollout.batch, gold)
        for name, rewards in raw.items():
            require_finite(rewards, f"reward {name!r}", where, rollout.batch)
        total = combine(self.scorer.terms, raw)
        self.moments.update(self.world.gather(total))
        normalise = self.settings.normalise_rewards
        scores = self.moments.normalise(total) if normalise else total
        experience, metrics = self._estimate(rollout, scores, where)
        metrics |= self._reward_metrics(raw, total)
        metrics["reward_std"] = self.world.gather(total).std(correction=0).item()
        metrics |= self.scorer.observe(rollout.batch, gold)
        return experience, self._mean_over_processes(metrics)

    def _reward_metrics(self, raw: dict[str, Tensor], total: Tensor) -> Metrics:
        """Means of the total, of each term, and of what each term adds to the score."""
        scale = self.moments.scale if self.settings.normalise_rewards else 1.0
        metrics = {"reward": total.mean().item()}
        for term in self.scorer.terms:
            added = capped(term, raw[term.name]).mean().item() / scale
            metrics |= {f"reward/{term.name}": raw[term.name].mean().item()}
            metrics |= {f"score/{term.name}": added}
        return metrics

    def _mean_over_processes(self, metrics: Metrics) -> Metrics:
        values = torch.tensor(list(metrics.values()), dtype=torch.float64)
        device = self.scorer.one_base.device
        means = self.world.sum(values.to(device)) / self.world.size
        return dict(zip(metrics, means.tolist(), strict=True))

    def _sample(self, rows: Sequence[PromptRow], generator: torch.Generator, where: str) -> Rollout:
        one_base = self.scorer.one_base
        one_base.activate(POLICY)
        prompts, size = [row.ids for row in rows], self.settings.rollout_batch_size
        return sample_grouped(one_base, prompts, self.sampler, generator, where, size)

    def _estimate(self, rollout: Rollout, scores: Tensor, where: str) -> tuple[Experience, Metrics]:
        """Per-token rewards from scores (B) and KL, then advantages and returns."""
        batch, settings, one_base = rollout.batch, self.settings, self.scorer.one_base
        total = self.world.sum
        kl = rollout.logprobs - self._by_piece(one_base.reference_logprobs, batch)
        values = self._by_piece(one_base.values, batch)
        require_finite(kl, "log-probability", where, batch)
        require_finite(values, "value", where, batch)
        rewards = token_rewards(scores, kl, batch.mask, self.kl.coefficient)
        advantages, returns = advantages_and_returns(
            rewards, values, batch.mask, settings.gamma, settings.lam
        )
        if settings.whiten:
            advantages = masked_whiten(advantages, batch.mask, total)
        return Experience(batch, rollout.logprobs, values, advantages, returns), {
            "kl": kl.sum(1).mean().item(),
            "kl_coef": self.kl.coefficient,
            "score": scores.mean().item(),
            "explained_variance": explained_variance(values, returns, batch.mask, total),
            "response_length": batch.lengths.float().mean().item(),
            "ended": rollout.ended.float().mean().item(),
        }

    def _by_piece(self, role: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
        pieces = batch.split(len(batch), self.settings.scoring_size)
        return torch.cat([role(piece) for piece in pieces])
