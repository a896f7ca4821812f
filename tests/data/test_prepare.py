from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tiny_project import TASKS, TinyRun, files_of, local_rows, write_local

from rllr import stages
from rllr.config.load import CONFIG_DIR
from rllr.config.schema import SPLITS
from rllr.data.assemble import TEMPORARY
from rllr.data.examples import read_examples, text_key
from rllr.data.source import PARTS
from rllr.errors import RllrError
from rllr.files import read_json, sha256
from rllr.layout import MANIFEST

ROOT = CONFIG_DIR.parent


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
    local.config.write_text(yaml.safe_dump(local.raw))
    to = local.layout.data("mr")
    command = [sys.executable, "-m", "rllr", "data", "--config", str(local.config), "--task", "mr"]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 30
    while not (to / TEMPORARY / "train").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert (to / TEMPORARY / "train").exists() and not list(to.glob("*.json*"))
    stages.data(local.project, "mr")
    assert {path.name for path in to.iterdir()} == {MANIFEST, *(f"{s}.jsonl" for s in SPLITS)}
    assert sum(read_json(to / MANIFEST)["examples"].values()) == 20_018


def test_bad_local_data_leaves_nothing_behind(run: TinyRun, tmp_path: Path) -> None:
    splits = {name: local_rows(name, 12) for name in ("train", "validation", "test")}
    splits["test"][1]["label"] = "superb"
    folder = write_local(tmp_path / "mine", "mr", splits)
    local = run.but(data={"source": "local", "path": str(folder)}, tasks=["mr"])
    with pytest.raises(RllrError, match=r"test\.jsonl:2"):
        stages.data(local.project, "mr")
    assert not files_of(local.layout.run)
