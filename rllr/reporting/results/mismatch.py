"""What shows whether rewards follow labels: judged pairs, and the rewards of sampled responses.

Only what belongs to the run's grid is read. A broken file is left out and named; one that is not
there (no judge, an earlier version's reward model) is simply absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from operator import add
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from rllr import files
from rllr.config.schema import MIXTURE
from rllr.errors import RllrError
from rllr.layout import MANIFEST, SAMPLE_REWARDS
from rllr.reporting.results.collect import Run
from rllr.reporting.results.grid import first_problem
from rllr.reporting.results.reading import Count, Finite
from rllr.reporting.results.summaries import StageKey

Share = Annotated[float, Field(ge=0, le=1)]
Found = TypeVar("Found")
PARTS = ("train", "heldout")
ALL = "all"
_FOLDER = re.compile(r"([^/]+)/([^/]+)/([^/]+)/seed(\d+)")


@dataclass(frozen=True)
class PairStatistics:
    """What a manifest says of pairs that the judge ranked; None where nothing was to be counted."""

    pairs: Count
    equal_labels: Share | None
    one_label_right: Count
    judge_prefers_right: Share | None
    by_task: dict[str, PairStatistics] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """Counts of judged pairs: all, those whose responses state one label, those of which exactly
    one label is right, and those among the latter whose preferred response states it."""

    pairs: int = 0
    same_label: int = 0
    one_right: int = 0
    right_preferred: int = 0

    def plus(self, other: Judged) -> Judged:
        """Both together."""
        return Judged(*map(add, astuple(self), astuple(other)))


@dataclass(frozen=True)
class RewardRow:
    """One line of `sample_rewards.jsonl`."""

    task: str
    id: str
    reward: Finite
    label_correct: bool
    parsed: bool


@dataclass(frozen=True)
class Scored:
    """Sampled responses of one task as a reward model scored them; arrays of shape (responses,).

    `prompts` numbers the prompt that each answers, from 0; `right` and `parsed` are of its label.
    """

    prompts: NDArray[np.int64]
    rewards: NDArray[np.float64]
    right: NDArray[np.bool_]
    parsed: NDArray[np.bool_]


@dataclass(frozen=True)
class Mismatch:
    """`judged`: pairs of a stage's responses, by part and task (all together as `ALL`); `scored`:
    a reward model's, by task.
    """

    judged: dict[StageKey, dict[str, dict[str, Judged]]]
    scored: dict[StageKey, dict[str, Scored]]


_PARTS: TypeAdapter[dict[str, PairStatistics]] = TypeAdapter(dict[str, PairStatistics])
_ROW: TypeAdapter[RewardRow] = TypeAdapter(RewardRow)


def load_mismatch(run: Run) -> tuple[Mismatch, list[str]]:
    """Read a run's judged pairs and rewards of sampled responses; a warning names a broken file."""
    warnings: list[str] = []
    judged = _read_all(run, f"pairs/rationale_sensitive/*/*/*/*/{MANIFEST}", _judged, warnings)
    scored = _read_all(run, f"trained/*/*/*/*/{SAMPLE_REWARDS}", _scored, warnings)
    return Mismatch(dict(judged), dict(scored)), warnings


def _read_all(
    run: Run, pattern: str, read: Callable[[Path], Found], warnings: list[str]
) -> Iterator[tuple[StageKey, Found]]:
    """Identity and content of each usable file of the grid."""
    models = {model.key for model in run.grid.models}
    for path in sorted(run.folder.glob(pattern)):
        shown = path.relative_to(run.folder)
        found = _FOLDER.fullmatch("/".join(shown.parts[-5:-1]))
        if found is None:
            warnings.append(f"{shown}: left out: foreign: its folder is not seed<k>")
            continue
        key = StageKey(found[1], found[2], found[3], int(found[4]))
        scope_fits = (key.unit == MIXTURE) == (run.grid.scope == MIXTURE)
        if key.model not in models or key.seed not in run.grid.seeds or not scope_fits:
            continue
        try:
            yield key, read(path)
        except (RllrError, ValidationError) as error:
            reason = first_problem(error) if isinstance(error, ValidationError) else str(error)
            warnings.append(f"{shown}: left out: {reason.replace(f'{path}', shown.name)}")


def _judged(path: Path) -> dict[str, dict[str, Judged]]:
    content: Any = files.read_json(path)
    if not isinstance(content, dict) or "statistics" not in content:
        raise RllrError("no statistics: an earlier version's; delete it, and pairs are made again")
    found = _PARTS.validate_python(content["statistics"])
    return {
        part: {
            name: _counts(one) for name, one in {ALL: found[part], **found[part].by_task}.items()
        }
        for part in PARTS
        if part in found
    }


def _counts(of: PairStatistics) -> Judged:
    same, right = of.equal_labels or 0.0, of.judge_prefers_right or 0.0
    split = of.one_label_right
    return Judged(of.pairs, round(same * of.pairs), split, round(right * split))


def _scored(path: Path) -> dict[str, Scored]:
    by_task: dict[str, list[RewardRow]] = {}
    for number, content in files.numbered_rows(path):
        try:
            row = _ROW.validate_python(content)
        except ValidationError as error:
            raise RllrError(f"line {number}: {first_problem(error)}") from error
        by_task.setdefault(row.task, []).append(row)
    return {task: _arrays(rows) for task, rows in by_task.items()}


def _arrays(rows: list[RewardRow]) -> Scored:
    _, prompts = np.unique([row.id for row in rows], return_inverse=True)
    return Scored(
        prompts=prompts.astype(np.int64),
        rewards=np.array([row.reward for row in rows]),
        right=np.array([row.label_correct for row in rows]),
        parsed=np.array([row.parsed for row in rows]),
    )
