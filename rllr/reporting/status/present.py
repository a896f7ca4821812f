"""Files as they are now: times, sizes and hashes, each looked at once."""

from __future__ import annotations

import os
from pathlib import Path

from rllr.errors import RllrError
from rllr.files import sha256
from rllr.layout import MANIFEST
from rllr.reporting.results.manifests import Manifest, read_manifest

# A larger file that is newer than what was made from it is not hashed: its manifest's time tells.
HASHED_BYTES = 1 << 26

Key = tuple[Path, int, int]


class Present:
    """What lies on disk; hashes are kept from look to look while a file stays as it is."""

    def __init__(self) -> None:
        self.hashes: dict[Key, str] = {}
        self.manifests: dict[Key, Manifest] = {}
        self.stats: dict[Path, os.stat_result | None] = {}

    def refresh(self) -> None:
        """Look at all files anew."""
        self.stats.clear()

    def stat(self, path: Path) -> os.stat_result | None:
        """A file's state; None where there is none."""
        if path not in self.stats:
            try:
                self.stats[path] = path.stat()
            except OSError:
                self.stats[path] = None
        return self.stats[path]

    def mtime(self, path: Path) -> float:
        """When a file was written, in seconds since 1970; 0 where there is none."""
        found = self.stat(path)
        return found.st_mtime if found else 0.0

    def manifest(self, path: Path) -> Manifest:
        """A manifest. Raises RllrError where it is none."""
        key = self._key(path)
        if key not in self.manifests:
            self.manifests[key] = read_manifest(path)
        return self.manifests[key]

    def differs(self, path: Path, recorded: str, user: Path, made: Manifest) -> bool:
        """Whether an input is not what its hash says that the artefact `user` was made from.

        Manifests are always compared, other files where they are newer than the artefact, as their
        hashes take longer. A file that is gone is another stage's concern.
        """
        found = self.stat(path)
        if found is None or (path.name != MANIFEST and found.st_mtime <= self.mtime(user)):
            return False
        if found.st_size > HASHED_BYTES:
            return self._made_later(path.parent / MANIFEST, made)
        return self._hash(path) != recorded

    def _made_later(self, manifest: Path, made: Manifest) -> bool:
        try:
            return self.manifest(manifest).time > made.time
        except RllrError:
            return True

    def _hash(self, path: Path) -> str:
        key = self._key(path)
        if key not in self.hashes:
            self.hashes[key] = sha256(path)
        return self.hashes[key]

    def _key(self, path: Path) -> Key:
        found = self.stat(path)
        return (path, found.st_mtime_ns, found.st_size) if found else (path, 0, 0)
