"""What the scheduler knows of this very job: when it ends and how much memory it has."""

from __future__ import annotations

import os
import time

from rllr.attempts import MEMORY_MB
from rllr.cluster.check import query
from rllr.errors import RllrError
from rllr.interruption import DEADLINE

UNITS = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}


def job_facts() -> dict[str, str]:
    """Environment variables for the job's program; none outside a SLURM job."""
    job = os.environ.get("SLURM_JOB_ID")
    if not job:
        return {}
    try:
        end, memory = query("squeue", "-h", "-j", job, "-o", "%e|%m").strip().split("|")
    except (RllrError, ValueError):  # a program without a deadline is killed at the end, no more
        return {}
    return {name: value for name, value in (_deadline(end), _memory(memory)) if value}


def _deadline(end: str) -> tuple[str, str]:
    try:
        return DEADLINE, str(int(time.mktime(time.strptime(end, "%Y-%m-%dT%H:%M:%S"))))
    except ValueError:  # no limit
        return DEADLINE, ""


def _memory(text: str) -> tuple[str, str]:
    number, unit = text.rstrip("cn"), "M"
    if number and number[-1] in UNITS:
        number, unit = number[:-1], number[-1]
    try:
        return MEMORY_MB, str(round(float(number) * UNITS[unit]) or "")
    except ValueError:
        return MEMORY_MB, ""
