"""A source: which files hold a task's examples, and what their columns and labels mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rllr.config.data import DataSettings
from rllr.config.schema import TaskConfig
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
