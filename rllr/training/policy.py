"""The PPO stage: from a method's declaration to a trained policy adapter and its summary.

Held-out reward is measured on sampled responses to validation prompts, before and after training,
from the same random numbers: the gain is paired. Its standard error is that of the mean difference.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rllr.config.schema import PpoSettings
from rllr.data.examples import read_examples
from rllr.files import write_json
from rllr.job import Job
from rllr.layout import SUMMARY
from rllr.training.common import LOG
from rllr.training.ppo.evaluate import evaluate_reward
from rllr.training.ppo.settings import PPOSettings, PromptRow, RewardTerm
from rllr.training.ppo.trainer import PPOResult, train_ppo

REPORT_EVERY = 10


def train_policy(job: Job, method: str) -> dict[str, Any]:
    """Train one PPO method into its folder; returns (and writes) its summary."""
    from rllr.models.load import load_policy

    declared = job.project.methods[method]
    config = job.project.ppo(job.model, method)
    settings, terms = ppo_settings(job, config), reward_terms(job, method, config)
    shared: dict[str, Any] = {
        "settings": settings,
        "terms": terms,
        "decode": job.builder.decode,
        "pad_id": job.builder.pad,
        "eos_ids": [job.builder.eos],
    }
    to = job.trained(method)
    result = train_ppo(
        load_policy(job.base, job.trained(declared.start)),
        value_from=declared.value_from or terms[0].name,
        prompts=prompt_rows(job, "rl"),
        on_step=StepLog(to / LOG),
        **shared,
    )
    result.save_policy(to)
    held_out = prompt_rows(job, "validation", limit=config.evaluation_prompts)
    measure = partial(evaluate_reward, result.one_base, held_out, seed=job.seed, **shared)
    summary = _summary(job, method, result, measure(use_policy=False), measure(use_policy=True))
    write_json(to / SUMMARY, summary)
    return summary


def ppo_settings(job: Job, config: PpoSettings) -> PPOSettings:
    """The trainer's settings from the configuration's."""
    renamed = {"gae_lambda", "evaluation_prompts", "tau", "micro_batch_size"}
    return PPOSettings(
        target_modules=tuple(job.config.lora_targets),
        max_new_tokens=job.project.config.generation.max_new_tokens,
        lam=config.gae_lambda,
        micro_batch_size=config.micro_batch_size or config.batch_size,
        seed=job.seed,
        **config.model_dump(exclude=renamed),
    )


def reward_terms(job: Job, method: str, config: PpoSettings) -> list[RewardTerm]:
    """The method's reward terms, each with its trained reward model and cap."""
    return [
        RewardTerm(
            name=term.model,
            adapter_path=job.trained(term.model),
            cap=config.tau if term.cap == "tau" else term.cap,
            weight=term.weight,
        )
        for term in job.project.methods[method].rewards
    ]


def prompt_rows(job: Job, split: str, limit: int | None = None) -> list[PromptRow]:
    """Prompts of a split, all tasks shuffled together; at most `limit`, a seeded sample."""
    rows = []
    for task, folder in job.data.items():
        schema = job.project.tasks[task]
        examples = read_examples(folder / f"{split}.jsonl", schema, labelled=False)
        rows += [PromptRow(job.builder.prompt(schema, example).ids) for example in examples]
    random.Random(f"prompts/{split}").shuffle(rows)
    return rows[:limit]


class StepLog:
    """Writes each step's metrics to a JSONL file and now and then a line to the job's log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started = time.monotonic()
        path.write_text("")

    def __call__(self, step: int, total: int, metrics: dict[str, float]) -> None:
        """Called by the trainer after each step, counting from 1."""
        with self.path.open("a") as stream:
            stream.write(json.dumps({"step": step, **metrics}) + "\n")
        if step % REPORT_EVERY == 0 or step == total:
            left = (time.monotonic() - self.started) / step * (total - step)
            reward, kl = metrics["reward"], metrics["kl"]
            print(
                f"step {step}/{total} reward {reward:.3f} KL {kl:.3f}, {left:.0f} s left",
                flush=True,
            )


def _summary(
    job: Job, method: str, result: PPOResult, before: Sequence[float], after: Sequence[float]
) -> dict[str, Any]:
    declared = job.project.methods[method]
    gains = [new - old for new, old in zip(after, before, strict=True)]
    spread = statistics.stdev(gains) if len(gains) > 1 else 0.0
    last = result.summary["last"]
    return {
        "kind": "rl",
        "start": declared.start,
        "reward_models": [term.model for term in declared.rewards],
        "reward_before": {"mean": statistics.fmean(before), "n": len(before)},
        "reward_after": {"mean": statistics.fmean(after), "n": len(after)},
        "reward_gain": {"mean": statistics.fmean(gains), "se": spread / len(gains) ** 0.5},
        "kl": {"final": last["kl"]},  # type: ignore[index]
        "skipped_batches": result.summary["skipped"],
        "steps": result.summary["steps"],
        "response_tokens": result.summary["response_tokens"],
    }
