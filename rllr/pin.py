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
from rllr.errors import RllrError
from rllr.files import write_text
from rllr.remote import Remote, remotes
from rllr.repository import Repository

# `revision:` on a line of its own, with what stands before and behind the value.
REVISION = re.compile(r"(?m)^([ \t]+revision:[ \t]*)([^\s#]+)(.*)$")
# The comment above it that says there is none.
NOT_PINNED = re.compile(r"(?mi)^[ \t]*#.*not pinned.*\n(?=[ \t]+revision:)")


def pin(project: Project, models: Sequence[str], *, dry_run: bool = False) -> list[str]:
    """Pin the run's models and data sets (or `models` alone); return a line for each file.

    All commits are looked up, once per repository, before the first file is written. Raises
    RllrError for a name that is not part of the run, a hub that does not answer, and a file that
    cannot be edited.
    """
    chosen = _chosen(project, models)
    found: dict[Repository, str] = {}
    for remote in chosen:
        if remote.repository not in found:
            found[remote.repository] = hub.current_commit(remote.repository)
    edits = []
    for remote in chosen:
        path, commit = _file(project, remote.kind, remote.name), found[remote.repository]
        edits.append((remote, commit, path, pinned(path, commit, remote.section)))
    lines = []
    for remote, commit, path, text in edits:
        old = read_yaml(path)[remote.section]["revision"]
        if not dry_run and old != commit:
            _write(path, text)
        lines.append(_line(remote.name, old, commit, path, dry_run))
    return lines or ["nothing of this run comes from the hub; there is nothing to pin"]


def _chosen(project: Project, models: Sequence[str]) -> list[Remote]:
    for name in models:
        if name not in project.models:
            known = sorted(project.models)
            raise RllrError(f"--model: {name!r} is not part of this run{nearest(name, known)}")
    found = remotes(project)
    return [r for r in found if r.kind == "models" and r.name in models] if models else found


def _file(project: Project, kind: str, name: str) -> Path:
    """The file that defines a model or task of the run; the first place wins, as when read."""
    paths = [folder / kind / f"{name}.yaml" for folder in project.folders]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise RllrError(f"{kind}/{name}.yaml: not found; give --config the run's YAML file")
    return path.resolve()


def pinned(path: Path, commit: str, section: str = "source") -> str:
    """The text of a definition with `commit` as the revision in a section of it.

    Raises RllrError where the file cannot be edited as text, and says what to write by hand.
    """
    raw = read_yaml(path)
    text = path.read_bytes().decode()
    lines = REVISION.findall(text)
    edited = REVISION.sub(rf'\g<1>"{commit}"\g<3>', NOT_PINNED.sub("", text))
    if len(lines) != 1 or _parsed(edited) != _with_revision(raw, commit, section):
        raise RllrError(
            f"{path}: cannot be edited: below `{section}:` it needs a line `revision: …` of its "
            f'own (found: {len(lines)}); write it by hand: revision: "{commit}"'
        )
    return edited


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _with_revision(raw: dict[str, Any], commit: str, section: str) -> dict[str, Any]:
    return {**raw, section: {**raw.get(section, {}), "revision": commit}}


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise RllrError(
            f"{path}: cannot be written ({error.strerror}); copy it into a folder "
            f"{path.parent.name}/ beside your own configuration and pin it there"
        ) from None


def _line(name: str, old: str | None, new: str, path: Path, dry_run: bool) -> str:
    if old == new:
        return f"{name}: {new} is current already ({path})"
    would = "would be " if dry_run else ""
    return f"{name}: {would}pinned to {new}, was {old or 'not pinned'} ({path})"
