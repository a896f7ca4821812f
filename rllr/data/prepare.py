"""The data stage: one task's splits, from whichever source, as normalised JSONL."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rllr.config.data import GeneratedData, HubData, ReleaseData
from rllr.config.load import Project
from rllr.config.schema import SPLITS
from rllr.data.examples import Example
from rllr.data.sources import has_parts
from rllr.files import sha256, write_jsonl
from rllr.models.progress import Say
from rllr.tasks.labels import label_text

GENERATED_RATIONALES = "generated_rationales.jsonl"


def prepare(project: Project, task: str, folder: Path, say: Say | None = None) -> dict[str, Any]:
    """Write `<split>.jsonl` for every split into `folder`; return counts and hashes.

    `say` takes lines on progress (default: print). Raises RllrError for data that cannot be had or
    are not what they should be; then no split is there.
    """
    say = say or _print
    if has_parts(project, task):
        from rllr.data.assemble import assemble

        facts = assemble(project, task, folder, say)
    else:
        facts = _made_whole(project, task, folder, say)
    return facts | {"sha256": {name: sha256(folder / f"{name}.jsonl") for name in SPLITS}}


def check_source(project: Project, task: str) -> None:
    """Raise RllrError, before anything is written, where a task's data may not be fetched."""
    data = project.data(task)
    if isinstance(data, HubData):
        from rllr.data.published import check_pinned

        check_pinned(project, task)
    if isinstance(data, ReleaseData):
        from rllr.data.release_files import check_files

        check_files(data)


def _print(line: str) -> None:
    print(line, flush=True)


def _made_whole(project: Project, task: str, folder: Path, say: Say) -> dict[str, Any]:
    """Splits that a source makes by itself: generated, or of the authors' release."""
    data = project.data(task)
    facts: dict[str, Any] = {}
    if isinstance(data, GeneratedData):
        splits = _generate(data, task, folder)
    else:
        from rllr.data.release import write_release

        splits, facts = write_release(project, task, folder, say)
    for name in SPLITS:
        write_jsonl(folder / f"{name}.jsonl", splits[name])
    labels = {name: _label_counts(project, task, splits[name]) for name in SPLITS}
    counts = {name: len(splits[name]) for name in SPLITS}
    return {"labels": labels, "examples": counts, **facts}


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
