"""Attempts at a stage with real processes: what is recorded, what is tried again, who may write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from ast import literal_eval
from pathlib import Path
from typing import IO

import pytest

from rllr import attempts
from rllr.attempts import (
    Attempt,
    hopeless,
    read_attempts,
    time_spent,
    too_little_memory,
    write_attempts,
)

ROOT = Path(__file__).resolve().parents[1]
PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from rllr import heartbeat
from rllr.attempts import say_end, supervise
heartbeat.BEAT_SECONDS = 0.2
folder = Path(sys.argv[1])
checkpoints = folder / "checkpoints"
def checkpoint(step):
    (checkpoints / f"checkpoint-{step}").mkdir(parents=True)
    (checkpoints / f"checkpoint-{step}" / "trainer_state.json").touch()
"""


def start(
    folder: Path, stage: str, log: IO[str] | None = None, **environment: str
) -> subprocess.Popen[str]:
    """A process that supervises `stage`, the body of a function that returns an exit status."""
    body = "\n    ".join(stage.strip().splitlines())
    code = (
        f"{PRELUDE}\ndef stage():\n    {body}\nsys.exit(supervise(folder, stage, {{'rate': 1}}))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        env={**os.environ, attempts.INVOCATION: "run1", **environment},
        stdout=log or subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    text, _ = process.communicate(timeout=60)
    return process.returncode, text


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_stage_that_ends_well_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    assert finish(start(folder, "checkpoint(1)\nreturn 0")) == (0, "")
    assert not folder.exists()


def test_outputs_of_a_finished_stage_stay(tmp_path: Path) -> None:
    status, _ = finish(start(tmp_path, "(folder / 'weights').touch()\nreturn 0"))
    assert (status, os.listdir(tmp_path)) == (0, ["weights"])


def test_a_kill_is_recorded_and_checkpoints_stay(tmp_path: Path) -> None:
    status, text = finish(start(tmp_path, "checkpoint(1)\nos.kill(os.getpid(), signal.SIGKILL)"))
    assert status == 128 + signal.SIGKILL
    assert "ended by: killed (SIGKILL); it can go on" in text
    (attempt,) = read_attempts(tmp_path)
    assert (attempt.end, attempt.advanced) == ("killed (SIGKILL)", True)
    assert hopeless(tmp_path, "run1") is None


def test_a_log_that_was_deleted_between_attempts_begins_with_what_it_held(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for count, end in enumerate(("os.kill(os.getppid(), signal.SIGKILL)", "return 1", "return 0")):
        log.unlink(missing_ok=True)
        with log.open("a") as stream:
            process = start(tmp_path / "stage", f"print('try {count}', flush=True)\n{end}", stream)
            process.wait(60)
    said = [line for line in log.read_text().splitlines() if line.startswith("try")]
    assert said == ["try 0", "try 1", "try 2"] and not (tmp_path / "stage").exists()


def test_a_log_that_was_kept_is_not_repeated(tmp_path: Path) -> None:
    with (tmp_path / "log").open("a") as stream:
        for end in ("return 1", "return 0"):
            start(tmp_path / "stage", f"print('a try', flush=True)\n{end}", stream).wait(60)
    assert (tmp_path / "log").read_text().count("a try") == 2


def test_an_attempt_that_vanished_counts_as_killed(tmp_path: Path) -> None:
    process = start(tmp_path, "checkpoint(1)\ntime.sleep(60)")
    wait_for(tmp_path / "checkpoints" / "checkpoint-1")
    process.kill()
    process.wait()
    (attempt,) = read_attempts(tmp_path)
    assert (attempt.end, attempt.advanced) == ("killed", True)
    assert 0 <= attempt.seconds < time.time() - attempt.began + 1


def test_a_manifest_counts_the_time_of_killed_attempts(tmp_path: Path) -> None:
    assert time_spent(tmp_path) == {}
    finish(start(tmp_path, "time.sleep(1.2)\nreturn 1"))
    (first,) = read_attempts(tmp_path)
    assert 1.2 <= first.seconds < 30
    noted = "from rllr.attempts import time_spent\nprint('spent', time_spent(folder), flush=True)"
    _, text = finish(start(tmp_path, f"time.sleep(1.2)\n{noted}\nreturn 0"))
    spent = literal_eval(text.partition("spent ")[2].splitlines()[0])
    assert spent["attempts"] == 2 and 2.4 <= spent["total_seconds"] < 60


def test_two_ends_without_a_new_checkpoint_give_up(tmp_path: Path) -> None:
    crash = "os.kill(os.getpid(), signal.SIGKILL)"
    finish(start(tmp_path, crash))
    assert hopeless(tmp_path, "run1") is None
    _, text = finish(start(tmp_path, crash))
    reason = hopeless(tmp_path, "run1")
    assert reason and "2 attempts without a new checkpoint" in reason and reason in text
    # The user starts the workflow again: everything is tried anew.
    assert hopeless(tmp_path, "run2") is None


def test_progress_in_between_starts_the_count_anew(tmp_path: Path) -> None:
    def made(found: int, left: int) -> Attempt:
        return Attempt("run1", "job", "host", "now", None, found, left, "time limit")

    (tmp_path / "checkpoints").mkdir()
    write_attempts(tmp_path, [made(0, 0), made(0, 1), made(1, 2), made(2, 2)])
    assert hopeless(tmp_path, "run1") is None
    write_attempts(tmp_path, [made(0, 1), made(1, 1), made(1, 1)])
    assert "time limit, time limit" in str(hopeless(tmp_path, "run1"))


def test_half_a_checkpoint_is_no_progress(tmp_path: Path) -> None:
    half = """
(checkpoints / "checkpoint-1").mkdir(parents=True, exist_ok=True)
(checkpoints / "checkpoint-1" / str(time.time_ns())).touch()
return 1
"""
    finish(start(tmp_path, half))
    finish(start(tmp_path, half))
    assert "2 attempts without a new checkpoint" in str(hopeless(tmp_path, "run1"))


def test_a_mistake_is_final_at_once(tmp_path: Path) -> None:
    status, text = finish(start(tmp_path, "say_end('mistake: no such task')\nreturn 2"))
    assert (status, text) == (2, "")  # the stage has said it
    assert hopeless(tmp_path, "run1") == "mistake: no such task"


def test_want_of_memory_is_told_from_other_kills(tmp_path: Path) -> None:
    greedy = "block = b'x' * 400_000_000\nos.kill(os.getpid(), signal.SIGKILL)"
    finish(start(tmp_path, greedy, RLLR_MEMORY_MB="420"))
    finish(start(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)", RLLR_MEMORY_MB="420"))
    ends = [attempt.end for attempt in read_attempts(tmp_path)]
    assert ends == ["out of memory", "killed (SIGKILL)"]
    assert too_little_memory(tmp_path) == 420


def test_want_of_memory_is_tried_more_often_as_memory_grows(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    row = Attempt("run1", "job", "host", "now", 1000, 0, 0, "out of memory")
    write_attempts(tmp_path, [row] * 3)
    assert hopeless(tmp_path, "run1") is None
    write_attempts(tmp_path, [row] * 4)
    assert "out of memory" in str(hopeless(tmp_path, "run1"))


def test_requests_to_stop_reach_the_stage(tmp_path: Path) -> None:
    waiting = """
signal.signal(signal.SIGTERM, lambda *_: (say_end("signal SIGTERM"), os._exit(75)))
checkpoint(1)
time.sleep(60)
"""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        folder = tmp_path / number.name
        process = start(folder, waiting)
        wait_for(folder / "checkpoints" / "checkpoint-1")
        process.send_signal(number)
        assert finish(process)[0] == 75
        assert read_attempts(folder)[-1].end == "signal SIGTERM"


def test_the_stage_dies_with_its_supervisor(tmp_path: Path) -> None:
    process = start(tmp_path, "(folder / 'pid').write_text(str(os.getpid()))\ntime.sleep(60)")
    wait_for(tmp_path / "pid")
    time.sleep(0.1)
    pid = int((tmp_path / "pid").read_text())
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("rate", "taken"), [(1, True), (2, False)])
def test_a_second_job_waits_and_takes_what_the_first_has_finished(
    tmp_path: Path, rate: int, taken: bool
) -> None:
    """If it is what it would have made itself."""
    write = f"(folder / 'manifest.json').write_text('{{\"settings\": {{\"rate\": {rate}}}}}')"
    wait = "while not (folder / 'go').exists():\n    time.sleep(0.05)"
    first = start(tmp_path, f"(folder / 'begun').touch()\n{wait}\n{write}\nreturn 0")
    wait_for(tmp_path / "begun")
    second = start(tmp_path, "(folder / 'twice').touch()\nreturn 0")
    assert second.stdout and "another job is writing here" in second.stdout.readline()
    (tmp_path / "go").touch()
    assert finish(first)[0] == 0
    status, text = finish(second)
    assert status == 0
    assert ("finished by the job" in text) == taken
    assert (tmp_path / "twice").exists() != taken


def test_a_second_job_goes_on_when_the_first_has_failed(tmp_path: Path) -> None:
    first = start(tmp_path, "(folder / 'begun').touch()\ntime.sleep(1)\nreturn 1")
    wait_for(tmp_path / "begun")
    second = start(tmp_path, "(folder / 'twice').touch()\nreturn 0")
    assert finish(first)[0] == 1
    assert finish(second)[0] == 0
    assert (tmp_path / "twice").exists()


def test_without_locks_a_fresh_heartbeat_of_this_host_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rllr import heartbeat

    monkeypatch.setattr(heartbeat, "_locked", lambda stream: None)
    path = tmp_path / "heartbeat"
    path.write_text(f"SLURM job 7 on {os.uname().nodename}")
    assert heartbeat._take(path) is None
    os.utime(path, (0, 0))
    stream = heartbeat._take(path)
    assert stream is not None
    stream.close()


@pytest.mark.parametrize(
    ("owner", "age", "alive"),
    [
        ("SLURM job 7 on othernode", 0, True),
        ("SLURM job 7 on othernode", 600, False),
        ("SLURM job 8 on othernode", 0, False),  # this very job, started again elsewhere
        (f"SLURM job 7 on {os.uname().nodename}", 0, False),  # dead: its lock is free
    ],
)
def test_a_heartbeat_of_another_node_counts_while_it_is_fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str, age: float, alive: bool
) -> None:
    from rllr import heartbeat

    monkeypatch.setenv("SLURM_JOB_ID", "8")
    path = tmp_path / "heartbeat"
    path.write_text(owner)
    os.utime(path, (time.time() - age, time.time() - age))
    stream = heartbeat._take(path)
    assert (stream is None) == alive
    if stream:
        stream.close()
        assert path.read_text().startswith("SLURM job 8 on ")
