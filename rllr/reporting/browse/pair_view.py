"""How preference pairs and their statistics are shown in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rllr.reporting.browse.sheet import Column, Sheet
from rllr.tasks.response import MARK

# Heading, key of the statistics, and how a value is written.
COLUMNS = (
    ("pairs", "pairs", "{:d}"),
    ("same label", "equal_labels", "{:.0%}"),
    ("right label", "judge_prefers_right", "{:.0%}"),
    ("chosen longer", "chosen_is_longer", "{:.0%}"),
    ("words", "longer_by_words", "{:+.1f}"),
    ("chars", "longer_by_characters", "{:+.1f}"),
)
LEGEND = (
    "same label: both responses state it. right label: of the pairs with one right label, those "
    "whose chosen response states it. chosen longer: share of pairs, in characters; words, chars: "
    "by how many, on average."
)
EARLIER = (
    "no statistics: these pairs were made by an earlier version; delete the manifest and make them "
    "again to have some"
)


def statistics_table(
    sheet: Sheet, noted: Mapping[str, Any], task: str, parts: Sequence[str]
) -> None:
    """A row for each part of the pairs that a manifest counts, then one for each gold label."""
    found = [noted.get("statistics", {}).get(part, {}).get("by_task") for part in parts]
    if None in found:
        sheet.note(EARLIER)
        return
    rows = [
        row
        for part, tasks in zip(parts, found, strict=True)
        if task in tasks
        for row in _rows(part, tasks[task])
    ]
    sheet.table(["", *(name for name, _, _ in COLUMNS)], rows, words=1)
    same = sum(tasks[task]["same_text"] for tasks in found if task in tasks)
    if same:
        sheet.note(f"{same} pairs have one text twice: nothing can be learned from them")


def _rows(part: str, found: Mapping[str, Any]) -> Iterator[list[str]]:
    yield _row(part, found)
    for label, group in found["by_label"].items():
        yield _row(f"  {label}", group)


def _row(name: str, found: Mapping[str, Any]) -> list[str]:
    return [name, *(_written(found.get(key), form) for _, key, form in COLUMNS)]


def _written(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value).replace("-0.0", "+0.0")


def pair_columns(pair: Mapping[str, Any]) -> tuple[Column, Column]:
    """Chosen and rejected response, side by side; an answer starts on a line of its own."""
    chosen, rejected = (
        Column(side, [("", str(pair[side]).replace(f" {MARK}", f"\n{MARK}"))])
        for side in ("chosen", "rejected")
    )
    return chosen, rejected
