"""The data stage: one task's splits, from whichever source, as normalised JSONL."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rllr.config.data import GeneratedData, HubData, LocalData, ReleaseData
from rllr.config.load import Project
from rllr.config.schema import SPLITS
from rllr.data.examples import Example
from rllr.errors import RllrError
from rllr.files import sha256, write_jsonl
from rllr.tasks.labels import label_text

GENERATED_RATIONALES = "generated_rationales.jsonl"


def prepare(project: Project, task: str, folder: Path) -> dict[str, Any]:
    """Write `<split>.jsonl` for every split into `folder`; return counts and hashes."""
    data = project.data(task)
    removed: dict[str, int] = {}
    notes: dict[str, Any] = {}
    if isinstance(data, GeneratedData):
        splits = _generate(data, task, folder)
    elif isinstance(data, ReleaseData):
        from rllr.data.release import write_release

        splits, notes = write_release(project, task, folder)
    else:
        from rllr.data.local import load_local

        splits, removed = load_local(project, task)
    for name in SPLITS:
        write_jsonl(folder / f"{name}.jsonl", splits[name])
    return {
        "examples": {name: len(splits[name]) for name in SPLITS},
        "labels": {name: _label_counts(project, task, splits[name]) for name in SPLITS},
        "duplicates_removed": removed,
        "sha256": {name: sha256(folder / f"{name}.jsonl") for name in SPLITS},
        **notes,
    }


def check_source(project: Project, task: str) -> None:
    """Raise RllrError, before anything is written, where a task's data cannot be had."""
    data = project.data(task)
    if isinstance(data, ReleaseData):
        from rllr.data.release_rows import check_files

        check_files(data)
    if isinstance(data, HubData):
        raise RllrError(
            f"task {task!r}: data.source is 'hub', and this version does not fetch data from the "
            f"hub; put {{train,validation,test}}.jsonl into a folder FOLDER/{task} of your own and "
            "set data: {source: local, path: FOLDER} (config/README.md, 'Data of your own')"
        )


def source_files(project: Project, task: str) -> list[Path]:
    """The user's files of a task, those that are there; none where the data is not local."""
    data = project.data(task)
    if isinstance(data, ReleaseData):
        from rllr.data.release_rows import release_files

        return [path for path in release_files(data) if path.exists()]
    if not isinstance(data, LocalData):
        return []
    from rllr.data.local import FILES

    paths = [Path(data.path) / task / f"{name}.jsonl" for name in FILES]
    return [path for path in paths if path.exists()]


def _generate(data: GeneratedData, task: str, folder: Path) -> dict[str, list[Example]]:
    from rllr.data.generated import generate_task

    made = generate_task(
        task, data.sizes.model_dump(), noise=data.noise, difficulty=data.difficulty, seed=data.seed
    )
    rows = ({"id": key, "rationales": texts} for key, texts in made.rationales.items())
    write_jsonl(folder / GENERATED_RATIONALES, rows)
    return made.splits


def _label_counts(project: Project, task: str, rows: list[Example]) -> dict[str, int]:
    labels = (row["label"] for row in rows if "label" in row)
    counts = Counter(label_text(project.tasks[task], label) for label in labels)
    return dict(sorted(counts.items()))
