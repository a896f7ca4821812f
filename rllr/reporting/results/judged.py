"""Reads what the judge said of methods' test responses: `judged/<model>/<unit>/seed<k>/`.

A folder counts once its manifest is there, which is written last. What is broken or foreign is
named in the run's warnings and left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from rllr import files
from rllr.errors import RllrError
from rllr.reporting.results.grid import Grid, first_problem

COMPARISONS = "comparisons.jsonl"
Verdict = Literal[-1, 0, 1]
Pair = tuple[str, str]
Verdicts = tuple[Verdict | None, Verdict | None]
# What a verdict in both orders follows if it changes with the order.
FOLLOWED: dict[Verdicts, str] = {(1, -1): "first_place", (-1, 1): "second_place"}
OUTCOMES = {1.0: "won", 0.5: "tied", 0.0: "lost"}
_SEED = re.compile(r"seed(\d+)")


class JudgedKey(NamedTuple):
    """Whose responses were compared; `unit` is `mixture` or a task."""

    model: str
    unit: str
    seed: int


@dataclass(frozen=True)
class Compared:
    """Responses of two methods to one test example, in both orders.

    `verdicts` are on the response of `method`, shown first and shown second: 1 it is better, -1
    worse, 0 neither, None no usable answer.
    """

    task: str
    id: str
    method: str
    against: str
    verdicts: Verdicts
    same_text: bool
    same_label: bool

    @property
    def points(self) -> float | None:
        """See `points_of`."""
        return points_of(self.verdicts)

    @property
    def counts(self) -> tuple[str, ...]:
        """What it counts as, in every respect."""
        return _counts_of(self.verdicts, self.same_text)


@cache
def points_of(verdicts: Verdicts) -> float | None:
    """1 for a win, 0 for a loss, 1/2 for a tie; None where an order has no verdict.

    A win (or loss) is one in both orders; what changes with the order is a tie (Zheng et al. 2023,
    "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", section 3.4).
    """
    first, second = verdicts
    if first is None or second is None:
        return None
    return (first + 1) / 2 if first == second else 0.5


@cache
def _counts_of(verdicts: Verdicts, same_text: bool) -> tuple[str, ...]:
    points = points_of(verdicts)
    names = ["comparisons"]
    names.append("no_verdict" if points is None else OUTCOMES[points])
    if same_text:
        return (*names, "same_text")
    if points is not None:
        names.append("asked")
        names += ["inconsistent"] if verdicts[0] != verdicts[1] else []
        names += [FOLLOWED[verdicts]] if verdicts in FOLLOWED else []
    return tuple(names)


@dataclass(frozen=True)
class Judged:
    """The comparisons of one model, unit and seed, and who judged: a backend, and its model."""

    judge: str
    rows: tuple[Compared, ...]


_ROW: TypeAdapter[Compared] = TypeAdapter(Compared)


def load_judged(run_dir: Path, grid: Grid, warnings: list[str]) -> dict[JudgedKey, Judged]:
    """Every usable folder of comparisons inside the grid; `warnings` takes what is not."""
    found = {}
    for folder in sorted(run_dir.glob("judged/*/*/*")):
        shown = folder.relative_to(run_dir)
        try:
            key = _key(shown, grid)
            judged = Judged(_judge(folder / "manifest.json"), _rows(folder / COMPARISONS))
            found[key] = _inside(judged, shown, grid, warnings)
        except RllrError as error:
            reason = str(error).replace(f"{folder}/", "")
            warnings.append(f"{shown}: left out: {reason}")
        except OSError as error:
            warnings.append(f"{shown}: left out: cannot be read ({error.strerror})")
    return found


def _key(shown: Path, grid: Grid) -> JudgedKey:
    _, model, unit, name = shown.parts
    seed = _SEED.fullmatch(name)
    if seed is None:
        raise RllrError("foreign: its folder is not seed<k>")
    units = ["mixture"] if grid.scope == "mixture" else [task.key for task in grid.tasks]
    models = [entry.key for entry in grid.models]
    if model not in models or unit not in units or int(seed[1]) not in grid.seeds:
        raise RllrError("it lies outside the run's grid")
    return JudgedKey(model, unit, int(seed[1]))


def _judge(path: Path) -> str:
    """Who judged, as a manifest's settings say."""
    settings: Any = files.read_json(path)
    for name in ("settings", "judge"):
        settings = settings.get(name) if isinstance(settings, dict) else None
    if not isinstance(settings, dict) or not isinstance(settings.get("backend"), str):
        raise RllrError(f"{path}: not a manifest of comparisons: no settings.judge.backend")
    model = settings.get("model")
    return f"{settings['backend']}, {model}" if model else str(settings["backend"])


def _rows(path: Path) -> tuple[Compared, ...]:
    found = []
    seen = set()
    for number, row in files.numbered_rows(path):
        try:
            one = _ROW.validate_python(row)
        except ValidationError as error:
            raise RllrError(f"{path}:{number}: not a comparison: {first_problem(error)}") from error
        name = (one.task, one.id, one.method, one.against)
        if name in seen:
            raise RllrError(f"{path}:{number}: it compares {'/'.join(name)} twice")
        seen.add(name)
        found.append(one)
    return tuple(found)


def _inside(judged: Judged, shown: Path, grid: Grid, warnings: list[str]) -> Judged:
    """The comparisons of the grid's own tasks and methods."""
    tasks = {task.key for task in grid.tasks}
    methods = {entry.key for entry in grid.methods}
    rows = tuple(
        one for one in judged.rows if one.task in tasks and {one.method, one.against} <= methods
    )
    outside = len(judged.rows) - len(rows)
    if outside:
        warnings.append(
            f"{shown}: {outside} comparisons lie outside the run's grid and are not in the tables"
        )
    return Judged(judged.judge, rows)
