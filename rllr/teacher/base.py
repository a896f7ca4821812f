"""What a teacher is: it writes a rationale for a given label, right or wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rllr.config.data import GeneratedData
from rllr.config.load import Project
from rllr.tasks.labels import Label


class Teacher(Protocol):
    """Writes rationales for one task."""

    def rationale(self, example: Mapping[str, Any], label: Label) -> str:
        """One short text that argues for `label`, without stating it."""


def make_teacher(project: Project, task: str, data_folder: Path) -> Teacher:
    """The configured teacher of a task; `auto` takes the data's own, else the lexical one."""
    generated = isinstance(project.config.data, GeneratedData)
    if generated and project.config.teacher.backend != "lexical":
        from rllr.teacher.generated import GeneratedTeacher

        return GeneratedTeacher(project.tasks[task], data_folder)
    from rllr.teacher.lexical import LexicalTeacher

    return LexicalTeacher.from_training_data(
        project.tasks[task], data_folder, project.config.teacher.seed
    )
