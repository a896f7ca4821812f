"""Supervised fine-tuning with TRL's SFTTrainer; the loss is on the response only.

Deviations from the paper: on the tiny models `tuning: full` trains all parameters (a small LoRA on
a barely pretrained base learns too little); everything after SFT uses LoRA.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllr.data.examples import read_examples
from rllr.errors import RllrError
from rllr.files import read_jsonl, write_json
from rllr.job import Job
from rllr.layout import CHECKPOINTS, SUMMARY
from rllr.tasks.response import format_response

if TYPE_CHECKING:
    from rllr.training.world import World


def sft_rows(job: Job, method: str, split: str) -> list[dict[str, list[int]]]:
    """Rows of `input_ids` and `labels` for all tasks; labels of the prompt are -100.

    Raises RllrError if a response is longer than predictions may be.
    """
    rows, lengths = [], {}
    for task, folder in job.data.items():
        path = folder / f"{split}.jsonl"
        for example, text in _responses(job, method, task, path):
            response = job.builder.response(text)
            lengths[f"{path}: {example['id']}"] = len(response)
            prompt = job.builder.prompt(job.project.tasks[task], example).ids
            labels = [-100] * len(prompt) + response
            rows.append({"input_ids": prompt + response, "labels": labels})
    _check_lengths(lengths, job.project.config.generation.max_new_tokens)
    return rows


def _responses(job: Job, method: str, task: str, path: Path) -> list[tuple[dict[str, Any], str]]:
    """Each example of a split with the response it is to teach.

    An example for which no teacher found a rationale teaches none.
    """
    schema = job.project.tasks[task]
    examples = read_examples(path, schema)
    if job.project.methods[method].response == "label":
        return [(row, format_response(schema, row["label"], None)) for row in examples]
    rows = read_jsonl(job.rationales[task] / path.name)
    written = {row["id"]: row["rationale"] for row in rows}
    kept = [row for row in examples if row["id"] in written]
    return [(row, format_response(schema, row["label"], written[row["id"]])) for row in kept]


def _check_lengths(lengths: Mapping[str, int], limit: int) -> None:
    """RllrError where responses, named by where they stand, are longer than predictions may be."""
    longer = {where: length for where, length in lengths.items() if length > limit}
    if longer:
        where = max(longer, key=lambda name: longer[name])
        raise RllrError(
            f"{len(longer)} of {len(lengths)} responses are longer than generation.max_new_tokens "
            f"({limit}), the longest with {longer[where]} tokens ({where}); set it to "
            f"{longer[where]} or more, or the model could never finish them"
        )


def train_sft(job: Job, method: str, identity: str, world: World) -> dict[str, Any]:
    """Train one supervised stage into its folder; returns its summary, which the first process
    writes.

    `identity` stands for all that the run depends on: only a killed run with the same one is gone
    on with.
    """
    from rllr.training.common import logs, save_weights, train_and_evaluate
    from rllr.training.resume import last_checkpoint, steps_done, train

    counts = job.builder.count_anew()
    to, rows = job.trained(method), sft_rows(job, method, "sft")
    checkpoint = last_checkpoint(to / CHECKPOINTS, identity, world)
    callbacks = logs(to, steps_done(checkpoint), world)
    trainer = _trainer(job, method, rows, world, callbacks)
    losses = train_and_evaluate(trainer, lambda trainer: train(trainer, checkpoint, world))
    tokens = sum(len(row["input_ids"]) for row in rows)
    summary = {"kind": "sft", "examples": len(rows), "tokens_per_epoch": tokens, **losses}
    seen = round(tokens * job.project.sft(job.model, method).epochs)
    summary |= {"tokens": seen, "processes": world.size, **counts}
    if not world.rank:
        save_weights(trainer.model, to)
        write_json(to / SUMMARY, summary)
    return summary


def _trainer(job: Job, method: str, train: list[Any], world: World, callbacks: list[Any]) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from rllr.models.load import load_policy, load_tokenizer
    from rllr.training.common import CausalCollator, common_arguments, lora_config
    from rllr.training.resume import checkpoint_arguments
    from rllr.training.shared import Shared

    class SharedSft(Shared, SFTTrainer): ...

    settings, to = job.project.sft(job.model, method), job.trained(method)
    # Weights that are trained are kept in fp32: in bf16 most steps would be rounded away.
    precision = job.config.precision if settings.tuning == "lora" else "fp32"
    lora = lora_config(job, settings, "CAUSAL_LM") if settings.tuning == "lora" else None
    shares = common_arguments(settings, job.seed, to, job.config, world.size)
    return SharedSft(
        world,
        lengths=[len(row["input_ids"]) for row in train] if settings.group_by_length else None,
        model=load_policy(job.base, precision=precision),
        args=SFTConfig(
            **shares | checkpoint_arguments(settings.checkpoint_every),
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        data_collator=CausalCollator(job.builder.pad),
        train_dataset=Dataset.from_list(_with_blank(train) if world.size > 1 else train),
        eval_dataset=Dataset.from_list(sft_rows(job, method, "validation")),
        processing_class=load_tokenizer(job.base),
        peft_config=lora,
        callbacks=callbacks,
    )


def _with_blank(rows: list[dict[str, list[int]]]) -> list[dict[str, list[int]]]:
    """A row more, of which nothing is learned; see `rllr.training.shared`."""
    ids = rows[0]["input_ids"][:2]
    return [*rows, {"input_ids": ids, "labels": [-100] * len(ids)}]
