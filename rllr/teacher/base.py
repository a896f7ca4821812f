"""What teachers and judges are: who writes rationales for labels, right or wrong, and who ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rllr.config.data import GeneratedData, ReleaseData
from rllr.config.load import Project
from rllr.tasks.labels import Label


@dataclass(frozen=True)
class Ask:
    """A rationale that is wanted: one that argues for `label`, the gold one or not."""

    example: Mapping[str, Any]
    label: Label
    gold: bool


@dataclass(frozen=True)
class Comparison:
    """Two responses to one example. A judge reads neither the example's label nor its id."""

    example: Mapping[str, Any]
    first: str
    second: str


class Teacher(Protocol):
    """Writes rationales for one task."""

    def rationales(self, asks: Sequence[Ask]) -> list[str | None]:
        """A short text for each, in order; None where none that can be used was written."""

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it, once it has written."""


class Judge(Protocol):
    """Ranks responses of one task by their rationales."""

    def prefer(self, comparisons: Sequence[Comparison]) -> list[int | None]:
        """For each, in order: 1 first is better, -1 second, 0 neither; None: no verdict."""

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it, once it has judged."""


def make_teacher(project: Project, task: str, data_folder: Path) -> Teacher:
    """The configured teacher of a task; `auto` takes the data's own, else the lexical one.

    Raises RllrError for a language model that cannot be asked (its key, its folder, its prompts).
    """
    config = project.config.teacher
    if config.asks:
        from rllr.teacher.ask.asker import make_asker
        from rllr.teacher.asked import AskedTeacher

        return AskedTeacher(project, task, make_asker(project, "teacher"))
    if isinstance(project.data(task), GeneratedData) and config.backend != "lexical":
        from rllr.teacher.generated import GeneratedTeacher

        return GeneratedTeacher(project.tasks[task], data_folder)
    if isinstance(project.data(task), ReleaseData) and config.backend == "auto":
        from rllr.teacher.released import ReleasedTeacher

        return ReleasedTeacher(project.tasks[task], data_folder)
    from rllr.teacher.lexical import LexicalTeacher

    return LexicalTeacher.from_training_data(project.tasks[task], data_folder, config.seed)


def make_judges(project: Project, data: Mapping[str, Path]) -> dict[str, Judge]:
    """The configured judge of each task in `data` (task: folder of its splits).

    A language model is one for all of them. Raises RllrError where it cannot be asked.
    """
    if project.config.judge.asks:
        from rllr.teacher.ask.asker import make_asker
        from rllr.teacher.asked_judge import AskedJudge

        asker = make_asker(project, "judge")
        return {task: AskedJudge(project, task, asker) for task in data}
    from rllr.teacher.judge import LexicalJudge

    return {
        task: LexicalJudge.from_training_data(project.tasks[task], folder)
        for task, folder in data.items()
    }
