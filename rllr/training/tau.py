"""The cap tau of the mixed reward, chosen from data: `tau: auto`.

The published runs use one number per model and do not say how it was found. Here it is a quantile
(the median by default) of the label reward model's scores of gold responses to validation examples:
a response that scores like a typical right answer earns no more for its label, and the rationale
reward decides from there on.
"""

from __future__ import annotations

from typing import Any

import torch

from rllr.errors import RllrError
from rllr.files import read_jsonl
from rllr.job import Job
from rllr.training.ppo.batch import batch_of
from rllr.training.ppo.roles import OneBase


def cap_at_quantile(job: Job, one_base: OneBase, reward: str, quantile: float, size: int) -> float:
    """The quantile of a reward model's scores of gold validation responses, `size` rows at a time.

    Raises RllrError if there are none.
    """
    rows = sorted(_gold_responses(job), key=lambda row: len(row[0]) + len(row[1]))
    if not rows:
        raise RllrError(
            f"tau: auto needs gold responses of the validation split, and run "
            f"{job.project.config.run!r} has none; set tau to a number"
        )
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    pad, device = job.builder.pad, one_base.device
    batches = [
        batch_of([prompt for prompt, _ in part], [response for _, response in part], pad, device)
        for part in parts
    ]
    scores = torch.cat([one_base.score(reward, batch) for batch in batches])
    tau = float(scores.double().quantile(quantile))
    print(f"tau: {tau:.3f}, the {quantile:g} quantile of {len(rows)} gold responses", flush=True)
    return tau


def _gold_responses(job: Job) -> list[tuple[list[int], list[int]]]:
    """Prompt and response ids of every held-out example's right answer, once each."""
    found: dict[tuple[str, str], Any] = {}
    for task in job.data:
        for pair in read_jsonl(job.layout.label_pairs(task) / "heldout.jsonl"):
            found[task, pair["example"]["id"]] = pair
    builder, tasks = job.builder, job.project.tasks
    return [
        (builder.prompt(tasks[task], pair["example"]).ids, builder.response(pair["chosen"]))
        for (task, _), pair in found.items()
    ]
