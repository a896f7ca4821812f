"""Reads the manifests of a run: what each stage was made from, and what it took."""

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
    "data/*/manifest.json",
    "rationales/*/manifest.json",
    "trained/*/*/*/seed*/manifest.json",
    "samples/*/*/*/seed*/manifest.json",
    "pairs/rationale_sensitive/*/*/*/seed*/manifest.json",
    "cells/*/*/*/seed*/predictions.manifest.json",
)
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Manifest:
    """What tables need of one manifest; what a stage does not record is None.

    `wall_seconds` are of the last attempt, `total_seconds` of all, start-up included. `tokens` are
    those of prompts and responses in training, each epoch's counted, and generated ones elsewhere.
    """

    stage: str
    wall_seconds: Seconds
    total_seconds: Seconds | None = None
    attempts: int = 1
    peak_rss_mib: Count | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    peak_gpu_mib: Count | None = None
    steps: Count | None = None
    tokens: Count | None = None
    device: str | None = None
    commit: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    start: str | None = None
    reward_models: tuple[str | None, ...] = ()
    pairs: Any = None

    @property
    def seconds(self) -> float:
        """The wall time that the stage took altogether, as far as it was recorded."""
        return max(self.wall_seconds, self.total_seconds or 0.0)


_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)


def read_manifest(path: Path) -> Manifest:
    """Read one manifest. Raises RllrError that names the file and key where it is malformed."""
    try:
        return _MANIFEST.validate_python(files.read_json(path))
    except ValidationError as error:
        raise RllrError(f"{path}: not a manifest: {first_problem(error)}") from error
    except OSError as error:
        raise RllrError(f"{path}: cannot be read ({error.strerror})") from error


def read_manifests(
    run_dir: Path, bases: Iterable[str], warnings: list[str]
) -> dict[Path, Manifest]:
    """All manifests of a run by their paths, relative to its folder.

    `bases` are the folders of base models, seen from there. One that cannot be used is named in
    `warnings` and left out.
    """
    found = [Path(base, MANIFEST) for base in bases if (run_dir / base / MANIFEST).exists()]
    for place in PLACES:
        found += sorted(path.relative_to(run_dir) for path in run_dir.glob(place))
    manifests = {}
    for path in found:
        try:
            manifests[path] = read_manifest(run_dir / path)
        except RllrError as error:
            warnings.append(f"{str(error).replace(f'{run_dir}/', '')}; its costs are not known")
    return manifests
