"""What runs, and what failed: real processes, killed for real, and the cluster's heartbeats."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from tiny_project import LLAMA, TinyRun

from rllr.config.load import CONFIG_DIR
from rllr.files import write_json
from rllr.layout import MANIFEST

if TYPE_CHECKING:
    from conftest import Asked

ROOT = CONFIG_DIR.parent
CELL = ("cell", f"{LLAMA}/mr/sft/0")


def start(run: TinyRun, *words: str, log: Path) -> subprocess.Popen[bytes]:
    """A stage in a process of its own, as a rule starts it."""
    run.config.write_text(yaml.safe_dump(run.raw))
    command = [sys.executable, "-m", "rllr", words[0], "--config", str(run.config), *words[1:]]
    log.parent.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with log.open("wb") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=stream, cwd=ROOT, env=variables)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_job_runs_until_it_is_killed_and_then_has_failed(asked: Asked, spoilt: TinyRun) -> None:
    log = spoilt.layout.logs / f"sft/{LLAMA}.sft.mixture.seed1.log"
    run = spoilt.but(seeds=[0, 1])
    words = ["--model", LLAMA, "--stage", "sft", "--unit", "mixture", "--seed", "1"]
    process = start(run, "sft", *words, log=log)
    name = ("sft", f"{LLAMA}/sft/mixture/seed1")
    wait_for(lambda: asked.json(run)[1][name]["state"] != "missing")
    found = asked.json(run)[1]
    assert found[name]["state"] == "running" == found["cell", f"{LLAMA}/mr/sft/1"]["state"]
    assert f"process {process.pid} on " in found[name]["why"]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # Its child has the lock, too, and is killed a moment later.
    wait_for(lambda: asked.json(run)[1][name]["state"] != "running")
    code, found = asked.json(run)
    assert code == 3
    assert found[name]["state"] == "failed" == found["cell", f"{LLAMA}/mr/sft/1"]["state"]
    assert found[name]["why"].startswith(f"killed (process {process.pid}, ")
    assert found[name]["log"] == str(log) and found[CELL]["state"] == "done"
    _, out, _ = asked("--config", run.config)
    assert re.search(r"^  sft +1/2 .", out, re.MULTILINE)
    assert f"    log: {log}\n" in out and "1/2 \N{BALLOT X}" in out


def test_a_job_of_the_cluster_runs_while_its_heartbeat_is_fresh(
    asked: Asked, spoilt: TinyRun
) -> None:
    folder = spoilt.layout.trained(LLAMA, "sft", "mixture", 1) / "checkpoints"
    folder.mkdir(parents=True)
    row = {"invocation": "x", "job": "SLURM job 7", "host": "node3", "memory_mb": None, "found": 0}
    row["started"] = "2026-01-01T00:00:00Z"
    write_json(folder / "attempts.json", {"attempts": [row]})
    beat = folder / "heartbeat"
    beat.write_text("SLURM job 7 on node3")
    run, name = spoilt.but(seeds=[0, 1]), ("sft", f"{LLAMA}/sft/mixture/seed1")
    found = asked.json(run)[1][name]
    assert found["state"] == "running" and "SLURM job 7 on node3, since 2026-01-01" in found["why"]
    os.utime(beat, (time.time() - 600, time.time() - 600))
    found = asked.json(run)[1][name]
    assert found["state"] == "failed" and found["why"] == "killed (SLURM job 7, node3)"


def test_a_mistake_is_told_from_the_log_of_a_stage_without_attempts(
    asked: Asked, spoilt: TinyRun
) -> None:
    (spoilt.layout.data("mr") / "rm.jsonl").unlink()
    (spoilt.layout.rationales("mr") / MANIFEST).unlink()
    log = spoilt.layout.logs / "rationales/mr.log"
    assert start(spoilt, "rationales", "--task", "mr", log=log).wait() == 2
    code, found = asked.json(spoilt)
    assert code == 3
    assert found["rationales", "mr"]["state"] == "failed"
    assert found["rationales", "mr"]["why"] == log.read_text().removeprefix("error: ").strip()
    assert "rm.jsonl: cannot be read" in found["rationales", "mr"]["why"]
    assert found["data", "mr"]["state"] == "missing"


def test_the_last_error_of_a_log_is_told(asked: Asked, empty: TinyRun) -> None:
    log = empty.layout.logs / "label_pairs/mr.log"
    log.parent.mkdir(parents=True)
    log.write_text("x\n" * 9000 + "Traceback (most recent call last):\n  in y\nKeyError: '<b>'\n")
    found = asked.json(empty)[1]["label_pairs", "mr"]
    assert (found["state"], found["why"]) == ("failed", "KeyError: '<b>'")
    log.write_text("all is well\n")
    assert asked.json(empty)[1]["label_pairs", "mr"]["state"] == "missing"
