"""Which folder is a run, and where it keeps its metrics, however it was copied or linked."""

from __future__ import annotations

import os
from pathlib import Path

from rllr.errors import RllrError

RESULTS = Path("results")
METRICS = "metrics.json"
CELLS = "cells"
# Runs that a message lists.
SHOWN = 10


def only_run(holding: str, how: str) -> Path:
    """The one folder below `results/` in which a pattern finds something.

    Raises RllrError, which says `how` to name one, where there is none, or more than one.
    """
    parts = {path.relative_to(RESULTS).parts[0] for path in RESULTS.glob(f"*/{holding}")}
    found = sorted(RESULTS / name for name in parts)
    if len(found) == 1:
        return found[0]
    there = f"there are {', '.join(map(str, found))}" if found else "there is none yet"
    raise RllrError(f"{how} ({there})")


def find_metrics(run_dir: Path) -> tuple[list[Path], list[str]]:
    """Every metrics file below `cells/`, sorted, and what could not be looked into, and why.

    Links are followed, but not one to a folder that holds it.
    """
    found: list[Path] = []
    unread: list[str] = []

    def refuse(error: OSError) -> None:
        where = Path(str(error.filename)).relative_to(run_dir)
        unread.append(f"{where}: cannot be read ({error.strerror})")

    cells = run_dir / CELLS
    if os.path.lexists(cells):
        for name, folders, files in os.walk(cells, followlinks=True, onerror=refuse):
            folder = Path(name)
            for loop in [one for one in folders if _holds(folder / one, folder)]:
                folders.remove(loop)
                unread.append(f"{(folder / loop).relative_to(run_dir)}: a link to where it lies")
            found += [folder / METRICS] * (METRICS in files or METRICS in folders)
    return sorted(found), unread


def _holds(linked: Path, folder: Path) -> bool:
    """Whether a link leads to the folder that it lies in, or to one above."""
    return linked.is_symlink() and folder.resolve().is_relative_to(linked.resolve())


def other_folder(run_dir: Path) -> str:
    """What to do where a folder holds no usable cell: which other folder may be meant."""
    place = run_dir.resolve()
    below = sorted(path.parent.name for path in place.glob(f"*/{CELLS}") if path.is_dir())
    if below:
        more = f" and {len(below) - SHOWN} more" if below[SHOWN:] else ""
        return f"It holds runs: {', '.join(below[:SHOWN])}{more}; name one of them."
    above = next((path.parent for path in (place, *place.parents) if path.name == CELLS), None)
    if above is None and (place.parent / CELLS).is_dir():
        above = place.parent
    if above is not None:
        return f"It is a part of a run: name the folder {above}."
    return "Run at least one cell first, or name the folder of a run."
