"""Label-sensitive pairs of the authors' release that contradict what else is said of their text.

A text with the pairs [positive, negative] and [negative, positive] would teach a reward model both
ways. One label is kept of each text: that of the first row of sft (for held-out pairs: of the test
file) with this text, else that of its first pair. Pairs that prefer another one are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rllr.data.release_rows import Row
from rllr.models.progress import Say
from rllr.tasks.labels import Label

# The pairs, and the rows whose labels come before theirs.
DECIDED_BY = {"label_sensitive_train": "sft", "label_sensitive_heldout": "test"}


def drop_contradictions(rows: dict[str, list[Row]], task: str, say: Say) -> dict[str, int]:
    """Take pairs out of `rows` whose better label is not their text's; how many, by which reason.

    `say` takes a line where there are any.
    """
    found = {}
    for kind, other in DECIDED_BY.items():
        labels = _first_labels(rows[other])
        kept = _agreeing(rows[kind], labels)
        found[f"{kind} with {other}"] = len(rows[kind]) - len(kept)
        rows[kind] = _agreeing(kept, _first_labels(kept))
        found[f"{kind} with an earlier pair"] = len(kept) - len(rows[kind])
    if any(found.values()):
        shown = ", ".join(f"{what} {count}" for what, count in found.items() if count)
        say(f"data {task}: left out, as their labels are in conflict: {shown}")
    return found


def _first_labels(rows: Iterable[Row]) -> dict[int, Label]:
    """The (better) label of the first row of each text, by the text's key."""
    found: dict[int, Label] = {}
    for row in rows:
        found.setdefault(row.key, row.answers[0].label)
    return found


def _agreeing(rows: Iterable[Row], labels: Mapping[int, Label]) -> list[Row]:
    return [
        row for row in rows if row.answers[0].label == labels.get(row.key, row.answers[0].label)
    ]
