"""Being asked to stop: a time limit, a preemption, a cancelled job. Trainers ask between steps.

A job's end is known beforehand: `RLLR_DEADLINE`, in seconds since 1970, which the workflow takes
from the cluster's scheduler. SIGTERM (a cancelled or preempted job) and SIGUSR1 (anybody) ask at
once.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

DEADLINE = "RLLR_DEADLINE"
# Kept free before the deadline for writing a checkpoint and ending; less in a short job.
RESERVE_SECONDS = 60.0
RESERVE_SHARE = 0.25
# Exit status of a stage that saved its state and ended; sysexits.h calls it a temporary failure.
EXIT_STATUS = 75

_started = time.time()
_signals: list[str] = []


class InterruptedStageError(Exception):
    """A stage saved its state and ended before it was done; run again, it goes on from there."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"stopped after {where}: {reason}; run again, it goes on from there")
        self.where, self.reason = where, reason


def watch() -> None:
    """From now on SIGTERM and SIGUSR1 are noted instead of ending the process."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _note)


def _note(number: int, _: Any) -> None:
    _signals.append(signal.Signals(number).name)


def signalled() -> str | None:
    """The signal that was noted first, by name, or None."""
    return _signals[0] if _signals else None


def stop_reason(step_seconds: float = 0.0) -> str | None:
    """Why to save and stop now, or None; `step_seconds` is how long the next step may take."""
    if asked := signalled():
        return f"signal {asked}"
    deadline = float(os.environ.get(DEADLINE) or "inf")
    reserve = min(RESERVE_SECONDS, RESERVE_SHARE * (deadline - _started))
    return "time limit" if time.time() + step_seconds + reserve > deadline else None
