"""What all trainers of the library share: arguments, a JSONL log, losses."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback

from rllr.errors import RllrError
from rllr.job import Job
from rllr.layout import CHECKPOINTS

LOG = "log.jsonl"


def common_arguments(settings: Any, seed: int, folder: Path) -> dict[str, Any]:
    """Keyword arguments for TrainingArguments and its TRL descendants.

    The batch sizes of the settings are global: gradient accumulation makes up for a smaller
    micro-batch. Several TRL defaults (bf16, checkpointing) do not fit a CPU and are set here.
    """
    micro = getattr(settings, "micro_batch_size", None) or settings.batch_size
    return {
        "output_dir": str(folder / CHECKPOINTS),
        "learning_rate": settings.learning_rate,
        "num_train_epochs": getattr(settings, "epochs", 1),
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": 64,
        "gradient_accumulation_steps": settings.batch_size // micro,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_steps": 10,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
    }


class JsonlLog(TrainerCallback):
    """Writes each logged step to log.jsonl and one line to the job's log."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG
        self.path.write_text("")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Called by the trainer; losses that are not finite stop the run."""
        row = {"step": state.global_step, **(logs or {})}
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise RllrError(f"{name} is {value} at step {state.global_step}: training diverged")
        with self.path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        if "loss" in row:
            print(f"step {state.global_step}/{state.max_steps} loss {row['loss']:.4f}", flush=True)


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


def train_and_evaluate(trainer: Trainer) -> dict[str, Any]:
    """Held-out loss before, training, held-out loss after; returns both and the step count."""
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
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
