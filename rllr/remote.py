"""What a run takes from the hub: models, and the data sets of tasks; which of it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rllr.config.data import HubData
from rllr.config.load import Project
from rllr.config.schema import HubSource
from rllr.data.published import is_there
from rllr.layout import Layout, is_done
from rllr.repository import Repository


@dataclass(frozen=True)
class Remote:
    """A model or a task of the run whose file names a repository, in a section of its own."""

    kind: Literal["models", "tasks"]
    name: str
    repository: Repository
    revision: str | None
    gated: bool = False

    @property
    def section(self) -> str:
        """Where its file names the repository."""
        return "source" if self.kind == "models" else "hub"


def remotes(project: Project) -> list[Remote]:
    """All that a run takes from the hub: models first, then data sets, one for each task."""
    sources = {name: model.source for name, model in project.models.items()}
    models = [
        Remote("models", name, Repository(source.repo), source.revision, source.gated)
        for name, source in sources.items()
        if isinstance(source, HubSource)
    ]
    tasks = [
        Remote("tasks", name, Repository(dataset.repo, "dataset"), dataset.revision)
        for name in project.data_tasks
        if isinstance(project.data(name), HubData) and (dataset := project.tasks[name].hub)
    ]
    return models + tasks


def to_fetch(project: Project) -> list[Remote]:
    """Those that are not there yet."""
    layout = Layout(project)
    return [
        remote
        for remote in remotes(project)
        if not (
            is_done(layout.base(remote.name))
            if remote.kind == "models"
            else is_there(project, remote.name)
        )
    ]
