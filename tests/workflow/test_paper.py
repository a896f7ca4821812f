"""The paper's grid plans without a hub and without torch, and stops where it would fetch."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rllr.config.load import CONFIG_DIR, load_file, read_yaml
from rllr.plan_jobs import counts
from tests.workflow.conftest import Workspace

HEAVY = ("torch", "transformers", "trl", "peft", "accelerate", "tokenizers")
PLANNED = {
    "all": 1,
    "fetch_model": 5,
    "data": 8,
    "rationales": 8,
    "label_pairs": 8,
    "baseline": 8,
    # Both kinds of SFT, both reward models, three policies; every method is predicted and scored.
    "sft": 10,
    "sample": 5,
    "judge": 5,
    "reward_model": 10,
    "policy": 15,
    "predict": 25,
    "score": 25,
    "predict_untrained": 5,
    "score_untrained": 5,
    "judge_test": 5,
    "tables": 1,
    "figures": 1,
    "report": 1,
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The paper's configuration on a machine whose Python has no library of models."""
    for name in HEAVY:
        (tmp_path / f"without/{name}").mkdir(parents=True)
        message = f'raise ImportError("{name} is not installed")\n'
        (tmp_path / f"without/{name}/__init__.py").write_text(message)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))
    # A closed port: what asks the hub finds none.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("HF_HUB_OFFLINE", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # As a task whose commit nobody has looked up yet.
    task = read_yaml(CONFIG_DIR / "tasks/appreviews.yaml")
    task["hub"]["revision"] = None
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/appreviews.yaml").write_text(yaml.safe_dump(task))
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"extends": "paper", "run": "paper"}))
    return Workspace(tmp_path, config)


def test_the_whole_grid_is_planned(workspace: Workspace) -> None:
    assert workspace.planned() == PLANNED
    assert counts(load_file(workspace.config)) | {"all": 1} == PLANNED


def test_models_of_both_kinds_get_the_rule_of_their_kind(workspace: Workspace) -> None:
    pretrain = {"documents": 400, "epochs": 1, "batch_size": 8, "learning_rate": 2e-3}
    changes = {"models": ["llama2-7b", "llama2-tiny"], "training": {"pretrain": pretrain}}
    changes["stages"] = {"rllr_mixed": {"tau": 1.0}}
    changes["judge"] = {"test_prompts": 0}
    raw = yaml.safe_load(workspace.config.read_text())
    workspace.config.write_text(yaml.safe_dump({**raw, **changes}))
    planned = workspace.planned()
    assert (planned["fetch_model"], planned["base_model"]) == (1, 1)
    assert "judge_test" not in planned


@pytest.mark.parametrize(
    "target, log, wanted",
    [
        (
            "results/models/llama2-7b@unpinned/manifest.json",
            "fetch_model/llama2-7b@unpinned.log",
            [
                "meta-llama/Llama-2-7b-chat-hf is not pinned",
                "python -m rllr pin",
                "allow_unpinned: true",
            ],
        ),
        (
            "results/paper/data/appreviews/manifest.json",
            "data/appreviews.log",
            ["sealuzh/app_reviews is not pinned", "python -m rllr pin", "allow_unpinned: true"],
        ),
        (
            "results/paper/data/mnli/manifest.json",
            "data/mnli.log",
            ["nyu-mll/glue: no connection to http://127.0.0.1:9", "access to the network"],
        ),
    ],
)
def test_it_stops_at_fetch_with_one_message_and_nothing_half_written(
    workspace: Workspace, target: str, log: str, wanted: list[str]
) -> None:
    done = workspace.snakemake(target, check=False)
    message = workspace.path("logs", log).read_text()
    assert done.returncode == 1
    assert message.startswith("error: ") and message.count("\n") == 1
    assert all(words in message for words in wanted)
    # The run shows it, without a look into the log.
    assert message in done.stdout + done.stderr and "exit status 2" in done.stdout + done.stderr
    left = [path for path in workspace.folder.joinpath("results").rglob("*") if path.is_file()]
    assert {path.relative_to(workspace.path()).parts[0] for path in left} == {"config", "logs"}


def test_the_whole_run_stops_there_too(workspace: Workspace) -> None:
    done = workspace.snakemake(check=False)
    assert done.returncode == 1
    # Whichever job fails first ends the run.
    said = ("is not pinned", "no connection to")
    assert any(words in done.stdout + done.stderr for words in said)
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(workspace.folder.rglob("manifest.json"))
