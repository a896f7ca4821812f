"""Preference pairs: label-sensitive ones from rationales, rationale-sensitive ones from a judge."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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

# A judge's score of a response to an example; larger is better. It never sees the gold label.
Score = Callable[[Mapping[str, Any], str], float]

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
    project: Project, judges: Mapping[str, Score], samples: Path, folder: Path, seed: int
) -> dict[str, Any]:
    """Write {train,heldout}.jsonl of judged pairs; return the mismatch and the judge's agreement.

    `judges` holds each task's; `samples` holds rows {task, split, example, responses}.
    """
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in read_jsonl(samples):
        pairs = _judged_pairs(judges[row["task"]], row, project.config.pairs.pairs_per_prompt, seed)
        found[row["split"]] += pairs
    for name in PAIR_SPLITS:
        found[name] += released_rationale_pairs(project, judges, Layout(project).data, name)
        write_jsonl(folder / f"{name}.jsonl", found[name])
    return _noted(project, found)


def _noted(project: Project, made: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """What the manifest says of the pairs of both parts."""
    return {
        "pairs": {name: len(made[name]) for name in PAIR_SPLITS},
        "statistics": {name: pair_statistics(project, made[name]) for name in PAIR_SPLITS},
    }


def _judged_pairs(
    judge: Score, row: Mapping[str, Any], count: int, seed: int
) -> list[dict[str, Any]]:
    """Up to `count` random pairs of one prompt's responses that the judge tells apart."""
    example = row["example"]
    scored = [(judge(example, text), text) for text in dict.fromkeys(row["responses"])]
    apart = [pair for pair in itertools.combinations(scored, 2) if pair[0][0] != pair[1][0]]
    random.Random(f"{seed}/judge/{example['id']}").shuffle(apart)
    shared = {"task": row["task"], "example": example}
    ordered = [sorted(pair, reverse=True) for pair in apart[:count]]
    return [{**shared, "chosen": good[1], "rejected": bad[1]} for good, bad in ordered]
