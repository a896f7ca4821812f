"""A task's parts as they are before its training rows are split, and which rows are evaluated on.

Sources of all kinds are compared by the same hash of a text (`text_hash` of `text_key`).
"""

from __future__ import annotations

from pathlib import Path

from rllr.config.data import ReleaseData
from rllr.config.load import Project
from rllr.data import overlap
from rllr.data.index import Index, read_part
from rllr.data.overlap import Cleaned, Selection, all_rows
from rllr.data.release_rows import EVALUATED, ReleaseReader, Row
from rllr.data.source import PARTS, Source
from rllr.data.sources import source_of
from rllr.data.splits import carve
from rllr.models.progress import Say


def own_parts(
    source: Source, say: Say, temporary: Path | None = None
) -> tuple[dict[str, Index], Cleaned, dict[str, Selection]]:
    """Read a source's parts, keep each text once, and carve what it has not.

    It looks at no other task. Normalised rows are written into the folder `temporary`, if any.
    """
    indices = {}
    for part in (name for name in PARTS if name in source.parts):
        indices[part] = read_part(source, part, say, temporary / part if temporary else None)
    cleaned = overlap.clean(source, indices)
    return indices, cleaned, carve(source, cleaned.parts)


def evaluated(project: Project, task: str, say: Say) -> dict[str, Selection]:
    """Rows of a task that is not generated which no related task may train on, by part.

    Of the authors' release they are the test rows and the held-out pairs.
    """
    data = project.data(task)
    if isinstance(data, ReleaseData):
        reader = ReleaseReader(data, task, project.tasks[task])
        found = {part: reader.read(part) for part in EVALUATED if getattr(data.files, part)}
        return {part: _selection(reader.path(part), rows) for part, rows in found.items()}
    _, _, parts = own_parts(source_of(project, task, say), say)
    return {part: parts[part] for part in PARTS[1:] if part in parts}


def _selection(path: Path, rows: list[Row]) -> Selection:
    """Rows of a file of the release, as those of other sources."""
    index = Index([path])
    for row in rows:
        index.files.append(0)
        index.numbers.append(row.number)
        index.keys.append(row.key)
    return Selection(index, all_rows(index))
