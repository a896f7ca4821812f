"""Single responses with their texts, and whether they are right: what samples are drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from rllr import files
from rllr.errors import RllrError
from rllr.reporting.results.grid import Label, Metric, first_problem
from rllr.tasks.verdict import is_right

Outcome = Literal["right", "wrong", "unparsed"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "unparsed")


@dataclass(frozen=True)
class Response:
    """One row of `predictions.jsonl`; `prediction` is None where no label could be read."""

    id: Annotated[str, BeforeValidator(str)]
    response: str
    label: Label
    prediction: Label | None
    prompt: str = ""

    def outcome(self, metric: Metric) -> Outcome:
        """Whether the prediction is the gold label; of a score, whether it comes close."""
        if self.prediction is None:
            return "unparsed"
        right = is_right(self.prediction, self.label, score=metric == "pearson")
        return "right" if right else "wrong"


_RESPONSE: TypeAdapter[Response] = TypeAdapter(Response)


def read_responses(path: Path) -> Iterator[Response]:
    """The rows of a `predictions.jsonl`, in its order.

    Raises RllrError that names the file and line of a row that is none.
    """
    for number, row in files.numbered_rows(path):
        try:
            yield _RESPONSE.validate_python(row)
        except ValidationError as error:
            raise RllrError(f"{path}:{number}: {first_problem(error)}") from error
