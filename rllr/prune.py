"""Freeing disk: checkpoints and the weights of finished stages, without causing retraining.

What was pruned is listed in `pruned.json`, and the workflow does not ask for it by name any more;
predictions, metrics, summaries and manifests stay. A job that needs pruned weights again (a deleted
prediction, a new method) retrains them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rllr.config.load import Project
from rllr.errors import RllrError
from rllr.files import read_json, write_json
from rllr.job import Job
from rllr.layout import CHECKPOINTS, PREDICTIONS_MANIFEST, Layout, is_done

PRUNED = "pruned.json"


def pruned_paths(run: Path) -> set[Path]:
    """Weights files that were pruned; one that came back is forgotten, and missed if deleted."""
    path = run / PRUNED
    listed = listed_weights(path)
    gone = {weights for weights in listed if not weights.exists()}
    if gone != listed:
        write_json(path, {"weights": sorted(map(str, gone))})
    return gone


def listed_weights(path: Path) -> set[Path]:
    """The weights files that the list at `path` names; none where there is no list."""
    return set(map(Path, read_json(path)["weights"])) if path.exists() else set()


def prune(project: Project, *, dry_run: bool = False) -> str:
    """Delete checkpoints and finished weights; returns one line that says how much was freed."""
    run = Layout(project).run
    if not run.is_dir():
        raise RllrError(f"{run}: no such run; nothing to prune")
    weights = [path for job in _jobs(project) for path in _finished_weights(job)]
    found = sorted((run / "trained").glob(f"*/*/*/*/{CHECKPOINTS}"))
    # An unfinished stage goes on from its checkpoints.
    checkpoints = [folder for folder in found if is_done(folder.parent)]
    freed = sum(path.stat().st_size for path in weights) + sum(map(_size, checkpoints))
    if not dry_run:
        write_json(run / PRUNED, {"weights": sorted(map(str, pruned_paths(run) | set(weights)))})
        for path in weights:
            path.unlink()
        for folder in checkpoints:
            shutil.rmtree(folder)
    verb = "would free" if dry_run else "freed"
    parts = f"{len(weights)} weights files, {len(checkpoints)} checkpoint folders"
    return f"{run}: {verb} {freed / 2**20:.1f} MiB ({parts})"


def _jobs(project: Project) -> list[Job]:
    config = project.config
    return [
        Job(project, m, u, s) for m in config.models for u in project.units for s in config.seeds
    ]


def _finished_weights(job: Job) -> list[Path]:
    """Weights of stages that are whole and that every method resting on them is done with."""
    methods = [name for name in job.project.config.methods if _needs(job, name)]
    open_ones = {
        stage for name in methods if not _predicted(job, name) for stage in _needs(job, name)
    }
    stages = {stage for name in methods for stage in _needs(job, name)} - open_ones
    found = [job.layout.weights(job.model, stage, job.unit, job.seed) for stage in sorted(stages)]
    return [path for path in found if path.exists() and is_done(path.parent)]


def _needs(job: Job, method: str) -> list[str]:
    """The trained stages that a method's predictions rest on."""
    declared = job.project.methods[method]
    stages = [method, declared.start, *declared.reward_models]
    return [] if declared.algorithm == "none" else [name for name in stages if name != "base"]


def _predicted(job: Job, method: str) -> bool:
    tasks = job.project.eval_tasks(job.unit)
    cells = [job.layout.cell(job.model, task, method, job.seed) for task in tasks]
    return all((cell / PREDICTIONS_MANIFEST).exists() for cell in cells)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
