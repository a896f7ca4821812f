"""Pinning: the one line that changes, what stays, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hub_server import COMMIT, NEWER, REPO, Hub, serve

from rllr.cli import main
from rllr.config.load import CONFIG_DIR, load_file
from rllr.errors import RllrError
from rllr.pin import pinned

PRESET = (CONFIG_DIR / "models/llama2-7b.yaml").read_text()
LINES = "  # Not pinned yet; a run that fetches needs the commit here.\n  revision: null\n"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    yield from serve({}, monkeypatch)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A run of two models, one from the hub of this test and one that is built."""
    text = PRESET.replace("meta-llama/Llama-2-7b-chat-hf", REPO)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/mine.yaml").write_text(text)
    path = tmp_path / "run.yaml"
    raw = {"extends": "tiny", "models": ["mine", "llama2-tiny"], "run": "mine"}
    path.write_text(yaml.safe_dump({**raw, "stages": {"rllr_mixed": {"tau": 1.0}}}))
    return path


def model_file(config: Path) -> Path:
    return config.parent / "models/mine.yaml"


def test_the_current_commit_is_written_and_nothing_else_changes(
    hub: Hub, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = model_file(config).read_text()
    assert main(["pin", "--config", str(config)]) == 0
    written = f'  revision: "{NEWER}"\n'
    assert LINES in before and model_file(config).read_text() == before.replace(LINES, written)
    found = load_file(config).models["mine"].source
    assert found.revision == NEWER  # type: ignore[union-attr]
    said = capsys.readouterr().out
    assert said.startswith(f"mine: pinned to {NEWER}, was not pinned (") and said.count("\n") == 1
    assert main(["pin", "--config", str(config)]) == 0
    assert f"{NEWER} is current already" in capsys.readouterr().out


def test_an_old_pin_is_replaced_with_its_comment_kept(
    hub: Hub, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model_file(config)
    text = path.read_text()
    path.write_text(text.replace(LINES, f"  # Ours.\n  revision: {COMMIT}  # tried\n"))
    assert main(["pin", "--config", str(config), "--model", "mine"]) == 0
    assert f'  # Ours.\n  revision: "{NEWER}"  # tried\n' in path.read_text()
    assert f"was {COMMIT}" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(
    hub: Hub, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = model_file(config).read_bytes()
    assert main(["pin", "--config", str(config), "--dry-run"]) == 0
    assert f"would be pinned to {NEWER}" in capsys.readouterr().out
    assert model_file(config).read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda text: yaml.safe_dump(yaml.safe_load(text), default_flow_style=True),
        lambda text: text.replace(LINES, LINES * 2),
        lambda text: text.replace(LINES, "") + "\nother:\n  revision: null\n",
    ],
)
def test_what_cannot_be_edited_is_refused_untouched(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(change(PRESET))
    with pytest.raises(RllrError, match=f'cannot be edited.*by hand: revision: "{NEWER}"'):
        pinned(path, NEWER)
    assert path.read_text() == change(PRESET)


@pytest.mark.parametrize(
    "words, wanted",
    [
        (["--model", "mien"], "--model: 'mien' is not part of this run; did you mean 'mine'?"),
        (["--model", "llama2-tiny"], None),
    ],
)
def test_models_that_are_named(
    hub: Hub,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    wanted: str | None,
) -> None:
    assert main(["pin", "--config", str(config), *words]) == (2 if wanted else 0)
    said = capsys.readouterr()
    assert wanted in said.err if wanted else "there is nothing to pin" in said.out
    assert not hub.tokens


def test_without_a_hub_every_file_stays(
    hub: Hub, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = model_file(config).read_bytes()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert main(["pin", "--config", str(config)]) == 2
    assert f"error: {REPO}: no connection to http://127.0.0.1:9" in capsys.readouterr().err
    assert model_file(config).read_bytes() == before


def test_a_file_that_cannot_be_written(
    hub: Hub, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("rllr.pin.write_text", refuse)
    assert main(["pin", "--config", str(config)]) == 2
    assert "cannot be written (Permission denied)" in capsys.readouterr().err
