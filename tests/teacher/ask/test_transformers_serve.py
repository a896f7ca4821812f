"""A real server that others wrote, `transformers serve`, against the model in this process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tiny_project import TinyRun

from rllr.teacher.ask.asker import make_asker
from rllr.teacher.ask.request import Request

REASON = "transformers serve needs fastapi, uvicorn and openai (tests/requirements.lock)"
SECONDS = 120


@pytest.fixture
def model(based: TinyRun, tmp_path: Path) -> Path:
    """A copy: the server reads an @ in a path as a revision."""
    return shutil.copytree(based.layout.base("llama2-tiny"), tmp_path / "model")


@pytest.fixture
def endpoint(model: Path, tmp_path: Path) -> Iterator[str]:
    for name in ("fastapi", "uvicorn", "openai"):
        pytest.importorskip(name, reason=REASON)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = Path(sys.executable).parent / "transformers"
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (tmp_path / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [program, "serve", *options, str(model)],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server, tmp_path / "serve.log")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()
            server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        with suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.2)
    raise AssertionError(f"no answer within {SECONDS} s: {log.read_text()}")


@pytest.mark.slow
def test_a_served_model_answers_as_the_one_in_this_process(
    based: TinyRun, model: Path, endpoint: str, tmp_path: Path
) -> None:
    requests = [Request(f"Is film number {i} dull or bright?", 0) for i in range(50)]
    how = {"model": str(model), "temperature": 0.0, "max_new_tokens": 12}
    found = []
    for backend in ({"backend": "openai", "endpoint": endpoint}, {"backend": "local"}):
        changed = based.but(teacher=how | backend, answers_dir=str(tmp_path / "answers"))
        asker = make_asker(changed.project, "teacher")
        found.append(asker.answers(requests))
        assert asker.facts()["requests"] == 50 and asker.facts()["failed"] == 0
    served, local = found
    assert len({answer.text for answer in served}) > 1
    assert [answer.text.strip() for answer in served] == [answer.text for answer in local]
    assert [answer.prompt_tokens for answer in served] == [a.prompt_tokens for a in local]
    assert all(answer.reported for answer in served)
