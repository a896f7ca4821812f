"""Data as users have them, and a language model asked: from CSV and Parquet files to the tables."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from rllr.data.generated import generate_task
from rllr.files import read_json, read_jsonl, write_jsonl
from tests.teacher.chat_server import ChatServer
from tests.workflow.conftest import CUT, Workspace

SIZES = {"sft": 180, "validation": 24, "test": 24}
PARTS = {"train": "sft", "validation": "validation", "test": "test"}
KEY = "sk-this-is-nowhere-to-be-found"


def rows_of(task: str) -> dict[str, list[dict[str, Any]]]:
    made = generate_task(task, SIZES, noise=0.0, difficulty=0.5, seed=3)
    return {part: made.splits[split] for part, split in PARTS.items()}


def write_reviews(folder: Path) -> None:
    """MR as CSV files with columns and labels of their own; one test text is trained on too."""
    folder.mkdir(parents=True)
    parts = rows_of("mr")
    parts["train"].append(parts["test"][0])
    for part, rows in parts.items():
        with (folder / f"{part}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["sentence", "sentiment"])
            for row in rows:
                writer.writerow([f"{row['text']},\n", int(row["label"] == "positive")])


def write_premises(folder: Path) -> None:
    """MNLI as Parquet files, and half of its test rows as the mismatched test set."""
    import pandas as pd

    parts = rows_of("mnli")
    write_jsonl(folder / "mnli_mm/test.jsonl", parts["test"][::2])
    (folder / "mnli").mkdir()
    parts["test"] = parts["test"][1::2]
    for part, rows in parts.items():
        pd.DataFrame(rows).to_parquet(folder / f"mnli/{part}.parquet")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    data = {"source": "local", "path": str(tmp_path / "data"), "overlap": "drop"}
    reviews = {
        "columns": {"text": "sentence", "label": "sentiment"},
        "labels": {0: "negative", 1: "positive"},
    }
    config = {
        **CUT,
        "run": "real",
        "models": ["llama2-tiny"],
        "tasks": ["mr", "mnli"],
        "context_tasks": ["mnli_mm"],
        "methods": ["sft", "rlhf"],
        "data": data,
        "task_data": {"mr": reviews},
        "generation": {"max_prompt_tokens": 120, "max_new_tokens": 80},
    }
    write_reviews(tmp_path / "data/mr")
    write_premises(tmp_path / "data")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return Workspace(tmp_path, path, environment={"OPENAI_API_KEY": KEY})


def ask(workspace: Workspace, server: ChatServer) -> None:
    model = {"backend": "openai", "model": "tiny", "endpoint": server.endpoint}
    model["max_new_tokens"] = 80
    raw = yaml.safe_load(workspace.config.read_text())
    judge = {**model, "max_new_tokens": 16, "both_ways": 0.5}
    changed = {**raw, "teacher": {**model, "max_requests": 100}, "judge": judge}
    workspace.config.write_text(yaml.safe_dump(changed))


@pytest.mark.slow
def test_files_and_a_model_that_is_asked_end_in_tables(workspace: Workspace) -> None:
    with ChatServer() as server:
        ask(workspace, server)
        stopped = workspace.snakemake("tables", check=False)
        assert "Raise teacher.max_requests (100)" in stopped.stdout
        raw = yaml.safe_load(workspace.config.read_text())
        raw["teacher"].pop("max_requests")
        workspace.config.write_text(yaml.safe_dump(raw))
        workspace.snakemake("tables")
        asked = len(server.log)
        repeated = {name: count for name, count in server.seen.items() if count > 1}
    assert asked > 300 and not repeated
    check_data(workspace)
    check_asking(workspace)
    table = workspace.path("tables", "main.md").read_text()
    assert "MNLI-mm" in table and "RLHF" in table
    assert KEY not in "".join(path.read_text() for path in texts(workspace.folder))


def check_data(workspace: Workspace) -> None:
    facts = read_json(workspace.path("data/mr/manifest.json"))
    assert facts["overlaps"]["within"]["train in test"] == 1
    assert facts["rows_read"]["train"] == SIZES["sft"] + 1
    extra = read_json(workspace.path("data/mnli_mm/manifest.json"))["examples"]
    assert extra == {"sft": 0, "rm": 0, "rl": 0, "validation": 0, "test": 12}
    cell = workspace.path("cells/llama2-tiny/mnli_mm/rlhf/seed0/metrics.json")
    assert read_json(cell)["n"] == 12


def check_asking(workspace: Workspace) -> None:
    teacher = read_json(workspace.path("rationales/mr/manifest.json"))["teacher"]
    assert teacher["model"] == "tiny" and teacher["accepted"] > 0 and not teacher["given_up"]
    rationales = read_jsonl(workspace.path("rationales/mr/sft.jsonl"))
    assert all("point to that" in row["rationale"] for row in rationales)
    pairs = workspace.path("pairs/rationale_sensitive/llama2-tiny/sft/mixture/seed0/manifest.json")
    judged = read_json(pairs)["judge"]
    assert {task: facts["comparisons"] > 0 for task, facts in judged.items()} == {
        "mr": True,
        "mnli": True,
    }


def texts(folder: Path) -> list[Path]:
    """Every file of results that holds text."""
    endings = {".json", ".jsonl", ".log", ".md", ".csv", ".tex", ".html"}
    return [path for path in (folder / "results").rglob("*") if path.suffix in endings]
