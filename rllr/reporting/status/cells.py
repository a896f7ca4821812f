"""The state of each cell, of the baselines, and of tables, figures and report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rllr import expected
from rllr.config.load import BASELINE
from rllr.errors import RllrError
from rllr.expected.plan import evaluation_log
from rllr.expected.stage import LOGS
from rllr.layout import METRICS, PREDICTIONS_MANIFEST, Layout
from rllr.reporting.names import FIGURE_FORMATS, FIGURES, TABLE_FORMATS, TABLES
from rllr.reporting.results.cells import read_cell
from rllr.reporting.results.grid import MAJORITY
from rllr.reporting.status.place import Place
from rllr.reporting.status.present import Present
from rllr.reporting.status.signs import failure
from rllr.reporting.status.state import Examiner, Finding, State


@dataclass(frozen=True)
class Status:
    """A run as it is now: every stage, and of each cell (model, task, method, seed) its scoring."""

    place: Place
    stages: list[Finding]
    cells: dict[tuple[str, str, str, int], Finding]
    report: list[Finding]

    @property
    def everything(self) -> list[Finding]:
        """All findings, in the order of a run."""
        return [*self.stages, *self.cells.values(), *self.report]


class Looker:
    """Looks at a run; what it learns of files that stay as they are, it keeps in `present`."""

    def __init__(self, place: Place, present: Present | None = None) -> None:
        self.place = place
        self.stages = expected.expected_stages(place.project)
        self.present = present or Present()

    def look(self) -> Status:
        """The run's state now."""
        self.present.refresh()
        examiner = Examiner(self.place, self.stages, self.present)
        findings = list(examiner.examine().values())
        cells = {}
        project = self.place.project
        for task in project.test_tasks:
            cells[BASELINE, task, MAJORITY, 0] = self._cell(examiner, BASELINE, task, MAJORITY, 0)
        for cell in expected.cells(project):
            cells[cell] = self._cell(examiner, *cell)
        return Status(self.place, findings, cells, list(self._report()))

    def _cell(self, examiner: Examiner, model: str, task: str, method: str, seed: int) -> Finding:
        folder = Layout(self.place.project).cell(model, task, method, seed)
        manifest = folder / PREDICTIONS_MANIFEST
        predicted, troubled = examiner.found[manifest], examiner.troubled[manifest]
        if predicted.state == "done":
            # One stage writes a baseline's metrics too, just before its manifest.
            one = model == BASELINE
            made = 0.0 if one else self.present.manifest(self.place.find(manifest)).time
            return self._scored(folder, self._log(model, task, method, seed), made)
        state: State = "stale" if self._there(folder / METRICS) else "missing"
        if troubled:
            state = "failed" if "failed" in troubled else "running"
        why = predicted.why or "its predictions are not there"
        return Finding("score", _name(folder), state, why, root=False)

    def _log(self, model: str, task: str, method: str, seed: int) -> Path:
        project = self.place.project
        if model == BASELINE:
            return Layout(project).logs / LOGS["baseline"] / f"{task}.log"
        job = expected.cell_job(project, model, task, method, seed)
        return evaluation_log(job, "score", method)

    def _scored(self, folder: Path, log: Path, made: float) -> Finding:
        """A cell whose inputs are whole since `made` (seconds since 1970)."""
        path, name = self.place.find(folder / METRICS), _name(folder)
        log = self.place.find(log)
        if self.present.stat(path) is None:
            sign = failure(None, log)
            if sign:
                return Finding("score", name, "failed", sign.text, sign.when, log)
            return Finding("score", name, "missing")
        try:
            read_cell(path, path.relative_to(self.place.run))
        except RllrError as error:
            text = f"{path}: {error}; delete it, and it is made again"
            return Finding("score", name, "failed", text, self.present.mtime(path), log)
        if made > self.present.mtime(path):
            return Finding("score", name, "stale", "its predictions are newer than its metrics")
        return Finding("score", name, "done")

    def _report(self) -> Iterator[Finding]:
        layout = Layout(self.place.project)
        tables = [layout.tables / f"{name}.{end}" for name in TABLES for end in TABLE_FORMATS]
        figures = [layout.figures / f"{name}.{end}" for name in FIGURES for end in FIGURE_FORMATS]
        parts = {"tables": tables, "figures": figures, "report": [layout.report]}
        for name, paths in parts.items():
            log = self.place.find(layout.logs / f"{name}.log")
            gone = [path for path in paths if not self._there(path)]
            sign = failure(None, log) if gone else None
            if sign:
                yield Finding("report", name, "failed", sign.text, sign.when, log)
            else:
                yield Finding("report", name, "missing" if gone else "done", log=log)

    def _there(self, path: Path) -> bool:
        return self.present.stat(self.place.find(path)) is not None


def _name(folder: Path) -> str:
    return "/".join(folder.parts[-4:])
