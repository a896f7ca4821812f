"""A right, a wrong and an unparseable response of a cell, to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.grid import CellKey, Metric
from rllr.reporting.results.responses import OUTCOMES, Outcome, Response, read_responses

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
    metric = analysis.run.cells[key].metric
    for row in islice(read_responses(path), ROWS_LOOKED_AT):
        yield _sample(row, metric, longest)


def _sample(row: Response, metric: Metric, longest: int) -> Sample:
    return Sample(
        outcome=row.outcome(metric),
        id=row.id,
        prompt=_cut(row.prompt, longest),
        response=_cut(row.response, longest),
        label=str(row.label),
        prediction=str(row.prediction),
    )


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text)} characters)"
