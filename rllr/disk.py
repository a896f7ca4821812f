"""Estimates of the disk that a run takes, from the declared sizes of its models."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rllr.config.load import Project

# Published weights are of two bytes a parameter, and conversion writes them a second time.
FETCHED_BYTES = 4
# A trained stage: weights of four bytes, and its last checkpoint with them and Adam's two states.
TRAINED_BYTES = 16
# Share of a model's parameters that LoRA of rank 16 on the attention projections adds, rounded up.
LORA_SHARE = 0.003
# Billions of parameters that a tiny model counts as.
TINY = 0.001


def models_need(project: Project, models: Iterable[str]) -> int:
    """Bytes that fetching and converting these models takes: 4 per parameter."""
    return round(sum(_parameters(project, model) for model in models) * FETCHED_BYTES)


def results_need(project: Project) -> int:
    """Bytes of all trained stages of a run, done or not; rather too much.

    Per model, stage, training unit and seed: 16 x parameters x (1 for full tuning, 0.003 for LoRA).
    """
    full = project.config.training.sft.tuning == "full"
    kinds = [method.algorithm for method in project.methods.values() if method.algorithm != "none"]
    shares = [1.0 if full and kind == "sft" else LORA_SHARE for kind in kinds]
    shares += [LORA_SHARE] * len(project.config.reward_models)
    parameters = sum(_parameters(project, model) for model in project.models)
    copies = len(project.units) * len(project.config.seeds)
    return round(parameters * sum(shares) * copies * TRAINED_BYTES)


def existing(path: Path) -> Path:
    """The folder itself, else the nearest above it that is there."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _parameters(project: Project, model: str) -> float:
    return (project.models[model].size or TINY) * 1e9
