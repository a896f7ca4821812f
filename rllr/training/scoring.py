"""From a method's declaration to what its trainer needs: roles, reward terms, prompts, settings."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from rllr.config.schema import PpoSettings, RlSettings
from rllr.data.examples import read_examples
from rllr.job import Job
from rllr.training.ppo.adapters import build_one_base
from rllr.training.ppo.functions import FUNCTIONS, Gold
from rllr.training.ppo.rewards import Scorer
from rllr.training.ppo.roles import OneBase
from rllr.training.ppo.settings import PPOSettings, PromptRow, RewardTerm
from rllr.training.tau import cap_at_quantile


def build_scorer(job: Job, method: str, config: RlSettings, prompts: Sequence[PromptRow]) -> Scorer:
    """The frozen start with its roles, and the method's reward terms on it, caps known."""
    from rllr.models.load import load_policy

    declared = job.project.methods[method]
    adapters = {name: job.trained(name) for name in declared.reward_models}
    value_from = declared.value_from or next(iter(adapters), None)
    place, precision = job.config.device, job.config.precision
    start = load_policy(job.base, job.trained(declared.start), place, precision)
    one_base = build_one_base(start, ppo_settings(job, config), adapters, value_from)
    return scorer_on(one_base, job, method, config, prompts)


def scorer_on(
    one_base: OneBase, job: Job, method: str, config: RlSettings, prompts: Sequence[PromptRow]
) -> Scorer:
    """The method's reward terms on roles that are there, for training on `prompts`."""
    return Scorer(
        one_base,
        reward_terms(job, method, config, one_base),
        job.builder.decode,
        job.builder.ends,
        ppo_settings(job, config).scoring_size,
        watched(prompts),
    )


def ppo_settings(job: Job, config: RlSettings) -> PPOSettings:
    """The trainer's settings from the configuration's; what only PPO has keeps its default."""
    own = {"evaluation_prompts", "tau", "tau_quantile", "checkpoint_every", "generations"}
    given = config.model_dump(exclude=own | {"gae_lambda", "micro_batch_size"})
    if isinstance(config, PpoSettings):
        given["lam"] = config.gae_lambda
    return PPOSettings(
        target_modules=tuple(job.config.lora_targets),
        max_new_tokens=job.project.config.generation.max_new_tokens,
        micro_batch_size=config.micro_batch_size or config.batch_size,
        seed=job.seed,
        **given,
    )


def reward_terms(job: Job, method: str, config: RlSettings, one_base: OneBase) -> list[RewardTerm]:
    """The method's reward terms: a trained reward model or a function each, caps as numbers."""
    terms = []
    for term in job.project.methods[method].rewards:
        cap = config.tau if term.cap == "tau" else term.cap
        if cap == "auto":
            size = ppo_settings(job, config).scoring_size
            cap = cap_at_quantile(job, one_base, term.name, config.tau_quantile, size)
        source: dict[str, Any] = {"function": FUNCTIONS.get(term.function or "")}
        if term.model is not None:
            source = {"adapter_path": job.trained(term.model)}
        terms.append(RewardTerm(term.name, **source, cap=cap, weight=term.weight))
    return terms


def prompt_rows(job: Job, split: str, limit: int | None = None) -> list[PromptRow]:
    """Prompts of a split, all tasks shuffled together; at most `limit`, a seeded sample.

    A label, where there is one, is for reward functions that ask for it and for watching.
    """
    rows = []
    for task, folder in job.data.items():
        schema = job.project.tasks[task]
        for example in read_examples(folder / f"{split}.jsonl", schema, labelled=False):
            gold = Gold(schema, example.get("label"))
            rows.append(PromptRow(job.builder.prompt(schema, example).ids, gold))
    random.Random(f"prompts/{split}").shuffle(rows)
    return rows[:limit]


def watched(prompts: Sequence[PromptRow]) -> dict[str, Any]:
    """What is logged and not trained on; accuracy only where every prompt has a label."""
    watched = {"parsed": FUNCTIONS["format_valid"]}
    if all(row.gold.label is not None for row in prompts):
        watched["label_accuracy"] = FUNCTIONS["label_correct"]
    return watched
