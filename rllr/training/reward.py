"""Reward models with TRL's RewardTrainer: LoRA and a scalar head on the frozen, merged start model.

The loss is the pairwise logistic one (Bradley and Terry 1952, as in Ouyang et al. 2022):
-log sigmoid(r(chosen) - r(rejected)); a response's reward is the head's value at its last token.
Once trained, a reward model is measured on held-out pairs of both kinds, and it scores the held-out
sampled responses, right and wrong ones, which shows whether its reward follows the label.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllr.config.schema import ScoreLabels, TaskConfig
from rllr.data.examples import Example
from rllr.errors import RllrError
from rllr.files import read_jsonl, write_json, write_jsonl
from rllr.job import Job
from rllr.layout import CHECKPOINTS, SAMPLE_REWARDS, SAMPLES, SUMMARY
from rllr.tasks.response import parse_response
from rllr.tasks.verdict import is_right

if TYPE_CHECKING:
    from rllr.training.world import World

SIDES = ("chosen", "rejected")


def pair_rows(job: Job, pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, list[int]]]:
    """Rows of `chosen_ids` and `rejected_ids`: prompt and response, end token included."""
    rows = []
    for pair in pairs:
        prompt = job.builder.prompt(job.project.tasks[pair["task"]], pair["example"]).ids
        rows.append({f"{side}_ids": prompt + _response(job, pair[side]) for side in SIDES})
    return rows


def _response(job: Job, text: str) -> list[int]:
    # Sampled responses were stripped when decoded; every response starts with one space.
    return job.builder.response(" " + text.strip())


def train_reward(job: Job, reward: str, identity: str, world: World) -> dict[str, Any]:
    """Train one reward model into its folder; returns its summary, which the first process writes.

    Held-out accuracy on both kinds of pairs and the rewards of sampled responses are the first
    process's work alone; the others return nothing. `identity` is as in `train_sft`. Raises
    RllrError when there is no pair to train on.
    """
    from rllr.training.common import logs, save_weights
    from rllr.training.resume import last_checkpoint, steps_done
    from rllr.training.resume import train as train_from

    counts = job.builder.count_anew()
    config = job.project.config.reward_models[reward]
    folders = job.pair_folders(config.start)
    train = _read(folders[config.pairs], "train")
    if not train:
        raise RllrError(
            f"reward model {reward!r} of {job.model!r}: no {config.pairs} pairs to train on; the "
            "sampled responses may all be equal, or the judge tells none apart (raise "
            "pairs.temperature, pairs.samples_per_prompt or pairs.prompts)"
        )
    to = job.trained(reward)
    checkpoint = last_checkpoint(to / CHECKPOINTS, identity, world)
    rows = pair_rows(job, train)
    trainer = _trainer(job, reward, rows, world, logs(to, steps_done(checkpoint), world))
    train_from(trainer, checkpoint, world)
    if world.rank:
        return {}
    save_weights(trainer.model, to)
    held_out = {kind: _read(paths, "heldout") for kind, paths in folders.items()}
    size = trainer.args.per_device_eval_batch_size
    accuracy = {
        kind: pair_accuracy(trainer.model, job, rows, size) for kind, rows in held_out.items()
    }
    write_jsonl(to / SAMPLE_REWARDS, sample_rewards(trainer.model, job, config.start, size))
    tokens = sum(len(ids) for row in rows for ids in row.values())
    seen = round(tokens * job.project.reward(job.model, reward).epochs)
    found = {"train_pairs": len(train), "accuracy": accuracy, "processes": world.size}
    found |= {"steps": trainer.state.global_step, "tokens": seen}
    summary = {"kind": "reward", "pairs": config.pairs, **found, **counts}
    write_json(to / SUMMARY, summary)
    return summary


def _read(folders: Sequence[Path], name: str) -> list[dict[str, Any]]:
    return [row for folder in folders for row in read_jsonl(folder / f"{name}.jsonl")]


def _trainer(job: Job, reward: str, rows: list[Any], world: World, callbacks: list[Any]) -> Any:
    import torch
    from datasets import Dataset
    from trl import RewardConfig

    from rllr.models.load import load_policy, load_scorer, load_tokenizer
    from rllr.training.common import common_arguments, lora_config
    from rllr.training.pairwise import PairwiseTrainer, with_blank
    from rllr.training.resume import checkpoint_arguments

    settings, config = job.project.reward(job.model, reward), job.config
    start = job.trained(job.project.config.reward_models[reward].start)
    torch.manual_seed(job.seed)
    shares = common_arguments(settings, job.seed, job.trained(reward), config, world.size)
    lengths = [max(map(len, row.values())) for row in rows]
    policy = load_policy(job.base, start, config.device, config.precision)
    return PairwiseTrainer(
        world,
        lengths=lengths if settings.group_by_length else None,
        model=load_scorer(policy, job.builder.pad),
        args=RewardConfig(
            **shares | checkpoint_arguments(settings.checkpoint_every), max_length=None
        ),
        train_dataset=Dataset.from_list(with_blank(rows) if world.size > 1 else rows),
        processing_class=load_tokenizer(job.base),
        peft_config=lora_config(job, settings, "SEQ_CLS"),
        callbacks=callbacks,
    )


def pair_accuracy(
    scorer: Any, job: Job, pairs: Sequence[Mapping[str, Any]], batch: int = 64
) -> dict[str, Any]:
    """Share of pairs whose chosen response scores higher (a tie counts half), also per task."""
    rows, pad = pair_rows(job, pairs), job.builder.pad
    sides = [[row[f"{side}_ids"] for row in rows] for side in SIDES]
    scores = [score_ids(scorer, ids, pad, batch) for ids in sides]
    totals: dict[str, list[float]] = defaultdict(list)
    for pair, good, bad in zip(pairs, *scores, strict=True):
        totals[pair["task"]].append(1.0 if good > bad else 0.5 if good == bad else 0.0)
    by_task = {task: {"correct": sum(hits), "n": len(hits)} for task, hits in totals.items()}
    correct = sum(task["correct"] for task in by_task.values())
    return {"correct": correct, "n": len(rows), "by_task": by_task}


def sample_rewards(scorer: Any, job: Job, start: str, batch: int = 64) -> list[dict[str, Any]]:
    """Rows {task, id, label_correct, parsed, reward} of held-out responses sampled from `start`.

    `label_correct` is what `is_right` says of its label; `reward` is the raw score, of the response
    and its end token as in training (one that was cut off is scored as if it had ended there). None
    where no responses were sampled, as pairs were released with the data.
    """
    ids, rows = [], []
    for sample in read_jsonl(job.samples(start) / SAMPLES):
        if sample["split"] != "heldout":
            continue
        task, example = job.project.tasks[sample["task"]], sample["example"]
        prompt = job.builder.prompt(task, example).ids
        ids += [prompt + _response(job, text) for text in sample["responses"]]
        rows += [_verdict(task, sample["task"], example, text) for text in sample["responses"]]
    scores = score_ids(scorer, ids, job.builder.pad, batch)
    return [{**row, "reward": score} for row, score in zip(rows, scores, strict=True)]


def _verdict(task: TaskConfig, name: str, example: Example, text: str) -> dict[str, Any]:
    stated, score = parse_response(task, text).label, isinstance(task.labels, ScoreLabels)
    right = is_right(stated, example["label"], score=score)
    return {"task": name, "id": example["id"], "label_correct": right, "parsed": stated is not None}


def score_ids(scorer: Any, rows: Sequence[list[int]], pad_id: int, batch: int = 64) -> list[float]:
    """The scalar at each row's last token; rows are batched by length."""
    import torch

    from rllr.training.common import CausalCollator

    collate = CausalCollator(pad_id)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    scores = [0.0] * len(rows)
    scorer.eval()
    with torch.inference_mode():
        for at in range(0, len(order), batch):
            part = order[at : at + batch]
            inputs = collate([{"input_ids": rows[i]} for i in part])
            inputs.pop("labels")
            inputs = {name: tensor.to(scorer.device) for name, tensor in inputs.items()}
            for i, value in zip(part, scorer(**inputs).logits[:, 0].tolist(), strict=True):
                scores[i] = value
    return scores
