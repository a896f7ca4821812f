"""What a run's configuration expects of each of its stages: settings, inputs, files, log.

`status` compares what lies on disk with it, and tables mark results that were made otherwise.
Nothing is read but the configuration; paths are the configuration's own.
"""

from __future__ import annotations

from pathlib import Path

from rllr.config.load import Project
from rllr.config.schema import MIXTURE
from rllr.expected.plan import Planner
from rllr.expected.stage import Stage, run_place, without_seed
from rllr.files import digest
from rllr.job import Job
from rllr.teacher.compared import method_pairs


def cells(project: Project) -> list[tuple[str, str, str, int]]:
    """(model, task, method, seed) of every cell, context rows included, baselines not."""
    config = project.config
    rows = [(method, seed) for method in config.methods for seed in config.seeds]
    rows += [(method, config.seeds[0]) for method in config.context_methods]
    tasks = project.test_tasks
    return [(m, t, method, seed) for m in config.models for t in tasks for method, seed in rows]


def cell_job(project: Project, model: str, task: str, method: str, seed: int) -> Job:
    """The job that predicts a cell; a method that trains nothing has one for all tasks."""
    untrained = project.methods[method].algorithm == "none"
    mixed = untrained or project.config.scope == MIXTURE
    return Job(project, model, MIXTURE if mixed else task, seed)


def expected_stages(project: Project) -> dict[Path, Stage]:
    """Every stage that the run's cells need, by manifest; each after those it is made from."""
    planner = Planner(project)
    for model, task, method, seed in cells(project):
        planner.prediction(cell_job(project, model, task, method, seed), method, task)
    for task in project.test_tasks:
        planner.baseline(task)
    if method_pairs(project):
        for model in project.config.models:
            for unit in project.units:
                for seed in project.config.seeds:
                    planner.compared(Job(project, model, unit, seed))
    return planner.found


def expected_settings(project: Project) -> dict[str, str]:
    """Short digests of what `settings` of each manifest but predictions' should be.

    By the stage's folder as `run_place` gives it, one for all seeds.
    """
    run = project.config.run
    return {
        without_seed(run_place(stage.folder, run)): digest(stage.settings)[:12]
        for stage in expected_stages(project).values()
        if stage.kind != "predict"
    }
