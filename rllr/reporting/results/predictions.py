"""Reads `predictions.jsonl` into what statistics and checks need; the texts are not kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rllr import files
from rllr.errors import RllrError
from rllr.reporting.results.cells import Cell
from rllr.reporting.results.collect import Run
from rllr.reporting.results.grid import CellKey, Label


@dataclass(frozen=True)
class Predictions:
    """A cell's predictions, sorted by example id; `values` is None where nothing was parsed.

    `responses` is one digest over all response texts: equal digests mean equal texts.
    """

    ids: tuple[str, ...]
    labels: tuple[Label, ...]
    values: tuple[Label | None, ...]
    responses: str

    @property
    def examples(self) -> tuple[tuple[str, ...], tuple[Label, ...]]:
        """The identity of the test set: ids and gold labels."""
        return self.ids, self.labels

    def correct(self) -> NDArray[np.float64]:
        """1 where the prediction is the label, else 0; shape (examples,). Unparsed counts 0."""
        pairs = zip(self.values, self.labels, strict=True)
        return np.array([float(value == label) for value, label in pairs])

    def scores(self, midpoint: float) -> NDArray[np.float64]:
        """Predicted scores, shape (examples,); unparsed ones are the range's midpoint."""
        return np.array([midpoint if value is None else float(value) for value in self.values])

    def gold(self) -> NDArray[np.float64]:
        """Gold scores, shape (examples,)."""
        return np.array([float(label) for label in self.labels])


def load_predictions(run: Run) -> tuple[dict[CellKey, Predictions], list[str]]:
    """Predictions of every cell that has a usable file, and a warning for each that is broken.

    A cell without the file is simply absent: it then has no part in intervals.
    """
    loaded: dict[CellKey, Predictions] = {}
    warnings: list[str] = []
    shared: dict[tuple[tuple[str, ...], tuple[Label, ...]], tuple[Any, Any]] = {}
    for key, cell in run.cells.items():
        path = run.folder / key.path / "predictions.jsonl"
        if not path.exists():
            continue
        try:
            found = _read(path, cell)
            # Cells of a task have the same examples; thousands of copies would fill the memory.
            ids, labels = shared.setdefault(found.examples, found.examples)
            loaded[key] = replace(found, ids=ids, labels=labels)
        except RllrError as error:
            shown = str(error).replace(f"{run.folder}/", "")
            warnings.append(f"{shown}; its cell has no part in intervals")
    return loaded, warnings


def _read(path: Path, cell: Cell) -> Predictions:
    rows = []
    for number, row in files.numbered_rows(path):
        try:
            rows.append((str(row["id"]), row["label"], row["prediction"], str(row["response"])))
        except KeyError as error:
            raise RllrError(f"{path}:{number}: no field {error}") from error
        for name in ("label", "prediction"):
            if isinstance(row[name], list | dict):
                raise RllrError(f"{path}:{number}: its {name} is a {type(row[name]).__name__}")
    rows.sort(key=lambda row: row[0])
    ids, labels, values, responses = zip(*rows, strict=True) if rows else ((), (), (), ())
    if len(set(ids)) < len(ids):
        raise RllrError(f"{path}: an id occurs twice")
    if cell.metric == "pearson":
        _require_numbers(path, (*labels, *(value for value in values if value is not None)))
    digest = hashlib.sha256("\0".join(responses).encode("utf-8", "surrogatepass")).hexdigest()
    return Predictions(ids, labels, values, digest)


def _require_numbers(path: Path, values: tuple[object, ...]) -> None:
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not np.isfinite(float(str(value))):
            raise RllrError(f"{path}: {value!r} is not a score; pearson needs numbers")
