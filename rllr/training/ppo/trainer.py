"""Proximal policy optimisation with one frozen base model, as the RLLR paper's runs used it.

Implements the published recipe (arXiv 2405.19763; PPO of TRL 0.7.2): responses are sampled, scored
at their last token by LoRA reward models or Python functions, the score is normalised by running
moments, KL against the frozen base enters the reward per token under an adaptive coefficient,
advantages are estimated by GAE and whitened, policy and value are updated with clipped losses under
a cosine schedule.

Deviations, beside those listed in `core` (running moments), `roles` (dropout off, heads without
bias), `update` (optimisers, ratio guard, accumulation):
- the cosine schedule has no warm-up;
- a prompt that has no room for its response is refused, not cut.

Random numbers are derived from (seed, purpose, step), so that a step depends on the settings and on
the state of `PPOTrainer` (adapters, optimisers, KL coefficient, running moments), nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from rllr.errors import RllrError
from rllr.training.ppo.adapters import build_one_base
from rllr.training.ppo.experience import Collector, Metrics
from rllr.training.ppo.randomness import generator_for, prompt_order
from rllr.training.ppo.rewards import Decode, Scorer, check_terms
from rllr.training.ppo.roles import OneBase
from rllr.training.ppo.rollout import Sampler
from rllr.training.ppo.settings import PPOSettings, PromptRow, RewardTerm
from rllr.training.ppo.update import Updater

StepCallback = Callable[[int, int, Metrics], None]


@dataclass
class PPOResult:
    """A trained policy among its roles, and totals of the run.

    `summary`: steps, samples, response_tokens, skipped (mini-batches the ratio guard skipped, as a
    share of a step's, summed over steps), kl_coef at the end, and `last`, the last step's metrics.
    """

    one_base: OneBase
    summary: dict[str, float | Metrics] = field(default_factory=dict)

    def save_policy(self, folder: Path) -> None:
        """Write the policy adapter in PEFT's own format; see OneBase.save_policy."""
        self.one_base.save_policy(folder)


def train_ppo(
    base: nn.Module,
    *,
    settings: PPOSettings,
    terms: Sequence[RewardTerm],
    value_from: str | None,
    prompts: Sequence[PromptRow],
    decode: Decode,
    pad_id: int,
    eos_ids: Sequence[int],
    on_step: StepCallback,
) -> PPOResult:
    """Train a LoRA policy on `base`, a causal model with the SFT already merged.

    `base` is wrapped in place and stays frozen. `value_from` names the reward term whose model the
    value model starts from (None: a new one). `decode` turns response ids without EOS into text for
    function terms. `on_step(step, total, metrics)` is called after each step, step counting from 1.
    Same seed, threads and versions: the same adapter, bit for bit on CPU. RllrError: no terms or
    prompts, a prompt too long, an adapter that does not fit, a NaN or infinite quantity.
    """
    check_terms(terms)
    check_prompts(base, prompts, settings.max_new_tokens)
    rewards = {term.name: term.adapter_path for term in terms if term.adapter_path is not None}
    one_base = build_one_base(base, settings, rewards, value_from)
    scorer = Scorer(one_base, terms, decode, tuple(eos_ids), settings.micro_batch_size)
    collector = Collector(scorer, make_sampler(settings, pad_id, eos_ids), settings)
    return PPOTrainer(collector, prompts, settings).run(on_step)


class PPOTrainer:
    """The loop. Its state is `done`, the steps taken, and what `collector` and `updater` hold."""

    def __init__(
        self, collector: Collector, prompts: Sequence[PromptRow], settings: PPOSettings
    ) -> None:
        self.collector = collector
        self.one_base = collector.scorer.one_base
        self.updater = Updater(self.one_base, settings)
        self.prompts = prompts
        self.settings = settings
        self.total = settings.total_steps(len(prompts))
        self.done = 0

    def run(self, on_step: StepCallback) -> PPOResult:
        """Take every step that is left."""
        tokens, skipped, metrics = 0.0, 0.0, Metrics()
        while self.done < self.total:
            metrics = self.step()
            tokens += metrics["response_length"] * self.settings.batch_size
            skipped += metrics["skipped"]
            on_step(self.done, self.total, metrics)
        summary: dict[str, float | Metrics] = {
            "steps": self.total,
            "samples": self.total * self.settings.batch_size,
            "response_tokens": round(tokens),
            "skipped": skipped,
            "kl_coef": self.collector.kl.coefficient,
            "last": metrics,
        }
        return PPOResult(self.one_base, summary)

    def step(self) -> Metrics:
        """One PPO step: sample, score, estimate advantages, update, steer the KL coefficient."""
        step, where, seed = self.done, f"step {self.done + 1}", self.settings.seed
        rate = self.updater.schedule(step, self.total)
        order = prompt_order(len(self.prompts), self.settings.batch_size, step, seed)
        rows = [self.prompts[index] for index in order]
        drawing = generator_for(seed, "sample", step, device=self.one_base.device)
        experience, metrics = self.collector.collect(rows, drawing, where)
        metrics |= self.updater.update(experience, generator_for(seed, "order", step), where)
        self.collector.kl.update(metrics["kl"], self.settings.batch_size)
        self.done += 1
        return {**metrics, "learning_rate": rate}


def make_sampler(settings: PPOSettings, pad_id: int, eos_ids: Sequence[int]) -> Sampler:
    """The sampler that `settings` describe."""
    return Sampler(
        pad_id,
        tuple(eos_ids),
        settings.max_new_tokens,
        settings.temperature,
        settings.top_k,
        settings.top_p,
    )


def check_prompts(base: nn.Module, prompts: Sequence[PromptRow], max_new_tokens: int) -> None:
    """RllrError if there is no prompt, an empty one, or one without room for its response."""
    if not prompts:
        raise RllrError("PPO: there are no prompts to train on")
    limit = getattr(base.config, "max_position_embeddings", None)  # BLOOM has no limit
    for number, row in enumerate(prompts, start=1):
        if not row.ids:
            raise RllrError(f"PPO: prompt {number} has no tokens")
        if limit is not None and len(row.ids) + max_new_tokens > limit:
            raise RllrError(
                f"PPO: prompt {number} has {len(row.ids)} tokens; with {max_new_tokens} new ones "
                f"it exceeds the model's {limit} positions; cut the prompt or lower max_new_tokens"
            )
