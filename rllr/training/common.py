"""What all trainers of the library share: arguments, a JSONL log, losses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback

from rllr.config.schema import ModelConfig
from rllr.errors import RllrError
from rllr.files import write_jsonl
from rllr.job import Job
from rllr.layout import CHECKPOINTS
from rllr.training.world import World

LOG = "log.jsonl"
EVALUATED_PER_MICRO = 4


def common_arguments(
    settings: Any, seed: int, folder: Path, model: ModelConfig, processes: int = 1
) -> dict[str, Any]:
    """Keyword arguments for TrainingArguments and its TRL descendants.

    The batch sizes of the settings are global: gradient accumulation makes up for a smaller
    micro-batch and for fewer processes. Where memory bounds a micro-batch it bounds held-out rows
    too, of which nothing is kept for a backward pass. Several TRL defaults (bf16, checkpointing) do
    not fit a CPU and are set here; with bf16, what is trained (LoRA, heads) stays in fp32.
    """
    own = settings.batch_size // processes
    bound = getattr(settings, "micro_batch_size", None)
    micro = bound or own
    checkpointing = getattr(settings, "gradient_checkpointing", False)
    return {
        "output_dir": str(folder / CHECKPOINTS),
        "learning_rate": settings.learning_rate,
        "num_train_epochs": getattr(settings, "epochs", 1),
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": EVALUATED_PER_MICRO * bound if bound else 64,
        "gradient_accumulation_steps": own // micro,
        "lr_scheduler_type": "cosine",
        # A number below one is a share of all steps.
        "warmup_steps": getattr(settings, "warmup_ratio", 0.0),
        "seed": seed,
        "data_seed": seed,
        "use_cpu": model.device == "cpu",
        "bf16": model.precision == "bf16",
        "gradient_checkpointing": checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if checkpointing else None,
        "report_to": "none",
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_steps": 10,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
        "ddp_find_unused_parameters": False,
    }


class JsonlLog(TrainerCallback):
    """Writes each logged step to log.jsonl and one line to the job's log.

    A run that goes on after step `done` keeps the rows up to it; what a killed one had logged after
    that is dropped.
    """

    def __init__(self, folder: Path, done: int = 0) -> None:
        self.path = folder / LOG
        self.done = done
        keep_steps(self.path, done)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Called by the trainer; losses that are not finite stop the run."""
        row = {"step": state.global_step, **(logs or {})}
        stopped = "train_loss" in row and state.global_step < state.max_steps
        if stopped or (self.done and state.global_step <= self.done):
            return
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise RllrError(f"{name} is {value} at step {state.global_step}: training diverged")
        with self.path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        if "loss" in row:
            print(f"step {state.global_step}/{state.max_steps} loss {row['loss']:.4f}", flush=True)


def keep_steps(path: Path, done: int) -> None:
    """Drop a log's rows after step `done`, and one that a kill cut short."""
    lines = path.read_text().splitlines() if done and path.exists() else []
    rows = [row for row in map(_row, lines) if row and row["step"] <= done]
    write_jsonl(path, rows)


def _row(line: str) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return row


def logs(folder: Path, done: int, world: World) -> list[TrainerCallback]:
    """The callbacks that write log.jsonl, in the first process alone."""
    return [] if world.rank else [JsonlLog(folder, done)]


def lora_config(job: Job, settings: Any, task_type: str) -> Any:
    """LoRA on the model's declared targets; a SEQ_CLS adapter trains its scalar head too."""
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=getattr(settings, "lora_dropout", 0.0),
        target_modules=job.config.lora_targets,
        task_type=task_type,
        modules_to_save=["score"] if task_type == "SEQ_CLS" else None,
    )


def train_and_evaluate(
    trainer: Trainer, run: Callable[[Trainer], Any] = Trainer.train
) -> dict[str, Any]:
    """Held-out loss before, training, held-out loss after; returns both and the step count."""
    before = trainer.evaluate()["eval_loss"]
    run(trainer)
    after = trainer.evaluate()["eval_loss"]
    return {
        "validation_loss_before": before,
        "validation_loss_after": after,
        "steps": trainer.state.global_step,
    }


def save_weights(model: Any, folder: Path) -> None:
    """Write a model or an adapter; PEFT's model card, a form with nothing filled in, is dropped."""
    model.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)


class CausalCollator:
    """Right-pads `input_ids` and, where given, `labels`; without labels every token is learned."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
        """Return tensors of shape (batch, longest row)."""
        import torch

        width = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), self.pad_id)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        labels = torch.full((len(rows), width), -100)
        for i, row in enumerate(rows):
            length = len(row["input_ids"])
            ids[i, :length] = torch.tensor(row["input_ids"])
            labels[i, :length] = torch.tensor(row.get("labels", row["input_ids"]))
            mask[i, :length] = 1
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}
