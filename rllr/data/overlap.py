"""Texts that stand twice: within a part, in two parts, in training and in what is evaluated.

Within a part the first is kept. A text of train that is also in validation or test, or of
validation in test, is refused or dropped from the earlier part, as `data.overlap` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rllr.data.index import Index
from rllr.data.source import PARTS, Source
from rllr.errors import RllrError

if TYPE_CHECKING:
    import numpy as np


@dataclass
class Selection:
    """Some rows of an index, by their numbers, ascending unless they were drawn."""

    index: Index
    rows: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """The selected rows' values of a column."""
        return self.index.column(name)[self.rows]

    def without(self, hit: np.ndarray) -> Selection:
        """The rows where `hit` is false."""
        return Selection(self.index, self.rows[~hit])

    def __len__(self) -> int:
        return len(self.rows)


@dataclass
class Overlap:
    """Rows of a part whose texts are elsewhere too: how many, and the first with its twin."""

    what: str
    count: int
    example: str


@dataclass
class Cleaned:
    """Parts in which every text stands once, and what was removed for that."""

    parts: dict[str, Selection]
    repeated: dict[str, int] = field(default_factory=dict)
    conflicting: dict[str, int] = field(default_factory=dict)
    overlaps: dict[str, int] = field(default_factory=dict)


def clean(source: Source, indices: Mapping[str, Index]) -> Cleaned:
    """Keep each text once, in the latest part that it is in.

    Raises RllrError where a text is in two parts and `overlap` is `error`.
    """
    cleaned = Cleaned({})
    for name, index in indices.items():
        rows, repeated, conflicting = _first_ones(index)
        cleaned.parts[name] = Selection(index, rows)
        cleaned.repeated[name], cleaned.conflicting[name] = repeated, conflicting
    found = []
    for at, name in enumerate(PARTS):
        for later in PARTS[at + 1 :]:
            if name in cleaned.parts and later in indices:
                twins = Selection(indices[later], all_rows(indices[later]))
                cleaned.parts[name], overlap = remove(cleaned.parts[name], twins, name, later)
                found.append(overlap)
                cleaned.overlaps[f"{name} in {later}"] = overlap.count
    refuse(source, found)
    return cleaned


def remove(
    part: Selection, twins: Selection, name: str, elsewhere: str
) -> tuple[Selection, Overlap]:
    """The rows of a part whose texts are not among `twins`, and an account of the others."""
    import numpy as np

    hit = np.isin(part.column("keys"), twins.column("keys"))
    count = int(hit.sum())
    example = ""
    if count:
        row = part.rows[hit][0]
        twin = twins.rows[twins.column("keys") == part.index.keys[row]][0]
        example = f"{part.index.place(row)} and {twins.index.place(twin)}"
    return part.without(hit), Overlap(f"{name} are also in {elsewhere}", count, example)


def refuse(source: Source, found: list[Overlap]) -> None:
    """RllrError where texts overlap and that is not to be mended."""
    found = [overlap for overlap in found if overlap.count]
    if not found or source.settings.overlap == "drop":
        return
    listed = "; ".join(f"{o.count} texts of {o.what} (first: {o.example})" for o in found)
    raise RllrError(
        f"task {source.task!r}: {listed}. What is evaluated must not be trained on: take them out, "
        "or set `data.overlap: drop` (task_data for this task alone), which drops them from the "
        "part that is trained on, and from validation what is in test"
    )


def check_ids(parts: Mapping[str, Selection]) -> None:
    """RllrError where two of the rows that are kept have one id."""
    import numpy as np

    ids = np.concatenate([part.column("ids") for part in parts.values()])
    values, counts = np.unique(ids, return_counts=True)
    for value in values[counts > 1][:1]:
        twins = [
            (part.index, row)
            for part in parts.values()
            for row in part.rows[part.column("ids") == value]
        ]
        (first, row), (second, other) = twins[:2]
        raise RllrError(
            f"{second.place(other)}: id {second.read(other)['id']!r} is also that of "
            f"{first.place(row)}; ids are unique in a task (rows without an id get one)"
        )


def shared_sentences(train: Selection, test: Selection) -> int:
    """Pairs of train of which a single sentence is in test; only reported."""
    import numpy as np

    if not train.index.sentences or not test.index.sentences:
        return 0
    found = np.isin(train.column("sentences"), test.column("sentences"))
    return int(found.any(axis=1).sum())


def all_rows(index: Index) -> np.ndarray:
    """The numbers of an index's rows."""
    import numpy as np

    return np.arange(len(index))


def _first_ones(index: Index) -> tuple[np.ndarray, int, int]:
    """Rows that are the first of their text; repeated ones of the same and of another label."""
    import numpy as np

    labels = index.column("labels")
    _, first, inverse = np.unique(index.column("keys"), return_index=True, return_inverse=True)
    repeated = first[inverse] != np.arange(len(index))
    conflicting = repeated & (labels != labels[first[inverse]])
    rows = np.flatnonzero(~repeated)
    return rows, int((repeated & ~conflicting).sum()), int(conflicting.sum())
