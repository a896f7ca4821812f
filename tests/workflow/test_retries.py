"""Snakemake and the record of attempts: what is tried again by itself, and what is not."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.workflow.conftest import Workspace, write_workspace

SFT = "trained/llama2-tiny/sft/mixture/seed0"


@pytest.fixture
def started(tmp_path: Path) -> Workspace:
    """One model with data and base model, and SFT still to train."""
    workspace = write_workspace(tmp_path, {"models": ["llama2-tiny"], "tasks": ["mr"]})
    workspace.snakemake("--until", "base_model")
    return workspace


def target(workspace: Workspace) -> str:
    return str(workspace.path(SFT, "manifest.json").relative_to(workspace.folder))


@pytest.mark.slow
def test_a_killed_stage_is_tried_again_and_a_mistake_is_not(started: Workspace) -> None:
    process = started.start(target(started))
    pid = _training_process(started.path(SFT))
    os.kill(pid, signal.SIGKILL)
    text, _ = process.communicate()
    assert process.returncode == 0
    assert "Trying to restart job" in text and "killed (SIGKILL)" in text

    started.path(SFT, "manifest.json").unlink()
    data = started.path("data/mr/sft.jsonl")
    data.write_text("not JSON\n" + data.read_text())
    done = started.snakemake(target(started), check=False)
    assert done.returncode != 0
    assert "Trying to restart job" not in done.stdout
    assert "sft.jsonl:1: not valid JSON" in done.stdout


def _training_process(folder: Path) -> int:
    """The child of the process that supervises the stage."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
                parent = int((path.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
                above = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
                where = os.readlink(path.parent / "cwd")
            except OSError:
                continue
            if b"sft" in words and words == above and where == str(folder.parents[6]):
                return int(path.parent.name)
        time.sleep(0.05)
    raise AssertionError("no training process")
