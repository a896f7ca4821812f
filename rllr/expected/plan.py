"""All stages that a run's cells need, from its configuration alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rllr import slices
from rllr.config.load import Project
from rllr.config.schema import MIXTURE
from rllr.expected.stage import LOGS, Stage
from rllr.expected.tasks import TaskPlanner, rows_of
from rllr.job import Job, gold_pairs
from rllr.layout import (
    COMPARISONS,
    MANIFEST,
    PREDICTIONS,
    PREDICTIONS_MANIFEST,
    SAMPLE_REWARDS,
    SAMPLES,
)
from rllr.teacher.compared import compared_files


def evaluation_log(job: Job, stage: str, method: str) -> Path:
    """The log of predicting or scoring one trained model."""
    task = "" if job.unit == MIXTURE else f".{job.unit}"
    return job.layout.logs / stage / f"{job.model}.{method}{task}.seed{job.seed}.log"


class Planner(TaskPlanner):
    """Adds the stages of models."""

    def trained(self, job: Job, name: str) -> Path:
        """An SFT stage, a reward model or a policy, whichever has that name."""
        folder = job.trained(name)
        if folder / MANIFEST in self.found:
            return folder / MANIFEST
        method = self.project.methods.get(name)
        kind = "reward" if method is None else "sft" if method.algorithm == "sft" else "policy"
        behind = getattr(self, f"_behind_{kind}")(job, name)
        make = partial(getattr(slices, kind), self.project, job.model, name, job.unit)
        settings = self.slice(make, kind, job.model, name, job.unit)
        weights = self.layout.weights(job.model, name, job.unit, job.seed)
        files = (folder / SAMPLE_REWARDS,) if kind == "reward" else ()
        return self._model_stage(kind, job, name, folder, settings, behind, files, weights)

    def _behind_sft(self, job: Job, name: str) -> list[Path]:
        tasks = list(job.data)
        stated = self.project.methods[name].response == "rationale"
        written = [self.rationales(task) for task in tasks] if stated else []
        return [self.base(job.model), *map(self.data, tasks), *written]

    def _behind_reward(self, job: Job, name: str) -> list[Path]:
        start = self.project.config.reward_models[name].start
        pairs = [self.label_pairs(task) for task in job.data]
        return [self.trained(job, start), *pairs, self.judged(job, start), self.sampled(job, start)]

    def _behind_policy(self, job: Job, name: str) -> list[Path]:
        method = self.project.methods[name]
        stages = [self.trained(job, stage) for stage in (method.start, *method.reward_models)]
        pairs = [self.label_pairs(folder.name) for folder in gold_pairs(job, name)]
        return [*stages, *map(self.data, job.data), *pairs]

    def sampled(self, job: Job, start: str) -> Path:
        """Responses sampled for the judge."""
        make = partial(slices.sample, self.project, job.model, job.unit)
        settings = self.slice(make, "sample", job.model, job.unit)
        folder, behind = job.samples(start), [self.trained(job, start)]
        files = (folder / SAMPLES,)
        return self._model_stage("sample", job, start, folder, settings, behind, files)

    def judged(self, job: Job, start: str) -> Path:
        """Rationale-sensitive pairs."""
        settings = self.slice(partial(slices.judge, self.project, job.unit), "judge", job.unit)
        folder, behind = job.rationale_pairs(start), [self.sampled(job, start)]
        files = rows_of(folder, "pairs")
        return self._model_stage("judge", job, start, folder, settings, behind, files)

    def prediction(self, job: Job, method: str, task: str) -> Path:
        """Predictions of one cell."""
        folder = self.layout.cell(job.model, task, method, job.seed)
        declared = self.project.methods[method]
        names = [] if declared.algorithm == "none" else [declared.start, method]
        stages = [self.trained(job, name) for name in names if name != "base"]
        return self.add(
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

    def compared(self, job: Job) -> Path:
        """Test responses of the methods, compared under the judge; after their predictions."""
        make = partial(slices.judge_test, self.project, job.unit)
        folder = job.judged
        return self.add(
            Stage(
                "judge_test",
                f"{job.model}/{job.unit}/seed{job.seed}",
                folder / MANIFEST,
                self.slice(make, "judge_test", job.unit),
                self.layout.logs
                / LOGS["judge_test"]
                / f"{job.model}.{job.unit}.seed{job.seed}.log",
                tuple(map(_manifest_of, compared_files(job))),
                (folder / COMPARISONS,),
                beating=folder,
            )
        )

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
        return self.add(
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


def _manifest_of(path: Path) -> Path:
    return path.parent / (PREDICTIONS_MANIFEST if path.name == PREDICTIONS else MANIFEST)


def _input_hash(project: Project, model: str, task: str, inputs: Mapping[str, str]) -> str:
    """The hash of a cell's inputs; the last one recorded is the test split."""
    *weights, test = inputs.values()
    return slices.input_hash(project, model, task, weights, test)
