"""Supervised fine-tuning with TRL's SFTTrainer; the loss is on the response only.

Deviations from the paper: on the tiny models `tuning: full` trains all parameters (a small LoRA on
a barely pretrained base learns too little); everything after SFT uses LoRA.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rllr.data.examples import read_examples
from rllr.errors import RllrError
from rllr.files import read_jsonl, write_json
from rllr.job import Job
from rllr.layout import SUMMARY
from rllr.tasks.response import format_response


def sft_rows(job: Job, method: str, split: str) -> list[dict[str, list[int]]]:
    """Rows of `input_ids` and `labels` for all tasks; labels of the prompt are -100.

    Raises RllrError if a response is longer than predictions may be.
    """
    rows = []
    for task, folder in job.data.items():
        path = folder / f"{split}.jsonl"
        for example, text in _responses(job, method, task, path):
            response = job.builder.response(text)
            _check_length(response, job, f"{path}: {example['id']}")
            prompt = job.builder.prompt(job.project.tasks[task], example).ids
            labels = [-100] * len(prompt) + response
            rows.append({"input_ids": prompt + response, "labels": labels})
    return rows


def _responses(job: Job, method: str, task: str, path: Path) -> list[tuple[dict[str, Any], str]]:
    """Each example of a split with the response it is to teach."""
    schema = job.project.tasks[task]
    examples = read_examples(path, schema)
    written: dict[str, str | None] = dict.fromkeys(row["id"] for row in examples)
    if job.project.methods[method].response == "rationale":
        rows = read_jsonl(job.rationales[task] / path.name)
        written |= {row["id"]: row["rationale"] for row in rows}
    return [(row, format_response(schema, row["label"], written[row["id"]])) for row in examples]


def _check_length(response: list[int], job: Job, where: str) -> None:
    limit = job.project.config.generation.max_new_tokens
    if len(response) > limit:
        raise RllrError(
            f"{where}: its response has {len(response)} tokens, generation.max_new_tokens is "
            f"{limit}; raise it, or the model could never finish this answer"
        )


def train_sft(job: Job, method: str) -> dict[str, Any]:
    """Train one supervised stage into its folder; returns (and writes) its summary."""
    from rllr.training.common import save_weights, train_and_evaluate

    to = job.trained(method)
    train = sft_rows(job, method, "sft")
    trainer = _trainer(job, method, train, sft_rows(job, method, "validation"))
    losses = train_and_evaluate(trainer)
    save_weights(trainer.model, to)
    tokens = sum(len(row["input_ids"]) for row in train)
    summary = {"kind": "sft", "examples": len(train), "tokens_per_epoch": tokens, **losses}
    write_json(to / SUMMARY, summary)
    return summary


def _trainer(job: Job, method: str, train: list[Any], held_out: list[Any]) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from rllr.models.load import load_policy, load_tokenizer
    from rllr.training.common import CausalCollator, JsonlLog, common_arguments, lora_config

    settings = job.project.sft(job.model, method)
    to = job.trained(method)
    lora = lora_config(job, settings, "CAUSAL_LM") if settings.tuning == "lora" else None
    return SFTTrainer(
        model=load_policy(job.base),
        args=SFTConfig(
            **common_arguments(settings, job.seed, to),
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        data_collator=CausalCollator(job.builder.pad),
        train_dataset=Dataset.from_list(train),
        eval_dataset=Dataset.from_list(held_out),
        processing_class=load_tokenizer(job.base),
        peft_config=lora,
        callbacks=[JsonlLog(to)],
    )
