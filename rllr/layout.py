"""Where everything lies: the path is the identity of a result."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rllr.config.data import GeneratedData, HubData, ReleaseData
from rllr.config.load import BASELINE, Project
from rllr.config.schema import MIXTURE, HubSource
from rllr.files import digest

MANIFEST = "manifest.json"
SUMMARY = "summary.json"
ADAPTER = "adapter_model.safetensors"
FULL_MODEL = "model.safetensors"
MODEL_INDEX = "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
SENTENCEPIECE = "tokenizer.model"
TOKENIZER_CONFIG = "tokenizer_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
SAMPLES = "samples.jsonl"
SAMPLE_REWARDS = "sample_rewards.jsonl"
COMPARISONS = "comparisons.jsonl"
PREDICTIONS = "predictions.jsonl"
PREDICTIONS_MANIFEST = "predictions.manifest.json"
METRICS = "metrics.json"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Layout:
    """Paths of one run, relative to the working directory."""

    project: Project

    @cached_property
    def run(self) -> Path:
        """The run's folder; nothing is written outside it but shared base models."""
        return Path(self.project.config.results_dir) / self.project.config.run

    def data(self, task: str) -> Path:
        """A task's splits."""
        return self.run / "data" / task

    def rationales(self, task: str) -> Path:
        """A task's rationales, one for every label of every example that needs them."""
        return self.run / "rationales" / task

    def label_pairs(self, task: str) -> Path:
        """Label-sensitive pairs of a task."""
        return self.run / "pairs" / "label_sensitive" / task

    def samples(self, model: str, start: str, unit: str, seed: int | str) -> Path:
        """Responses sampled from a trained model, for the judge."""
        return self.run / "samples" / model / start / unit / f"seed{seed}"

    def rationale_pairs(self, model: str, start: str, unit: str, seed: int | str) -> Path:
        """Pairs that the judge ranked."""
        return self.run / "pairs" / "rationale_sensitive" / model / start / unit / f"seed{seed}"

    def judged(self, model: str, unit: str, seed: int | str) -> Path:
        """Comparisons of methods' test responses under the judge."""
        return self.run / "judged" / model / unit / f"seed{seed}"

    def base(self, model: str) -> Path:
        """A base model, shared by runs that agree on everything it depends on."""
        return (
            Path(self.project.config.models_dir) / f"{model}@{base_revision(self.project, model)}"
        )

    def bases(self) -> dict[str, str]:
        """Folders of the run's base models as seen from the run's own."""
        models = self.project.config.models
        return {model: os.path.relpath(self.base(model), self.run) for model in models}

    def dataset(self, repo: str, revision: str | None) -> Path:
        """A data set from the hub at a commit, shared by runs as base models are."""
        commit = revision[:12] if revision else "unpinned"
        name = f"{repo.replace('/', '--')}@{commit}"
        return Path(self.project.config.models_dir) / "datasets" / name

    def base_weights(self, model: str) -> Path:
        """The index of a base model's files of weights."""
        return self.base(model) / MODEL_INDEX

    def trained(self, model: str, stage: str, unit: str, seed: int | str) -> Path:
        """A trained stage: an adapter, or a full model."""
        return self.run / "trained" / model / stage / unit / f"seed{seed}"

    def cell(self, model: str, task: str, method: str, seed: int | str) -> Path:
        """One cell: metrics and predictions."""
        return self.run / "cells" / model / task / method / f"seed{seed}"

    def baseline(self, task: str) -> Path:
        """The majority-class (or mean-score) baseline of a task."""
        return self.cell(BASELINE, task, "majority", 0)

    def weights(self, model: str, stage: str, unit: str, seed: int | str) -> Path:
        """The weights file of a trained stage."""
        method = self.project.methods.get(stage)
        full = bool(method and method.algorithm == "sft")
        full = full and self.project.sft(model, stage).tuning == "full"
        return self.trained(model, stage, unit, seed) / (FULL_MODEL if full else ADAPTER)

    @property
    def tables(self) -> Path:
        """The comparison tables."""
        return self.run / "tables"

    @property
    def figures(self) -> Path:
        """The figures."""
        return self.run / "figures"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.run / "report.html"

    @property
    def logs(self) -> Path:
        """Logs, one per job."""
        return self.run / "logs"

    def config_file(self) -> Path:
        """The resolved configuration; its name carries its hash, so no job reads another's."""
        return self.run / "config" / f"{self.project.hash}.json"


def clear_weights(folder: Path) -> None:
    """Remove what an earlier run of a training stage left, perhaps with another kind of tuning."""
    for pattern in ("*.safetensors", "adapter_config.json", "config.json"):
        for path in folder.glob(pattern):
            path.unlink()


def is_done(folder: Path) -> bool:
    """Whether the artefact in `folder` is whole."""
    return (folder / MANIFEST).exists()


def base_revision(project: Project, model: str) -> str:
    """Revision of a base model: its commit's first digits; a tiny one's is a hash of its slice."""
    source = project.models[model].source
    if isinstance(source, HubSource):
        return source.revision[:12] if source.revision else "unpinned"
    return f"tiny-{digest(base_slice(project, model))[:10]}"


def base_slice(project: Project, model: str) -> dict[str, object]:
    """What a base model depends on; a tiny one: the run's training data and its own settings."""
    source = project.models[model].source
    if isinstance(source, HubSource):
        return {
            "source": source.model_dump(include={"kind", "repo", "revision", "layout"}),
            "architecture": project.models[model].architecture,
        }
    return {
        "run": project.config.run,
        "data": [[task, data_slice(project, task)] for task in project.train_tasks],
        # Pairs, not a mapping: their order is the order in which the corpus is drawn.
        "tasks": [[task, _task_slice(project, task)] for task in project.train_tasks],
        "threads": project.config.threads.training,
        "pretrain": project.pretrain(model).model_dump(),
        **teacher_slice(project),
        "source": source.model_dump(),
        "prompt": [segment.model_dump() for segment in project.models[model].prompt],
        "architecture": project.models[model].architecture,
    }


def _task_slice(project: Project, task: str) -> dict[str, object]:
    return project.tasks[task].model_dump(include={"instruction", "input", "labels"})


def data_slice(project: Project, task: str) -> dict[str, object]:
    """What a task's own examples depend on."""
    declared = project.tasks[task]
    found: dict[str, object] = {
        "data": project.data(task).model_dump(),
        "task": declared.model_dump(include={"input", "labels"}),
    }
    data = project.data(task)
    if isinstance(data, ReleaseData):  # the first rule that fits is taken
        found["order"] = list(data.rules)
    if isinstance(data, HubData):
        found["hub"] = declared.hub.model_dump() if declared.hub else None
    return found


def related_tasks(project: Project, task: str) -> list[str]:
    """Tasks of the run whose evaluated texts a task must not train on, sorted.

    They are those that it names as related, or that name it, and the further test sets of all of
    them and its own. There is none where every task has a model of its own, none for a further test
    set, which is not trained on, and none of generated data, whose texts are no other data's.
    """
    own, tasks = project.tasks[task], {name: project.tasks[name] for name in project.data_tasks}
    if project.config.scope != MIXTURE or own.test_of or _is_generated(project, task):
        return []
    kin = {name for name in tasks if name in own.related or task in tasks[name].related}
    further = {name for name in tasks if tasks[name].test_of in kin | {task}}
    return sorted(name for name in (kin | further) - {task} if not _is_generated(project, name))


def _is_generated(project: Project, task: str) -> bool:
    return isinstance(project.data(task), GeneratedData)


def teacher_slice(project: Project) -> dict[str, object]:
    """What rationales depend on besides their examples."""
    teacher = project.config.teacher
    prompts = teacher.prompts if teacher.asks else ()
    settings = teacher.seen() if teacher.asks else teacher.model_dump(include={"backend", "seed"})
    return {"teacher": settings, "prompts": [project.prompts[name] for name in prompts]}
