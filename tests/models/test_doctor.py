"""The doctor: one line a finding, the exit status, and that it says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hub_server import REPO, Hub, serve

from rllr.cli import main
from rllr.config.load import CONFIG_DIR, load_file
from rllr.disk import models_need, results_need
from rllr.layout import MANIFEST, Layout

ROOT = CONFIG_DIR.parent
FILES = {"config.json": b"{}"}
CARD = "NVIDIA H200, 580.95.05, 143771 MiB"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    yield from serve(dict(FILES), monkeypatch)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH: nothing is installed but what a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("RLLR_SITE", str(tmp_path / "site.yaml"))
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({"image": str(tmp_path / "image.sif")}))
    return folder


def usage(free: int) -> SimpleNamespace:
    return SimpleNamespace(total=free, used=0, free=free)


def install(folder: Path, name: str, *lines: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    path.chmod(0o755)


def config(folder: Path, **changes: object) -> Path:
    """A run of one gated model from the hub on generated data, results in the test's folder."""
    text = (CONFIG_DIR / "models/llama2-7b.yaml").read_text()
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models/mine.yaml").write_text(text.replace("meta-llama/Llama-2-7b-chat-hf", REPO))
    places = {"results_dir": str(folder / "results"), "models_dir": str(folder / "results/models")}
    raw = {"extends": "tiny", "models": ["mine"], "run": "mine", "allow_unpinned": True, **places}
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**raw, "stages": {"rllr_mixed": {"tau": 1.0}}, **changes}))
    return path


def findings(
    path: Path, capsys: pytest.CaptureFixture[str], wanted_status: int
) -> dict[str, tuple[str, str]]:
    """State and text by what was examined."""
    status = main(["doctor", "--config", str(path)])
    lines = capsys.readouterr().out.splitlines()
    assert status == wanted_status, lines
    rows = [(line[:8].strip(), *line[9:].split(": ", 1)) for line in lines]
    return {what: (state, text) for state, what, text in rows}


def test_a_machine_that_has_everything(
    hub: Hub,
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.gated, hub.granted = True, {"hf_granted"}
    monkeypatch.setenv("HF_TOKEN", "hf_granted")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**15))
    install(programs, "apptainer", "apptainer version 1.4")
    install(programs, "sbatch")
    install(programs, "sinfo", "gpu*|1-00:00:00|64000|16|gpu:2")
    install(programs, "nvidia-smi", CARD)
    (tmp_path / "image.sif").touch()
    (tmp_path / "image.sif.sha256").touch()
    found = findings(config(tmp_path), capsys, 0)
    states = {what: state for what, (state, _) in found.items()}
    assert states.pop("pins") == "warning"  # as allowed
    assert set(states.values()) == {"ok"}, found
    assert found["hub, mine"][1] == f"{REPO} can be fetched"
    assert found["gpu"][1] == "NVIDIA H200, 143771 MiB, driver 580.95.05"
    assert found["slurm"][1] == "partitions gpu"
    assert "hf_granted" not in str(found)


def test_a_machine_that_has_nothing(
    hub: Hub,
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.gated = True
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**9))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path = config(
        tmp_path,
        allow_unpinned=False,
        data={"source": "local", "path": "/nowhere"},
        teacher={"backend": "openai", "model": "some-model", "max_new_tokens": 24},
        judge={"backend": "local", "model": "/nowhere/model"},
    )
    found = findings(path, capsys, 1)
    wanted = {
        "pins": ("missing", "no commit for mine; `python -m rllr pin"),
        "token": ("missing", "mine is gated: set HF_TOKEN"),
        "hub, mine": ("missing", f"{REPO}: the hub wants a token"),
        "data, mr": ("missing", "data.path: no folder /nowhere/mr; local data lies in"),
        "teacher": ("missing", "https://api.openai.com/v1 wants a key; set OPENAI_API_KEY"),
        "judge": ("missing", "judge.model: /nowhere/model holds no model"),
        "apptainer": ("warning", "not here"),
        "slurm": ("warning", "not here"),
        "gpu": ("missing", "nvidia-smi sees none here, and models of this run say device: cuda"),
        "disk of models_dir and results_dir": ("missing", "about "),
    }
    for what, (state, text) in wanted.items():
        assert found[what][0] == state and found[what][1].startswith(text), (what, found[what])


def test_a_cluster_without_the_image_and_with_an_old_driver(
    hub: Hub, programs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(programs, "apptainer", "apptainer version 1.4")
    install(programs, "sbatch")
    install(programs, "sinfo", "gpu*|1-00:00:00|64000|16|gpu:2")
    install(programs, "nvidia-smi", CARD.replace("580", "535"))
    site = {
        "image": str(tmp_path / "image.sif"),
        "hf_cache": "/nowhere",
        "partitions": {"cpu": "x"},
    }
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(site))
    found = findings(config(tmp_path), capsys, 1)
    assert found["image"][0] == "missing" and "make container" in found["image"][1]
    assert found["folders"] == (
        "missing",
        "hf_cache: no folder /nowhere; create it, or name another",
    )
    assert found["slurm"] == ("missing", "partitions.cpu: no partition 'x'; there are gpu")
    assert found["gpu"][0] == "warning" and "needs 580 or later" in found["gpu"][1]


def test_a_model_that_is_there_needs_neither_hub_nor_token(
    hub: Hub,
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**15))
    path = config(tmp_path)
    folder = Layout(load_file(path)).base("mine")
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")
    install(programs, "nvidia-smi", CARD)
    found = findings(path, capsys, 0)
    assert found["hub"] == ("ok", "nothing is left to fetch") and not hub.tokens
    assert found["token"][1].startswith("none, and none is needed")


def test_an_unreachable_hub_is_said_once(
    hub: Hub,
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    path = config(tmp_path, models=["mine", "mistral-7b"])
    found = findings(path, capsys, 1)
    assert found["hub"][1].startswith(f"{REPO}: no connection to http://127.0.0.1:9")
    assert not [what for what in found if what.startswith("hub, ")]


def test_it_runs_without_libraries_of_models_and_prints_no_token(hub: Hub, tmp_path: Path) -> None:
    for name in ("torch", "transformers"):
        (tmp_path / f"without/{name}").mkdir(parents=True)
        (tmp_path / f"without/{name}/__init__.py").write_text("raise SystemExit('imported')\n")
    variables = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path / 'without'}{os.pathsep}{ROOT}",
        "HF_TOKEN": "hf_secret",
    }
    command = [sys.executable, "-m", "rllr", "doctor", "--config", str(config(tmp_path))]
    done = subprocess.run(
        command, capture_output=True, text=True, env=variables, check=False, timeout=30
    )
    assert "imported" not in done.stderr and done.returncode in (0, 1), done.stderr
    assert "does not know the token in HF_TOKEN" in done.stdout
    assert "hf_secret" not in done.stdout + done.stderr


def test_disk_follows_from_sizes(tmp_path: Path) -> None:
    project = load_file(config(tmp_path))
    assert models_need(project, ["mine"]) == round(6.74e9 * 4)
    twice = load_file(config(tmp_path, seeds=[0, 1]))
    assert results_need(twice) == 2 * results_need(project)
    assert results_need(project) > 6.74e9 * 16  # tuning: full
