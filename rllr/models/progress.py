"""Progress of a long read, as lines of a log file: every 5 % and at least every 30 s."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHARE = 0.05
SECONDS = 30.0

Say = Callable[[str], None]


def human(count: int) -> str:
    """A number of bytes, in GB or MB (powers of ten)."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


class Progress:
    """Counts bytes up to `total`, of which `have` were there before, and says how far it is."""

    def __init__(self, name: str, total: int, have: int, say: Say) -> None:
        self.name, self.total, self.have, self.say = name, total, have, say
        self.read = 0
        self.started = time.monotonic()
        self.said_read, self.said_at = 0, self.started

    def add(self, count: int) -> None:
        """So many more bytes were read."""
        self.read += count
        now = time.monotonic()
        due = self.read - self.said_read >= SHARE * self.total or now - self.said_at >= SECONDS
        if due:
            self.said_read, self.said_at = self.read, now
            self.say(self._line(now))

    def _line(self, now: float) -> str:
        # A server that cannot go on in the middle sends some bytes twice.
        done = min(self.have + self.read, self.total)
        rate = self.read / max(now - self.started, 1e-3)
        minutes = (self.total - done) / max(rate, 1.0) / 60
        return (
            f"fetch {self.name}: {human(done)} of {human(self.total)} "
            f"({100 * done / self.total:.0f} %), {rate / 1e6:.0f} MB/s, {minutes:.0f} min left"
        )


class Watched(io.BufferedWriter):
    """A file opened to append to, whose growth is counted."""

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self.progress = progress

    def write(self, data: Any, /) -> int:
        """As a file's."""
        written = super().write(data)
        self.progress.add(written)
        return written
