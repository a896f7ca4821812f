from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from data_project import make, project_for, single, write
from tiny_project import TASKS, TinyRun, files_of, local_rows, write_local

from rllr import stages
from rllr.config.load import CONFIG_DIR
from rllr.config.schema import SPLITS
from rllr.data import overlap
from rllr.data.assemble import TEMPORARY
from rllr.data.examples import read_examples, text_key
from rllr.data.source import PARTS
from rllr.errors import RllrError
from rllr.files import read_json, read_jsonl, sha256
from rllr.layout import MANIFEST

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CONFIG_DIR.parent)}


def start_data_stage(run: TinyRun) -> subprocess.Popen[bytes]:
    """The data stage of task mr in a process of its own, that has begun to read."""
    run.config.write_text(yaml.safe_dump(run.raw))
    command = [sys.executable, "-m", "rllr", "data", "--config", str(run.config), "--task", "mr"]
    process = subprocess.Popen(command, env=ENVIRONMENT)
    begun, deadline = run.layout.data("mr") / TEMPORARY / "train", time.monotonic() + 30
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    return process


@pytest.mark.parametrize("task", TASKS)
def test_the_splits_have_their_sizes_and_share_no_text(prepared: TinyRun, task: str) -> None:
    project, folder = prepared.project, prepared.layout.data(task)
    schema = project.tasks[task]
    splits = {name: read_examples(folder / f"{name}.jsonl", schema) for name in SPLITS}
    assert {name: len(rows) for name, rows in splits.items()} == (
        project.config.data.sizes.model_dump()
    )
    rows = [row for group in splits.values() for row in group]
    assert len({text_key(schema, row) for row in rows}) == len({r["id"] for r in rows}) == len(rows)


def test_the_manifest_counts_and_hashes_what_was_written(prepared: TinyRun) -> None:
    for task in TASKS:
        folder = prepared.layout.data(task)
        noted = read_json(folder / MANIFEST)
        for name in SPLITS:
            assert noted["sha256"][name] == sha256(folder / f"{name}.jsonl")
            assert sum(noted["labels"][name].values()) == noted["examples"][name]


def test_the_same_seed_writes_the_same_bytes_another_other_ones(
    prepared: TinyRun, run: TinyRun
) -> None:
    stages.data(run.project, "mr")
    other = run.but(run="other", data={"seed": 1})
    stages.data(other.project, "mr")
    for name in SPLITS:
        path = prepared.layout.data("mr") / f"{name}.jsonl"
        assert sha256(path) == sha256(run.layout.data("mr") / f"{name}.jsonl")
        assert sha256(path) != sha256(other.layout.data("mr") / f"{name}.jsonl")


def test_generated_data_needs_every_size(run: TinyRun) -> None:
    lacking = run.but(data={"sizes": {"rl": None}})
    with pytest.raises(RllrError, match=r"data\.sizes: generated data needs a size for rl"):
        stages.data(lacking.project, "mr")
    assert not (run.layout.data("mr") / MANIFEST).exists()


def test_local_data_goes_through_the_same_stages(run: TinyRun, tmp_path: Path) -> None:
    splits = {name: local_rows(name, 12) for name in ("train", "validation", "test")}
    splits["train"].append({**splits["test"][0], "id": "copy"})
    folder = write_local(tmp_path / "mine", "mr", splits)
    data = {"source": "local", "path": str(folder), "overlap": "drop"}
    local = run.but(data=data, tasks=["mr"])
    stages.data(local.project, "mr")
    stages.rationales(local.project, "mr")
    stages.label_pairs(local.project, "mr")
    noted = read_json(local.layout.data("mr") / MANIFEST)
    assert noted["overlaps"]["within"]["train in test"] == 1
    assert set(noted["inputs"]) == {str(folder / f"mr/{name}.jsonl") for name in splits}
    assert read_json(local.layout.rationales("mr") / MANIFEST)["teacher"]["backend"] == "lexical"
    assert (local.layout.label_pairs("mr") / "train.jsonl").stat().st_size


def test_a_killed_stage_leaves_nothing_in_the_way(run: TinyRun, tmp_path: Path) -> None:
    splits = {name: local_rows(name, 20_000 if name == "train" else 9) for name in PARTS}
    folder = write_local(tmp_path / "mine", "mr", splits)
    local = run.but(data={"source": "local", "path": str(folder)}, tasks=["mr"])
    to = local.layout.data("mr")
    process = start_data_stage(local)
    process.kill()
    process.wait()
    assert (to / TEMPORARY / "train").exists() and not list(to.glob("*.json*"))
    stages.data(local.project, "mr")
    assert {path.name for path in to.iterdir()} == {MANIFEST, *(f"{s}.jsonl" for s in SPLITS)}
    assert sum(read_json(to / MANIFEST)["examples"].values()) == 20_018


def test_a_second_process_waits_for_the_first(run: TinyRun, tmp_path: Path) -> None:
    splits = {name: local_rows(name, 20_000 if name == "train" else 9) for name in PARTS}
    folder = write_local(tmp_path / "mine", "mr", splits)
    local = run.but(data={"source": "local", "path": str(folder)}, tasks=["mr"])
    to = local.layout.data("mr")
    process = start_data_stage(local)
    stages.data(local.project, "mr")
    assert process.wait() == 0
    assert {path.name for path in to.iterdir()} == {MANIFEST, *(f"{s}.jsonl" for s in SPLITS)}
    noted = read_json(to / MANIFEST)
    for name, count in noted["examples"].items():
        path = to / f"{name}.jsonl"
        assert len(read_jsonl(path)) == count and sha256(path) == noted["sha256"][name]
    assert sum(noted["examples"].values()) == 20_018


def test_rows_that_vanish_before_they_are_copied_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PARTS:
        write(tmp_path / f"data/mr/{name}.jsonl", single(name, 9))
    check = overlap.check_ids

    def tamper(parts: dict[str, Any]) -> None:
        check(parts)
        os.truncate(parts["train"].index.stored, 100)

    monkeypatch.setattr(overlap, "check_ids", tamper)
    with pytest.raises(RllrError, match=r"parts/train: changed while its rows were copied"):
        make(project_for(tmp_path / "data"), "mr", tmp_path / "to")
    assert not (tmp_path / "to" / "sft.jsonl").exists()


def test_bad_local_data_leaves_nothing_behind(run: TinyRun, tmp_path: Path) -> None:
    splits = {name: local_rows(name, 12) for name in ("train", "validation", "test")}
    splits["test"][1]["label"] = "superb"
    folder = write_local(tmp_path / "mine", "mr", splits)
    local = run.but(data={"source": "local", "path": str(folder)}, tasks=["mr"])
    with pytest.raises(RllrError, match=r"test\.jsonl:2"):
        stages.data(local.project, "mr")
    assert not files_of(local.layout.run)
