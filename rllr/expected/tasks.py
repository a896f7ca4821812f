"""The stages before a model is trained: data of tasks, base models, trivial predictors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rllr import slices
from rllr.config.load import Project
from rllr.expected.stage import LOGS, ROWS, Stage
from rllr.layout import MANIFEST, METRICS, MODEL_INDEX, PREDICTIONS, PREDICTIONS_MANIFEST, Layout


class TaskPlanner:
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
        return self.add(
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

    def baseline(self, task: str) -> Path:
        """The trivial predictor of a task."""
        tasks = dict.fromkeys([task, self.project.tasks[task].test_of or task])
        folder = self.layout.baseline(task)
        return self.add(
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
        files = rows_of(folder, folder.relative_to(self.layout.run).parts[0])
        log = self.layout.logs / LOGS[kind] / f"{task}.log"
        settings = make(self.project, task)
        rests_on = tuple(behind())
        return self.add(Stage(kind, task, manifest, settings, log, rests_on, files, None, folder))

    def slice(self, make: Callable[[], Any], *key: str) -> Any:
        """Settings are the same for all seeds; making them takes a while."""
        if key not in self.slices:
            self.slices[key] = make()
        return self.slices[key]

    def add(self, stage: Stage) -> Path:
        self.found.setdefault(stage.manifest, stage)
        return stage.manifest


def rows_of(folder: Path, part: str) -> tuple[Path, ...]:
    return tuple(folder / f"{name}.jsonl" for name in ROWS[part])
