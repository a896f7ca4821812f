"""What language models are asked with: prompt files, and what their placeholders stand for.

A placeholder is a name in braces. What is put in its place is never looked at again, so texts may
hold braces of their own, and so may a prompt around anything that is no single word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rllr.config.load import Project
from rllr.config.schema import ScoreLabels, TaskConfig
from rllr.errors import RllrError
from rllr.tasks.labels import Label, label_text
from rllr.tasks.question import question_text
from rllr.tasks.response import MARK

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Prompt:
    """The text of a prompt file, its placeholders checked."""

    name: str
    text: str

    def filled(self, values: Mapping[str, str]) -> str:
        """The prompt with values in place of its placeholders."""
        return PLACEHOLDER.sub(lambda match: values[match.group(1)], self.text).strip()

    @property
    def own_words(self) -> str:
        """The prompt without its placeholders, a line break for each."""
        return PLACEHOLDER.sub("\n", self.text)


def teacher_prompt(project: Project, name: str) -> Prompt:
    """A prompt for rationales; RllrError names file and placeholder that is wrong or missing."""
    return _checked(project, name, ("question", "label", "mark"), ("labels",))


def judge_prompt(project: Project, name: str) -> Prompt:
    """A prompt for comparisons; RllrError names file and placeholder that is wrong or missing."""
    return _checked(project, name, ("question", "first", "second", "mark"), ("labels",))


def check_prompts(project: Project) -> None:
    """RllrError for the first prompt of the run with a wrong or a missing placeholder."""
    teacher, judge = project.config.teacher, project.config.judge
    if teacher.asks:
        for name in teacher.prompts:
            teacher_prompt(project, name)
    if judge.asks:
        judge_prompt(project, judge.prompt)


def _checked(
    project: Project, name: str, needed: tuple[str, ...], further: tuple[str, ...]
) -> Prompt:
    prompt = Prompt(name, project.prompts[name])
    found = PLACEHOLDER.findall(prompt.text)
    allowed = ", ".join(f"{{{each}}}" for each in (*needed, *further))
    for each in found:
        if each not in (*needed, *further):
            raise RllrError(
                f"prompts/{name}.txt: unknown placeholder {{{each}}} (allowed: {allowed})"
            )
    for each in needed:
        if each not in found:
            raise RllrError(f"prompts/{name}.txt: placeholder {{{each}}} is missing")
    return prompt


def question_values(task: TaskConfig, example: Mapping[str, Any]) -> dict[str, str]:
    """What the placeholders that every prompt may hold stand for."""
    return {
        "question": question_text(task, example),
        "labels": labels_text(task),
        "mark": MARK,
    }


def label_values(task: TaskConfig, example: Mapping[str, Any], label: Label) -> dict[str, str]:
    """The same for a rationale for `label`."""
    return {**question_values(task, example), "label": label_text(task, label)}


def labels_text(task: TaskConfig) -> str:
    """All labels, in words."""
    if isinstance(task.labels, ScoreLabels):
        low, high = (label_text(task, end) for end in (task.labels.minimum, task.labels.maximum))
        return f"a number from {low} to {high}"
    return ", ".join(label_text(task, label) for label in task.labels.values)
