"""Every method there is through the workflow, PPO in two processes among them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.workflow.conftest import CUT, write_workspace

METHODS = ["sft_label", "sft", "rlhf", "rllr", "rllr_mixed", "rlvr", "rllr_rloo", "rllr_grpo"]
GROUP = {"batch_size": 8, "generations": 4, "steps": 2, "evaluation_prompts": 16}


@pytest.mark.slow
def test_methods_of_every_algorithm_reach_the_tables(tmp_path: Path) -> None:
    ppo = {**CUT["training"]["ppo"], "processes": 2}  # type: ignore[index]
    training = {**CUT["training"], "ppo": ppo, "rloo": GROUP, "grpo": GROUP}  # type: ignore[dict-item]
    changes = {
        **{"extends": "all-methods", "models": ["mistral-tiny"], "methods": METHODS},
        **{"training": training, "trackers": ["tensorboard"]},
    }
    workspace = write_workspace(tmp_path, changes)
    workspace.snakemake()
    with workspace.path("tables", "main.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["model"] == "mistral-tiny"]
    for method in METHODS:
        points = [float(row["points"]) for row in rows if row["method"] == method]
        assert points and all(-100 <= value <= 100 for value in points)
    trained = workspace.path("trained", "mistral-tiny")
    for method in METHODS[2:]:
        folder = next((trained / method).glob("*/seed0"))
        assert (folder / "adapter_model.safetensors").exists()
        assert list((folder / "tensorboard").iterdir())
        summary = json.loads((folder / "summary.json").read_text())
        assert summary.get("processes", 1) == (2 if summary["algorithm"] == "ppo" else 1)
    log = next(trained.glob("rlvr/*/seed0/log.jsonl")).read_text().splitlines()
    assert len(log) == 3 and {"reward/label_correct", "kl", "parsed"} <= set(json.loads(log[0]))
    assert workspace.planned() == {}
