"""The policy stage: from a method's declaration to a trained policy adapter and its summary.

Held-out reward is measured on sampled responses to validation prompts, before and after training,
from the same random numbers: the gain is paired. Its standard error is that of the mean difference.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from rllr.config.schema import PpoSettings, RlSettings
from rllr.files import write_json
from rllr.job import Job
from rllr.layout import CHECKPOINTS, SUMMARY
from rllr.training.ppo.checkpoint import Saving
from rllr.training.ppo.evaluate import evaluate_reward
from rllr.training.ppo.rewards import Scorer
from rllr.training.ppo.settings import RewardTerm
from rllr.training.ppo.trainer import PPOResult, PPOTrainer, StepCallback
from rllr.training.scoring import build_scorer, ppo_settings, prompt_rows
from rllr.training.tracking import StepLog, trackers
from rllr.training.world import World


def train_policy(job: Job, method: str, identity: str, world: World) -> dict[str, Any]:
    """Train one method into its folder; returns its summary, which the first process writes.

    The other processes of a data-parallel run do all but writing and measuring, and return nothing.
    `identity` stands for all that the run depends on: only a killed run with the same one is gone
    on with.
    """
    if world.rank:
        _train_ppo(job, method, identity, world, lambda *_: None)
        return {}
    config, to = job.project.rl(job.model, method), job.trained(method)
    counts = job.builder.count_anew()
    log = StepLog(to, trackers(job, method))
    try:
        scorer, totals = _train(job, method, identity, world, log)
    finally:
        log.close()
    scorer.one_base.save_policy(to)
    before, after = (held_out_rewards(job, scorer, config, trained=t) for t in (False, True))
    described = method_summary(job, method, scorer.terms)
    gain = gain_summary(before, after)
    summary = {**described, **gain, **totals, "processes": world.size, **counts}
    write_json(to / SUMMARY, summary)
    return summary


def _train(
    job: Job, method: str, identity: str, world: World, log: StepLog
) -> tuple[Scorer, dict[str, Any]]:
    if isinstance(job.project.rl(job.model, method), PpoSettings):
        return _train_ppo(job, method, identity, world, log)
    from rllr.training.group import train_group

    return train_group(job, method, identity, log)


def _train_ppo(
    job: Job, method: str, identity: str, world: World, log: StepCallback
) -> tuple[Scorer, dict[str, Any]]:
    config = job.project.rl(job.model, method)
    assert isinstance(config, PpoSettings)
    prompts = prompt_rows(job, "rl")
    scorer = build_scorer(job, method, config, prompts)
    saving = Saving(job.trained(method) / CHECKPOINTS, identity, config.checkpoint_every)
    settings, pad = ppo_settings(job, config), job.builder.pad
    result = PPOTrainer(scorer, prompts, settings, pad, saving, world).run(log)
    return scorer, training_summary(result)


def held_out_rewards(job: Job, scorer: Scorer, config: RlSettings, *, trained: bool) -> list[float]:
    """Reward of one sampled response per held-out prompt, under the policy or before training."""
    return evaluate_reward(
        scorer.one_base,
        prompt_rows(job, "validation", limit=config.evaluation_prompts),
        settings=ppo_settings(job, config),
        terms=scorer.terms,
        decode=scorer.decode,
        pad_id=job.builder.pad,
        eos_ids=scorer.eos_ids,
        use_policy=trained,
        seed=job.seed,
    )


def method_summary(job: Job, method: str, terms: Sequence[RewardTerm]) -> dict[str, Any]:
    """What the policy was trained from and on."""
    declared = job.project.methods[method]
    return {
        "kind": "rl",
        "algorithm": declared.algorithm,
        "start": declared.start,
        "reward_models": declared.reward_models,
        "caps": {term.name: term.cap for term in terms if term.cap is not None},
    }


def gain_summary(before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    """Mean held-out reward before and after, and the paired gain with its standard error."""
    gains = [new - old for new, old in zip(after, before, strict=True)]
    spread = statistics.stdev(gains) if len(gains) > 1 else 0.0
    return {
        "reward_before": {"mean": statistics.fmean(before), "n": len(before)},
        "reward_after": {"mean": statistics.fmean(after), "n": len(after)},
        "reward_gain": {"mean": statistics.fmean(gains), "se": spread / len(gains) ** 0.5},
    }


def training_summary(result: PPOResult) -> dict[str, Any]:
    """Totals of a PPO run."""
    last = result.summary["last"]
    return {
        "kl": {"final": last["kl"]},  # type: ignore[index]
        "skipped_batches": result.summary["skipped"],
        "steps": result.summary["steps"],
        "response_tokens": result.summary["response_tokens"],
        "tokens": result.summary["tokens"],
    }
