"""Fetching published files, from the hub or from a folder, into a folder of their own.

A file appears under its name when all of it is there and verified: size and SHA-256 of an LFS file,
size and git blob id of any other. Until then it lies in `.partial/`, from where a later call goes
on. What is there already is verified anew, and read again where it is damaged.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rllr.config.schema import HubSource
from rllr.errors import RllrError
from rllr.files import sha256
from rllr.models.origin import Origin, folder_origin, hub_origin, require_pin
from rllr.models.progress import Progress, Say, Watched, human
from rllr.models.published import PublishedFile, check_shards, fault, is_published, select
from rllr.repository import Repository

PARTIAL = ".partial"
# Conversion writes all files a second time, beside the first.
CONVERTED_COPY = 1.0


def fetch(
    source: HubSource | Path,
    to: Path,
    *,
    allow_unpinned: bool = False,
    tokenizer: str | None = None,
    say: Say | None = None,
) -> dict[str, Any]:
    """Fetch a model's files into the folder `to`, which is fetch's own; return a manifest's facts.

    `source` is a repository of the hub, or a folder with the same files; `tokenizer` names the file
    that it must hold, where it matters which. Goes on where an earlier
    call was killed. Facts: `fetched` (`repo` and the `commit`, or the `folder`), `bytes`, and
    `files`, each with its `size` and `sha256`. `say` takes lines on progress (default: print).

    Raises RllrError for an unpinned source (unless allowed), a token that is missing or has no
    access, a model or commit that is gone, no connection, too small a disk, files that are missing
    or are not what was published. None of these leaves a damaged file under its own name.
    """
    say = say or _print
    if isinstance(source, Path):
        origin = folder_origin(source)
    else:
        check_pinned(source, allow_unpinned)
        origin = hub_origin(Repository(source.repo), source.revision, gated=source.gated)
    files = select(origin.files, origin.name)
    if tokenizer and tokenizer not in {file.name for file in files}:
        raise RllrError(
            f"{origin.name} holds no {tokenizer}, which its `source.layout` needs; mend the "
            "model's file, or name another repository"
        )
    _remove_others(to, files)
    facts = fetch_files(origin, files, to, say, copies=CONVERTED_COPY)
    check_shards(to, files, origin.name)
    return facts


def fetch_files(
    origin: Origin, files: Sequence[PublishedFile], to: Path, say: Say, *, copies: float = 0
) -> dict[str, Any]:
    """Fetch these files of an origin into the folder `to`; return a manifest's facts, as `fetch`.

    `copies` is the share of them that the disk must hold besides. Raises RllrError as `fetch` does.
    """
    try:
        _fetch_files(origin, files, to, say, copies)
    except OSError as error:
        raise RllrError(_write_fault(to, error)) from error
    size = sum(file.size for file in files)
    say(f"fetch {origin.name}: {len(files)} files of {human(size)} are there and verified")
    facts = {file.name: {"size": file.size, "sha256": _sha256(to, file)} for file in files}
    return {"fetched": origin.facts, "bytes": size, "files": facts}


def check_pinned(source: HubSource, allow_unpinned: bool) -> None:
    """RllrError for a source without a commit, unless the run allows it."""
    require_pin(Repository(source.repo), source.revision, allow_unpinned)


def _print(line: str) -> None:
    print(line, flush=True)


# --- files ---------------------------------------------------------------------------------------


def _fetch_files(
    origin: Origin, files: Sequence[PublishedFile], to: Path, say: Say, copies: float
) -> None:
    (to / PARTIAL).mkdir(parents=True, exist_ok=True)
    missing = [file for file in files if not _is_there(to, file, say)]
    have = sum(_partial_size(to, file) for file in missing)
    progress = Progress(origin.name, sum(file.size for file in missing), have, say)
    _check_disk(to, progress.total - have, round(copies * sum(file.size for file in files)))
    if missing:
        say(
            f"fetch {origin.name}: {human(progress.total)} to fetch (files: {len(missing)}), "
            f"{human(have)} of them there already"
        )
    for file in missing:
        _fetch_file(origin, file, to, progress)
    with suppress(OSError):  # what another call left half-read stays
        (to / PARTIAL).rmdir()


def _remove_others(to: Path, files: Sequence[PublishedFile]) -> None:
    """Remove what an earlier call fetched that is not part of this one: another commit's files."""
    if not to.exists():
        return
    kept = {to / file.name for file in files} | {_partial(to, file) for file in files}
    fetched = [path for path in to.iterdir() if is_published(path.name)]
    for path in {*fetched, *(to / PARTIAL).glob("*")} - kept:
        path.unlink()


def _is_there(to: Path, file: PublishedFile, say: Say) -> bool:
    path = to / file.name
    if not path.exists():
        return False
    wrong = fault(path, file)
    if wrong:
        say(f"{path}: damaged ({wrong}); fetching it again")
        path.unlink()
    return wrong is None


def _partial(to: Path, file: PublishedFile) -> Path:
    """Where a file lies until it is whole; its name carries what identifies the content."""
    return to / PARTIAL / f"{file.name.replace('/', '--')}.{file.digest[:16]}"


def _partial_size(to: Path, file: PublishedFile) -> int:
    """How much of a file is there already; more than all of it is not part of it, and goes."""
    path = _partial(to, file)
    size = path.stat().st_size if path.exists() else 0
    if size > file.size:
        path.unlink()
    return size if size <= file.size else 0


def _fetch_file(origin: Origin, file: PublishedFile, to: Path, progress: Progress) -> None:
    path = _partial(to, file)
    with Watched(path, progress) as stream:
        origin.read(file, stream, stream.tell())
    wrong = fault(path, file)
    if wrong:
        path.unlink()
        raise RllrError(
            f"{origin.name}: {file.name} is not what was published ({wrong}); what was read of it "
            "is deleted. Run it again; if that does not help, look for a proxy or a mirror that "
            "changes files, and for a damaged disk"
        )
    (to / file.name).parent.mkdir(parents=True, exist_ok=True)
    path.replace(to / file.name)


def _sha256(to: Path, file: PublishedFile) -> str:
    return file.sha256 or sha256(to / file.name)


# --- disk ----------------------------------------------------------------------------------------


def _check_disk(to: Path, missing: int, copy: int) -> None:
    """RllrError unless there is room for what is missing and for the converted copy of it all."""
    need, free = missing + copy, shutil.disk_usage(to).free
    if free < need:
        rest = ", the rest for the converted copy" if copy else ""
        raise RllrError(
            f"{to}: {human(need)} are needed ({human(missing)} to fetch{rest}), {human(free)} are "
            "free; make room, or name a folder on a larger disk as models_dir"
        )


def _write_fault(to: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{to}: the disk (or your quota) is full; make room and run it again: it goes on from "
            "where it was"
        )
    return f"{error.filename or to}: {error.strerror}; mend that, or name another models_dir"
