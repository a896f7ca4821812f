"""Reads from a run's manifests what each stage took, and what it was trained from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from rllr import files
from rllr.errors import RllrError
from rllr.reporting.results.grid import first_problem

MANIFEST = "manifest.json"
PLACES = (
    "trained/*/*/*/seed*/manifest.json",
    "samples/*/*/*/seed*/manifest.json",
    "pairs/rationale_sensitive/*/*/*/seed*/manifest.json",
    "cells/*/*/*/seed*/predictions.manifest.json",
)
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Spent:
    """One manifest's account of a stage; what the stage does not record is None.

    `wall_seconds` are of the last attempt, `total_seconds` of all, start-up included. `tokens` are
    those of prompts and responses in training, each epoch's counted, and generated ones elsewhere.
    `start`, `reward_models`, `pairs` and `settings` say what it was trained from.
    """

    stage: str
    wall_seconds: Amount
    total_seconds: Amount | None = None
    attempts: int = 1
    peak_rss_mib: Amount | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    peak_gpu_mib: Amount | None = None
    steps: Amount | None = None
    tokens: Amount | None = None
    device: str | None = None
    start: str | None = None
    reward_models: tuple[str | None, ...] = ()
    pairs: Any = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """The wall time that the stage took altogether, as far as it was recorded."""
        return max(self.wall_seconds, self.total_seconds or 0.0)


_SPENT: TypeAdapter[Spent] = TypeAdapter(Spent)


def read_spent(run_dir: Path, bases: Iterable[str], warnings: list[str]) -> dict[Path, Spent]:
    """What every manifest of a run says, by its path relative to the run's folder.

    `bases` are the folders of base models, seen from there. A manifest that cannot be used is named
    in `warnings` and left out.
    """
    paths = [Path(base, MANIFEST) for base in bases if (run_dir / base / MANIFEST).exists()]
    for place in PLACES:
        paths += sorted(path.relative_to(run_dir) for path in run_dir.glob(place))
    found = {}
    for path in paths:
        try:
            found[path] = _read(run_dir / path)
        except RllrError as error:
            reason = str(error).replace(f"{run_dir / path}: ", "")
            warnings.append(f"{path}: {reason}; what its stage took is not known")
    return found


def _read(path: Path) -> Spent:
    try:
        return _SPENT.validate_python(files.read_json(path))
    except ValidationError as error:
        raise RllrError(f"not a manifest: {first_problem(error)}") from error
    except OSError as error:
        raise RllrError(f"cannot be read ({error.strerror})") from error
