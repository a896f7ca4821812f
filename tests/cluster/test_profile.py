"""`snakemake --profile slurm` where the cluster does not fit: one message, nothing submitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.conftest import SLURM, on_cluster
from tests.workflow.conftest import ROOT, Workspace

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]


def refused(workspace: Workspace) -> str:
    """What Snakemake says when it stops before it has submitted anything."""
    done = workspace.snakemake(check=False)
    assert done.returncode != 0
    assert "has been submitted" not in done.stdout and "Finished jobid" not in done.stdout
    return done.stdout


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ({"image": "not/there.sif"}, "image: no file not/there.sif; build it"),
        ({"partitions": {"cpu": "nowhere"}}, "no partition 'nowhere'; there are "),
        ({"account": "nobody"}, "account: 'nobody' is none of yours"),
        ({"hf_cache": "/not/there"}, "hf_cache: no folder /not/there"),
        ({"resources": {"sft": {"mem_mb": 900_000_000}}}, "mem_mb 900000000: partition"),
        ({"modules": ["false"]}, "modules: 'false' failed"),
        ({"partition": "cpu"}, "unknown key 'partition'"),
        ({"gpu_request": "many"}, "gpu_request"),
    ],
)
def test_a_cluster_that_does_not_fit_is_one_message(
    tmp_path: Path, site: dict[str, object], message: str
) -> None:
    assert message in refused(on_cluster(tmp_path, {}, **site))


def test_the_papers_grid_stops_where_it_would_fetch(tmp_path: Path) -> None:
    """As typed, but for the folder and for memory that this cluster has."""
    small = {"mem_mb": 1000, "cpus_per_task": 1}
    kinds = ("sft", "sample", "reward", "policy", "predict")
    made = on_cluster(tmp_path, {}, resources=dict.fromkeys(kinds, small))
    # Outside containers: the image here is for CPUs, which would be said first.
    flags = (*SLURM, "--sdm", "env-modules")
    paper = Workspace(tmp_path, ROOT / "config/paper.yaml", flags, made.environment)
    done = paper.snakemake(check=False)
    assert done.returncode != 0 and "has been submitted" not in done.stdout
    assert "meta-llama/Llama-2-7b-chat-hf" in done.stdout
    assert not list(tmp_path.rglob("manifest.json"))


def test_a_cpu_image_for_gpu_models_is_refused(tmp_path: Path) -> None:
    made = on_cluster(tmp_path, {})
    paper = Workspace(tmp_path, ROOT / "config/paper.yaml", SLURM, made.environment)
    assert "is the CPU image, and models of this run say device: cuda" in refused(paper)


def test_a_mistake_in_a_stage_is_not_tried_again(tmp_path: Path) -> None:
    """Responses longer than predictions may be: the stage says so, and one job is spent on it."""
    generation = {"max_prompt_tokens": 120, "max_new_tokens": 2, "batch_size": 100}
    workspace = on_cluster(tmp_path, {"models": ["llama2-tiny"], "generation": generation})
    done = workspace.snakemake(
        f"results/{workspace.run}/trained/llama2-tiny/sft/mixture/seed0/manifest.json", check=False
    )
    assert done.returncode != 0
    assert done.stdout.count("has been submitted") == 2  # the base model, SFT once
    assert "are longer than generation.max_new_tokens (2)" in done.stdout
