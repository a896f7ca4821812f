"""A stage as a process of its own, through the command line, to be killed or asked to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tiny_project import TinyRun

from rllr.job import Job
from rllr.training.common import LOG

ROOT = Path(__file__).parents[2]
# The batch sizes and counts of `tiny_project` with enough steps to break in on.
LONG = {
    "sft": {"batch_size": 8, "epochs": 4.5, "checkpoint_every": 3, "lora_dropout": 0.1},
    "reward": {"batch_size": 4, "epochs": 3.5, "checkpoint_every": 3, "lora_dropout": 0.1},
    "ppo": {"steps": 30, "checkpoint_every": 3},
}


def start(run: TinyRun, stage: str, name: str, **environment: str) -> subprocess.Popen[str]:
    job = run.job()
    named = {"config": run.config, "model": job.model, "stage": name, "unit": job.unit, "seed": 0}
    words = [word for key, value in named.items() for word in (f"--{key}", str(value))]
    paths = {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "rllr", stage, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **paths, **environment},
    )


def signal_after(
    process: subprocess.Popen[str], job: Job, name: str, step: int, number: signal.Signals
) -> tuple[int, str]:
    """Signal once a later step than `step` is logged; exit status and output.

    The output ends when the last process that holds it has ended.
    """
    log = job.trained(name) / LOG
    begun = time.monotonic()
    while time.monotonic() - begun < 120 and process.poll() is None:
        if _last_step(log) > step:
            process.send_signal(number)
            break
        time.sleep(0.005)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def _last_step(log: Path) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(log.read_text().splitlines()[-1].split(",")[0].split(":")[1])
    return 0
