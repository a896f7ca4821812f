"""The sampling stage: several responses per prompt from a trained model, for the judge."""

from __future__ import annotations

import random
from typing import Any

from rllr.config.schema import RATIONALE_SENSITIVE
from rllr.data.examples import Example, read_examples
from rllr.data.pairs import PAIR_SPLITS
from rllr.data.released import released_pairs
from rllr.evaluation.generate import Sampling, generate_ids
from rllr.files import write_jsonl
from rllr.job import Job
from rllr.layout import SAMPLES


def sample_responses(job: Job, start: str) -> dict[str, Any]:
    """Write rows {task, split, example, responses} for prompts of the rm and validation splits.

    A task with released pairs of a part needs no responses there.
    """
    rows = [row for task in job.data for row in _prompts(job, task)]
    if not rows:
        write_jsonl(job.samples(start) / SAMPLES, rows)
        return {"prompts": 0, "tokens": 0}
    import torch

    from rllr.models.load import load_policy

    settings = job.project.config.pairs
    prompts = [job.builder.prompt(job.project.tasks[r["task"]], r["example"]).ids for r in rows]
    config = job.config
    model = load_policy(job.base, job.trained(start), config.device, config.precision)
    torch.manual_seed(job.seed)
    responses = generate_ids(
        model,
        prompts,
        pad_id=job.builder.pad,
        eos_ids=job.builder.ends,
        max_new_tokens=job.project.config.generation.max_new_tokens,
        batch_size=settings.batch_size or job.project.config.generation.batch_size,
        sampling=Sampling(settings.temperature, settings.samples_per_prompt),
    )
    for row, texts in zip(rows, responses, strict=True):
        row["responses"] = [job.builder.decode(ids) for ids in texts]
    write_jsonl(job.samples(start) / SAMPLES, rows)
    counts = {"prompts": len(rows), "prompts_cut": job.builder.counts["prompts_cut"]}
    return {**counts, "tokens": sum(len(ids) for texts in responses for ids in texts)}


def _prompts(job: Job, task: str) -> list[dict[str, Any]]:
    settings = job.project.config.pairs
    limits = {"train": settings.prompts, "heldout": settings.heldout_prompts}
    rows = []
    for name, split in PAIR_SPLITS.items():
        if released_pairs(job.project, task, job.data[task], RATIONALE_SENSITIVE, name):
            continue
        path = job.layout.data(task) / f"{split}.jsonl"
        examples = read_examples(path, job.project.tasks[task])
        for example in _limited(examples, limits[name], f"{job.seed}/{task}/{name}"):
            rows.append({"task": task, "split": name, "example": example})
    return rows


def _limited(examples: list[Example], size: int | None, seed: str) -> list[Example]:
    if size is None or size >= len(examples):
        return examples
    return random.Random(f"sample/{seed}").sample(examples, size)
