"""Runs on data of a test's own, and what the data stage makes of them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rllr.config.load import Project, load
from rllr.config.schema import SPLITS
from rllr.data.prepare import prepare
from rllr.files import read_jsonl, write_jsonl

Rows = list[dict[str, Any]]


def project_for(path: Path, tasks: Sequence[str] = ("mr",), **data: Any) -> Project:
    """The preset with local data of these tasks."""
    data = {"source": "local", "path": str(path), **data}
    return load({"extends": "tiny", "tasks": list(tasks), "data": data})


def make(project: Project, task: str, to: Path) -> tuple[dict[str, Rows], dict[str, Any]]:
    """A task's splits, and the facts for its manifest."""
    facts = prepare(project, task, to, say=lambda _: None)
    return {name: read_jsonl(to / f"{name}.jsonl") for name in SPLITS}, facts


def write(path: Path, rows: Rows, types: Mapping[str, Any] | None = None) -> Path:
    """Rows as a file of whichever ending; `types` are the Parquet columns' where they matter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        write_jsonl(path, rows)
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        arrays = {name: pa.array(v, (types or {}).get(name)) for name, v in columns.items()}
        pq.write_table(pa.table(arrays), path, row_group_size=7)
    return path


def ids(rows: Rows) -> set[str]:
    return {row["id"] for row in rows}


def single(prefix: str, count: int) -> Rows:
    """Rows of task mr without ids, of distinct texts, three of four positive."""
    return [
        {
            "text": f"{prefix} film, number {n}",
            "label": "negative" if n % 4 == 0 else "positive",
        }
        for n in range(count)
    ]


def pairs(prefix: str, count: int) -> Rows:
    """Rows of a pair task without ids or labels, of distinct sentences."""
    return [{"text_a": f"{prefix} one {n}", "text_b": f"{prefix} other {n}"} for n in range(count)]
