"""The teacher stage, killed again and again: nothing is lost, nothing is paid for twice.

RLLR_ASKED=10000 makes the slow test as long as that (make test-slow: 1000).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chat_server import ChatServer
from tiny_project import TinyRun

from rllr import stages
from rllr.config.load import CONFIG_DIR
from rllr.files import digest, read_json, write_json
from rllr.interruption import EXIT_STATUS
from rllr.layout import MANIFEST
from rllr.teacher.ask.store import Store

LONG = int(os.environ.get("RLLR_ASKED", "1000"))
SPLITS = ("sft", "rm", "validation")


def stage_of(run: TinyRun, server: ChatServer, count: int, answers: Path) -> TinyRun:
    """A run whose teacher is asked `count` times: once per sft row, twice per other one."""
    tenth = count // 10
    sizes = {"sft": count - 2 * (tenth + 4), "rm": tenth, "validation": 4}
    asked = {"backend": "openai", "model": "m", "endpoint": server.endpoint, "max_new_tokens": 24}
    return run.but(
        tasks=["mr"],
        data={"sizes": sizes},
        answers_dir=str(answers),
        teacher={**asked, "concurrency": 8},
    )


def start(run: TinyRun, path: Path) -> subprocess.Popen[bytes]:
    write_json(path, run.project.dump())
    command = [sys.executable, "-m", "rllr", "rationales", "--config", str(path), "--task", "mr"]
    environment = {**os.environ, "PYTHONPATH": str(CONFIG_DIR.parent)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def kill_at(process: subprocess.Popen[bytes], server: ChatServer, requests: int) -> None:
    """SIGKILL as soon as the server has had so many requests."""
    while len(server.log) < requests:
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_waits_for_what_is_under_way(
    run: TinyRun, tmp_path: Path, number: signal.Signals
) -> None:
    with ChatServer(delay=0.3) as server:
        asking = stage_of(run, server, 60, tmp_path / "answers")
        stages.data(asking.project, "mr")
        process = start(asking, tmp_path / "config.json")
        while len(server.log) < 12:
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait() == EXIT_STATUS
        assert 12 <= len(server.log) < 60
        store = Store(tmp_path / "answers")
        assert len(store.known(asked(server))) == len(server.log)


def asked(server: ChatServer, since: int = 0) -> list[str]:
    """Keys of the requests that the server has had."""
    return [digest([server.endpoint, body]) for body in server.log[since:]]


@pytest.mark.parametrize("count, kills", [(150, 2), pytest.param(LONG, 5, marks=pytest.mark.slow)])
def test_kills_lose_nothing_and_repeat_nothing(
    run: TinyRun, tmp_path: Path, count: int, kills: int
) -> None:
    with ChatServer() as server:
        disturbed = stage_of(run, server, count, tmp_path / "answers")
        stages.data(disturbed.project, "mr")
        found: list[tuple[int, set[str]]] = []
        for kill in range(kills):
            process = start(disturbed, tmp_path / "config.json")
            kill_at(process, server, count * (kill + 1) // (kills + 1))
            store = Store(tmp_path / "answers")
            kept = set(store.known(sorted(set(asked(server)))))
            store.close()
            # What was under way at each kill may be asked again, and nothing else.
            assert len(set(asked(server)) - kept) <= 8 * (kill + 1)
            found.append((len(server.log), kept))
        began, at = time.monotonic(), len(server.log)
        assert start(disturbed, tmp_path / "config.json").wait() == 0
        print(f"{(len(server.log) - at) / (time.monotonic() - began):.0f} requests/s")
        assert not any(kept & set(asked(server, since=since)) for since, kept in found)
        assert len(set(asked(server))) == count and len(server.log) <= count + 8 * kills
        folder = disturbed.layout.rationales("mr")
        written = [(folder / f"{split}.jsonl").read_bytes() for split in SPLITS]
        spent = read_json(folder / MANIFEST)["teacher"]["spent"]
        # A request that was paid for and killed before it was sent counts too.
        assert len(server.log) <= spent["requests"] <= len(server.log) + 8 * kills

        undisturbed = stage_of(run, server, count, tmp_path / "others")
        stages.rationales(undisturbed.project, "mr")
        assert written == [(folder / f"{split}.jsonl").read_bytes() for split in SPLITS]
