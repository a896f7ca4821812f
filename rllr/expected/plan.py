"""All stages that a run's cells need, from its configuration alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rllr import slices
from rllr.config.load import Project
from rllr.config.schema import MIXTURE
from rllr.expected.stage import LOGS, ROWS, Stage
from rllr.job import Job, gold_pairs
from rllr.layout import (
    MANIFEST,
    METRICS,
    MODEL_INDEX,
    PREDICTIONS,
    PREDICTIONS_MANIFEST,
    SAMPLES,
    Layout,
)


def evaluation_log(job: Job, stage: str, method: str) -> Path:
    """The log of predicting or scoring one trained model."""
    task = "" if job.unit == MIXTURE else f".{job.unit}"
    return job.layout.logs / stage / f"{job.model}.{method}{task}.seed{job.seed}.log"


class Planner:
    """Adds stages to `found`, after those that they are made from; returns their manifests."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.layout = Layout(project)
        self.found: dict[Path, Stage] = {}
        self.bases = {model: self.layout.base(model) for model in project.config.models}
        self.slices: dict[tuple[str, ...], Any] = {}

    def data(self, task: str) -> Path:
        """Splits of a task."""
        folder = self.layout.data(task)
        return self._rows("data", task, folder, slices.data, list)

    def rationales(self, task: str) -> Path:
        """Rationales of a task."""
        folder = self.layout.rationales(task)
        return self._rows("rationales", task, folder, slices.rationales, lambda: [self.data(task)])

    def label_pairs(self, task: str) -> Path:
        """Label-sensitive pairs of a task."""
        folder = self.layout.label_pairs(task)
        return self._rows(
            "label_pairs",
            task,
            folder,
            slices.label_pairs,
            lambda: [self.data(task), self.rationales(task)],
        )

    def base(self, model: str) -> Path:
        """A base model; a tiny one is made from the run's own data."""
        folder = self.bases[model]
        if folder / MANIFEST in self.found:
            return folder / MANIFEST
        hub = self.project.models[model].source.kind == "hub"
        tasks = [] if hub else self.project.train_tasks
        behind = [make(task) for task in tasks for make in (self.data, self.rationales)]
        logs = "fetch_model" if hub else LOGS["base"]
        return self._add(
            Stage(
                "base",
                folder.name,
                folder / MANIFEST,
                slices.base(self.project, model),
                self.layout.logs / logs / f"{folder.name}.log",
                tuple(behind),
                (folder / MODEL_INDEX,),
                beating=folder,
            )
        )

    def trained(self, job: Job, name: str) -> Path:
        """An SFT stage, a reward model or a policy, whichever has that name."""
        folder = job.trained(name)
        if folder / MANIFEST in self.found:
            return folder / MANIFEST
        method = self.project.methods.get(name)
        kind = "reward" if method is None else "sft" if method.algorithm == "sft" else "policy"
        behind = getattr(self, f"_behind_{kind}")(job, name)
        make = partial(getattr(slices, kind), self.project, job.model, name, job.unit)
        settings = self._slice(make, kind, job.model, name, job.unit)
        weights = self.layout.weights(job.model, name, job.unit, job.seed)
        return self._model_stage(kind, job, name, folder, settings, behind, weights=weights)

    def _behind_sft(self, job: Job, name: str) -> list[Path]:
        tasks = list(job.data)
        stated = self.project.methods[name].response == "rationale"
        written = [self.rationales(task) for task in tasks] if stated else []
        return [self.base(job.model), *map(self.data, tasks), *written]

    def _behind_reward(self, job: Job, name: str) -> list[Path]:
        start = self.project.config.reward_models[name].start
        pairs = [self.label_pairs(task) for task in job.data]
        return [self.trained(job, start), *pairs, self.judged(job, start)]

    def _behind_policy(self, job: Job, name: str) -> list[Path]:
        method = self.project.methods[name]
        stages = [self.trained(job, stage) for stage in (method.start, *method.reward_models)]
        pairs = [self.label_pairs(folder.name) for folder in gold_pairs(job, name)]
        return [*stages, *map(self.data, job.data), *pairs]

    def sampled(self, job: Job, start: str) -> Path:
        """Responses sampled for the judge."""
        make = partial(slices.sample, self.project, job.model, job.unit)
        settings = self._slice(make, "sample", job.model, job.unit)
        folder, behind = job.samples(start), [self.trained(job, start)]
        files = (folder / SAMPLES,)
        return self._model_stage("sample", job, start, folder, settings, behind, files)

    def judged(self, job: Job, start: str) -> Path:
        """Rationale-sensitive pairs."""
        settings = self._slice(partial(slices.judge, self.project, job.unit), "judge", job.unit)
        folder, behind = job.rationale_pairs(start), [self.sampled(job, start)]
        files = _rows_of(folder, "pairs")
        return self._model_stage("judge", job, start, folder, settings, behind, files)

    def prediction(self, job: Job, method: str, task: str) -> Path:
        """Predictions of one cell."""
        folder = self.layout.cell(job.model, task, method, job.seed)
        declared = self.project.methods[method]
        names = [] if declared.algorithm == "none" else [declared.start, method]
        stages = [self.trained(job, name) for name in names if name != "base"]
        return self._add(
            Stage(
                "predict",
                f"{job.model}/{task}/{method}/seed{job.seed}",
                folder / PREDICTIONS_MANIFEST,
                {"model": job.model, "method": method, "task": task},
                evaluation_log(job, "predict", method),
                (self.base(job.model), *stages, self.data(task)),
                (folder / PREDICTIONS,),
                beating=job.predicting(method),
                input_hash=partial(_input_hash, self.project, job.model, task),
            )
        )

    def baseline(self, task: str) -> Path:
        """The trivial predictor of a task."""
        tasks = dict.fromkeys([task, self.project.tasks[task].test_of or task])
        folder = self.layout.baseline(task)
        return self._add(
            Stage(
                "baseline",
                task,
                folder / PREDICTIONS_MANIFEST,
                slices.score(self.project, [task]),
                self.layout.logs / LOGS["baseline"] / f"{task}.log",
                tuple(map(self.data, tasks)),
                (folder / PREDICTIONS, folder / METRICS),
            )
        )

    def _rows(
        self,
        kind: str,
        task: str,
        folder: Path,
        make: Callable[[Project, str], Any],
        behind: Callable[[], Sequence[Path]],
    ) -> Path:
        """A stage that writes rows of one task."""
        manifest = folder / MANIFEST
        if manifest in self.found:
            return manifest
        files = _rows_of(folder, folder.relative_to(self.layout.run).parts[0])
        log = self.layout.logs / LOGS[kind] / f"{task}.log"
        settings = make(self.project, task)
        rests_on = tuple(behind())
        return self._add(Stage(kind, task, manifest, settings, log, rests_on, files, None, folder))

    def _model_stage(
        self,
        kind: str,
        job: Job,
        name: str,
        folder: Path,
        settings: Any,
        behind: Iterable[Path],
        files: tuple[Path, ...] = (),
        weights: Path | None = None,
    ) -> Path:
        """A stage of one model, unit and seed."""
        log = f"{job.model}.{name}.{job.unit}.seed{job.seed}.log"
        return self._add(
            Stage(
                kind,
                f"{job.model}/{name}/{job.unit}/seed{job.seed}",
                folder / MANIFEST,
                settings,
                self.layout.logs / LOGS[kind] / log,
                tuple(behind),
                files,
                weights,
                folder,
            )
        )

    def _slice(self, make: Callable[[], Any], *key: str) -> Any:
        """Settings are the same for all seeds; making them takes a while."""
        if key not in self.slices:
            self.slices[key] = make()
        return self.slices[key]

    def _add(self, stage: Stage) -> Path:
        self.found.setdefault(stage.manifest, stage)
        return stage.manifest


def _rows_of(folder: Path, part: str) -> tuple[Path, ...]:
    return tuple(folder / f"{name}.jsonl" for name in ROWS[part])


def _input_hash(project: Project, model: str, task: str, inputs: Mapping[str, str]) -> str:
    """The hash of a cell's inputs; the last one recorded is the test split."""
    *weights, test = inputs.values()
    return slices.input_hash(project, model, task, weights, test)
