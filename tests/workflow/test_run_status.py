"""`status` beside real Snakemake: what it calls done is what Snakemake has nothing to do for."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from rllr.config import load_file
from rllr.expected import expected_stages
from tests.workflow.conftest import ROOT, Workspace

pytestmark = pytest.mark.slow


def status(workspace: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    """`python -m rllr status` in the workspace."""
    return subprocess.run(
        [sys.executable, "-m", "rllr", "status", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=workspace.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_finished_run_is_done_and_its_configuration_is_found(finished: Workspace) -> None:
    done = status(finished)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All is done: results/cut/report.html" in done.stdout
    assert "held against results/cut/config/" in done.stdout


def test_every_stage_has_its_log_where_status_says(finished: Workspace) -> None:
    stages = expected_stages(load_file(finished.config)).values()
    assert {stage.kind for stage in stages} >= {"judge", "reward", "policy", "predict"}
    for stage in stages:
        assert (finished.folder / stage.log).exists(), stage.log


def test_a_deleted_manifest_is_missing_and_its_cells_are_stale(finished: Workspace) -> None:
    path = finished.path("trained/llama2-tiny/rllr_rm/mixture/seed0/manifest.json")
    text, stamp = path.read_text(), path.stat()
    path.unlink()
    try:
        done = status(finished, "--json")
    finally:
        path.write_text(text)
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert done.returncode == 1
    stale = {
        (cell["model"], cell["method"])
        for cell in json.loads(done.stdout)["cells"]
        if cell["state"] != "done"
    }
    assert stale == {("llama2-tiny", "rllr"), ("llama2-tiny", "rllr_mixed")}
