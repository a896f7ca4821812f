"""Jobs that an earlier, killed Snakemake has left in the queue, and what they finished.

Snakemake marks each output of a running job in `.snakemake/incomplete`, with the job's number. When
it is killed the marks stay and the jobs go on; it would submit them a second time, or make again
what they have finished since. So before anything is submitted, such jobs are waited for or
cancelled, and a job whose manifest was written after its mark, from the same settings, is done.
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rllr.cluster.check import query
from rllr.files import digest, read_json

MARKS = Path(".snakemake/incomplete")
WAIT_SECONDS = 10
OVER = (
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
)


@dataclass(frozen=True)
class Mark:
    """When a job was submitted that writes an output, and the cluster's number of the job."""

    time: float
    job: str | None


def read_marks(folder: Path = MARKS) -> dict[str, Mark]:
    """Snakemake's marks by output."""
    return dict(_marks(folder))


def _marks(folder: Path) -> Iterator[tuple[str, Mark]]:
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file():
                name = "".join(part.lstrip("@") for part in path.relative_to(folder).parts)
                job = json.loads(path.read_text()).get("external_jobid")
                yield urlsafe_b64decode(name).decode(), Mark(path.stat().st_mtime, job)
        except (ValueError, OSError):  # not Snakemake's, or just being written
            continue


def is_finished(outputs: Iterable[str], slice_hash: str | None, marks: dict[str, Mark]) -> bool:
    """Whether the job of these outputs ended well after it was marked.

    Its manifest is written last; `slice_hash` is that of the settings it should have (None: a base
    model's are in its path).
    """
    paths = [Path(output) for output in outputs]
    manifests = [path for path in paths if path.name == "manifest.json"]
    marked = [marks[str(path)].time for path in paths if str(path) in marks]
    if not manifests or not marked or not all(path.exists() for path in paths):
        return False
    if manifests[0].stat().st_mtime <= max(marked):
        return False
    settings = read_json(manifests[0]).get("settings")
    return slice_hash is None or digest(settings) == slice_hash


def settle(jobs: set[str], policy: Literal["wait", "cancel"]) -> bool:
    """Wait for or cancel those of `jobs` that are in the queue; whether there were any.

    Jobs that have not begun are cancelled in either case.
    """
    states = _states(jobs)
    if not states:
        return False
    print(f"{len(states)} jobs of an earlier run are still in the queue", flush=True)
    _cancel({job for job, state in states.items() if state == "PENDING" or policy == "cancel"})
    announced = float("-inf")
    while states := _states(jobs):
        if time.monotonic() - announced > 300:
            print(f"waiting for jobs {', '.join(states)} (`scancel` ends them)", flush=True)
            announced = time.monotonic()
        time.sleep(WAIT_SECONDS)
    return True


def _states(jobs: set[str]) -> dict[str, str]:
    """State by number of those jobs that are not over."""
    if not jobs:
        return {}
    lines = query("squeue", "-h", "--me", "-t", "all", "-o", "%A %T").splitlines()
    states = dict(line.split() for line in lines)
    return {job: states[job] for job in sorted(jobs) if states.get(job, OVER[0]) not in OVER}


def _cancel(jobs: set[str]) -> None:
    if jobs:
        query("scancel", *sorted(jobs))
