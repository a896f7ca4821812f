"""Jobs that an earlier, killed Snakemake has left in the queue, and what they finished.

Snakemake marks each output of a running job in `.snakemake/incomplete`, with the job's number. When
it is killed the marks stay and the jobs go on; it would submit them a second time. So before a new
run plans anything, those jobs are waited for or cancelled, and the mark of what is whole (its
manifest is newer than the mark) is taken away.
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rllr.cluster.check import query

MARKS = Path(".snakemake/incomplete")
LOCKS = Path(".snakemake/locks")
WAIT_SECONDS = 10


@dataclass(frozen=True)
class Mark:
    """An output that a job was writing when Snakemake last looked."""

    path: Path
    output: Path
    job: str | None


def read_marks(folder: Path = Path()) -> list[Mark]:
    """All marks in a working directory but those of a run that holds the lock."""
    locked = _locked_outputs(folder / LOCKS)
    return [mark for mark in _marks(folder / MARKS) if str(mark.output) not in locked]


def _marks(root: Path) -> Iterator[Mark]:
    for path in sorted(root.rglob("*")):
        if path.is_file():
            name = "".join(part.lstrip("@") for part in path.relative_to(root).parts)
            try:
                output = urlsafe_b64decode(name).decode()
                job = json.loads(path.read_text()).get("external_jobid")
            except (ValueError, OSError):  # not Snakemake's, or being written
                continue
            yield Mark(path, Path(output), job)


def _locked_outputs(folder: Path) -> set[str]:
    lines = [path.read_text().splitlines() for path in folder.glob("*.output.lock")]
    return {line for group in lines for line in group}


def settle(policy: Literal["wait", "cancel"], folder: Path = Path()) -> None:
    """Wait for or cancel what is still in the queue; then forget the marks of what is whole.

    Jobs that have not begun are cancelled in either case.
    """
    marks = read_marks(folder)
    jobs = {mark.job for mark in marks if mark.job}
    running = _states(jobs)
    if running:
        print(f"{len(running)} jobs of an earlier run are still in the queue", flush=True)
        _cancel({j for j, state in running.items() if state == "PENDING" or policy == "cancel"})
        _wait(jobs)
    for mark in marks:
        if is_whole(mark):
            mark.path.unlink(missing_ok=True)


def is_whole(mark: Mark) -> bool:
    """Whether the output's stage ended after the mark: its manifest is written last."""
    folder, output = mark.output.parent, mark.output
    manifests = [folder / "manifest.json", folder / "predictions.manifest.json"]
    newer = [p for p in manifests if p.exists() and p.stat().st_mtime > mark.path.stat().st_mtime]
    return bool(newer) and output.exists()


def _states(jobs: set[str]) -> dict[str, str]:
    """State by number of those jobs that are still in the queue."""
    if not jobs:
        return {}
    lines = query("squeue", "-h", "--me", "-t", "all", "-o", "%A %T").splitlines()
    states = dict(line.split() for line in lines)
    over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "DEADLINE")
    return {job: states[job] for job in sorted(jobs) if states.get(job, over[0]) not in over}


def _cancel(jobs: set[str]) -> None:
    if jobs:
        query("scancel", *sorted(jobs))


def _wait(jobs: set[str]) -> None:
    announced = 0.0
    while running := _states(jobs):
        if time.monotonic() - announced > 300:
            print(f"waiting for {', '.join(running)} (scancel ends them)", flush=True)
            announced = time.monotonic()
        time.sleep(WAIT_SECONDS)
