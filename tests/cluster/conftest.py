"""A real Apptainer, the CPU image and a real SLURM; where one is missing, a skip says which."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import CUT, ROOT, Workspace, write_workspace

IMAGE = ROOT / "containers" / "rllr-cpu.sif"
SLURM = (
    *("--profile", "slurm", "--sdm", "apptainer"),
    # A test's jobs take seconds; the profile's interval is for jobs of hours.
    *("--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "10"),
)


def missing() -> str | None:
    """What these tests need and this machine lacks."""
    if shutil.which("apptainer") is None:
        return "no Apptainer here"
    if not IMAGE.exists():
        return "no image: make container-cpu"
    if shutil.which("sinfo") is None or subprocess.run(["sinfo", "-h"], check=False).returncode:
        return "no running SLURM here"
    return None


@pytest.fixture(scope="session")
def cluster() -> None:
    """Skip where there is no cluster."""
    reason = missing()
    if reason:
        pytest.skip(reason)


def on_cluster(folder: Path, changes: dict[str, object], **site: object) -> Workspace:
    """A workspace of the cut grid that runs through the SLURM profile, in containers."""
    workspace = write_workspace(folder, changes)
    settings = {"image": str(IMAGE), **site}
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(settings))
    return Workspace(workspace.folder, workspace.config, SLURM, {"RLLR_SITE": str(path)})


@pytest.fixture(scope="session")
def local(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The cut grid, run on this host without containers."""
    workspace = write_workspace(tmp_path_factory.mktemp("local"), {})
    workspace.snakemake()
    return workspace


@pytest.fixture(scope="session")
def submitted(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The cut grid, run on the cluster in containers."""
    workspace = on_cluster(tmp_path_factory.mktemp("cluster"), {})
    workspace.snakemake()
    return workspace


__all__ = ["CUT", "ROOT"]
