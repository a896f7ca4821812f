"""A tarball that is the same bytes whenever its contents are: order, times and owners are fixed."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from rllr.files import atomic

SUMS = "SHA256SUMS"
MODE = 0o644


def pack(to: Path, top: str, contents: Iterable[tuple[str, bytes]]) -> None:
    """Write the files (name, bytes) below one folder, with their SHA256SUMS last; atomically."""
    sums = []
    with (
        atomic(to) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, data in contents:
            sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
            _add(archive, f"{top}/{name}", data)
        _add(archive, f"{top}/{SUMS}", "".join(sums).encode())


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), MODE
    archive.addfile(entry, io.BytesIO(data))
