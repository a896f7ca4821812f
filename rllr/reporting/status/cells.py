"""The state of each cell, of the baselines, and of tables, figures and report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rllr import expected
from rllr.config.load import BASELINE, Project
from rllr.errors import RllrError
from rllr.expected.plan import evaluation_log
from rllr.files import read_json
from rllr.layout import MANIFEST, METRICS, PREDICTIONS_MANIFEST, Layout
from rllr.reporting.names import FIGURE_FORMATS, FIGURES, TABLE_FORMATS, TABLES
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
        for cell in _baselines(self.place.project):
            cells[cell] = self._baseline(examiner, cell)
        for cell in expected.cells(self.place.project):
            cells[cell] = self._cell(examiner, cell)
        return Status(self.place, findings, cells, list(self._report()))

    def _cell(self, examiner: Examiner, cell: tuple[str, str, str, int]) -> Finding:
        model, task, method, seed = cell
        project, layout = self.place.project, Layout(self.place.project)
        folder = layout.cell(*cell)
        manifest = folder / PREDICTIONS_MANIFEST
        predicted, troubled = examiner.found[manifest], examiner.troubled[manifest]
        job = expected.cell_job(project, model, task, method, seed)
        log = evaluation_log(job, "score", method)
        if predicted.state == "done":
            made = self.present.manifest(self.place.find(manifest)).time
            return self._scored(folder, log, made)
        state: State = "stale" if self._there(folder / METRICS) else "missing"
        if troubled:
            state = "failed" if "failed" in troubled else "running"
        why = predicted.why or "its predictions are not there"
        return Finding("score", _name(folder), state, why, root=False)

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
            read_json(path)
        except (RllrError, OSError) as error:
            text = f"{error}; delete it, and it is made again"
            return Finding("score", name, "failed", text, self.present.mtime(path), log)
        # Whole seconds are recorded.
        if made > self.present.mtime(path):
            return Finding("score", name, "stale", "its predictions are newer than its metrics")
        return Finding("score", name, "done")

    def _baseline(self, examiner: Examiner, cell: tuple[str, str, str, int]) -> Finding:
        task, layout = cell[1], Layout(self.place.project)
        names = [task, self.place.project.tasks[task].test_of or task]
        data = [layout.data(name) / MANIFEST for name in names]
        for manifest in data:
            finding = examiner.found[manifest]
            if finding.state != "done":
                there = self._there(layout.cell(*cell) / METRICS)
                state: State = "stale" if there else finding.state
                why = f"rests on data {finding.name}, which is {finding.state}"
                return Finding("score", _name(layout.cell(*cell)), state, why, root=False)
        made = max(self.present.manifest(self.place.find(one)).time for one in data)
        return self._scored(layout.cell(*cell), layout.logs / f"baseline/{task}.log", made)

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


def _baselines(project: Project) -> list[tuple[str, str, str, int]]:
    return [(BASELINE, task, MAJORITY, 0) for task in project.test_tasks]


def _name(folder: Path) -> str:
    return "/".join(folder.parts[-4:])
