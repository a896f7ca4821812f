"""One way from the parts of a source to a run's splits, in bounded memory.

Every row is read once, checked and written, normalised, to a temporary file; what decides on it
(`Index`) stays in memory. Then each split's rows are copied from there.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rllr.config.load import Project
from rllr.config.schema import SPLITS, ClassLabels
from rllr.data import overlap
from rllr.data.index import Index
from rllr.data.overlap import Cleaned, Selection
from rllr.data.parts import evaluated, own_parts
from rllr.data.source import Source
from rllr.data.sources import source_of
from rllr.data.splits import limited, split_train
from rllr.errors import RllrError
from rllr.files import atomic
from rllr.layout import related_tasks
from rllr.models.progress import Say
from rllr.tasks.labels import label_text

TEMPORARY = ".parts"


def assemble(project: Project, task: str, folder: Path, say: Say) -> dict[str, Any]:
    """Write `<split>.jsonl` for every split of a task into `folder`; return a manifest's facts.

    Facts: `source`, and counts of rows read, repeated, of conflicting labels and overlapping, and
    the sizes wanted and got. The splits of a further test set are empty, but for test.
    """
    source = source_of(project, task, say)
    with _temporary(folder) as temporary:
        indices, cleaned, parts = own_parts(source, say, temporary)
        across: dict[str, int] = {}
        if "train" in parts:
            parts["train"], across = _without_related(project, source, parts["train"], say)
        overlap.check_ids(parts)
        splits = _splits(source, parts)
        counts = {
            name: _write(source, splits.get(name), folder / f"{name}.jsonl") for name in SPLITS
        }
    sizes = _sizes(source, splits, say)
    return {
        "examples": {name: size["got"] for name, size in sizes.items()},
        "source": dict(source.facts),
        **_facts(source, indices, cleaned, parts, across),
        "sizes": sizes,
        "labels": counts,
    }


def _without_related(
    project: Project, source: Source, train: Selection, say: Say
) -> tuple[Selection, dict[str, int]]:
    """Training rows whose texts no related task is evaluated on, and counts of the others."""
    found = []
    for name in related_tasks(project, source.task):
        for part, rows in evaluated(project, name, say).items():
            where = f"{name}'s {part}"
            train, account = overlap.remove(train, rows, "train", where)
            found.append((f"train in {where}", account))
    overlap.refuse(source, [account for _, account in found])
    return train, {what: account.count for what, account in found}


def _splits(source: Source, parts: Mapping[str, Selection]) -> dict[str, Selection]:
    splits = split_train(source, parts["train"]) if "train" in parts else {}
    for name in ("validation", "test"):
        if name in parts:
            splits[name] = limited(source, parts[name], name)
    return splits


# --- writing -------------------------------------------------------------------------------------


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """An empty folder for normalised rows, gone in the end; a killed stage's is taken over."""
    path = folder / TEMPORARY
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _write(source: Source, split: Selection | None, path: Path) -> dict[str, int]:
    """Copy a split's rows, in its order; return how many there are of each label."""
    with atomic(path) as name, name.open("wb") as stream:
        if split is None or split.index.stored is None:
            return {}
        with split.index.stored.open("rb") as rows:
            for offset in split.column("offsets").tolist():
                rows.seek(offset)
                stream.write(_whole(rows.readline(), split.index.stored))
    return _label_counts(source, split)


def _whole(line: bytes, path: Path) -> bytes:
    """The line, if it is one; RllrError where the file is not what was written."""
    if not line.endswith(b"\n"):
        raise RllrError(f"{path}: changed while its rows were copied; run the data stage again")
    return line


def _label_counts(source: Source, split: Selection) -> dict[str, int]:
    import numpy as np

    counts: Counter[str] = Counter()
    labels = source.schema.labels
    found, numbers = np.unique(split.column("labels"), return_counts=True)
    for value, number in zip(found.tolist(), numbers.tolist(), strict=True):
        label = labels.values[int(value)] if isinstance(labels, ClassLabels) else value
        counts[label_text(source.schema, label)] += number
    return dict(sorted(counts.items()))


# --- facts ---------------------------------------------------------------------------------------


def _facts(
    source: Source,
    indices: Mapping[str, Index],
    cleaned: Cleaned,
    parts: Mapping[str, Selection],
    across: Mapping[str, int],
) -> dict[str, Any]:
    overlaps: dict[str, Any] = {"rule": source.settings.overlap, "within": cleaned.overlaps}
    if "train" in parts and len(source.schema.fields) > 1:
        shared = overlap.shared_sentences(parts["train"], parts["test"])
        overlaps["train pairs that share one sentence with test"] = shared
    return {
        "rows_read": {name: len(index) + index.blank for name, index in indices.items()},
        "blank_rows": {name: index.blank for name, index in indices.items()},
        "duplicates_removed": cleaned.repeated,
        "conflicting_labels": cleaned.conflicting,
        "overlaps": overlaps | {"across": dict(across)},
    }


def _sizes(
    source: Source, splits: Mapping[str, Selection], say: Say
) -> dict[str, dict[str, int | None]]:
    """Wanted and got of each split; a line for each that is smaller than wanted."""
    sizes = {}
    for name in SPLITS:
        wanted, got = getattr(source.settings.sizes, name), len(splits.get(name, ()))
        sizes[name] = {"wanted": wanted, "got": got}
        if name in splits and wanted is not None and got < wanted:
            say(f"data {source.task}: {name} has {got:,} examples of the {wanted:,} asked for")
    return sizes
