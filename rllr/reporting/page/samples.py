"""A right, a wrong and an unparseable response of a cell, to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from rllr import files
from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.grid import CellKey
from rllr.tasks.verdict import is_right

Outcome = Literal["right", "wrong", "unparsed"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "unparsed")
ROWS_LOOKED_AT = 1000


@dataclass(frozen=True)
class Sample:
    """One response with its prompt, both cut to a readable length."""

    outcome: Outcome
    id: str
    prompt: str
    response: str
    label: str
    prediction: str


def samples_of(analysis: Analysis, key: CellKey, longest: int) -> list[Sample]:
    """The first response of each outcome that a cell has, texts cut to `longest` characters.

    Of the same test examples in the same order, so that cells of one task can be compared.
    """
    found: dict[Outcome, Sample] = {}
    for sample in _read(analysis, key, longest):
        found.setdefault(sample.outcome, sample)
        if len(found) == len(OUTCOMES):
            break
    return [found[outcome] for outcome in OUTCOMES if outcome in found]


def _read(analysis: Analysis, key: CellKey, longest: int) -> Iterator[Sample]:
    # Only files that could be read in full when they were analysed.
    if key not in analysis.predictions:
        return
    path = analysis.run.folder / key.path / "predictions.jsonl"
    pearson = analysis.run.cells[key].metric == "pearson"
    for _, row in islice(files.numbered_rows(path), ROWS_LOOKED_AT):
        yield _sample(row, longest, pearson=pearson)


def _sample(row: dict[str, Any], longest: int, *, pearson: bool) -> Sample:
    return Sample(
        outcome=_outcome(row, pearson=pearson),
        id=str(row["id"]),
        prompt=_cut(str(row.get("prompt", "")), longest),
        response=_cut(str(row["response"]), longest),
        label=str(row["label"]),
        prediction=str(row["prediction"]),
    )


def _outcome(row: dict[str, Any], *, pearson: bool) -> Outcome:
    if row["prediction"] is None:
        return "unparsed"
    return "right" if is_right(row["prediction"], row["label"], score=pearson) else "wrong"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text)} characters)"
