"""Preference pairs: label-sensitive ones from rationales, rationale-sensitive ones from a judge."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rllr.config.load import Project
from rllr.config.schema import TaskConfig
from rllr.data.examples import Example, read_examples
from rllr.files import read_jsonl, write_jsonl
from rllr.tasks.response import format_response, parse_response

# A judge's score of a response to an example; larger is better. It never sees the gold label.
Score = Callable[[Mapping[str, Any], str], float]

# Pairs are trained on from one split and held out from another; no text is in both.
PAIR_SPLITS = {"train": "rm", "heldout": "validation"}


def write_label_pairs(
    project: Project, task: str, data: Path, rationales: Path, folder: Path
) -> dict[str, Any]:
    """Write {train,heldout}.jsonl: the stated label's response against each wrong label's."""
    schema = project.tasks[task]
    counts = {}
    for name, split in PAIR_SPLITS.items():
        examples = {row["id"]: row for row in read_examples(data / f"{split}.jsonl", schema)}
        rows = read_jsonl(rationales / f"{split}.jsonl")
        pairs = [pair for row in rows for pair in _label_pairs(task, schema, examples, row)]
        write_jsonl(folder / f"{name}.jsonl", pairs)
        counts[name] = len(pairs)
    return {"pairs": counts}


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
        write_jsonl(folder / f"{name}.jsonl", found[name])
    return {
        "pairs": {name: len(found[name]) for name in PAIR_SPLITS},
        "statistics": {name: pair_statistics(project, found[name]) for name in PAIR_SPLITS},
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


def pair_statistics(project: Project, pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Share of pairs with equal labels, and how often the judge sides with the right label.

    Agreement is counted where exactly one of the two labels is right; the gold label is used for
    this figure alone, after the pairs were made.
    """
    equal = agree = split = 0
    for pair in pairs:
        task, gold = project.tasks[pair["task"]], pair["example"].get("label")
        chosen = parse_response(task, pair["chosen"]).label
        rejected = parse_response(task, pair["rejected"]).label
        equal += chosen is not None and chosen == rejected
        if gold is not None and (chosen == gold) != (rejected == gold):
            split += 1
            agree += chosen == gold
    return {
        "pairs": len(pairs),
        "equal_labels": equal / len(pairs) if pairs else None,
        "one_label_right": split,
        "judge_prefers_right": agree / split if split else None,
    }
