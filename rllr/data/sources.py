"""Which source a task's data come from."""

from __future__ import annotations

from pathlib import Path

from rllr.config.data import HubData, LocalData
from rllr.config.load import Project
from rllr.data.local import local_files, local_source
from rllr.data.published import hub_source
from rllr.data.release_files import released_sources
from rllr.data.source import Source
from rllr.layout import related_tasks
from rllr.models.progress import Say


def has_parts(project: Project, task: str) -> bool:
    """Whether a task's data come in parts from which splits are made here."""
    return isinstance(project.data(task), LocalData | HubData)


def source_of(project: Project, task: str, say: Say) -> Source:
    """The source of a task whose data are local, or from the hub: then fetched, if need be.

    Raises RllrError for what is missing, and what cannot be fetched.
    """
    data = project.data(task)
    if isinstance(data, LocalData):
        return local_source(project, task)
    assert isinstance(data, HubData)
    return hub_source(project, task, say)


def source_files(project: Project, task: str) -> list[Path]:
    """The user's own files that a task's splits rest on, those that are there; sorted.

    They are those of the task and of the tasks whose evaluated texts it must not train on.
    """
    names = [task, *related_tasks(project, task)]
    found = {path for name in names for path in local_files(project, name)}
    return sorted(found.union(*(released_sources(project, name) for name in names)))
