"""The files of the authors' release: which there are, and which are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rllr.config.data import ReleaseData
from rllr.config.load import Project
from rllr.errors import RllrError
from rllr.files import read_json

ORIGIN = (
    "the files of the authors' release are downloaded by hand, from the link in the README of "
    "github.com/MagiaSN/ACL2024_RLLR; docs/data.md says which goes where"
)


def release_files(data: ReleaseData) -> list[Path]:
    """The release's files that a configuration names."""
    names = data.files.model_dump().values()
    return [Path(data.path) / name for name in names if name]


def released_sources(project: Project, task: str) -> list[Path]:
    """The release's files that are there; none where a task's data are of another source."""
    data = project.data(task)
    files = release_files(data) if isinstance(data, ReleaseData) else []
    return [path for path in files if path.exists()]


def check_files(data: ReleaseData) -> None:
    """Raise RllrError where a file of the release is missing."""
    missing = [str(path) for path in release_files(data) if not path.is_file()]
    if missing:
        raise RllrError(
            f"data.files: no file {', '.join(missing)}; {ORIGIN} (a file that you do without is "
            "null in data.files, where that is allowed)"
        )


def read_list(path: Path) -> list[Any]:
    """The rows of one file; RllrError names a file that cannot be read or is no JSON list."""
    found = read_json(path)
    if not isinstance(found, list):
        raise RllrError(f"{path}: expected a list of rows, found {type(found).__name__}; {ORIGIN}")
    return found
