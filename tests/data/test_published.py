"""Published data sets, from a hub on loopback: what is fetched, read, shared and refused."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from data_project import make
from hub_server import COMMIT, NEWER, REPO, Hub, serve

from rllr import stages
from rllr.cli import main
from rllr.config.load import CONFIG_DIR, Project, load_file
from rllr.errors import RllrError
from rllr.files import read_json
from rllr.layout import Layout

SIZES = {"sft": 20, "rm": 20, "rl": 10, "validation": 10, "test": 30}
TASKS = ("mr", "mrpc")


def table(**columns: list[Any]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def reviews(prefix: str, count: int, **changes: list[Any]) -> bytes:
    texts = [f"{prefix} film {n}" for n in range(count)]
    return table(**{"sentence": texts, "label": [n % 2 for n in range(count)], **changes})


def sentences(prefix: str, count: int) -> bytes:
    one, two = ([f"{prefix} {name} {n}" for n in range(count)] for name in ("one", "two"))
    return table(s1=one, s2=two, label=[n % 2 for n in range(count)], idx=list(range(count)))


def published() -> dict[str, bytes]:
    """A repository of two tasks, with a script and what else such a repository holds."""
    return {
        "glue.py": b"raise SystemExit('a script was loaded')",
        "README.md": b"# Lab",
        "mr/train-00000-of-00002.parquet": reviews("a", 40),
        "mr/train-00001-of-00002.parquet": reviews("b", 40),
        "mr/validation-00000-of-00001.parquet": reviews("v", 30),
        "mr/test-00000-of-00001.parquet": reviews("t", 9, label=[-1] * 9),
        "mrpc/train-00000-of-00001.parquet": sentences("a", 60),
        "mrpc/validation-00000-of-00001.parquet": sentences("v", 30),
        "mr/deeper/train-00000-of-00001.parquet": reviews("d", 5),
    }


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    yield from serve(published(), monkeypatch, kind="dataset")


HUB = {
    "mr": {
        "files": {"train": "mr/train-*.parquet", "test": "mr/validation-*.parquet"},
        "columns": {"text": "sentence"},
        "labels": {0: "negative", 1: "positive"},
    },
    "mrpc": {
        "files": {"train": "mrpc/train-*.parquet", "test": "mrpc/validation-*.parquet"},
        "columns": {"text_a": "s1", "text_b": "s2"},
        "labels": {0: "not_equivalent", 1: "equivalent"},
    },
}


def write_config(folder: Path, **changes: Any) -> Path:
    """A run of two tasks of the hub's repository; `changes` are those of mr's section `hub`."""
    for task in TASKS:
        raw = yaml.safe_load((CONFIG_DIR / f"tasks/{task}.yaml").read_text())
        section = {"repo": REPO, "revision": COMMIT, **HUB[task]}
        raw |= {"hub": section | (changes if task == "mr" else {}), "related": []}
        (folder / "tasks").mkdir(parents=True, exist_ok=True)
        (folder / f"tasks/{task}.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    places = {"results_dir": str(folder / "results"), "models_dir": str(folder / "results/models")}
    raw = {"extends": "tiny", "tasks": list(TASKS), "data": {"source": "hub", "sizes": SIZES}}
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**raw, **places}))
    return path


def project_for(folder: Path, **changes: Any) -> Project:
    return load_file(write_config(folder, **changes))


def files_there(project: Project) -> set[str]:
    folder = Layout(project).dataset(REPO, COMMIT)
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if path.suffix not in (".json", ".heartbeat")} - {
        ".heartbeat"
    }


# --- what is fetched and read --------------------------------------------------------------------


def test_a_task_s_own_parquet_files_are_fetched_and_read(hub: Hub, tmp_path: Path) -> None:
    project = project_for(tmp_path)
    made, facts = make(project, "mr", tmp_path / "to")
    assert {name: len(rows) for name, rows in made.items()} == SIZES
    texts = {row["text"] for name in ("sft", "rm", "rl", "validation") for row in made[name]}
    assert {text.split()[0] for text in texts} == {"a", "b"}
    assert {row["label"] for row in made["test"]} == {"negative", "positive"}
    assert files_there(project) == {name for name in hub.files if name in facts["source"]["files"]}
    assert files_there(project) == {
        *(f"mr/train-0000{n}-of-00002.parquet" for n in range(2)),
        "mr/validation-00000-of-00001.parquet",
    }
    assert (facts["source"]["repo"], facts["source"]["commit"]) == (REPO, COMMIT)
    assert "glue.py" not in hub.sent and "README.md" not in hub.sent


def test_what_is_there_needs_no_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_for(tmp_path)
    first = make(project, "mr", tmp_path / "first")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert make(project, "mr", tmp_path / "second") == first
    with pytest.raises(RllrError, match="lab/model: no connection to http"):
        make(project, "mrpc", tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_a_damaged_file_alone_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    project = project_for(tmp_path)
    first = make(project, "mr", tmp_path / "first")
    sent, name = dict(hub.sent), "mr/train-00001-of-00002.parquet"
    path = Layout(project).dataset(REPO, COMMIT) / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert make(project, "mr", tmp_path / "second") == first
    assert {n: size - sent[n] for n, size in hub.sent.items() if size != sent[n]} == {
        name: len(hub.files[name])
    }


def test_half_a_file_is_gone_on_with(hub: Hub, tmp_path: Path) -> None:
    name = "mr/train-00001-of-00002.parquet"
    hub.cuts[name] = [500] + [0] * 9
    project = project_for(tmp_path)
    with pytest.raises(RllrError, match="it goes on from where it was"):
        make(project, "mr", tmp_path / "to")
    hub.cuts.clear()
    hub.sent.clear()
    other = make(project, "mrpc", tmp_path / "other")  # leaves what is half there alone
    make(project, "mr", tmp_path / "to")
    assert other and 0 < hub.sent[name] <= len(hub.files[name])
    assert not list(Layout(project).dataset(REPO, COMMIT).glob(".partial/*"))


def test_two_processes_of_one_repository_share_a_folder(hub: Hub, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    variables = {**os.environ, "PYTHONPATH": str(CONFIG_DIR.parent), "HF_ENDPOINT": hub.address}
    command = [sys.executable, "-m", "rllr", "data", "--config", str(config), "--task"]
    started = [subprocess.Popen([*command, task], env=variables) for task in TASKS]
    assert [process.wait(60) for process in started] == [0, 0]
    project = load_file(config)
    for task in TASKS:
        manifest = read_json(Layout(project).data(task) / "manifest.json")
        assert manifest["source"]["commit"] == COMMIT and manifest["examples"] == SIZES
    # Nothing was read twice.
    assert dict(hub.sent) == {name: len(hub.files[name]) for name in files_there(project)}


def test_a_pattern_may_name_scripts_and_none_is_taken(hub: Hub, tmp_path: Path) -> None:
    hub.files["glue.parquet/../../../../elsewhere.parquet"] = b"x"
    project = project_for(tmp_path, files={"train": "*", "test": "mr/*"})
    with pytest.raises(RllrError, match=r"no Parquet file '\*'; there are: .*mr/test-0"):
        make(project, "mr", tmp_path / "to")
    assert not hub.sent


def test_published_rows_without_a_text_are_passed_over_and_counted(
    hub: Hub, tmp_path: Path
) -> None:
    texts = ["good film", "  ", None, "dull film"]
    hub.files["mr/train-00001-of-00002.parquet"] = table(sentence=texts, label=[1, 0, 1, 0])
    made, facts = make(project_for(tmp_path), "mr", tmp_path / "to")
    assert facts["blank_rows"] == {"train": 2, "test": 0} and facts["rows_read"]["train"] == 44
    assert all(row["text"].strip() for rows in made.values() for row in rows)


# --- pins ----------------------------------------------------------------------------------------


def test_unpinned_data_need_leave(hub: Hub, tmp_path: Path) -> None:
    project = project_for(tmp_path, revision=None)
    with pytest.raises(RllrError) as caught:
        stages.data(project, "mr")
    for words in (f"{REPO} is not pinned", "the task's file, below `hub`", "python -m rllr pin"):
        assert words in str(caught.value)
    assert not hub.tokens and not Layout(project).run.exists()
    raw = yaml.safe_load((tmp_path / "run.yaml").read_text())
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({**raw, "allow_unpinned": True}))
    _, facts = make(load_file(tmp_path / "run.yaml"), "mr", tmp_path / "to")
    assert (facts["source"]["commit"], facts["source"]["pinned"]) == (NEWER, False)


def test_pinning_writes_the_commit_into_each_task_s_file(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, revision=None)
    assert main(["pin", "--config", str(config)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"mr: pinned to {NEWER}, was not pinned ({tmp_path}/tasks/mr.yaml)",
        f"mrpc: pinned to {NEWER}, was {COMMIT} ({tmp_path}/tasks/mrpc.yaml)",
    ]
    found = load_file(config).tasks
    assert {found[task].hub.revision for task in TASKS} == {NEWER}  # type: ignore[union-attr]
    assert len(hub.tokens) == 1  # one question for both


# --- refusals ------------------------------------------------------------------------------------


def gate(hub: Hub) -> None:
    hub.gated = True


def remove_commit(hub: Hub) -> None:
    hub.commits.clear()


def rename_column(hub: Hub) -> None:
    hub.files["mr/train-00001-of-00002.parquet"] = table(text=["a"], label=[1])


@pytest.mark.parametrize(
    "spoil, changes, wanted",
    [
        (gate, {}, f"{REPO} is gated: accept its licence at http"),
        (remove_commit, {}, f"there is no commit {COMMIT} (any more); look at http"),
        (None, {"repo": "lab/gone"}, "or there is no such data set; accept the licence at"),
        (rename_column, {}, "train-00001-of-00002.parquet: no column 'sentence'; there are 'text'"),
        (
            None,
            {"files": {"train": "mr/train-*.parquet", "test": "mr/test-*.parquet"}},
            "test-00000-of-00001.parquet, row 1: label -1: the labels of this part are hidden",
        ),
        (
            None,
            {"files": {"train": "mr/learn-*.parquet"}},
            f"{REPO} at {COMMIT[:12]} holds no Parquet file 'mr/learn-*.parquet'; there are: mr/",
        ),
        (None, {"files": {"test": "mr/test-*.parquet"}}, "tasks/mr: hub.files.train is missing"),
        (None, {"labels": {0: "negative"}}, "row 2: label 1 is none of '0'; `labels` maps"),
    ],
)
def test_each_refusal_is_one_message(
    hub: Hub,
    tmp_path: Path,
    spoil: Callable[[Hub], None] | None,
    changes: dict[str, Any],
    wanted: str,
) -> None:
    if spoil:
        spoil(hub)
    project = project_for(tmp_path, **changes)
    with pytest.raises(RllrError) as caught:
        make(project, "mr", tmp_path / "to")
    assert wanted in str(caught.value) and "\n" not in str(caught.value)
    assert not any((tmp_path / "to").glob("*.jsonl"))


# --- before a run --------------------------------------------------------------------------------


def test_the_doctor_asks_for_each_data_set_once(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # of the rest of the machine nothing is asked
    config = write_config(tmp_path)
    main(["doctor", "--config", str(config)])
    said = capsys.readouterr().out
    assert f"ok       hub, mr, mrpc: {REPO} can be fetched" in said
    assert "ok       data: source hub: mr, mrpc" in said
    gate(hub)
    main(["doctor", "--config", str(write_config(tmp_path, revision=None))])
    said = capsys.readouterr().out
    assert "missing  pins: no commit for mr; " in said
    assert "missing  hub, mrpc: lab/model: the hub wants a token, or there is no such" in said
    for task in TASKS:  # once they are there, nothing is asked
        hub.gated = False
        make(load_file(write_config(tmp_path)), task, tmp_path / task)
    hub.close()
    main(["doctor", "--config", str(config)])
    assert "ok       hub: nothing is left to fetch" in capsys.readouterr().out


def test_data_of_the_hub_are_part_of_the_stage_s_manifest(hub: Hub, tmp_path: Path) -> None:
    project = project_for(tmp_path)
    stages.data(project, "mr")
    noted = read_json(Layout(project).data("mr") / "manifest.json")
    assert json.dumps(noted["settings"]).count(COMMIT) == 1
    assert set(noted["source"]["parts"]) == {"train", "test"}
    assert all(set(file) == {"size", "sha256"} for file in noted["source"]["files"].values())
