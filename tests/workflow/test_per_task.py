"""Scope `per_task`: every cell trains on its own task, the context row on none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.conftest import write_workspace


@pytest.mark.slow
def test_every_cell_has_its_own_models(tmp_path: Path) -> None:
    changes = {"scope": "per_task", "models": ["llama2-tiny"], "methods": ["sft", "rllr"]}
    workspace = write_workspace(tmp_path, changes)
    workspace.snakemake()
    for task in ("mr", "mnli"):
        for stage in ("sft", "rllr_rm", "rllr"):
            folder = workspace.path("trained", "llama2-tiny", stage, task, "seed0")
            assert (folder / "manifest.json").exists()
        for method in ("sft", "rllr", "zero_shot"):
            assert workspace.path(
                "cells", "llama2-tiny", task, method, "seed0", "metrics.json"
            ).exists()
    assert not list(workspace.path("trained").glob("*/rlhf*"))
    assert workspace.planned() == {}
