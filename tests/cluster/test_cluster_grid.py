"""The cut grid on the cluster, in containers without a network, against the same on this host."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rllr.config.load import CONFIG_DIR, read_yaml
from rllr.reporting.names import TABLE_FORMATS, TABLES
from tests.cluster.conftest import IMAGE, on_cluster
from tests.workflow.conftest import Workspace, read, write_workspace

pytestmark = pytest.mark.cluster

TWO = "trained/two/sft/mixture/seed0"


def test_every_metric_and_prediction_is_that_of_a_local_run(
    local: Workspace, submitted: Workspace
) -> None:
    assert len(local.metrics()) == 52
    assert submitted.metrics() == local.metrics()


def test_the_tables_are_those_of_a_local_run(local: Workspace, submitted: Workspace) -> None:
    found = [
        {path.name: path.read_bytes() for path in run.path("tables").iterdir()}
        for run in (local, submitted)
    ]
    assert set(found[0]) == set(found[1]) == {f"{n}.{e}" for n in TABLES for e in TABLE_FORMATS}
    timed = {f"{name}.{end}" for name in ("cost", "method_cost") for end in TABLE_FORMATS}
    same = [{name: table for name, table in one.items() if name not in timed} for one in found]
    assert same[0] == same[1]


def test_manifests_name_the_image_and_the_commit(submitted: Workspace) -> None:
    manifest = read(submitted.path("trained/llama2-tiny/rllr/mixture/seed0/manifest.json"))
    (line,) = IMAGE.with_name(f"{IMAGE.name}.sha256").read_text().splitlines()
    assert manifest["image"] == line.split()[0]
    assert manifest["commit"] == read(submitted.path("grid.json"))["commit"]


def test_nothing_is_left_but_results(submitted: Workspace) -> None:
    allowed = {".snakemake", "results", "config.yaml", "site.yaml"}
    assert {path.name for path in submitted.folder.iterdir()} == allowed
    results = submitted.path()
    assert not list(results.rglob("checkpoints")) and not (results / "predicting").exists()
    # SLURM's own logs of jobs that ended well are deleted; the programs' logs stay, one per job.
    assert not list((submitted.folder / "results/slurm-logs").rglob("*.log"))
    assert submitted.path("logs/policy/llama2-tiny.rllr.mixture.seed0.log").stat().st_size > 0


def test_a_finished_run_submits_nothing(submitted: Workspace) -> None:
    assert "Nothing to be done" in submitted.snakemake().stdout


def test_one_deleted_cell_is_made_again_and_nothing_else(submitted: Workspace) -> None:
    before = submitted.metrics()
    name = "llama2-tiny/mnli/rllr/seed0"
    for path in submitted.path("cells", name).iterdir():
        path.unlink()
    text = submitted.snakemake(str(_relative(submitted, f"cells/{name}/metrics.json"))).stdout
    assert text.count("has been submitted") == 1
    assert submitted.metrics() == before


def test_a_job_of_several_processes_ends_as_on_this_host(cluster: None, tmp_path: Path) -> None:
    changes: dict[str, object] = {"models": ["two"], "tasks": ["mr"]}
    runs = [on_cluster(tmp_path / "cluster", changes), write_workspace(tmp_path / "host", changes)]
    weights = []
    for run in runs:
        model = read_yaml(CONFIG_DIR / "models/llama2-tiny.yaml") | {"gpus": 2}
        (run.folder / "models").mkdir()
        (run.folder / "models/two.yaml").write_text(yaml.safe_dump(model))
        folder = run.path(TWO)
        run.snakemake(str(_relative(run, f"{TWO}/manifest.json")))
        assert read(folder / "manifest.json")["processes"] == 2
        weights.append([path.read_bytes() for path in folder.glob("*.safetensors")])
    assert weights[0] and weights[0] == weights[1]


def test_a_dry_run_lists_jobs_by_stage(
    cluster: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fresh = on_cluster(tmp_path_factory.mktemp("fresh"), {}, image="not/there.sif")
    assert fresh.planned("tables") | {"policy": 6, "sft": 4, "predict": 10} == fresh.planned(
        "tables"
    )


def _relative(workspace: Workspace, name: str) -> object:
    return workspace.path(name).relative_to(workspace.folder)
