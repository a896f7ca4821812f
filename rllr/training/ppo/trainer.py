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
from typing import Any

import torch
from torch import Tensor, nn

from rllr.errors import RllrError
from rllr.files import write_json
from rllr.training.ppo.account import account, describe
from rllr.training.ppo.adapters import build_one_base
from rllr.training.ppo.checkpoint import Saving
from rllr.training.ppo.core import RunningMoments
from rllr.training.ppo.experience import Collector, Metrics, now
from rllr.training.ppo.finite import NotFiniteError
from rllr.training.ppo.randomness import generator_for, prompt_order
from rllr.training.ppo.rewards import Decode, Scorer, check_terms
from rllr.training.ppo.roles import POLICY, VALUE, OneBase
from rllr.training.ppo.rollout import Sampler
from rllr.training.ppo.settings import PPOSettings, PromptRow, RewardTerm
from rllr.training.ppo.update import Updater
from rllr.training.stopping import Stopping, interrupted
from rllr.training.world import ALONE, World

StepCallback = Callable[[int, int, Metrics], None]


@dataclass
class PPOResult:
    """A trained policy among its roles, and totals of the run.

    `summary`: steps, samples, response_tokens, tokens (prompts' too), skipped (mini-batches the
    ratio guard skipped, as a share of a step's, summed over steps), kl_coef at the end, and `last`,
    the last step's metrics.
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
    saving: Saving | None = None,
) -> PPOResult:
    """Train a LoRA policy on `base`, a causal model with the SFT already merged.

    `base` is wrapped in place and stays frozen. `value_from` names the reward term whose model the
    value model starts from (None: a new one). `decode` turns response ids without EOS into text for
    function terms. `on_step(step, total, metrics)` is called after each step, step counting from 1.
    With `saving`, a run that was killed goes on from its last saved state and ends in the same
    adapter. Same seed, threads and versions: the same adapter, bit for bit on CPU. RllrError: no
    terms or prompts, a prompt too long, an adapter that does not fit, a NaN or infinite quantity.
    """
    check_terms(terms)
    check_prompts(base, prompts, settings.max_new_tokens)
    rewards = {term.name: term.adapter_path for term in terms if term.adapter_path is not None}
    one_base = build_one_base(base, settings, rewards, value_from)
    scorer = Scorer(one_base, terms, decode, tuple(eos_ids), settings.scoring_size)
    return PPOTrainer(scorer, prompts, settings, pad_id, saving).run(on_step)


class PPOTrainer:
    """The loop. Its state is what `state` returns; everything else follows from the settings."""

    def __init__(
        self,
        scorer: Scorer,
        prompts: Sequence[PromptRow],
        settings: PPOSettings,
        pad_id: int,
        saving: Saving | None = None,
        world: World = ALONE,
    ) -> None:
        world.check(settings.batch_size)
        check_prompts(scorer.one_base, prompts, settings.max_new_tokens)
        self.one_base = scorer.one_base
        if settings.gradient_checkpointing:
            self.one_base.use_checkpointing()
        sampler = make_sampler(settings, pad_id, scorer.eos_ids, world)
        self.collector = Collector(scorer, sampler, settings, world)
        self.updater = Updater(self.one_base, settings, world)
        self.prompts = prompts
        self.settings = settings
        self.saving = saving
        self.world = world
        self.total = settings.total_steps(len(prompts))
        self.done = 0
        self.totals = {"response_tokens": 0.0, "skipped": 0.0}
        self.last = Metrics()

    def run(self, on_step: StepCallback) -> PPOResult:
        """Take every step that is left, from the saved state if there is one.

        Raises InterruptedStageError where the stage is asked to stop, its state saved.
        """
        self._resume()
        if self.done < self.total and not self.world.rank:
            longest = max(len(row.ids) for row in self.prompts)
            print(
                describe(account(self.one_base, self.settings, longest, self.world.size)),
                flush=True,
            )
        stopping = Stopping(self.world)
        while self.done < self.total:
            try:
                metrics = self.step()
            except NotFiniteError as error:
                raise self._with_batch(error) from error
            self.totals["response_tokens"] += metrics["response_length"] * self.settings.batch_size
            self.totals["skipped"] += metrics["skipped"]
            self.last = metrics
            on_step(self.done, self.total, metrics)
            self._save_or_stop(stopping)
        return PPOResult(self.one_base, self._summary())

    def step(self) -> Metrics:
        """One PPO step: sample, score, estimate advantages, update, steer the KL coefficient."""
        started = now(self.one_base.device)
        step, where, seed = self.done, f"step {self.done + 1}", self.settings.seed
        rate = self.updater.schedule(step, self.total)
        drawing = generator_for(seed, "sample", step, device=self.one_base.device)
        experience, metrics = self.collector.collect(self._rows(step), drawing, where)
        collected = now(self.one_base.device)
        metrics |= self.updater.update(experience, generator_for(seed, "order", step), where)
        ended = now(self.one_base.device)
        self.collector.kl.update(metrics["kl"], self.settings.batch_size)
        self.done += 1
        times = {"seconds/train": ended - collected, "seconds": ended - started}
        return {**metrics, "learning_rate": rate, **times}

    def _rows(self, step: int) -> list[PromptRow]:
        """This process's prompts of a step."""
        size = self.settings.batch_size
        order = prompt_order(len(self.prompts), size, step, self.settings.seed)
        return [self.prompts[order[row]] for row in self.world.rows(size)]

    def _prompt_tokens(self) -> int:
        """Tokens of the prompts of all steps and processes."""
        count, size, seed = len(self.prompts), self.settings.batch_size, self.settings.seed
        orders = (prompt_order(count, size, step, seed) for step in range(self.total))
        return sum(len(self.prompts[row].ids) for order in orders for row in order)

    def _summary(self) -> dict[str, float | Metrics]:
        response_tokens = round(self.totals["response_tokens"])
        return {
            "steps": self.total,
            "samples": self.total * self.settings.batch_size,
            "response_tokens": response_tokens,
            "tokens": self._prompt_tokens() + response_tokens,
            "skipped": self.totals["skipped"],
            "kl_coef": self.collector.kl.coefficient,
            "last": self.last,
        }

    def state(self) -> dict[str, Any]:
        """All that the next step depends on and that settings, prompts and terms do not give."""
        moments = self.collector.moments
        return {
            "done": self.done,
            "totals": self.totals,
            "last": self.last,
            "kl_coef": self.collector.kl.coefficient,
            "moments": [moments.count, moments.mean, moments.variance],
            "weights": {role: self._weights(role) for role in (POLICY, VALUE)},
            "optimizers": {role: o.state_dict() for role, o in self.updater.optimizers.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        self.done, self.totals, self.last = state["done"], state["totals"], state["last"]
        self.collector.kl.coefficient = state["kl_coef"]
        self.collector.moments = RunningMoments(*state["moments"])
        for role, saved in state["weights"].items():
            with torch.no_grad():
                for own, value in zip(self.one_base.parameters(role), saved, strict=True):
                    own.copy_(value)
        for role, saved in state["optimizers"].items():
            self.updater.optimizers[role].load_state_dict(saved)

    def _weights(self, role: str) -> list[Tensor]:
        return [parameter.detach() for parameter in self.one_base.parameters(role)]

    def _resume(self) -> None:
        state = self.saving.read() if self.saving else None
        if state is not None:
            self.restore(state)
            print(f"going on after step {self.done} of {self.total}", flush=True)

    def _save_or_stop(self, stopping: Stopping) -> None:
        """Save every few steps, after the last and when asked to stop, which ends the run.

        One process writes for all, which agree.
        """
        if self.saving is None:
            return
        reason = stopping.reason()
        due = self.done % self.saving.every == 0 or self.done == self.total
        if (due or reason) and not self.world.rank:
            self.saving.write(self.state())
        if reason:
            raise interrupted(self.done, self.total, reason)

    def _with_batch(self, error: NotFiniteError) -> RllrError:
        """Save what the failed step worked on, and say where."""
        if self.saving is None:
            return error
        step = self.done + 1
        path = self.saving.folder / f"failed_step{step}_rank{self.world.rank}.json"
        found: dict[str, Any] = {"step": step, "quantity": error.quantity}
        found["prompts"] = [row.ids for row in self._rows(self.done)]
        if error.batch is not None:
            found |= {name: getattr(error.batch, name).tolist() for name in ("ids", "attention")}
        write_json(path, found)
        return RllrError(f"{error}. The batch is in {path}")


def make_sampler(
    settings: PPOSettings, pad_id: int, eos_ids: Sequence[int], world: World = ALONE
) -> Sampler:
    """The sampler that `settings` describe."""
    return Sampler(
        pad_id,
        tuple(eos_ids),
        settings.max_new_tokens,
        settings.temperature,
        settings.top_k,
        settings.top_p,
        world,
    )


def check_prompts(
    base: nn.Module | OneBase, prompts: Sequence[PromptRow], max_new_tokens: int
) -> None:
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
