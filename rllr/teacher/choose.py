"""Which teacher and which judge a run has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rllr.config.data import GeneratedData, ReleaseData
from rllr.config.load import Project
from rllr.teacher.base import Judge, Teacher


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
