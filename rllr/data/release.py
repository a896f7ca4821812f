"""The `release` source: the authors' published files, as splits, rationales and pairs.

sft and rl are the release's rows, rm the prompts of its label-sensitive training pairs, test its
test rows; validation is carved from sft. Training parts may share texts, as they do in the release;
none of them shares one with what is evaluated on: the test rows, the held-out pairs, validation.
Untested on the authors' own files.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rllr.config.data import ReleaseData
from rllr.config.load import Project
from rllr.config.schema import TaskConfig
from rllr.data.contradictions import drop_contradictions
from rllr.data.examples import Example
from rllr.data.parts import evaluated
from rllr.data.release_files import check_files
from rllr.data.release_rows import EVALUATED, ReleaseReader, Row
from rllr.data.released import rationales_of, write_released
from rllr.errors import RllrError
from rllr.layout import related_tasks
from rllr.models.progress import Say
from rllr.tasks.labels import label_bin

Rows = dict[str, list[Row]]
# Parts of the release that a run cannot do without, in the order of SPLITS.
NEEDED = ("sft", "label_sensitive_train", "rl", "test")
TRAINED = ("sft", "label_sensitive_train", "rl", "rationale_sensitive_train")


@dataclass
class Removed:
    """Rows that were left out, by part of the release."""

    duplicates: dict[str, int] = field(default_factory=dict)
    conflicting: dict[str, int] = field(default_factory=dict)
    evaluated: dict[str, int] = field(default_factory=dict)
    carved: dict[str, int] = field(default_factory=dict)

    def facts(self, data: ReleaseData) -> dict[str, Any]:
        """What the manifest says, as it does of other sources."""
        overlaps = {"rule": data.overlap, "dropped": self.evaluated}
        return {
            "duplicates_removed": self.duplicates,
            "conflicting_labels": self.conflicting,
            "overlaps": overlaps,
        }


def write_release(
    project: Project, task: str, folder: Path, say: Say
) -> tuple[dict[str, list[Example]], dict[str, Any]]:
    """Write a task's released rationales and pairs into `folder`; its splits, and what to note.

    `say` takes what became of each file's rows. Raises RllrError for a missing or malformed file, a
    part without a row of the task, and texts both trained and evaluated on, unless they are to be
    dropped.
    """
    data = release_of(project, task)
    check_files(data)
    reader = ReleaseReader(data, task, project.tasks[task])
    rows = _read(reader, data, [*TRAINED, *EVALUATED])
    say(reader.summary())
    _check_not_empty(rows, reader)
    removed = Removed()
    _leave_out_evaluated(project, task, rows, removed, say)
    contradictory = drop_contradictions(rows, task, say)
    rationales = rationales_of(project.tasks[task], rows)
    splits = _splits(project, task, rows, removed)
    counts = write_released(project, task, folder, rows, rationales, splits)
    accounts = {name: account.as_json() for name, account in reader.accounts.items()}
    facts = {"files": accounts, "written": counts, "carved": removed.carved}
    facts["contradictory_pairs"] = contradictory
    return splits, {"release": facts, **removed.facts(data)}


def release_of(project: Project, task: str) -> ReleaseData:
    """The settings of a task whose data is the release."""
    data = project.data(task)
    assert isinstance(data, ReleaseData)
    return data


def _read(reader: ReleaseReader, data: ReleaseData, kinds: Iterable[str]) -> Rows:
    return {kind: reader.read(kind) if getattr(data.files, kind) else [] for kind in kinds}


def _check_not_empty(rows: Rows, reader: ReleaseReader) -> None:
    for kind in NEEDED:
        if not rows[kind]:
            raise RllrError(
                f"data.files.{kind}: no row of {getattr(reader.data.files, kind)} is mapped to "
                f"task {reader.task!r}; mend data.rules.{reader.task} (or data.response) by what "
                f"the files hold:\n{reader.summary()}"
            )


# --- texts that are evaluated on -----------------------------------------------------------------


def _keys(rows: Rows, kinds: Iterable[str]) -> set[int]:
    return {row.key for kind in kinds for row in rows[kind]}


def _leave_out_evaluated(
    project: Project, task: str, rows: Rows, removed: Removed, say: Say
) -> None:
    """Refuse training texts that are evaluated on, here or in a related task, or drop them."""
    texts = _keys(rows, EVALUATED)
    for name in related_tasks(project, task):
        for part in evaluated(project, name, say).values():
            texts.update(part.column("keys").tolist())
    found = {kind: sum(row.key in texts for row in rows[kind]) for kind in TRAINED}
    if any(found.values()) and release_of(project, task).overlap == "error":
        shown = ", ".join(f"{kind} {count}" for kind, count in found.items() if count)
        raise RllrError(
            f"data: training rows of task {task!r} whose texts are evaluated on (test rows and "
            f"held-out pairs, those of related tasks too): {shown}; set data.overlap: drop to "
            "train without them"
        )
    removed.evaluated = _drop(rows, texts)


def _drop(rows: Rows, keys: Container[int]) -> dict[str, int]:
    """Take the rows with these texts out of all training parts; how many there were."""
    before = {kind: len(rows[kind]) for kind in TRAINED}
    for kind in TRAINED:
        rows[kind] = [row for row in rows[kind] if row.key not in keys]
    return {kind: before[kind] - len(rows[kind]) for kind in TRAINED}


# --- splits --------------------------------------------------------------------------------------


def _splits(project: Project, task: str, rows: Rows, removed: Removed) -> dict[str, list[Example]]:
    """The five splits, cut to their sizes; pairs of prompts that were cut off go with them."""
    data = release_of(project, task)
    unique = {kind: _unique(kind, rows[kind], removed) for kind in NEEDED}
    validation = _carved(project, task, rows, unique["sft"])
    keys = {row.key for row in validation}
    removed.carved = _drop(rows, keys)
    left = {kind: [row for row in unique[kind] if row.key not in keys] for kind in TRAINED[:3]}
    parts = {**left, "validation": validation, "test": unique["test"]}
    names = {"label_sensitive_train": "rm"}
    found = {names.get(kind, kind): part for kind, part in parts.items()}
    for name, part in found.items():
        if not part:
            raise RllrError(
                f"data: split {name!r} of task {task!r} is empty after texts that are evaluated on "
                "were dropped; the release has too few rows of this task"
            )
        size = getattr(data.sizes, name)
        if size and size < len(part):
            seed = f"limit/{data.seed}/{task}/{name}"
            found[name] = _drawn(project.tasks[task], part, seed)[:size]
    _cut_pairs(rows, {row.key for row in found["rm"]})
    return {name: [row.labelled for row in part] for name, part in found.items()}


def _unique(kind: str, rows: list[Row], removed: Removed) -> list[Row]:
    """The first row of each text; others are counted, and those that state another label."""
    first: dict[int, Row] = {}
    conflicts = 0
    for row in rows:
        kept = first.setdefault(row.key, row)
        conflicts += kept.labelled.get("label") != row.labelled.get("label")
    # A prompt stands in several pairs, one for each wrong label.
    repeated = 0 if "sensitive" in kind else len(rows) - len(first)
    removed.duplicates[kind] = max(0, repeated - conflicts)
    removed.conflicting[kind] = conflicts
    return list(first.values())


def _carved(project: Project, task: str, rows: Rows, sft: list[Row]) -> list[Row]:
    """A stratified sample of sft, if possible of texts trained on nowhere else."""
    data = release_of(project, task)
    elsewhere = _keys(rows, TRAINED[1:])
    drawn = _drawn(project.tasks[task], sft, f"validation/{data.seed}/{task}", elsewhere)
    size = data.sizes.validation or round(data.validation_share * len(sft))
    return drawn[: max(1, min(size, len(sft) - 1))]


def _drawn(
    schema: TaskConfig, rows: list[Row], seed: str, last: Container[int] = frozenset()
) -> list[Row]:
    """Rows in a drawn order whose beginnings have the shares of labels of them all.

    Of each label, texts with keys in `last` come last. Rows without a label are one group.
    """
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in random.Random(seed).sample(rows, len(rows)):
        groups[label_bin(schema, row.answers[0].label) if row.answers else ""].append(row)
    ranked = []
    for name, group in sorted(groups.items()):
        group.sort(key=lambda row: row.key in last)
        ranked += [((place + 0.5) / len(group), name, row) for place, row in enumerate(group)]
    return [row for _, _, row in sorted(ranked, key=lambda item: item[:2])]


def _cut_pairs(rows: Rows, prompts: Container[int]) -> None:
    kind = "label_sensitive_train"
    rows[kind] = [row for row in rows[kind] if row.key in prompts]
