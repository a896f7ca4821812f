"""The `hub` source: Parquet files of a task's published data set, fetched once and shared by runs.

Only files that the task's patterns name are fetched, and they are read as Parquet: no script of a
data set's repository is ever loaded. What is there is verified and not fetched again, without
asking the hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rllr.config.data import HubData, HubDataset
from rllr.config.load import Project
from rllr.data.source import PARTS, Source
from rllr.errors import RllrError
from rllr.files import digest, read_json, write_json
from rllr.heartbeat import sole_writer
from rllr.layout import Layout
from rllr.models.fetch import fetch_files
from rllr.models.origin import hub_origin, require_pin
from rllr.models.progress import Say
from rllr.models.published import PublishedFile, fault
from rllr.repository import Repository


def hub_source(project: Project, task: str, say: Say) -> Source:
    """A task's published files, fetched if they are not there; RllrError where that fails."""
    data, dataset = project.data(task), _dataset(project, task)
    assert isinstance(data, HubData)
    check_pinned(project, task)
    folder = Layout(project).dataset(dataset.repo, dataset.revision)
    facts = fetch_dataset(dataset, folder, say)
    parts = {part: [folder / name for name in names] for part, names in facts["parts"].items()}
    schema = project.tasks[task]
    columns, labels = dataset.columns, dataset.labels
    return Source(task, schema, data, parts, columns, labels, blanks_pass=True, facts=facts)


def check_pinned(project: Project, task: str) -> None:
    """RllrError for a data set without a commit, unless the run allows it."""
    dataset = _dataset(project, task)
    allowed = project.config.allow_unpinned
    require_pin(_repository(dataset), dataset.revision, allowed)


def is_there(project: Project, task: str) -> bool:
    """Whether a task's files have been fetched; they are verified when they are read."""
    dataset = _dataset(project, task)
    folder = Layout(project).dataset(dataset.repo, dataset.revision)
    return _record(folder, _patterns(dataset)).exists()


def fetch_dataset(dataset: HubDataset, to: Path, say: Say) -> dict[str, Any]:
    """Fetch what a data set's patterns name into the folder `to`; return a manifest's facts.

    Tasks of one repository share the folder; a second process waits for the first. Facts: `repo`,
    `commit`, `pinned`, `parts` with their files, and `files`, each with its size and SHA-256.
    Raises RllrError as a model's fetch does, and for a pattern that no file fits.
    """
    patterns = _patterns(dataset)
    record = _record(to, patterns)
    if (known := _verified(record, to)) is not None:
        return known
    with sole_writer(to):
        if (known := _verified(record, to)) is not None:
            return known
        origin = hub_origin(_repository(dataset), dataset.revision)
        parts = {part: _matching(origin.files, p, origin.name) for part, p in patterns.items()}
        files = list(dict.fromkeys(file for found in parts.values() for file in found))
        found = fetch_files(origin, files, to, say)
        names = {part: [file.name for file in found] for part, found in parts.items()}
        facts = {**found["fetched"], "parts": names, "files": found["files"]}
        write_json(record, facts)
    return facts


def _verified(record: Path, folder: Path) -> dict[str, Any] | None:
    """Facts of an earlier fetch whose files are all there and whole; else None."""
    if not record.exists():
        return None
    facts: dict[str, Any] = read_json(record)
    for name, file in facts["files"].items():
        path = folder / name
        if not path.exists() or fault(path, PublishedFile(name, file["size"], file["sha256"])):
            return None
    return facts


def _record(folder: Path, patterns: dict[str, str]) -> Path:
    """What is known of files that were fetched by these patterns; written when all are there."""
    return folder / f"{digest(patterns)[:12]}.json"


def _dataset(project: Project, task: str) -> HubDataset:
    dataset, schema = project.tasks[task].hub, project.tasks[task]
    assert dataset is not None  # loading refuses it
    needed = "train" if schema.test_of is None else "test"
    if getattr(dataset.files, needed) is None:
        raise RllrError(f"tasks/{task}: hub.files.{needed} is missing; only others can be null")
    return dataset


def _repository(dataset: HubDataset) -> Repository:
    return Repository(dataset.repo, "dataset")


def _patterns(dataset: HubDataset) -> dict[str, str]:
    named = {part: getattr(dataset.files, part) for part in PARTS}
    return {part: pattern for part, pattern in named.items() if pattern is not None}


def _matching(files: Sequence[PublishedFile], pattern: str, where: str) -> list[PublishedFile]:
    """The Parquet files that a pattern names, sorted; `*` does not cross folders."""
    found = [file for file in files if _fits(file.name, pattern)]
    if not found:
        there = sorted(file.name for file in files if file.name.endswith(".parquet"))
        listed = ", ".join(there[:8]) + (", …" if len(there) > 8 else "")
        raise RllrError(
            f"{where} holds no Parquet file {pattern!r}; there are: {listed or 'none'}. Correct "
            "hub.files in the task's file"
        )
    return sorted(found, key=lambda file: file.name)


def _fits(name: str, pattern: str) -> bool:
    inside = ".." not in name.split("/") and not name.startswith("/")
    same_depth = name.count("/") == pattern.count("/")
    parquet = name.endswith(".parquet")
    return inside and same_depth and parquet and fnmatchcase(name, pattern)
