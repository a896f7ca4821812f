"""A project small enough for unit tests: the presets' own files, shrunk, in a folder of their own.

Tasks, prompts and methods come from `config/`; what is set here makes things small, and keeps the
tests from depending on how the presets are tuned.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rllr import stages
from rllr.config.load import CONFIG_DIR, Project, load, merge, read_yaml
from rllr.files import read_jsonl, write_jsonl
from rllr.job import Job
from rllr.layout import SAMPLES, Layout
from rllr.tasks.response import format_response

LLAMA = "llama2-tiny"
TASKS = ("mr", "stsb")
MODELS = ("llama2-tiny", "chatglm3-tiny", "mistral-tiny", "baichuan2-tiny", "bloom-tiny")
SHAPE = {"hidden_size": 32, "intermediate_size": 48, "layers": 1, "heads": 2}
SMALL: dict[str, Any] = {
    "extends": "tiny",
    "run": "unit",
    "models": [LLAMA],
    "tasks": list(TASKS),
    "trackers": [],
    "data": {"sizes": {"sft": 40, "rm": 20, "rl": 20, "validation": 12, "test": 12}},
    "pairs": {"wrong_labels": 1, "prompts": 6, "heldout_prompts": 4, "samples_per_prompt": 4},
    "generation": {"max_prompt_tokens": 160, "max_new_tokens": 48, "batch_size": 16},
    "training": {
        "pretrain": {"documents": 60, "epochs": 1, "batch_size": 16, "learning_rate": 2e-3},
        "sft": {"tuning": "full", "epochs": 1, "batch_size": 32, "learning_rate": 2e-3},
        "reward": {"epochs": 1, "batch_size": 16, "learning_rate": 3e-3},
        "ppo": {"batch_size": 8, "steps": 2, "evaluation_prompts": 8, "learning_rate": 5e-4},
    },
}


@dataclass(frozen=True)
class TinyRun:
    """A project in a folder: `config.yaml`, shrunk model files, and results beside them."""

    root: Path
    raw: dict[str, Any]

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def project(self) -> Project:
        return load(self.raw, self.root)

    @property
    def layout(self) -> Layout:
        return Layout(self.project)

    def job(self, model: str = LLAMA, unit: str = "mixture", seed: int = 0) -> Job:
        return Job(self.project, model, unit, seed)

    def but(self, **changes: Any) -> TinyRun:
        """The same folder and results under a changed configuration."""
        return TinyRun(self.root, merge(self.raw, changes))

    def copy(self, to: Path, **changes: Any) -> TinyRun:
        """The same run with its results copied, so that a test may spoil them."""
        shutil.copytree(self.root, to, dirs_exist_ok=True)
        return make_run(to, **merge(self.raw, changes) | places(to))


def places(root: Path) -> dict[str, str]:
    return {"results_dir": str(root / "results"), "models_dir": str(root / "results/models")}


def make_run(root: Path, **changes: Any) -> TinyRun:
    """Write the configuration and the model files; nothing is built yet."""
    root.mkdir(parents=True, exist_ok=True)
    raw = merge({**SMALL, **places(root)}, changes)
    run = TinyRun(root, raw)
    run.config.write_text(yaml.safe_dump(raw))
    for name in MODELS:
        write_model(root, name, name)
    return run


def write_model(root: Path, name: str, template: str, **changes: Any) -> None:
    """A model file like `template`'s, at the size of unit tests."""
    raw = merge(read_yaml(CONFIG_DIR / f"models/{template}.yaml"), changes)
    source = raw["source"]
    grouped = source["kv_heads"] < source["heads"]
    raw["source"] = {**source, **SHAPE, "kv_heads": 1 if grouped else 2}
    path = root / "models" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(raw, allow_unicode=True))


def prepare(run: TinyRun) -> None:
    """Data, rationales and label-sensitive pairs of every task."""
    for task in run.project.data_tasks:
        stages.data(run.project, task)
        stages.rationales(run.project, task)
        stages.label_pairs(run.project, task)


def write_samples(job: Job, start: str = "sft") -> None:
    """Stand-ins for sampled responses: a barely trained model's own would all be unreadable.

    Each prompt gets the teacher's responses for its label and for a wrong one.
    """
    rows = []
    for task, folder in job.data.items():
        schema = job.project.tasks[task]
        for split, source in {"train": "rm", "heldout": "validation"}.items():
            examples = {row["id"]: row for row in read_jsonl(folder / f"{source}.jsonl")}
            for row in read_jsonl(job.rationales[task] / f"{source}.jsonl"):
                stated = [row, *row["wrong"]]
                texts = [format_response(schema, r["label"], r["rationale"]) for r in stated]
                shared = {"task": task, "split": split, "example": examples[row["id"]]}
                rows.append({**shared, "responses": [text.strip() for text in texts]})
    write_jsonl(job.samples(start) / SAMPLES, rows)


def files_of(folder: Path) -> set[Path]:
    """Every file below a folder."""
    return {path for path in folder.rglob("*") if path.is_file()}


def write_local(root: Path, task: str, splits: Mapping[str, list[dict[str, Any]]]) -> Path:
    """A folder of local data; `splits` maps train, validation and test to rows."""
    for name, rows in splits.items():
        write_jsonl(root / task / f"{name}.jsonl", rows)
    return root


def local_rows(prefix: str, count: int) -> list[dict[str, Any]]:
    """Single-text rows of task mr with distinct texts."""
    return [
        {
            "id": f"{prefix}-{number}",
            "text": f"{prefix} film number {number} is {('dull', 'bright')[number % 2]}",
            "label": ("negative", "positive")[number % 2],
        }
        for number in range(count)
    ]
