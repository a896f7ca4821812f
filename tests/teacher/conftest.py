from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chat_server import MakeProject

from rllr.config.load import Project, load
from rllr.teacher.ask import openai

# A teacher's answers must fit what models may generate; the tiny ones have less of it.
ROOM = {"max_new_tokens": 200}


@pytest.fixture(autouse=True)
def quick_and_keyless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between retries are short; the machine's own key and proxies are never used."""
    monkeypatch.setattr(openai, "FIRST_WAIT", 0.002)
    for name in ("OPENAI_API_KEY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def asking(tmp_path: Path) -> MakeProject:
    """Makes a project whose teacher (or judge) is the endpoint that is named."""

    def make(endpoint: str, who: str = "teacher", **settings: Any) -> Project:
        asked = {"backend": "openai", "model": "m", "endpoint": endpoint, **settings}
        raw = {"extends": "tiny", "answers_dir": str(tmp_path / "answers"), "generation": ROOM}
        return load({**raw, who: asked})

    return make
