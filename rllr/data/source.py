"""A source: which files hold a task's examples, and what their columns and labels mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rllr.config.data import DataSettings, HubData, LocalData
from rllr.config.load import Project
from rllr.config.schema import TaskConfig
from rllr.layout import related_tasks
from rllr.models.progress import Say
from rllr.tasks.labels import Label

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """A task's parts, each with its files; a part that is not there is carved from train.

    `columns` maps fields to the source's columns, `labels` the source's labels, as text, to the
    task's. Rows without a text are passed over where `blanks_pass`, else refused: nobody can mend
    what others have published. `facts` are for the manifest.
    """

    task: str
    schema: TaskConfig
    settings: DataSettings
    parts: Mapping[str, list[Path]]
    columns: Mapping[Any, str] = field(default_factory=dict)
    labels: Mapping[str, Label] | None = None
    blanks_pass: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_test_only(self) -> bool:
        """Whether it is a further test set of another task, never trained on."""
        return self.schema.test_of is not None

    @property
    def seed(self) -> str:
        """What every draw from this source begins with."""
        return f"{self.settings.seed}/{self.task}"

    def column(self, name: str) -> str:
        """The source's column of a field."""
        return self.columns.get(name, name)


def has_parts(project: Project, task: str) -> bool:
    """Whether a task's data come in parts from which splits are made here."""
    return isinstance(project.data(task), LocalData | HubData)


def source_of(project: Project, task: str, say: Say) -> Source:
    """The source of a task whose data are local, or from the hub: then fetched, if need be.

    Raises RllrError for what is missing, and what cannot be fetched.
    """
    data = project.data(task)
    if isinstance(data, LocalData):
        from rllr.data.local import local_source

        return local_source(project, task)
    assert isinstance(data, HubData)
    from rllr.data.published import hub_source

    return hub_source(project, task, say)


def source_files(project: Project, task: str) -> list[Path]:
    """The user's own files that a task's splits rest on, those that are there; sorted.

    They are those of the task and of the tasks whose evaluated texts it must not train on.
    """
    from rllr.data.local import local_files
    from rllr.data.release_files import released_sources

    names = [task, *related_tasks(project, task)]
    found = {path for name in names for path in local_files(project, name)}
    return sorted(found.union(*(released_sources(project, name) for name in names)))
