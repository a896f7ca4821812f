"""Signs of a stage that runs or has failed: heartbeats, records of attempts, logs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from rllr import heartbeat
from rllr.attempts import HEARTBEAT, MISTAKE, RECORD, Attempt, newest_checkpoint, read_attempts
from rllr.layout import CHECKPOINTS

TAIL_BYTES = 8192
# What begins the line in which a stage, or Apptainer, says why it ends.
SAID = ("error: ", "FATAL: ")
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Sign:
    """Who runs a stage, or why it failed; `when` it last said so, in seconds since 1970."""

    text: str
    when: float


def running(folder: Path) -> Sign | None:
    """Who is writing into a stage's folder now; None if nobody is, a killed job included."""
    for path in _heartbeats(folder):
        owner = heartbeat.holder(path)
        if owner:
            return Sign(owner + _progress(folder), _mtime(path))
    return None


def failure(folder: Path | None, log: Path) -> Sign | None:
    """Why a stage that is neither done nor running failed; None if it has not been tried."""
    return (_failed_attempt(folder) or _killed(folder) if folder else None) or _log_error(log)


def _heartbeats(folder: Path) -> tuple[Path, Path]:
    """Of a supervised stage, and of one that is not."""
    return folder / CHECKPOINTS / HEARTBEAT, folder / heartbeat.HEARTBEAT


def _attempts(folder: Path) -> list[Attempt]:
    try:
        return read_attempts(folder)
    except (KeyError, TypeError, ValueError, OSError):  # another version's, or no record at all
        return []


def _progress(folder: Path) -> str:
    """`, since 2026-11-23T19:17:52Z, attempt 2, from checkpoint 40`."""
    attempts = _attempts(folder)
    if not attempts:
        return ""
    number = f", attempt {len(attempts)}" if len(attempts) > 1 else ""
    return f", since {attempts[-1].started}{number}{_checkpoint(newest_checkpoint(folder))}"


def _checkpoint(found: int) -> str:
    """A trainer's checkpoint is its step; that of PPO goes by its file's time."""
    if not found:
        return ""
    return ", has a checkpoint" if found > 10**9 else f", has checkpoint {found}"


def _failed_attempt(folder: Path) -> Sign | None:
    attempts = _attempts(folder)
    if not attempts:
        return None
    last = attempts[-1]
    number = f"attempt {len(attempts)}: " if len(attempts) > 1 else ""
    text = f"{number}{str(last.end).removeprefix(MISTAKE)} ({last.job}, {last.host})"
    paths = (folder / CHECKPOINTS / RECORD, folder / CHECKPOINTS / HEARTBEAT)
    return Sign(text + _checkpoint(last.left), max(map(_mtime, paths)))


def _killed(folder: Path) -> Sign | None:
    """A heartbeat that nobody holds any more was left by somebody who was killed."""
    path = folder / heartbeat.HEARTBEAT
    try:
        owner = path.read_text(encoding="utf-8")
    except OSError:
        return None
    return Sign(f"killed ({owner})", _mtime(path)) if owner else None


def _log_error(log: Path) -> Sign | None:
    """What the last lines of a log say of a failure."""
    lines = [line for line in _tail(log).splitlines() if line.strip()]
    said = [line for line in lines if line.startswith(SAID)]
    if said:
        return Sign(said[-1].removeprefix(SAID[0]), _mtime(log))
    raised = any(line.startswith(TRACEBACK) for line in lines)
    return Sign(lines[-1].strip(), _mtime(log)) if raised else None


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def stamp(when: float) -> str:
    """A time as `2026-11-23 19:17:52` of this machine's clock."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
