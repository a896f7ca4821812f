"""A heartbeat keeps a second job off a folder that one is writing.

It is a file that the writer holds locked and touches every few seconds. Who finds it held waits. On
another node, where a lock may not be seen, a heartbeat counts as alive while it is fresh.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

HEARTBEAT = ".heartbeat"
BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0


@contextmanager
def alone(folder: Path, path: Path) -> Iterator[bool]:
    """Hold the heartbeat `path` of `folder`; yields whether another job was waited for."""
    stream = _take(path)
    waited = stream is None
    announced = float("-inf")
    while stream is None:
        if time.monotonic() - announced > 60:
            print(f"{folder}: another job is writing here ({_owner(path)}); waiting", flush=True)
            announced = time.monotonic()
        time.sleep(BEAT_SECONDS)
        stream = _take(path)
    with stream:
        yield waited
        stream.truncate(0)


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold a heartbeat in `folder`, touched in the background; it is gone in the end.

    A second process waits for the first, then does its work again.
    """
    path, done = folder / HEARTBEAT, threading.Event()
    with alone(folder, path):
        beating = threading.Thread(target=_beat_until, args=(path, done), daemon=True)
        beating.start()
        try:
            yield
        finally:
            done.set()
            beating.join()
            path.unlink(missing_ok=True)


def _beat_until(path: Path, done: threading.Event) -> None:
    while not done.wait(BEAT_SECONDS):
        beat(path)


def _take(path: Path) -> IO[str] | None:
    """Open, lock and sign the heartbeat; None while another job holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("a+", encoding="utf-8")
    locked = _locked(stream)
    if locked is not False and _same_file(stream, path) and not _alive(path, bool(locked)):
        stream.truncate(0)
        stream.write(_signature())
        stream.flush()
        return stream
    stream.close()
    return None


def _locked(stream: IO[str]) -> bool | None:
    """Whether the lock is ours; None on a file system without locks."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _same_file(stream: IO[str], path: Path) -> bool:
    """Whether what was locked is still there: its folder may have been removed meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return os.fstat(stream.fileno()).st_ino == path.stat().st_ino
    return False


def job_name() -> str:
    """This SLURM job, or this process."""
    job = os.environ.get("SLURM_JOB_ID")
    return f"SLURM job {job}" if job else f"process {os.getpid()}"


def _signature() -> str:
    return f"{job_name()} on {socket.gethostname()}"


def _owner(path: Path) -> str:
    """Who signed the heartbeat; empty when its owner has let go of it."""
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8")
    return ""


def _alive(path: Path, locked: bool) -> bool:
    """Whether a job whose lock we may not see has touched the file a moment ago.

    An owner on this host is dead if we have its lock. So is one that is this very SLURM job,
    started again.
    """
    job, _, host = _owner(path).rpartition(" on ")
    here = locked and host == socket.gethostname()
    if not job or here or job == job_name():
        return False
    return _age(path) < STALE_SECONDS


def holder(path: Path) -> str:
    """Who is writing beside the heartbeat `path`, "" for nobody; takes and changes nothing.

    On this host its lock tells, elsewhere (or without locks) whether it is fresh.
    """
    owner = _owner(path)
    if not owner:
        return ""
    held = _held(path) if owner.endswith(f" on {socket.gethostname()}") else None
    if held is None:
        try:
            held = _age(path) < STALE_SECONDS
        except OSError:  # a folder that only others may write to
            held = time.time() - path.stat().st_mtime < STALE_SECONDS
    return owner if held else ""


def _held(path: Path) -> bool | None:
    """Whether a process of this host has the lock; None on a file system without locks."""
    try:
        with path.open(encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return False


def _age(path: Path) -> float:
    """Seconds since the file was touched, by the clock of the file server."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".now-") as probe:
            return os.fstat(probe.fileno()).st_mtime - path.stat().st_mtime
    except FileNotFoundError:  # its folder was removed: the stage is finished
        return float("inf")


def beat(path: Path) -> None:
    """Touch the heartbeat; the stage removes its folder when it is done."""
    with contextlib.suppress(OSError):
        os.utime(path)
