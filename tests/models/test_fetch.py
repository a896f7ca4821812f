"""Fetching, from a hub on loopback and from a folder: what is taken, resumed, verified, refused."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hub_server import COMMIT, NEWER, PIECE, REPO, Hub, serve

from rllr.config.schema import HubSource
from rllr.errors import RllrError
from rllr.models.fetch import PARTIAL, fetch

ROOT = Path(__file__).resolve().parents[2]
INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
MEBI = 1 << 20


def published() -> dict[str, bytes]:
    """A repository with what real ones hold: two kinds of weights, code, other frameworks'."""
    index = {"weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}
    return {
        "config.json": b'{"model_type": "llama"}',
        "generation_config.json": b"{}",
        "tokenizer.model": b"pieces" * 40,
        "tokenizer_config.json": b'{"add_bos_token": true}',
        INDEX: json.dumps(index).encode(),
        SHARDS[0]: os.urandom(300_000),
        SHARDS[1]: os.urandom(200_000),
        "pytorch_model.bin": os.urandom(900),
        "modeling_lab.py": b"import os",
        "README.md": b"# Lab",
        "tf_model.h5": b"other",
        "original/consolidated.safetensors": b"other",
    }


TAKEN = {"config.json", "generation_config.json", "tokenizer.model", "tokenizer_config.json", INDEX}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    yield from serve(published(), monkeypatch)


def source(revision: str | None = COMMIT, *, gated: bool = False, repo: str = REPO) -> HubSource:
    return HubSource(kind="hub", repo=repo, revision=revision, gated=gated)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def quiet(_: str) -> None:
    pass


def refusal(to: Path, *wanted: str, **changes: object) -> str:
    """The one message with which fetching ends; nothing but whole files is left."""
    with pytest.raises(RllrError) as caught:
        fetch(source(**changes), to, say=quiet)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message and not [words for words in wanted if words not in message], message
    return message


# --- what is taken -------------------------------------------------------------------------------


def test_what_is_needed_is_fetched_verified_and_recorded(hub: Hub, tmp_path: Path) -> None:
    lines: list[str] = []
    facts = fetch(source(), tmp_path / "to", say=lines.append)
    assert names(tmp_path / "to") == {*TAKEN, *SHARDS}
    for name in (*TAKEN, *SHARDS):
        content = (tmp_path / "to" / name).read_bytes()
        assert content == hub.files[name]
        assert facts["files"][name]["sha256"] == hashlib.sha256(content).hexdigest()
    assert facts["fetched"] == {"repo": REPO, "commit": COMMIT, "pinned": True}
    assert facts["bytes"] == sum(len(hub.files[name]) for name in facts["files"])
    assert lines[-1] == f"fetch {REPO} at {COMMIT[:12]}: 7 files of 0.5 MB are there and verified"
    assert len(lines) <= 2 + 20 and not any("\r" in line for line in lines)


def test_a_name_that_leads_elsewhere_is_not_taken(hub: Hub, tmp_path: Path) -> None:
    hub.files["model-1/../../../elsewhere.safetensors"] = b"x"
    fetch(source(), tmp_path / "a/b", say=quiet)
    assert names(tmp_path / "a/b") == {*TAKEN, *SHARDS} and names(tmp_path) == {"a"}


def test_pickles_are_taken_where_there_is_nothing_else(hub: Hub, tmp_path: Path) -> None:
    for name in (*SHARDS, INDEX):
        del hub.files[name]
    fetch(source(), tmp_path, say=quiet)
    assert "pytorch_model.bin" in names(tmp_path)


def test_a_second_call_reads_nothing_again_and_mends_what_is_damaged(
    hub: Hub, tmp_path: Path
) -> None:
    fetch(source(), tmp_path, say=quiet)
    sent = dict(hub.sent)
    fetch(source(), tmp_path, say=quiet)
    assert dict(hub.sent) == sent
    (tmp_path / SHARDS[1]).write_bytes(b"x" * 200_000)
    (tmp_path / "pytorch_model.bin").write_bytes(b"of another commit")
    lines: list[str] = []
    fetch(source(), tmp_path, say=lines.append)
    assert (tmp_path / SHARDS[1]).read_bytes() == hub.files[SHARDS[1]]
    assert hub.sent[SHARDS[0]] == sent[SHARDS[0]] and "damaged (sha256" in lines[0]
    assert "pytorch_model.bin" not in names(tmp_path)


def test_a_folder_is_fetched_by_the_same_rules(hub: Hub, tmp_path: Path) -> None:
    for name, content in hub.files.items():
        (tmp_path / "from" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "from" / name).write_bytes(content)
    facts = fetch(tmp_path / "from", tmp_path / "to", say=quiet)
    assert names(tmp_path / "to") == {*TAKEN, *SHARDS}
    assert facts["fetched"] == {"folder": str(tmp_path / "from")}
    assert facts["files"] == fetch(source(), tmp_path / "hub", say=quiet)["files"]
    (tmp_path / "from" / SHARDS[1]).unlink()
    with pytest.raises(RllrError, match=rf"{INDEX} names {SHARDS[1]}, which is not there"):
        fetch(tmp_path / "from", tmp_path / "other", say=quiet)
    with pytest.raises(RllrError, match="nowhere: no such folder"):
        fetch(tmp_path / "nowhere", tmp_path / "other", say=quiet)


def test_the_tokenizer_that_a_layout_needs_is_missed_before_anything_is_read(
    hub: Hub, tmp_path: Path
) -> None:
    with pytest.raises(RllrError, match=r"holds no tokenizer.json, which its `source.layout` nee"):
        fetch(source(), tmp_path, tokenizer="tokenizer.json", say=quiet)
    assert not hub.sent


@pytest.mark.parametrize(
    "without, wanted",
    [("config.json", "no config.json"), ("tokenizer.model", "no tokenizer.json or tokenizer.mode")],
)
def test_what_is_no_model_is_refused(hub: Hub, tmp_path: Path, without: str, wanted: str) -> None:
    del hub.files[without]
    refusal(tmp_path, wanted, "Name another repository")
    assert not hub.sent


# --- pins ----------------------------------------------------------------------------------------


def test_an_unpinned_source_needs_leave_and_its_commit_is_recorded(
    hub: Hub, tmp_path: Path
) -> None:
    refusal(tmp_path, "is not pinned", "python -m rllr pin", "allow_unpinned", revision=None)
    assert not hub.tokens  # nothing was asked
    facts = fetch(source(None), tmp_path, allow_unpinned=True, say=quiet)
    assert facts["fetched"] == {"repo": REPO, "commit": NEWER, "pinned": False}


# --- access --------------------------------------------------------------------------------------


def test_a_gated_model_with_a_granted_token(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated, hub.granted = True, {"hf_granted"}
    monkeypatch.setenv("HF_TOKEN", "hf_granted")
    lines: list[str] = []
    facts = fetch(source(gated=True), tmp_path, say=lines.append)
    assert "hf_granted" not in json.dumps(facts) + "".join(lines)
    # The storage is another origin and must not see the token.
    at_storage = {token for path, token in hub.tokens if path.startswith("/storage/")}
    assert at_storage == {None}


@pytest.mark.parametrize("token", ["hf_secret\nhf_secret", "hf_secret hf", "hf_secret\u00e9"])
def test_what_cannot_be_a_token_is_not_quoted(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    message = refusal(tmp_path / "to", "the token in HF_TOKEN is malformed", "pasted twice")
    assert "hf_secret" not in message and not hub.sent


@pytest.mark.parametrize(
    "token, known, wanted",
    [
        (None, False, (f"{REPO} is gated", "accept its licence", "set HF_TOKEN")),
        ("hf_secret", True, ("has no access", "wait until it is granted")),
        ("hf_secret", False, ("does not know the token in HF_TOKEN",)),
    ],
)
def test_a_gated_model_without_access(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    known: bool,
    wanted: tuple[str, ...],
) -> None:
    hub.gated, hub.known = True, {"hf_secret"} if known else set()
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    message = refusal(tmp_path / "to", *wanted)
    assert "hf_secret" not in message
    assert not hub.sent


# --- what is gone, or never there ----------------------------------------------------------------


def gone_file(hub: Hub) -> None:
    hub.gone.add("tokenizer.model")


def gone_commit(hub: Hub) -> None:
    hub.commits.clear()


def gone_repository(hub: Hub) -> None:
    hub.status = 404


def busy(hub: Hub) -> None:
    hub.status = 503


@pytest.mark.parametrize(
    "spoil, wanted",
    [
        (gone_file, "a file of commit 0123456789abcdef0123456789abcdef01234567 is gone"),
        (gone_commit, "there is no commit 0123456789abcdef0123456789abcdef01234567 (any more)"),
        (gone_repository, "no such model"),
        (busy, "status 503; run it again later"),
    ],
)
def test_what_the_hub_does_not_have(
    hub: Hub, tmp_path: Path, spoil: Callable[[Hub], None], wanted: str
) -> None:
    spoil(hub)
    refusal(tmp_path, REPO, wanted)


def test_an_unknown_repository_looks_like_a_private_one(hub: Hub, tmp_path: Path) -> None:
    refusal(tmp_path, "or there is no such model", "HF_TOKEN", repo="lab/typo")


def test_offline(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refusal(tmp_path, "HF_HUB_OFFLINE", "is set; unset it")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refusal(tmp_path, "no connection to http://127.0.0.1:9", "https_proxy")


# --- broken off, damaged, full -------------------------------------------------------------------


def test_a_broken_connection_is_taken_up_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    # The library hands bytes over in pieces of 10 MiB; what is of less when it breaks is lost.
    hub.files[SHARDS[0]] = os.urandom(25 * MEBI)
    hub.cuts[SHARDS[0]] = [12 * MEBI, 11 * MEBI]
    fetch(source(), tmp_path, say=quiet)
    assert (tmp_path / SHARDS[0]).read_bytes() == hub.files[SHARDS[0]]
    assert hub.sent[SHARDS[0]] == (12 + 11 + 5) * MEBI  # 10 and 10 of which were kept


def test_half_a_download_is_one_message_and_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.files[SHARDS[0]] = os.urandom(12 * MEBI)
    hub.cuts[SHARDS[0]] = [11 * MEBI] + [0] * 6
    refusal(tmp_path, REPO, "no connection", "it goes on from where it was")
    assert SHARDS[0] not in names(tmp_path)
    hub.sent.clear()
    fetch(source(), tmp_path, say=quiet)
    assert hub.sent[SHARDS[0]] == 2 * MEBI
    assert names(tmp_path) == {*TAKEN, *SHARDS}


def test_a_server_that_dies_midway(hub: Hub, tmp_path: Path) -> None:
    hub.cuts[SHARDS[0]] = [100_000] + [0] * 9

    def say(line: str) -> None:
        hub.server.server_close()  # listens no more

    with pytest.raises(RllrError, match="no connection to"):
        fetch(source(), tmp_path, say=say)
    assert SHARDS[0] not in names(tmp_path)


def test_a_killed_fetch_goes_on_and_reads_nothing_twice(hub: Hub, tmp_path: Path) -> None:
    hub.files[SHARDS[0]] = os.urandom(24 * MEBI)
    hub.stall[SHARDS[0]] = 22 * MEBI
    script = (
        "import sys; from pathlib import Path\n"
        "from rllr.config.schema import HubSource; from rllr.models.fetch import fetch\n"
        f"s = HubSource(kind='hub', repo={REPO!r}, revision={COMMIT!r})\n"
        "fetch(s, Path(sys.argv[1])); assert 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    partial = (
        tmp_path / PARTIAL / f"{SHARDS[0]}.{hashlib.sha256(hub.files[SHARDS[0]]).hexdigest()[:16]}"
    )
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not (partial.exists() and partial.stat().st_size == 20 * MEBI):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    hub.stalled.set()
    assert SHARDS[0] not in names(tmp_path)
    before = dict(hub.sent)
    hub.stall.clear()
    hub.sent.clear()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The answer to the killed one, which stood still, may have sent a last piece into the void.
    assert 4 * MEBI <= hub.sent[SHARDS[0]] <= 4 * MEBI + PIECE
    assert not set(hub.sent) & {name for name in before if name != SHARDS[0]}
    assert (
        "25.2 MB to fetch (files: 1), 21.0 MB of them there already" in done.stdout
        and "\r" not in done.stdout
    )
    assert (tmp_path / SHARDS[0]).read_bytes() == hub.files[SHARDS[0]]
    assert names(tmp_path) == {*TAKEN, *SHARDS}


def test_a_server_that_cannot_go_on_in_the_middle(hub: Hub, tmp_path: Path) -> None:
    hub.files[SHARDS[0]] = os.urandom(12 * MEBI)
    hub.cuts[SHARDS[0]] = [11 * MEBI]
    hub.ranges = False
    fetch(source(), tmp_path, say=quiet)
    assert (tmp_path / SHARDS[0]).read_bytes() == hub.files[SHARDS[0]]


@pytest.mark.parametrize(
    "name, kind", [(SHARDS[0], "sha256"), ("tokenizer_config.json", "git blob")]
)
def test_a_file_that_is_not_what_was_published(
    hub: Hub, tmp_path: Path, name: str, kind: str
) -> None:
    hub.changed.add(name)
    refusal(tmp_path, f"{name} is not what was published ({kind}", "is deleted", "proxy")
    assert name not in names(tmp_path) and not list((tmp_path / PARTIAL).glob(f"{name}*"))
    hub.changed.clear()
    fetch(source(), tmp_path, say=quiet)
    assert (tmp_path / name).read_bytes() == hub.files[name]


def test_too_small_a_disk_is_seen_before_anything_is_read(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = sum(len(hub.files[name]) for name in (*TAKEN, *SHARDS))

    def free(count: int) -> None:
        usage = SimpleNamespace(total=0, used=0, free=count)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    # What is fetched, and the converted copy of it.
    free(2 * taken - 1)
    refusal(tmp_path, "MB are needed", "are free", "models_dir")
    assert not hub.sent
    free(2 * taken)
    fetch(source(), tmp_path, say=quiet)
    # Then nothing is left to fetch: only the copy.
    free(taken)
    fetch(source(), tmp_path, say=quiet)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(self: io.BufferedWriter, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("rllr.models.progress.Watched.write", full)
        refusal(tmp_path, "the disk (or your quota) is full", "it goes on from where it was")
    fetch(source(), tmp_path, say=quiet)
    assert names(tmp_path) == {*TAKEN, *SHARDS}


def test_a_hub_that_is_none(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "info", lambda commit: ["log in first"])
    refusal(tmp_path, "is not that of a hub", "HF_ENDPOINT")
