"""Real Snakemake runs of a cut grid, in a folder of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

# Two models of two tasks with all methods, as small as the stages allow: what is tested is the
# workflow, not what the models learn.
CUT = {
    "extends": "tiny",
    "run": "cut",
    "models": ["llama2-tiny", "bloom-tiny"],
    "tasks": ["mr", "mnli"],
    "trackers": [],
    "data": {"sizes": {"sft": 128, "rm": 40, "rl": 40, "validation": 24, "test": 24}},
    "pairs": {"prompts": 24, "heldout_prompts": 12},
    "training": {
        "pretrain": {"documents": 400, "epochs": 1, "batch_size": 8},
        "sft": {"epochs": 4, "batch_size": 8},
        "reward": {"epochs": 1, "batch_size": 8},
        "ppo": {"steps": 3, "batch_size": 8, "evaluation_prompts": 16},
    },
}


@dataclass(frozen=True)
class Workspace:
    """A working directory with a configuration file, and Snakemake to run in it."""

    folder: Path
    config: Path
    flags: tuple[str, ...] = ("--cores", "2")
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake with this configuration; output and errors are one stream of text."""
        command = [
            *(sys.executable, "-m", "snakemake", *self.flags, "--configfile", str(self.config)),
            *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(self.folder)),
            *("--workflow-profile", str(ROOT / "profiles/default")),
        ]
        return subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**os.environ, **self.environment},
        )

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end; `stdout` holds all that it said."""
        process = self.start(*arguments)
        text, _ = process.communicate()
        if check and process.returncode:
            raise AssertionError(text[-12000:])
        return subprocess.CompletedProcess(process.args, process.returncode, text, "")

    def planned(self, *targets: str) -> dict[str, int]:
        """Rules that a run of `targets` would execute, with their number of jobs."""
        text = self.snakemake("--dry-run", *targets).stdout
        rows = re.findall(r"^(\w+) +(\d+)$", text.partition("Job stats:")[2], re.MULTILINE)
        found = {name: int(count) for name, count in rows}
        found.pop("total", None)
        return found

    def path(self, *parts: str) -> Path:
        """A path inside the run's results."""
        return self.folder.joinpath("results", self.run, *parts)

    @property
    def run(self) -> str:
        """The run's name."""
        return str(yaml.safe_load(self.config.read_text())["run"])

    def metrics(self) -> dict[str, bytes]:
        """Every metrics.json and predictions.jsonl, by path below the cells."""
        cells = self.path("cells")
        names = ("metrics.json", "predictions.jsonl")
        files = [path for name in names for path in cells.rglob(name)]
        return {str(path.relative_to(cells)): path.read_bytes() for path in files}


def write_workspace(folder: Path, changes: dict[str, object]) -> Workspace:
    """A workspace whose configuration is the cut grid with `changes` on top."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({**CUT, **changes}))
    return Workspace(folder, config)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The cut grid, run once from nothing to report."""
    workspace = write_workspace(tmp_path_factory.mktemp("cut"), {})
    workspace.snakemake()
    return workspace


def read(path: Path) -> dict[str, object]:
    """A JSON file as a dictionary."""
    return dict(json.loads(path.read_text()))
