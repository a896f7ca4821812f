"""Manifests: written last and atomically, so that their existence means the artefact is whole."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rllr.files import digest, sha256, write_json

ROOT = Path(__file__).resolve().parent
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "tokenizers", "pydantic", "scipy")


@contextmanager
def artefact(
    path: Path, stage: str, settings: Any, *, seed: int, inputs: Sequence[Path] = ()
) -> Iterator[dict[str, Any]]:
    """Make the folder of manifest `path`; when the block ends well, write it with what was noted.

    The yielded dictionary takes further facts (counts, tokens). An earlier manifest is removed
    first: while the stage runs, the artefact is not done.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    started = time.monotonic()
    notes: dict[str, Any] = {}
    yield notes
    record = {
        "stage": stage,
        "seed": seed,
        "settings": settings,
        "inputs": {str(name): sha256(name) for name in inputs},
        **_environment(),
        "wall_seconds": round(time.monotonic() - started, 2),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        **_gpus(notes.get("processes", 1)),
        **notes,
    }
    write_json(path, record)


def _environment() -> dict[str, Any]:
    return {
        "commit": commit(),
        "code": code_hash(),
        "python": platform.python_version(),
        "packages": _versions(),
        "image": os.environ.get("RLLR_IMAGE_DIGEST"),
        "device": _device(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def code_hash() -> dict[str, Any]:
    """The rllr modules that this process has loaded, and a hash of their sources."""
    names = sorted(name for name in sys.modules if name == "rllr" or name.startswith("rllr."))
    files = {name: getattr(sys.modules[name], "__file__", None) for name in names}
    hashes = {name: sha256(Path(path)) for name, path in files.items() if path}
    return {"modules": sorted(hashes), "sha256": digest(hashes)}


def training_code() -> str:
    """A hash of the training sources and the packages' versions: what a killed run rested on."""
    paths = sorted((ROOT / "training").rglob("*.py"))
    sources = {path.relative_to(ROOT).as_posix(): sha256(path) for path in paths}
    return digest([sources, {name: _version(name) for name in PACKAGES}])


@cache
def commit() -> str | None:
    """The working copy's commit, with `+` when it has local changes; None outside git.

    A container has no git: there the workflow says it (RLLR_COMMIT).
    """
    if os.environ.get("RLLR_COMMIT"):
        return os.environ["RLLR_COMMIT"]
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return head and head + ("+" if changes else "")


def _git(*words: str) -> str | None:
    command = ["git", "-C", str(ROOT.parent), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _versions() -> dict[str, str]:
    """Versions of the packages that this process has imported."""
    found = {name: _version(name) for name in PACKAGES if name in sys.modules}
    return {name: number for name, number in found.items() if number is not None}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _gpus(processes: int) -> dict[str, int]:
    """How many GPUs the stage's processes had, one each, and the most memory this one took (MiB).

    A GPU that the host has and the stage did not put anything on counts as none.
    """
    torch = sys.modules.get("torch")
    reserved = torch.cuda.max_memory_reserved() if torch and torch.cuda.is_available() else 0
    return {"gpus": processes, "peak_gpu_mib": reserved >> 20} if reserved else {"gpus": 0}


def _device() -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"cpu ({platform.machine()})"
