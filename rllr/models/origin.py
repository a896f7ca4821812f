"""Where published files come from: a repository of the hub at a commit, or a folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rllr import hub
from rllr.errors import RllrError
from rllr.files import sha256
from rllr.models.published import PublishedFile, is_published
from rllr.refusals import UnreachableError
from rllr.repository import TOKEN, Repository, token

# Appends to the stream what is missing of a file of which it holds so many bytes.
Read = Callable[[PublishedFile, IO[bytes], int], None]


@dataclass(frozen=True)
class Origin:
    """Where files come from: name, facts for a manifest, what it holds, and how it is read."""

    name: str
    facts: dict[str, Any]
    files: list[PublishedFile]
    read: Read


def require_pin(repo: Repository, revision: str | None, allow_unpinned: bool) -> None:
    """RllrError for a repository without a commit, unless the run allows it."""
    if revision is None and not allow_unpinned:
        raise RllrError(
            f"{repo} is not pinned (revision: null): write its commit into {repo.named_in}, "
            "with `python -m rllr pin --config CONFIG`, or set `allow_unpinned: true` in the "
            "configuration to take whatever is current"
        )


def hub_origin(repo: Repository, revision: str | None, *, gated: bool = False) -> Origin:
    """A repository at a commit, else at its newest; RllrError where it cannot be read."""
    found = hub.listing(repo, revision)
    if (gated or found.gated) and not token():
        raise RllrError(
            f"{repo} is gated: accept its licence at {repo.page}, make a token with read access "
            f"there, and set {TOKEN} in the environment"
        )

    def read(file: PublishedFile, stream: IO[bytes], have: int) -> None:
        try:
            hub.download(repo, found.commit, file, stream, have)
        except UnreachableError as error:
            raise RllrError(f"{error}; run it again: it goes on from where it was") from None

    facts = {"repo": repo.name, "commit": found.commit, "pinned": revision is not None}
    return Origin(f"{repo} at {found.commit[:12]}", facts, found.files, read)


def folder_origin(folder: Path) -> Origin:
    if not folder.is_dir():
        raise RllrError(f"{folder}: no such folder of a published model")
    paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
    files = [
        PublishedFile(path.name, path.stat().st_size, sha256=sha256(path))
        for path in paths
        if is_published(path.name)
    ]

    def read(file: PublishedFile, stream: IO[bytes], have: int) -> None:
        with (folder / file.name).open("rb") as original:
            original.seek(have)
            shutil.copyfileobj(original, stream)

    return Origin(str(folder), {"folder": str(folder)}, files, read)
