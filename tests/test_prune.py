from __future__ import annotations

from pathlib import Path

import pytest
from tiny_project import TASKS, TinyRun, files_of

from rllr.errors import RllrError
from rllr.files import read_json
from rllr.job import Job
from rllr.layout import MANIFEST, PREDICTIONS_MANIFEST
from rllr.prune import PRUNED, prune, pruned_paths

STAGES = ("sft", "sft_label", "rlhf_rm", "rllr_rm", "rlhf", "rllr", "rllr_mixed")


def put(path: Path, content: str = "weights") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def weights(job: Job, stage: str) -> Path:
    return job.layout.weights(job.model, stage, job.unit, job.seed)


def predicted(job: Job, *methods: str) -> None:
    for method in methods:
        for task in TASKS:
            put(job.layout.cell(job.model, task, method, job.seed) / PREDICTIONS_MANIFEST, "{}")


@pytest.fixture
def job(run: TinyRun) -> Job:
    """Every stage trained, nothing predicted yet."""
    job = run.job()
    for stage in STAGES:
        put(weights(job, stage))
        put(job.trained(stage) / MANIFEST, "{}")
        put(job.trained(stage) / "checkpoints" / "checkpoint-1" / "state")
    return job


def test_weights_that_an_unfinished_method_rests_on_stay(job: Job) -> None:
    predicted(job, "sft_label", "sft", "rlhf")
    prune(job.project)
    left = {stage for stage in STAGES if weights(job, stage).exists()}
    # rllr and rllr_mixed are open: they need themselves, sft and both reward models.
    assert left == {"sft", "rllr_rm", "rlhf_rm", "rllr", "rllr_mixed"}


def test_a_finished_run_keeps_everything_but_weights_and_checkpoints(job: Job) -> None:
    predicted(job, *job.project.config.methods)
    before = files_of(job.layout.run)
    line = prune(job.project)
    gone = before - files_of(job.layout.run)
    assert {path for path in gone if "checkpoints" not in path.parts} == {
        weights(job, stage) for stage in STAGES
    }
    assert not list(job.layout.run.rglob("checkpoints"))
    assert f"{len(STAGES)} weights files, {len(STAGES)} checkpoint folders" in line
    assert pruned_paths(job.layout.run) == {weights(job, stage) for stage in STAGES}


def test_a_dry_run_deletes_nothing(job: Job) -> None:
    predicted(job, *job.project.config.methods)
    before = files_of(job.layout.run)
    assert "would free" in prune(job.project, dry_run=True)
    assert files_of(job.layout.run) == before


def test_weights_without_a_manifest_are_not_finished(job: Job) -> None:
    predicted(job, *job.project.config.methods)
    (job.trained("rllr") / MANIFEST).unlink()
    prune(job.project)
    assert weights(job, "rllr").exists()


def test_the_list_survives_a_second_pruning_and_forgets_what_came_back(job: Job) -> None:
    predicted(job, "sft_label")
    prune(job.project)
    predicted(job, *job.project.config.methods)
    prune(job.project)
    assert len(read_json(job.layout.run / PRUNED)["weights"]) == len(STAGES)
    put(weights(job, "sft"))
    assert pruned_paths(job.layout.run) == {weights(job, s) for s in STAGES if s != "sft"}


def test_a_run_that_does_not_exist(run: TinyRun) -> None:
    with pytest.raises(RllrError, match="no such run"):
        prune(run.project)
    assert pruned_paths(run.layout.run) == set()
