"""Reads manifests: what made an artefact, from what, and with which settings."""

from __future__ import annotations

from calendar import timegm
from dataclasses import dataclass, field
from pathlib import Path
from time import strptime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rllr import files
from rllr.errors import RllrError
from rllr.reporting.results.grid import first_problem


@dataclass(frozen=True)
class Code:
    """The modules of this project that a stage had loaded, and a hash of their sources."""

    modules: tuple[str, ...] = ()
    sha256: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a stage recorded when it was done; `inputs` are paths as they were, with SHA-256."""

    stage: str
    settings: Any
    inputs: dict[str, str]
    seed: int = 0
    commit: str | None = None
    code: Code = Code()
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    device: str = ""
    image: str | None = None
    finished: str = ""
    input_hash: str | None = None

    @property
    def time(self) -> float:
        """When the stage was done, in seconds since 1970; 0 where that is unreadable."""
        try:
            return timegm(strptime(self.finished, "%Y-%m-%dT%H:%M:%SZ"))
        except ValueError:
            return 0.0


_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)


def read_manifest(path: Path) -> Manifest:
    """Read one manifest. Raises RllrError, without the path, where it is none."""
    try:
        return _MANIFEST.validate_python(files.read_json(path))
    except RllrError as error:
        raise RllrError(str(error).replace(f"{path}: ", "")) from error
    except OSError as error:
        raise RllrError(f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise RllrError(f"not a manifest: {first_problem(error)}") from error


def first_difference(before: Any, now: Any, other: str = "now", key: str = "") -> str:
    """The first setting that differs, as `settings.gamma: 0.9, now 1.0`; empty where none does.

    `other` is what `now` is called in it.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for name in {**before, **now}:
            inner = f"{key}.{name}" if key else str(name)
            found = first_difference(before.get(name), now.get(name), other, inner)
            if found:
                return found
        return ""
    if isinstance(before, (list, tuple)) and isinstance(now, (list, tuple)):
        return _first_of_lists(before, now, other, key)
    return "" if before == now else f"{key}: {_shown(before)}, {other} {_shown(now)}"


def _first_of_lists(before: Any, now: Any, other: str, key: str) -> str:
    if len(before) != len(now):
        return f"{key}: {len(before)} entries, {other} {len(now)}"
    for index, (old, new) in enumerate(zip(before, now, strict=True)):
        if _is_entry(old) and _is_entry(new) and old[0] == new[0]:
            found = first_difference(old[1], new[1], other, f"{key}.{new[0]}")
        else:
            found = first_difference(old, new, other, f"{key}.{index}")
        if found:
            return found
    return ""


def _is_entry(value: Any) -> bool:
    """A pair of a name and what belongs to it, which reads like an entry of a mapping."""
    pair = isinstance(value, (list, tuple)) and len(value) == 2
    return pair and isinstance(value[0], str)


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
