"""Pinning: the current commit of each source from the hub, written into the file that names it.

The edit is one of text, so that comments and layout stay; it is made only if the file then says the
same as before but for the commit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rllr import hub
from rllr.config.load import Project, read_yaml
from rllr.config.messages import nearest
from rllr.config.schema import HubSource
from rllr.errors import RllrError
from rllr.files import write_text

# `revision:` on a line of its own, with what stands before and behind the value.
REVISION = re.compile(r"(?m)^([ \t]+revision:[ \t]*)([^\s#]+)(.*)$")
# The comment above it that says there is none.
NOT_PINNED = re.compile(r"(?mi)^[ \t]*#.*not pinned.*\n(?=[ \t]+revision:)")


def pin(project: Project, models: Sequence[str], *, dry_run: bool = False) -> list[str]:
    """Pin the run's models from the hub (or those of `models`); return a line for each.

    All commits are looked up before the first file is written. Raises RllrError for a name that is
    not part of the run, a hub that does not answer, and a file that cannot be edited.
    """
    chosen = _chosen(project, models)
    found = {name: hub.current_commit(source.repo) for name, source in chosen.items()}
    edits = {
        name: (path := _file(project, "models", name), pinned(path, commit))
        for name, commit in found.items()
    }
    lines = []
    for name, (path, text) in edits.items():
        old = read_yaml(path)["source"]["revision"]
        if not dry_run and old != found[name]:
            _write(path, text)
        lines.append(_line(name, old, found[name], path, dry_run))
    return lines or ["no model of this run comes from the hub; there is nothing to pin"]


def _chosen(project: Project, models: Sequence[str]) -> dict[str, HubSource]:
    for name in models:
        if name not in project.models:
            known = sorted(project.models)
            raise RllrError(f"--model: {name!r} is not part of this run{nearest(name, known)}")
    sources = {name: project.models[name].source for name in models or project.models}
    return {name: found for name, found in sources.items() if isinstance(found, HubSource)}


def _file(project: Project, kind: str, name: str) -> Path:
    """The file that defines a model of the run; the first place wins, as when it is read."""
    paths = [folder / kind / f"{name}.yaml" for folder in project.folders]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise RllrError(f"{kind}/{name}.yaml: not found; give --config the run's YAML file")
    return path.resolve()


def pinned(path: Path, commit: str) -> str:
    """The text of a definition with `commit` as its source's revision.

    Raises RllrError where the file cannot be edited as text, and says what to write by hand.
    """
    raw = read_yaml(path)
    text = path.read_bytes().decode()
    lines = REVISION.findall(text)
    edited = REVISION.sub(rf'\g<1>"{commit}"\g<3>', NOT_PINNED.sub("", text))
    if len(lines) != 1 or _parsed(edited) != _with_revision(raw, commit):
        raise RllrError(
            f"{path}: cannot be edited: below `source:` it needs a line `revision: …` of its own "
            f'(found: {len(lines)}); write it by hand: revision: "{commit}"'
        )
    return edited


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _with_revision(raw: dict[str, Any], commit: str) -> dict[str, Any]:
    return {**raw, "source": {**raw.get("source", {}), "revision": commit}}


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise RllrError(
            f"{path}: cannot be written ({error.strerror}); copy it into a folder models/ beside "
            "your own configuration and pin it there"
        ) from None


def _line(name: str, old: str | None, new: str, path: Path, dry_run: bool) -> str:
    if old == new:
        return f"{name}: {new} is current already ({path})"
    would = "would be " if dry_run else ""
    return f"{name}: {would}pinned to {new}, was {old or 'not pinned'} ({path})"
