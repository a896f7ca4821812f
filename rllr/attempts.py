"""Attempts at a training stage: one at a time per folder, each with a record of how it ended.

A stage that ends early is started again (by Snakemake's `retries`) and goes on from its last
checkpoint. `attempts.json`, beside the checkpoints, says of each attempt when it began, which
checkpoint it found and left, and how it ended. Two things follow from it: memory grows beyond what
was too little (`too_little_memory`), and what cannot succeed is not tried again and
again (`hopeless`).

Nothing here imports torch: the host that submits jobs reads the records too.
"""

from __future__ import annotations

import calendar
import contextlib
import ctypes
import os
import resource
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rllr.errors import RllrError
from rllr.files import digest, read_json, write_json, write_text
from rllr.heartbeat import BEAT_SECONDS, alone, beat, job_name
from rllr.layout import CHECKPOINTS, MANIFEST
from rllr.logs import carry_over

RECORD = "attempts.json"
HEARTBEAT = "heartbeat"
END = "end.txt"
LOG = "log.txt"
# Path of the file in which the attempt itself says how it ended; set for what it starts.
END_FILE = "RLLR_END_FILE"
# Names one start of the workflow; set by it, so that a new start tries everything anew.
INVOCATION = "RLLR_INVOCATION"
MEMORY_MB = "RLLR_MEMORY_MB"

OUT_OF_MEMORY = "out of memory"
KILLED = "killed"
MISTAKE = "mistake: "
# The libraries' trainers write this file of a checkpoint last; PPO's state is one file.
WRITTEN_LAST = "trainer_state.json"
STATE = "state.pt"

# Attempts in a row that may end without a new checkpoint before the stage gives up.
IDLE_ATTEMPTS = 2
IDLE_OUT_OF_MEMORY = 4
FORWARDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass
class Attempt:
    """One try. `found` and `left`: the newest checkpoint at its start and end (0: none).

    `seconds` is how long it took, once it has ended.
    """

    invocation: str
    job: str
    host: str
    started: str
    memory_mb: int | None
    found: int
    left: int = 0
    end: str | None = None
    seconds: float = 0.0

    @property
    def advanced(self) -> bool:
        """Whether it left a later checkpoint than it had found."""
        return self.left > self.found

    @property
    def began(self) -> float:
        """When it started, in seconds since the epoch."""
        return calendar.timegm(time.strptime(self.started, TIME_FORMAT))


def newest_checkpoint(folder: Path) -> int:
    """A number that grows with a stage's newest whole checkpoint: its step, or the file's time."""
    whole = (folder / CHECKPOINTS).glob(f"checkpoint-*/{WRITTEN_LAST}")
    steps = [int(path.parent.name.split("-")[1]) for path in whole]
    with contextlib.suppress(OSError):  # none, or just being replaced
        steps.append((folder / CHECKPOINTS / STATE).stat().st_mtime_ns)
    return max(steps, default=0)


def read_attempts(folder: Path) -> list[Attempt]:
    """All attempts since the stage was last finished; one that vanished counts as killed."""
    try:
        rows = read_json(folder / CHECKPOINTS / RECORD)["attempts"]
    except RllrError:  # none; the stage removes it when it is finished
        return []
    attempts = [Attempt(**row) for row in rows]
    if attempts and attempts[-1].end is None:
        attempts[-1].end, attempts[-1].left = KILLED, newest_checkpoint(folder)
        touched = (folder / CHECKPOINTS / RECORD).stat().st_mtime
        attempts[-1].seconds = max(0.0, touched - attempts[-1].began)
    return attempts


def write_attempts(folder: Path, attempts: list[Attempt]) -> None:
    """Replace the record."""
    rows = [asdict(attempt) for attempt in attempts]
    write_json(folder / CHECKPOINTS / RECORD, {"attempts": rows})


def time_spent(folder: Path) -> dict[str, Any]:
    """What a stage's manifest says of its attempts, called in the last one: their number, and the
    wall time of all of them (s), start-up included; nothing where no attempts are recorded.
    """
    attempts = read_attempts(folder)
    if not attempts:
        return {}
    seconds = sum(attempt.seconds for attempt in attempts[:-1]) + time.time() - attempts[-1].began
    return {"attempts": len(attempts), "total_seconds": round(seconds, 2)}


def too_little_memory(folder: Path) -> int:
    """The most memory, in MB, that the stage has run out of; 0 if it never has."""
    ends = [a.memory_mb or 0 for a in read_attempts(folder) if a.end == OUT_OF_MEMORY]
    return max(ends, default=0)


def hopeless(folder: Path, invocation: str) -> str | None:
    """Why not to try again in this start of the workflow, or None.

    A mistake that the user has to mend is final. Otherwise a stage gives up when attempts end one
    after the other without a new checkpoint.
    """
    attempts = [a for a in read_attempts(folder) if a.invocation == invocation]
    if not attempts:
        return None
    last = attempts[-1]
    if str(last.end).startswith(MISTAKE):
        return str(last.end)
    idle = _idle_ends(attempts)
    allowed = IDLE_OUT_OF_MEMORY if last.end == OUT_OF_MEMORY else IDLE_ATTEMPTS
    if len(idle) < allowed:
        return None
    return f"{len(idle)} attempts without a new checkpoint; they ended by: {', '.join(idle)}"


def _idle_ends(attempts: list[Attempt]) -> list[str]:
    """How the last attempts ended that left no new checkpoint, the newest last."""
    ends: list[str] = []
    for attempt in reversed(attempts):
        if attempt.advanced:
            break
        ends.insert(0, str(attempt.end))
    return ends


# --- running -------------------------------------------------------------------------------------


def supervise(folder: Path, stage: Callable[[], int], settings: Any) -> int:
    """Run `stage` in a child process as the only writer of `folder`; returns its exit status.

    Waits for another job that holds the folder; when that job finished the stage meanwhile, with
    these `settings`, there is nothing left to do. A stage that is supervised already just runs.
    """
    if END_FILE in os.environ:
        return stage()
    heartbeat = folder / CHECKPOINTS / HEARTBEAT
    asked = time.time()
    with alone(folder, heartbeat) as waited:
        if waited and _finished_since(folder, asked, settings):
            print(f"{folder}: finished by the job that was running", flush=True)
            status = 0
        else:
            status = _attempt(folder, stage, heartbeat)
        if not status:
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
            with contextlib.suppress(OSError):  # a folder made for the attempts alone
                os.removedirs(folder)
        return status


def _finished_since(folder: Path, asked: float, settings: Any) -> bool:
    manifest = folder / MANIFEST
    if not manifest.exists() or manifest.stat().st_mtime < asked:
        return False
    return digest(read_json(manifest)["settings"]) == digest(settings)


def _attempt(folder: Path, stage: Callable[[], int], heartbeat: Path) -> int:
    """One attempt and its record; returns the exit status."""
    attempts = _begin(folder)
    attempt = attempts[-1]
    status = _run_child(folder, stage, attempt, heartbeat)
    if status:
        attempt.left = newest_checkpoint(folder)
        attempt.seconds = time.time() - attempt.began
        write_attempts(folder, attempts)
        _announce(folder, attempt)
    return status


def say_end(cause: str) -> None:
    """Leave word of how this attempt ends; called in the attempt, which may be killed before."""
    path = os.environ.get(END_FILE)
    if path:
        with contextlib.suppress(OSError):
            write_text(Path(path), cause)


def _begin(folder: Path) -> list[Attempt]:
    """Record a new attempt and say which one it is."""
    attempts = read_attempts(folder)
    memory = os.environ.get(MEMORY_MB)
    attempt = Attempt(
        invocation=os.environ.get(INVOCATION, ""),
        job=job_name(),
        host=socket.gethostname(),
        started=time.strftime(TIME_FORMAT, time.gmtime()),
        memory_mb=int(memory) if memory else None,
        found=newest_checkpoint(folder),
    )
    attempts.append(attempt)
    write_attempts(folder, attempts)
    carry_over(folder / CHECKPOINTS / LOG)
    if len(attempts) > 1:
        before = f"the last one ended by: {attempts[-2].end}"
        print(f"attempt {len(attempts)} ({attempt.job}, {attempt.host}); {before}", flush=True)
    return attempts


def _run_child(folder: Path, stage: Callable[[], int], attempt: Attempt, heartbeat: Path) -> int:
    """Fork, run the stage in the child and wait; sets the attempt's `end` unless all went well."""
    end = folder / CHECKPOINTS / END
    end.unlink(missing_ok=True)
    kills = oom_kills()
    parent = os.getpid()
    # None may come between the fork and the handlers.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, *FORWARDED})
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.environ[END_FILE] = str(end.resolve())
        end_with_parent()
        if os.getppid() != parent:  # it was killed just before
            os._exit(1)
        os._exit(_status_of(stage))
    with _forwarding(child):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        code = os.waitstatus_to_exitcode(_wait(child, heartbeat))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if code:
        attempt.end = _cause(end, code, attempt.memory_mb, oom_kills() > kills)
    return code if code >= 0 else 128 - code


def _status_of(stage: Callable[[], int]) -> int:
    """The stage's exit status; nothing may leave the child but by its end."""
    try:
        return stage()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1


def _wait(child: int, heartbeat: Path) -> int:
    """Wait for the child, touching the heartbeat meanwhile; returns its wait status.

    The record is touched too: of an attempt that vanishes, its time says how long it took.
    """
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        beat(heartbeat)
        beat(heartbeat.parent / RECORD)
        signal.sigtimedwait({signal.SIGCHLD}, BEAT_SECONDS)


def _cause(end: Path, code: int, memory_mb: int | None, oom_kill: bool) -> str:
    """How the attempt ended: what it said itself, else what its exit status tells."""
    if end.exists():
        return end.read_text(encoding="utf-8")
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL) or oom_kill:
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        if oom_kill or (memory_mb and peak_mb > 0.9 * memory_mb):
            return OUT_OF_MEMORY
    return f"{KILLED} ({signal.Signals(-code).name})" if code < 0 else f"exit status {code}"


def _announce(folder: Path, attempt: Attempt) -> None:
    """Say what comes next; a mistake was said already, and is the user's turn."""
    if str(attempt.end).startswith(MISTAKE):
        return
    reason = hopeless(folder, attempt.invocation)
    outlook = f"not tried again: {reason}" if reason else "it can go on from its last checkpoint"
    print(f"{folder}: this attempt ended by: {attempt.end}; {outlook}", flush=True)


def oom_kills() -> int:
    """Processes that the kernel has killed in this job's memory group, as far as it tells."""
    for line in _lines(Path("/proc/self/cgroup")):
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = "/sys/fs/cgroup/memory" if controllers else "/sys/fs/cgroup"
        name = "memory.oom_control" if controllers else "memory.events"
        for entry in _lines(Path(f"{root}{group}") / name):
            if entry.startswith("oom_kill "):
                return int(entry.split()[1])
    return 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent is killed; it would go on writing."""
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL("libc.so.6").prctl(DIE_WITH_PARENT, signal.SIGKILL)


@contextmanager
def _forwarding(child: int) -> Iterator[None]:
    """Hand requests to stop on to the child; a launcher of several processes knows SIGTERM only."""

    def forward(number: int, _: Any) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
