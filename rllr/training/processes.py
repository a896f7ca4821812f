"""Training in several processes: `accelerate launch` starts them, and this process waits for them.

Every process runs the stage's own function (`rllr.training.worker`); the first one writes its
files. How it ended comes back through a file, because the launcher turns every failure into exit
status 1. Signals are passed on to the processes themselves: the launcher would kill them half a
minute later, finished or not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllr import interruption
from rllr.attempts import end_with_parent
from rllr.errors import RllrError
from rllr.files import read_json, write_json
from rllr.interruption import InterruptedStageError

if TYPE_CHECKING:
    from rllr.job import Job

# The folder of a launched stage's specification and outcome; set in its processes alone.
LAUNCHED = "RLLR_LAUNCHED"
SPECIFICATION, OUTCOME = "stage.json", "outcome.json"
POLL_SECONDS = 0.5
ROOT = Path(__file__).resolve().parents[2]


def is_launched() -> bool:
    """Whether this process is one of several that `launch` started."""
    return LAUNCHED in os.environ


def launch(job: Job, stage: str, name: str) -> None:
    """Run one stage in as many processes as its model says, until all have ended.

    Raises what the stage raised, RllrError or InterruptedStageError; RuntimeError where a process
    broke off, and said why in the log.
    """
    with tempfile.TemporaryDirectory(prefix="rllr-") as folder:
        place = {"model": job.model, "unit": job.unit, "seed": job.seed}
        specification = {"project": job.project.dump(), "stage": stage, "name": name, **place}
        write_json(Path(folder) / SPECIFICATION, specification)
        status = _run(_command(job), _environment(job, folder))
        _raise_outcome(Path(folder) / OUTCOME, status)


def _command(job: Job) -> list[str]:
    """`accelerate launch`, on a free port, so that two jobs on one node do not meet."""
    options = {
        "num_processes": job.config.gpus,
        "num_machines": 1,
        "main_process_port": 0,
        "mixed_precision": "no",
        "dynamo_backend": "no",
        "num_cpu_threads_per_process": job.project.config.threads.training,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", *words]
    return [*launcher, "-m", "rllr.training.worker"]


def _environment(job: Job, folder: str) -> dict[str, str]:
    """This process's own; without ACCELERATE_USE_CPU, --multi_gpu would ask for GPUs."""
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    own = {LAUNCHED: folder, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if job.config.device == "cpu":
        own["ACCELERATE_USE_CPU"] = "1"
    return {**os.environ, **own}


def _run(command: list[str], environment: dict[str, str]) -> int:
    start = partial(subprocess.Popen, preexec_fn=end_with_parent)  # no threads run here
    with start(command, env=environment) as launcher:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return launcher.wait(POLL_SECONDS)
            if asked := interruption.signalled():
                for process in _children(launcher.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.Signals[asked])


def _children(process: int) -> list[int]:
    """Ids of the processes that `process` started (Linux)."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return [int(number) for path in lists for number in path.read_text().split()]


def note_outcome(kind: str, *words: str) -> None:
    """Tell the process that launched this one what the stage raised, and with which words."""
    write_json(Path(os.environ[LAUNCHED]) / OUTCOME, {"kind": kind, "words": words})


def _raise_outcome(path: Path, status: int) -> None:
    outcome: dict[str, Any] = read_json(path) if path.exists() else {}
    asked = interruption.signalled()
    if outcome.get("kind") == "interrupted":
        raise InterruptedStageError(*outcome["words"])
    if outcome.get("kind") == "error":
        raise RllrError(*outcome["words"])
    if status and asked:
        raise InterruptedStageError("the start", f"signal {asked}")
    if status:
        raise RuntimeError(
            "a process of this stage broke off; what it said is above (nothing, if it was killed, "
            "for instance because memory ran out)"
        )
