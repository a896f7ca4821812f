"""What a job costs beside its work, on a cluster: from Snakemake's log and the jobs' manifests.

    python -m benchmarks.overhead SNAKEMAKE.LOG WORKING_DIRECTORY

Needs SLURM's accounting (`sacct`), whose times are whole seconds. For each submitted job that wrote
a manifest: start (SLURM starts the job, until the stage itself begins), end (the stage is done,
until SLURM's job ends), notice (until Snakemake says so). Waiting in the queue is not counted.
"""

from __future__ import annotations

import calendar
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SUBMITTED = re.compile(r"Job (\d+) has been submitted with SLURM jobid (\d+)")
STAMP = re.compile(r"^\[(\w{3} \w{3} +\d+ [\d:]+ \d{4})\]")
FINISHED = re.compile(r"Finished jobid: (\d+)")
OUTPUT = re.compile(r"[^\s,]+/manifest\.json")


def main(log: Path, folder: Path) -> None:
    """Print the medians and the range of each part."""
    rows = list(parts(log.read_text(), folder))
    print(f"{len(rows)} jobs; seconds: median (least to most)")
    for name in ("start", "end", "notice"):
        values = [row[name] for row in rows]
        print(f"{name}: {statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})")


def parts(text: str, folder: Path) -> Iterator[dict[str, float]]:
    """Start, end and notice of every submitted job that wrote a manifest, in seconds."""
    slurm = {number: job for number, job in SUBMITTED.findall(text)}
    noticed = dict(_noticed(text))
    manifests = dict(_manifests(text))
    times = _accounting(list(slurm.values()))
    for number, job in slurm.items():
        if number in noticed and number in manifests and job in times:
            manifest = json.loads((folder / manifests[number]).read_text())
            # Not the file's time: Snakemake touches what a job has written.
            done = calendar.timegm(time.strptime(manifest["finished"], "%Y-%m-%dT%H:%M:%SZ"))
            begun, ended = times[job]
            start = done - manifest["wall_seconds"] - begun
            yield {"start": start, "end": ended - done, "notice": noticed[number] - ended}


def _noticed(text: str) -> Iterator[tuple[str, float]]:
    stamp = 0.0
    for line in text.splitlines():
        if found := STAMP.match(line):
            stamp = time.mktime(time.strptime(found[1]))
        elif found := FINISHED.match(line):
            yield found[1], stamp


def _manifests(text: str) -> Iterator[tuple[str, str]]:
    """The manifest that each job writes, as its rule's announcement names it."""
    for block in re.split(r"\n(?=\[)", text):
        number = re.search(r"^Job (\d+): ", block, re.MULTILINE)
        missing = re.search(r"Missing output files: ([^;\n]*)", block)
        paths = OUTPUT.findall(missing[1]) if missing else []
        if number and paths:
            yield number[1], paths[0]


def _accounting(jobs: list[str]) -> dict[str, tuple[float, float]]:
    """When SLURM started and ended each job, in seconds since 1970."""
    command = ["sacct", "-n", "-X", "-P", "-o", "JobID,Start,End", "-j", ",".join(jobs)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line.split("|") for line in output.splitlines()]
    return {job: (_seconds(start), _seconds(end)) for job, start, end in rows if end != "Unknown"}


def _seconds(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
