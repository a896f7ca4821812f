"""What two runs were made with: configuration, code, packages, devices and data that differ."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rllr import files
from rllr.errors import RllrError
from rllr.plain import plain
from rllr.reporting.tables.table import MISSING, Row, Table, TableCell

# Where a manifest lies in the folder of a run.
MANIFESTS = ("cells/*/*/*/seed*/predictions.manifest.json", "trained/*/*/*/seed*/manifest.json")
EMPTY: tuple[object, ...] = (None, {}, [], "")
SHORT = 12
LONGEST = 60


class Difference(NamedTuple):
    """One thing that differs: what it is, and how each run has it."""

    what: str
    mine: str
    theirs: str


def settings_table(mine: Path, theirs: Path) -> Table:
    """Every setting, version, code and data hash that two runs' folders record differently.

    Of several configurations in a folder, the one written last counts.
    """
    first, second = _configuration(mine), _configuration(theirs)
    known = bool(first and second)
    configured = list(_changes(first, second, "")) if known else []
    groups = {
        "Configuration": configured,
        "Made with": _differences(_made_with(mine), _made_with(theirs)),
    }
    return Table(
        name="settings",
        title="What the runs were made with, where they differ",
        caption=_caption(known, groups),
        columns=("", "What", "A", "B"),
        groups=tuple(_rows(name, found) for name, found in groups.items() if found),
        labels=4,
    )


def _rows(group: str, found: list[Difference]) -> tuple[Row, ...]:
    return tuple(
        (TableCell(group), *(TableCell(plain(text)) for text in difference)) for difference in found
    )


def _caption(configured: bool, groups: Mapping[str, list[Difference]]) -> str:
    same = [name.lower() for name, found in groups.items() if not found]
    parts = ["Of hashes and commits the first digits; a dash where a run records none."]
    if not configured:
        parts.append("A run has no resolved configuration: settings were not compared.")
        same = [name for name in same if name != "configuration"]
    if same:
        parts.append(f"No difference: {', '.join(same)}.")
    return " ".join(parts)


def _configuration(folder: Path) -> Any:
    paths = sorted(folder.glob("config/*.json"), key=lambda path: (path.stat().st_mtime, path.name))
    for path in reversed(paths):
        try:
            return files.read_json(path)
        except RllrError:  # the one before it is better than none
            continue
    return None


def _changes(mine: Any, theirs: Any, where: str) -> Iterator[Difference]:
    """Settings that differ, by their keys joined by dots; an absent one is as good as an empty one,
    as later versions of the code have more of them.
    """
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in sorted({*mine, *theirs}):
            name = f"{where}.{key}" if where else key
            yield from _changes(mine.get(key), theirs.get(key), name)
    elif _shown(mine) != _shown(theirs):
        yield Difference(where, _cut(_shown(mine)), _cut(_shown(theirs)))


def _shown(value: Any) -> str:
    return MISSING if value in EMPTY else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\N{HORIZONTAL ELLIPSIS}"


def _differences(mine: Mapping[str, str], theirs: Mapping[str, str]) -> list[Difference]:
    return [
        Difference(key, mine.get(key, MISSING), theirs.get(key, MISSING))
        for key in sorted({*mine, *theirs})
        if mine.get(key) != theirs.get(key)
    ]


def _made_with(folder: Path) -> dict[str, str]:
    found: dict[str, set[str]] = defaultdict(set)
    for pattern in MANIFESTS:
        for path in sorted(folder.glob(pattern)):
            try:
                content = files.read_json(path)
            except RllrError:  # named where its cell is read
                continue
            if isinstance(content, dict):
                for what, value in _facts(content):
                    found[what].add(value)
    return {what: ", ".join(sorted(values)) for what, values in found.items()}


def _facts(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("commit", "python", "device", "image"):
        if manifest.get(key):
            yield key, str(manifest[key])[: SHORT if key == "commit" else LONGEST]
    for name, version in _mapping(manifest, "packages").items():
        yield f"package {name}", str(version)
    code = _mapping(manifest, "code").get("sha256")
    if code:
        yield f"code of stage {manifest.get('stage')}", str(code)[:SHORT]
    for path, digest in _mapping(manifest, "inputs").items():
        parts = Path(path).parts
        if len(parts) > 2 and parts[-3] == "data" and parts[-1].endswith(".jsonl"):
            yield f"data {parts[-2]}/{parts[-1]}", str(digest)[:SHORT]


def _mapping(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = manifest.get(key)
    return found if isinstance(found, dict) else {}
