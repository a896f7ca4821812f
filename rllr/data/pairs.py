"""Preference pairs: label-sensitive ones from rationales, rationale-sensitive ones from a judge."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rllr.config.load import Project
from rllr.config.schema import LABEL_SENSITIVE, TaskConfig
from rllr.data.examples import Example, read_examples
from rllr.data.pair_statistics import pair_statistics
from rllr.data.released import released_pairs, released_rationale_pairs
from rllr.files import read_jsonl, write_jsonl
from rllr.layout import Layout
from rllr.tasks.response import format_response
from rllr.teacher.base import Comparison, Judge

# Pairs are trained on from one split and held out from another; no text is in both.
PAIR_SPLITS = {"train": "rm", "heldout": "validation"}


def write_label_pairs(
    project: Project, task: str, data: Path, rationales: Path, folder: Path
) -> dict[str, Any]:
    """Write {train,heldout}.jsonl: the stated label's response against each wrong label's.

    Pairs that were released with the data are taken as they are.
    """
    schema = project.tasks[task]
    made: dict[str, list[dict[str, Any]]] = {}
    for name, split in PAIR_SPLITS.items():
        examples = {row["id"]: row for row in read_examples(data / f"{split}.jsonl", schema)}
        rows = read_jsonl(rationales / f"{split}.jsonl")
        released = released_pairs(project, task, data, LABEL_SENSITIVE, name)
        made[name] = released or [
            pair for row in rows for pair in _label_pairs(task, schema, examples, row)
        ]
        write_jsonl(folder / f"{name}.jsonl", made[name])
    return _noted(project, made)


def _label_pairs(
    task: str, schema: TaskConfig, examples: Mapping[str, Example], row: Mapping[str, Any]
) -> list[dict[str, Any]]:
    chosen = format_response(schema, row["label"], row["rationale"])
    shared = {"task": task, "example": examples[row["id"]], "chosen": chosen}
    return [
        {**shared, "rejected": format_response(schema, wrong["label"], wrong["rationale"])}
        for wrong in row["wrong"]
    ]


def write_rationale_pairs(
    project: Project, judges: Mapping[str, Judge], samples: Path, folder: Path, seed: int
) -> dict[str, Any]:
    """Write {train,heldout}.jsonl of judged pairs; return the mismatch and the judge's agreement.

    `judges` holds each task's; `samples` holds rows {task, split, example, responses}.
    """
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    rows = read_jsonl(samples)
    judged = _judged_pairs(judges, rows, project.config.pairs.pairs_per_prompt, seed)
    for row, pairs in zip(rows, judged, strict=True):
        found[row["split"]] += pairs
    for name in PAIR_SPLITS:
        found[name] += released_rationale_pairs(project, judges, Layout(project).data, name)
        write_jsonl(folder / f"{name}.jsonl", found[name])
    return {
        **_noted(project, found),
        "judge": {task: judge.facts() for task, judge in judges.items()},
    }


def _noted(project: Project, made: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """What the manifest says of the pairs of both parts."""
    return {
        "pairs": {name: len(made[name]) for name in PAIR_SPLITS},
        "statistics": {name: pair_statistics(project, made[name]) for name in PAIR_SPLITS},
    }


def _judged_pairs(
    judges: Mapping[str, Judge], rows: Sequence[Mapping[str, Any]], count: int, seed: int
) -> list[list[dict[str, Any]]]:
    """Of each row's responses up to `count` random pairs that the judge tells apart.

    In rounds: what a round lacks, as two responses were equally good or the verdict unreadable, the
    next one draws from the pairs that are left. So a judge that costs something is asked little.
    """
    left = [_candidates(row, seed) for row in rows]
    found: list[list[dict[str, Any]]] = [[] for _ in rows]
    while True:
        drawn = [
            (i, part) for i in range(len(rows)) for part in _draw(left[i], count - len(found[i]))
        ]
        if not drawn:
            return found
        verdicts = _verdicts(judges, [(rows[i]["task"], one) for i, one in drawn])
        for (i, one), verdict in zip(drawn, verdicts, strict=True):
            if verdict:
                found[i].append(_judged(rows[i], one, verdict))


def _candidates(row: Mapping[str, Any], seed: int) -> list[Comparison]:
    """All pairs of a row's different responses, in random order; the gold label stays unseen."""
    example = {name: value for name, value in row["example"].items() if name != "label"}
    texts = dict.fromkeys(row["responses"])
    pairs = [Comparison(example, *pair) for pair in itertools.combinations(texts, 2)]
    random.Random(f"{seed}/judge/{example['id']}").shuffle(pairs)
    return pairs


def _draw(left: list[Comparison], count: int) -> list[Comparison]:
    """Take up to `count` away from what is left."""
    drawn, left[:] = left[:count], left[count:]
    return drawn


def _verdicts(
    judges: Mapping[str, Judge], asked: Sequence[tuple[str, Comparison]]
) -> list[int | None]:
    """Verdicts in order, each task's comparisons judged together."""
    found: list[int | None] = [None] * len(asked)
    for task, judge in judges.items():
        places = [place for place, (name, _) in enumerate(asked) if name == task]
        verdicts = judge.prefer([asked[place][1] for place in places])
        for place, verdict in zip(places, verdicts, strict=True):
            found[place] = verdict
    return found


def _judged(row: Mapping[str, Any], one: Comparison, verdict: int) -> dict[str, Any]:
    good, bad = (one.first, one.second) if verdict > 0 else (one.second, one.first)
    return {"task": row["task"], "example": row["example"], "chosen": good, "rejected": bad}
