"""A job's log over all of its attempts: Snakemake deletes it whenever it starts the job again."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path

STDOUT = 1


def carry_over(kept: Path) -> None:
    """Begin this program's log with that of the program which was here before.

    `kept` is a second name (a hard link) of the last log, which outlives its first one; then of
    this one. Does nothing where standard output is no file, or the file system has no links.
    """
    if not stat.S_ISREG(os.fstat(STDOUT).st_mode):
        return
    with suppress(OSError):
        if kept.exists() and not os.path.samestat(kept.stat(), os.fstat(STDOUT)):
            sys.stdout.flush()
            with kept.open("rb") as log:
                shutil.copyfileobj(log, sys.stdout.buffer)
            sys.stdout.flush()
    with suppress(OSError):
        kept.unlink(missing_ok=True)
        os.link(os.readlink(f"/proc/self/fd/{STDOUT}"), kept)
