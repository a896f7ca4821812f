"""The teacher stage: a rationale for the stated label and for wrong ones, per example.

An example for whose own label the teacher has no rationale is left out of what is written, and so
is a wrong label without one: SFT and pairs go without them. The manifest counts both.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rllr.config.load import Project
from rllr.data.examples import Example, read_examples
from rllr.errors import RllrError
from rllr.files import write_jsonl
from rllr.tasks.labels import Label, sampled_wrong_labels
from rllr.teacher.base import Ask
from rllr.teacher.choose import make_teacher

# Only pairs need wrong-label rationales: the reward models' split and the held-out one.
WITH_WRONG = {"sft": False, "rm": True, "validation": True}

Rows = list[dict[str, Any]]


def write_rationales(project: Project, task: str, data: Path, folder: Path) -> dict[str, Any]:
    """Write `<split>.jsonl` rows {id, label, rationale, wrong: [{label, rationale}, …]}.

    The teacher is asked for all splits at once. Returns a manifest's facts. Raises RllrError where
    the teacher does, and where no example of a split is left.
    """
    teacher = make_teacher(project, task, data)
    examples = {
        split: read_examples(data / f"{split}.jsonl", project.tasks[task]) for split in WITH_WRONG
    }
    asks = {split: _asks(project, task, examples[split], WITH_WRONG[split]) for split in WITH_WRONG}
    found = iter(teacher.rationales([ask for part in asks.values() for ask in part]))
    rows = {split: _rows(part, found) for split, part in asks.items()}
    facts = teacher.facts()
    dropped = {split: _dropped(asks[split], rows[split]) for split in WITH_WRONG}
    for split, part in rows.items():
        _require_some(task, split, examples[split], part, facts)
    for split, part in rows.items():
        write_jsonl(folder / f"{split}.jsonl", part)
    counts = {split: len(part) for split, part in rows.items()}
    return {"teacher": facts, "rationales": counts, "dropped": dropped}


def _asks(project: Project, task: str, examples: list[Example], wrong: bool) -> list[Ask]:
    """What is wanted, each example's own label before its wrong ones."""
    asks = []
    for example in examples:
        asks.append(Ask(example, example["label"], gold=True))
        labels = _wrong_labels(project, task, example) if wrong else []
        asks += [Ask(example, label, gold=False) for label in labels]
    return asks


def _wrong_labels(project: Project, task: str, example: Example) -> list[Label]:
    rng = random.Random(f"{project.config.teacher.seed}/wrong/{example['id']}")
    count = project.config.pairs.wrong_labels
    return sampled_wrong_labels(project.tasks[task], example["label"], count, rng)


def _rows(asks: list[Ask], found: Iterator[str | None]) -> Rows:
    """Rows of the examples that have a rationale, from as many of `found` as there are asks."""
    rows: dict[str, dict[str, Any]] = {}
    for ask in asks:
        name, rationale = ask.example["id"], next(found)
        if rationale is None:
            continue
        if ask.gold:
            rows[name] = {"id": name, "label": ask.label, "rationale": rationale, "wrong": []}
        elif name in rows:
            rows[name]["wrong"].append({"label": ask.label, "rationale": rationale})
    return list(rows.values())


def _dropped(asks: list[Ask], rows: Rows) -> dict[str, int]:
    """How many examples, and how many wrong labels of all, are not in the rows."""
    gold = sum(ask.gold for ask in asks)
    return {
        "examples": gold - len(rows),
        "wrong_labels": len(asks) - gold - sum(len(row["wrong"]) for row in rows),
    }


def _require_some(
    task: str, split: str, examples: list[Example], rows: Rows, facts: Mapping[str, Any]
) -> None:
    """RllrError where a split has examples, and none of them a rationale for its own label."""
    if not examples or rows:
        return
    if "refused" not in facts:  # no language model: it has what it has
        raise RllrError(
            f"rationales of {task}: the teacher ({facts['backend']}) has none for the labels of "
            f"the {len(examples)} examples of {split}; have them written: teacher.backend lexical, "
            "openai or local"
        )
    raise RllrError(
        f"rationales of {task}: all answers for the {len(examples)} examples of {split} were "
        f"refused, by reason: {facts['refused']}, such as {_first_refused(facts)!r}; mend the "
        "prompt (prompts/NAME.txt), or the bounds in `teacher`, or ask another model"
    )


def _first_refused(facts: Mapping[str, Any]) -> str:
    return next(str(row["answer"]) for rows in facts["refused_examples"].values() for row in rows)
