"""A model, a task and a method of one's own, on one's own data: YAML and JSONL, no Python."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.conftest import CUT, ROOT, Workspace, read

WORDS = {"warm": ["sun", "fire", "oven"], "cold": ["snow", "ice", "frost"]}


def write_yaml(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value))


def write_rows(folder: Path) -> None:
    rng = random.Random(0)
    folder.mkdir(parents=True)
    for name, size in {"train": 300, "validation": 20, "test": 20}.items():
        with (folder / f"{name}.jsonl").open("w") as stream:
            for number in range(size):
                label = rng.choice(list(WORDS))
                noise = [f"w{rng.randrange(900)}" for _ in range(3)]
                text = " ".join([*noise, rng.choice(WORDS[label])])
                stream.write(
                    json.dumps({"id": f"{name}-{number}", "text": text, "label": label}) + "\n"
                )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Everything new lies beside the configuration file; the repository is not touched."""
    task = {
        "name": "Heat",
        "instruction": "Is it warm or cold?",
        "input": "Text: {text}",
        "labels": {"kind": "class", "values": ["warm", "cold"]},
        "metric": "accuracy",
    }
    write_yaml(tmp_path / "tasks/heat.yaml", task)
    model = yaml.safe_load((ROOT / "config/models/mistral-tiny.yaml").read_text())
    model["source"] |= {"intermediate_size": 192}
    write_yaml(tmp_path / "models/my-model.yaml", {**model, "name": "Mine"})
    method = {"name": "Both", "start": "sft", "algorithm": "ppo"}
    terms = [{"model": "rllr_rm", "weight": 0.5}, {"model": "rlhf_rm", "cap": 1.0}]
    write_yaml(tmp_path / "methods/both.yaml", {**method, "rewards": terms})
    write_rows(tmp_path / "data/heat")
    config = {
        **{key: CUT[key] for key in ("extends", "pairs")},
        # Enough for most sampled answers to be readable: the judge tells apart nothing else.
        "training": {**CUT["training"], "sft": {"epochs": 8, "batch_size": 8}},
        "run": "mine",
        "models": ["my-model"],
        "tasks": ["heat"],
        "methods": ["sft", "both"],
        "context_methods": [],
        "scope": "per_task",
        "data": {"source": "local", "path": str(tmp_path / "data")},
    }
    write_yaml(tmp_path / "config.yaml", config)
    return Workspace(tmp_path, tmp_path / "config.yaml")


def test_one_of_each_runs_through_to_a_table_cell(workspace: Workspace) -> None:
    workspace.snakemake("tables")
    cell = workspace.path("cells", "my-model", "heat", "both", "seed0")
    metrics = read(cell / "metrics.json")
    assert metrics["n"] == 20 and metrics["scope"] == "per_task"
    assert workspace.path("trained", "my-model", "both", "heat", "seed0", "manifest.json").exists()
    table = workspace.path("tables", "main.md").read_text()
    assert "Mine" in table and "Both" in table and "Heat" in table
    rationales = workspace.path("rationales", "heat", "sft.jsonl").read_text()
    assert '"' in json.loads(rationales.splitlines()[0])["rationale"]


BAD = {
    "an unknown key": ({"sedes": [1]}, "did you mean 'seeds'"),
    "a reward model that is not there": ({"reward_models": None}, "reward_models"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_configuration_is_one_message_and_leaves_nothing(
    workspace: Workspace, name: str
) -> None:
    changes, message = BAD[name]
    config = yaml.safe_load(workspace.config.read_text()) | changes
    workspace.config.write_text(yaml.safe_dump(config))
    done = workspace.snakemake("--dry-run", check=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert message in text
    assert "Traceback" not in text
    assert not (workspace.folder / "results").exists()


def test_a_missing_data_folder_is_named(workspace: Workspace) -> None:
    shutil.rmtree(workspace.folder / "data")
    done = workspace.snakemake("tables", check=False)
    log = workspace.path("logs", "data", "heat.log").read_text()
    assert done.returncode != 0
    assert "no folder" in log and "Traceback" not in log
    assert not workspace.path("data", "heat", "manifest.json").exists()
