"""Every method there is through the workflow; those that can, in two processes too."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from rllr.config.load import CONFIG_DIR, read_yaml
from rllr.files import write_text
from tests.workflow.conftest import CUT, write_workspace

METHODS = ["sft_label", "sft", "rlhf", "rllr", "rllr_mixed", "rlvr", "rllr_rloo", "rllr_grpo"]
GROUP = {"batch_size": 8, "generations": 4, "steps": 2, "evaluation_prompts": 16}


@pytest.mark.slow
@pytest.mark.parametrize("gpus, methods", [(1, METHODS), (2, METHODS[:-2])])
def test_methods_of_every_algorithm_reach_the_tables(
    tmp_path: Path, gpus: int, methods: list[str]
) -> None:
    training = {**CUT["training"], "rloo": GROUP, "grpo": GROUP}  # type: ignore[dict-item]
    changes = {
        **{"extends": "all-methods", "models": ["mistral-tiny"], "methods": methods},
        **{"training": training, "trackers": ["tensorboard"]},
    }
    workspace = write_workspace(tmp_path, changes)
    model = {**read_yaml(CONFIG_DIR / "models/mistral-tiny.yaml"), "gpus": gpus}
    write_text(tmp_path / "models/mistral-tiny.yaml", yaml.safe_dump(model, allow_unicode=True))
    workspace.snakemake()
    with workspace.path("tables", "main.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["model"] == "mistral-tiny"]
    for method in methods:
        points = [float(row["points"]) for row in rows if row["method"] == method]
        assert points and all(-100 <= value <= 100 for value in points)
    trained = workspace.path("trained", "mistral-tiny")
    for method in methods[2:]:
        folder = next((trained / method).glob("*/seed0"))
        assert (folder / "adapter_model.safetensors").exists()
        assert list((folder / "tensorboard").iterdir())
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["processes"] == gpus
    log = next(trained.glob("rlvr/*/seed0/log.jsonl")).read_text().splitlines()
    assert len(log) == 3 and {"reward/label_correct", "kl", "parsed"} <= set(json.loads(log[0]))
    assert workspace.planned() == {}
