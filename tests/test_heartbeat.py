"""Whether somebody writes: told from outside, without taking or changing anything."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rllr import heartbeat
from rllr.heartbeat import holder, sole_writer

HOLDS = """
import sys, time
from pathlib import Path
from rllr.heartbeat import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_writer_of_this_host_is_told_while_it_lives(tmp_path: Path) -> None:
    path = tmp_path / heartbeat.HEARTBEAT
    assert holder(path) == ""
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        assert holder(path) == f"process {process.pid} on {os.uname().nodename}"
        os.utime(path, (0, 0))  # a busy machine: its lock counts
        assert holder(path)
        process.kill()
    os.utime(path)
    assert holder(path) == "" and path.read_text()


def test_looking_keeps_nobody_off(tmp_path: Path) -> None:
    path = tmp_path / heartbeat.HEARTBEAT
    path.write_text(f"process 1 on {os.uname().nodename}")
    before = path.stat()
    assert holder(path) == ""
    assert (path.stat().st_mtime_ns, path.read_text()) == (before.st_mtime_ns, path.read_text())
    with sole_writer(tmp_path):
        assert holder(path)
    assert holder(path) == "" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("age", "there"), [(0, True), (600, False)])
def test_on_another_host_a_fresh_heartbeat_counts(tmp_path: Path, age: float, there: bool) -> None:
    path = tmp_path / "heartbeat"
    path.write_text("SLURM job 7 on othernode")
    os.utime(path, (time.time() - age, time.time() - age))
    assert bool(holder(path)) is there
    path.write_text("")  # its owner has let go of it
    assert holder(path) == ""


def test_without_locks_a_fresh_heartbeat_of_this_host_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_held", lambda path: None)
    path = tmp_path / "heartbeat"
    path.write_text(f"process 1 on {os.uname().nodename}")
    assert holder(path)
    os.utime(path, (0, 0))
    assert holder(path) == ""
