"""Preference pairs: label-sensitive ones from rationales, rationale-sensitive ones from a judge."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rllr.config.load import Project
from rllr.config.schema import TaskConfig
from rllr.data.examples import Example, read_examples
from rllr.files import read_jsonl, write_jsonl
from rllr.tasks.response import format_response, parse_response
from rllr.teacher.base import Comparison, Judge

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
        write_jsonl(folder / f"{name}.jsonl", found[name])
    return {
        "pairs": {name: len(found[name]) for name in PAIR_SPLITS},
        "statistics": {name: pair_statistics(project, found[name]) for name in PAIR_SPLITS},
        "judge": {task: judge.facts() for task, judge in judges.items()},
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
