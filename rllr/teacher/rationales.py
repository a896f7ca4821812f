"""The teacher stage: a rationale for the stated label and for wrong ones, per example."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from rllr.config.load import Project
from rllr.data.examples import Example, read_examples
from rllr.files import write_jsonl
from rllr.tasks.labels import Label, sampled_wrong_labels
from rllr.teacher.base import Teacher, make_teacher

# Only pairs need wrong-label rationales: the reward models' split and the held-out one.
WITH_WRONG = {"sft": False, "rm": True, "validation": True}


def write_rationales(project: Project, task: str, data: Path, folder: Path) -> dict[str, Any]:
    """Write `<split>.jsonl` rows {id, label, rationale, wrong: [{label, rationale}, …]}."""
    teacher = make_teacher(project, task, data)
    counts = {}
    for split, wrong in WITH_WRONG.items():
        examples = read_examples(data / f"{split}.jsonl", project.tasks[task])
        rows = [_row(project, task, teacher, example, wrong) for example in examples]
        write_jsonl(folder / f"{split}.jsonl", rows)
        counts[split] = len(rows)
    return {"teacher": type(teacher).__name__, "rationales": counts}


def _row(
    project: Project, task: str, teacher: Teacher, example: Example, wrong: bool
) -> dict[str, Any]:
    labels: list[Label] = []
    if wrong:
        rng = random.Random(f"{project.config.teacher.seed}/wrong/{example['id']}")
        count = project.config.pairs.wrong_labels
        labels = sampled_wrong_labels(project.tasks[task], example["label"], count, rng)
    return {
        "id": example["id"],
        "label": example["label"],
        "rationale": teacher.rationale(example, example["label"]),
        "wrong": [{"label": x, "rationale": teacher.rationale(example, x)} for x in labels],
    }
