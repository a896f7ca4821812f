"""The size comparison in small plans as two models of three tasks and three methods."""

from __future__ import annotations

from pathlib import Path

from rllr.config.load import load_file
from rllr.plan_jobs import counts
from tests.workflow.conftest import Workspace


def test_both_sizes_are_planned(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("extends: tiny-scale\n")
    planned = Workspace(tmp_path, config).planned()
    assert planned.pop("all") == 1 and planned["base_model"] == 2 and planned["policy"] == 4
    assert counts(load_file(config)) == planned
