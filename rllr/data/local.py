"""The `local` source: the user's own `<path>/<task>/{train,validation,test}.jsonl`."""

from __future__ import annotations

import random
from pathlib import Path

from rllr.config.data import LocalData, SplitSizes
from rllr.config.load import Project
from rllr.config.schema import TaskConfig
from rllr.data.examples import Example, read_examples, text_key
from rllr.errors import RllrError

FILES = ("train", "validation", "test")


def load_local(project: Project, task: str) -> tuple[dict[str, list[Example]], dict[str, int]]:
    """Read a task's three files and carve train into sft, rm and rl.

    Returns the splits and counts of what was removed. A text that stands twice within a file is
    kept once; one that stands in two files is dropped from the earlier of train, validation, test,
    so that evaluation texts are never trained on.
    """
    data = project.config.data
    assert isinstance(data, LocalData)
    folder = Path(data.path) / task
    if not folder.is_dir():
        raise RllrError(
            f"data.path: no folder {folder}; local data lies in {data.path}/<task>/"
            "{train,validation,test}.jsonl, one folder per task"
        )
    schema = project.tasks[task]
    files = {name: read_examples(folder / f"{name}.jsonl", schema) for name in FILES}
    _check_ids(files, folder)
    files, removed = _without_repeats(files, schema)
    _check_not_empty(files, folder)
    train, rest = files["train"], {name: files[name] for name in FILES[1:]}
    splits = {**carve(train, data, f"{data.seed}/{task}"), **rest}
    return limit(splits, data.sizes, f"{data.seed}/{task}"), removed


def missing_files(project: Project) -> list[Path]:
    """Files of the run's tasks that are not there; none where its data are not local."""
    data = project.config.data
    if not isinstance(data, LocalData):
        return []
    paths = [
        Path(data.path) / task / f"{name}.jsonl" for task in project.data_tasks for name in FILES
    ]
    return [path for path in paths if not path.exists()]


def _check_ids(files: dict[str, list[Example]], folder: Path) -> None:
    seen: dict[str, str] = {}
    for name, rows in files.items():
        for row in rows:
            if row["id"] in seen:
                raise RllrError(
                    f"{folder / name}.jsonl: id {row['id']!r} is also in {seen[row['id']]}.jsonl; "
                    "an example belongs to one split, and ids are unique in a task"
                )
        seen |= {row["id"]: name for row in rows}


def _without_repeats(
    files: dict[str, list[Example]], schema: TaskConfig
) -> tuple[dict[str, list[Example]], dict[str, int]]:
    taken: set[str] = set()
    kept: dict[str, list[Example]] = {}
    removed: dict[str, int] = {}
    for name in reversed(FILES):
        rows = []
        for row in files[name]:
            key = text_key(schema, row)
            if key not in taken:
                taken.add(key)
                rows.append(row)
        removed[name] = len(files[name]) - len(rows)
        kept[name] = rows
    return kept, removed


def _check_not_empty(files: dict[str, list[Example]], folder: Path) -> None:
    for name, rows in files.items():
        least = 3 if name == "train" else 1
        if len(rows) < least:
            raise RllrError(
                f"{folder / name}.jsonl: the split has {len(rows)} usable examples, needs {least}"
            )


def carve(train: list[Example], data: LocalData, seed: str) -> dict[str, list[Example]]:
    """Split train into sft, rm and rl by the configured shares, shuffled, none of them empty."""
    rows = train[:]
    random.Random(f"carve/{seed}").shuffle(rows)
    rm = min(max(1, int(len(rows) * data.rm_share)), len(rows) - 2)
    rl = min(max(1, int(len(rows) * data.rl_share)), len(rows) - rm - 1)
    return {"rm": rows[:rm], "rl": rows[rm : rm + rl], "sft": rows[rm + rl :]}


def limit(
    splits: dict[str, list[Example]], sizes: SplitSizes, seed: str
) -> dict[str, list[Example]]:
    """Keep a seeded sample of each split that has a size; smaller splits stay whole."""
    result = {}
    for name, rows in splits.items():
        size = getattr(sizes, name)
        rng = random.Random(f"limit/{seed}/{name}")
        result[name] = rng.sample(rows, size) if size and size < len(rows) else rows
    return result
