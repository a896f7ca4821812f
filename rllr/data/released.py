"""What the authors' release leaves beside a task's splits, and how later stages take it.

`released_rationales.jsonl` holds rows {id, rationales: {label text: rationale}};
`released_pairs.<kind>.<part>.jsonl` rows {task, example, chosen, rejected}, the responses written
as this project writes them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rllr.config.data import ReleaseData
from rllr.config.load import Project
from rllr.config.schema import LABEL_SENSITIVE, RATIONALE_SENSITIVE, TaskConfig
from rllr.data.examples import Example
from rllr.data.release_rows import Row
from rllr.files import read_jsonl, write_jsonl
from rllr.tasks.labels import Label, label_text
from rllr.tasks.response import format_response

# By id, then by the label's text.
Rationales = dict[str, dict[str, str]]
RELEASED_RATIONALES = "released_rationales.jsonl"
# Files of the release (keys of `data.files`) that hold pairs, by kind and part.
PAIR_FILES = {
    (kind, part): f"{kind}_{part}"
    for kind in (LABEL_SENSITIVE, RATIONALE_SENSITIVE)
    for part in ("train", "heldout")
}


def released_pairs_file(project: Project, task: str, kind: str, part: str) -> str | None:
    """Name of the file of a task's released pairs; None where its data holds no such file."""
    data = project.data(task)
    if not isinstance(data, ReleaseData) or not getattr(data.files, PAIR_FILES[kind, part]):
        return None
    return f"released_pairs.{kind}.{part}.jsonl"


def released_files(project: Project, task: str, folder: Path, kind: str) -> list[Path]:
    """A task's files of released pairs of one kind, in its data folder."""
    names = (released_pairs_file(project, task, kind, part) for part in ("train", "heldout"))
    return [folder / name for name in names if name]


def released_pairs(
    project: Project, task: str, folder: Path, kind: str, part: str
) -> list[dict[str, Any]] | None:
    """A task's released pairs, from its data folder; None where it has none of this part."""
    name = released_pairs_file(project, task, kind, part)
    return (read_jsonl(folder / name) or None) if name else None


def released_rationale_pairs(
    project: Project, tasks: Iterable[str], folder: Callable[[str], Path], part: str
) -> list[dict[str, Any]]:
    """Released rationale-sensitive pairs of all `tasks`; `folder` finds a task's data."""
    found = (released_pairs(project, t, folder(t), RATIONALE_SENSITIVE, part) for t in tasks)
    return [pair for pairs in found for pair in pairs or []]


# --- writing -------------------------------------------------------------------------------------


def rationales_of(schema: TaskConfig, rows: Mapping[str, list[Row]]) -> Rationales:
    """By id, then by label: the first rationale of sft, else of the label-sensitive pairs."""
    found: Rationales = defaultdict(dict)
    for row in [*rows["sft"], *rows["label_sensitive_train"]]:
        for answer in row.answers:
            if answer.rationale:
                texts = found[row.example["id"]]
                texts.setdefault(label_text(schema, answer.label), answer.rationale)
    return found


def write_released(
    project: Project,
    task: str,
    folder: Path,
    rows: Mapping[str, list[Row]],
    rationales: Rationales,
    splits: Mapping[str, list[Example]],
) -> dict[str, int]:
    """Write a task's rationales and pairs beside its splits; returns how many there are."""
    for left in folder.glob("released_*.jsonl"):  # by other settings, perhaps
        left.unlink()
    ids = [row["id"] for part in splits.values() for row in part if row["id"] in rationales]
    texts = ({"id": key, "rationales": rationales[key]} for key in dict.fromkeys(ids))
    write_jsonl(folder / RELEASED_RATIONALES, texts)
    counts = {"rationales": sum(len(rationales[key]) for key in set(ids))}
    labels = {row["id"]: row["label"] for part in splits.values() for row in part if "label" in row}
    for (kind, part), name in PAIR_FILES.items():
        target = released_pairs_file(project, task, kind, part)
        if target:
            known = labels if kind == RATIONALE_SENSITIVE else None
            pairs = _pairs(task, project.tasks[task], rows[name], known)
            write_jsonl(folder / target, pairs)
            counts[name] = len(pairs)
    return counts


def _pairs(
    task: str, schema: TaskConfig, rows: Iterable[Row], labels: Mapping[str, Label] | None
) -> list[dict[str, Any]]:
    """Distinct pairs; the better label is the gold one, or else (`labels`) that of a split."""
    pairs: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        example = row.labelled if labels is None else _with_label(row.example, labels)
        good, bad = (format_response(schema, a.label, a.rationale) for a in row.answers)
        shared = {"task": task, "example": example, "chosen": good, "rejected": bad}
        pairs.setdefault((example["id"], good, bad), shared)
    return list(pairs.values())


def _with_label(example: Example, labels: Mapping[str, Label]) -> Example:
    known = example["id"] in labels
    return {**example, "label": labels[example["id"]]} if known else example
