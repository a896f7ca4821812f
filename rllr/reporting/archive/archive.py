"""One tarball of a run for a paper's appendix: what a reader needs to check its numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rllr import files
from rllr.artefact import ROOT
from rllr.errors import RllrError
from rllr.plain import plain
from rllr.reporting.archive.contents import (
    PREDICTIONS,
    REPORT,
    Member,
    links_out,
    members,
    missing,
)
from rllr.reporting.archive.licences import licences, quoted_tasks
from rllr.reporting.archive.pack import pack
from rllr.reporting.archive.readme import readme
from rllr.reporting.archive.scrub import Places, places_of, scrub
from rllr.reporting.archive.texts import as_json, without_texts
from rllr.reporting.results.analysis import analyse
from rllr.reporting.results.collect import Run, load_run
from rllr.reporting.tables.build import tables_of
from rllr.reporting.tables.render import FORMATS

FROM_CODE = ("LICENSE", "CITATION.cff")
GRID, MANIFEST, CONFIG = "grid.json", "manifest.json", "config"
PARTS = ("config", "models", "tasks")


@dataclass
class Archive:
    """What was written: how many of the run's files, and what a user should know of it.

    `notes` say what of the run is missing or out of date; `quoted` names the tasks whose texts it
    quotes and that have terms of their own.
    """

    count: int = 0
    notes: list[str] = field(default_factory=list)
    quoted: list[str] = field(default_factory=list)


def archive_path(run_dir: Path, to: Path | None) -> Path:
    """Where a run's archive goes, by default beside its folder; RllrError if a file is there."""
    place = run_dir.resolve()
    path = to or place.parent / f"{place.name}.tar.gz"
    if path.exists():
        raise RllrError(f"{path}: exists; remove it, or name another file with --to")
    return path


def write_archive(run_dir: Path, path: Path, *, texts: bool = True) -> Archive:
    """Write the archive of a run, and say what it holds.

    Without `texts` no prompt and no response is in it. Raises RllrError if the run has no usable
    cell.
    """
    run = load_run(run_dir)
    notes = [*missing(run), *links_out(run), *_out_of_date(run), *run.warnings]
    written = Archive(notes=notes)
    pack(path, f"{run_dir.resolve().name}-archive", _contents(run, written, texts=texts))
    return written


def _contents(run: Run, written: Archive, *, texts: bool) -> Iterator[tuple[str, bytes]]:
    """Every file of the archive, by name; what is found on the way is noted in `written`."""
    configurations = _configurations(run)
    if texts:
        written.quoted = quoted_tasks(run.grid, configurations.values())
    elif (run.folder / REPORT).exists():
        written.notes.append(f"{REPORT}: left out, as it quotes texts")
    yield from _of_run(run, written, places_of(run, configurations), texts=texts)
    yield from _from_code(written)
    terms = licences(run.grid, configurations.values(), texts=texts)
    yield "LICENCES.md", plain(terms).encode()
    yield "README.md", plain(readme(run, texts=texts, notes=written.notes)).encode()


def _of_run(
    run: Run, written: Archive, places: Places, *, texts: bool
) -> Iterator[tuple[str, bytes]]:
    """The run's own files, as they go into the archive."""
    here = str(run.folder.resolve().parent).encode()
    for member in members(run, texts=texts):
        try:
            data = _bytes(member, places, texts=texts)
        except (RllrError, OSError) as error:
            written.notes.append(f"left out: {error}".replace(f"{run.folder}/", ""))
            continue
        if here in data:
            written.notes.append(f"{member.name}: names the folder that the run lay in")
        written.count += 1
        yield member.name, data


def _bytes(member: Member, places: Places, *, texts: bool) -> bytes:
    """A file as it goes into the archive.

    Raises RllrError if it has to be read to be cleared of paths or texts, and cannot be.
    """
    name = member.path.name
    if name == PREDICTIONS and not texts:
        return without_texts(member.path)
    if name == GRID or name.endswith(MANIFEST) or member.path.parent.name == CONFIG:
        cleared = scrub(files.read_json(member.path), places)
        return as_json(json.dumps(cleared, indent=2, ensure_ascii=False) + "\n")
    return member.path.read_bytes()


def _from_code(written: Archive) -> Iterator[tuple[str, bytes]]:
    """The licence of the code, and how to cite it, where this is a checkout."""
    for name in FROM_CODE:
        path = ROOT.parent / name
        if path.is_file():
            yield name, path.read_bytes()
        else:
            written.notes.append(f"{name}: not in this installation")


def _configurations(run: Run) -> dict[str, Any]:
    """The run's resolved configurations by file name, those that can be read."""
    found = {}
    for path in sorted(run.folder.glob(f"{CONFIG}/*.json")):
        with suppress(RllrError):  # it is named where it would have been packed
            content = files.read_json(path)
            if _is_configuration(content):
                found[path.name] = content
    return found


def _is_configuration(content: Any) -> bool:
    """Whether it has the parts that a resolved configuration has."""
    return isinstance(content, dict) and all(isinstance(content.get(p, {}), dict) for p in PARTS)


def _out_of_date(run: Run) -> list[str]:
    """Tables in the run's folder that are not what its metrics give now."""
    stale = []
    for name, table in tables_of(analyse(run)).items():
        for end, render in FORMATS.items():
            path = run.folder / "tables" / f"{name}.{end}"
            if path.is_file() and path.read_bytes() != render(table).encode():
                stale.append(path.name)
    if not stale:
        return []
    how = "`python -m rllr tables` makes them anew"
    return [f"tables that this code would not make from these metrics: {', '.join(stale)}; {how}"]
