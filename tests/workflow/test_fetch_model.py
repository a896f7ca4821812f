"""A model of a hub on loopback, through the workflow's own rule: fetched, converted, usable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from rllr.config.load import CONFIG_DIR, load_file, read_yaml
from rllr.config.schema import TokenizerConfig
from rllr.files import read_json
from rllr.layout import Layout
from rllr.models.load import load_policy
from rllr.models.prompts import PromptBuilder
from rllr.models.spm_train import train_sentencepiece
from tests.hub_server import COMMIT, REPO, Hub, serve
from tests.models.published_models import write_chatglm, write_large_chatglm
from tests.workflow.conftest import Workspace, write_workspace

TOKENS = TokenizerConfig(algorithm="byte_fallback_bpe", vocab_size=330)
TEXTS = ["a film that is good and a film that is bad", "which of the two is it, and why?"] * 20


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A repository with a tiny ChatGLM3 as published, code beside it."""
    folder = write_large_chatglm(tmp_path / "published", 400)
    train_sentencepiece(TOKENS, TEXTS, folder / "tokenizer.model", "chatglm")
    (folder / "modeling_chatglm.py").write_text("raise SystemExit('remote code ran')\n")
    yield from serve({path.name: path.read_bytes() for path in folder.iterdir()}, monkeypatch)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A run with one model of the user's own on that hub."""
    model = read_yaml(CONFIG_DIR / "models/chatglm3-6b.yaml")
    model["source"] |= {"repo": REPO, "revision": COMMIT}
    folder = tmp_path / "run"
    (folder / "models").mkdir(parents=True)
    (folder / "models/mine.yaml").write_text(yaml.safe_dump(model))
    changes: dict[str, object] = {"models": ["mine"], "stages": {"rllr_mixed": {"tau": 1.0}}}
    return write_workspace(folder, changes)


def test_a_published_model_is_fetched_and_converted(hub: Hub, workspace: Workspace) -> None:
    project = load_file(workspace.config)
    target = Layout(project).base("mine") / "manifest.json"
    assert target.parent.name == f"mine@{COMMIT[:12]}"
    workspace.snakemake(str(target))
    base = workspace.folder / target.parent
    manifest = read_json(workspace.folder / target)
    assert manifest["fetched"] == {"repo": REPO, "commit": COMMIT, "pinned": True}
    assert manifest["converted"]["max_abs_difference"] < 1e-5
    names = {path.name for path in base.rglob("*") if path.is_file()}
    assert not [name for name in names if name.endswith((".py", ".bin", ".model"))]
    builder = PromptBuilder(project.models["mine"], base, 100)
    assert builder.eos == 2 and builder.before[0] == builder.encoder.control("[gMASK]")
    logits = load_policy(base, precision="fp32")(torch.tensor([builder.before])).logits
    assert logits.shape[1:] == (len(builder.before), 400) and torch.isfinite(logits).all()
    assert not workspace.planned(str(target))


def test_a_tokenizer_of_another_model_is_refused(hub: Hub, workspace: Workspace) -> None:
    small = workspace.folder / "small"
    write_chatglm(small)
    hub.files |= {path.name: path.read_bytes() for path in small.iterdir()}
    done = workspace.snakemake("results/models/mine@0123456789ab/manifest.json", check=False)
    assert done.returncode == 1 and "tokens, the model 60; they do not belong" in done.stdout


def test_a_hub_that_says_no_is_one_message(hub: Hub, workspace: Workspace) -> None:
    hub.gated = True
    done = workspace.snakemake("results/models/mine@0123456789ab/manifest.json", check=False)
    assert done.returncode == 1 and "error: lab/model is gated: accept its licence" in done.stdout
    assert not list((workspace.folder / "results/models").rglob("*.safetensors"))
