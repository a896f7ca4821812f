"""`status` asked as a user asks it, on a scored tiny run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_project import TinyRun, make_run

from rllr import cli, stages
from rllr.files import write_text

Found = dict[tuple[str, str], dict[str, Any]]


class Asked:
    """Calls `status` on a run; keeps exit status and output."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: object) -> tuple[int, str, str]:
        code = cli.main(["status", *map(str, words)])
        out, err = self.capsys.readouterr()
        return code, out, err

    def json(self, run: TinyRun) -> tuple[int, Found]:
        """Everything by kind and name; cells are of kind `cell`."""
        # Whole or not at all: a job that has just begun may be reading it.
        write_text(run.config, yaml.safe_dump(run.raw))
        code, out, err = self("--config", run.config, "--json")
        assert not err
        record = json.loads(out)
        found = {(one["kind"], one["name"]): one for one in record["stages"]}
        names = ("model", "task", "method", "seed")
        return code, found | {
            ("cell", "/".join(str(one[name]) for name in names)): one for one in record["cells"]
        }


@pytest.fixture
def asked(capsys: pytest.CaptureFixture[str]) -> Asked:
    return Asked(capsys)


@pytest.fixture(scope="module")
def scored(tuned: TinyRun) -> TinyRun:
    """SFT alone, predicted and scored."""
    run = tuned.but(methods=["sft"], context_methods=[], reward_models={})
    stages.predict(run.job(), "sft")
    stages.score(run.job(), "sft")
    for task in run.project.tasks:
        stages.baseline(run.project, task)
    return run


@pytest.fixture
def spoilt(scored: TinyRun, tmp_path: Path) -> TinyRun:
    """A copy of it that a test may spoil."""
    return scored.copy(tmp_path / "copy")


@pytest.fixture
def empty(tmp_path: Path) -> TinyRun:
    """A run of which nothing is there but its configuration file."""
    return make_run(tmp_path / "project")
