"""`rllr plan` counts the jobs that Snakemake lists."""

from __future__ import annotations

from pathlib import Path

from rllr.config.load import load_file
from rllr.plan_jobs import counts
from tests.workflow.conftest import write_workspace


def test_jobs_of_a_grid_with_every_complication(tmp_path: Path) -> None:
    """A model per task, two seeds, a trained method for context alone, tau from label pairs."""
    changes = {
        "scope": "per_task",
        "seeds": [0, 3],
        "methods": ["sft", "rllr_mixed", "rlvr"],
        "context_methods": ["zero_shot", "sft_label", "rlhf"],
        "train_tasks": ["mr", "mnli", "sst2"],
        "stages": {"rllr_mixed": {"tau": "auto"}},
    }
    workspace = write_workspace(tmp_path, changes)
    planned = workspace.planned()
    assert planned.pop("all") == 1
    assert counts(load_file(workspace.config)) == planned
