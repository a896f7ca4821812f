"""Write the splits of one generated task; see the package docstring for what they promise."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from rllr.data.generated.draft import Draft, Grammar, Label
from rllr.data.generated.pairs import InferenceGrammar, OverlapGrammar, SubjectGrammar
from rllr.data.generated.single import CueGrammar
from rllr.data.generated.words import SENTIMENT, STARS, TOPICS
from rllr.errors import RllrError

GRAMMARS: dict[str, Grammar] = {
    "mr": CueGrammar(SENTIMENT, fillers=3),
    "appreviews": CueGrammar(STARS, fillers=2, ordered=True),
    "sst2": CueGrammar(SENTIMENT, fillers=2, negation=True),
    "mrpc": SubjectGrammar("equivalent", "not_equivalent", words=4),
    "qqp": SubjectGrammar("duplicate", "not_duplicate", words=4, questions=True),
    "stsb": OverlapGrammar(),
    "mnli": InferenceGrammar(words=3),
    "agnews": CueGrammar(TOPICS, fillers=2),
}
SPLITS = ("sft", "rm", "rl", "validation", "test")
NOISY_SPLITS = ("sft", "rm")
# Draws in a row that give only texts seen before, after which a grammar counts as exhausted.
ATTEMPTS = 1000


@dataclass(frozen=True)
class GeneratedTask:
    """`splits`: rows by split name; `rationales`: row id -> label text -> rationale."""

    splits: dict[str, list[dict[str, Any]]]
    rationales: dict[str, dict[str, str]]


def label_text(label: Label) -> str:
    """A label as it stands in a response: class name, whole stars, score with one decimal."""
    return f"{label:.1f}" if isinstance(label, float) else str(label)


def clean_label(task: str, row: dict[str, Any]) -> Label:
    """The label that the hidden structure gives to a generated row, whatever its own label says."""
    return _grammar(task).read(row)


def generate_task(
    task: str, sizes: dict[str, int], *, noise: float, difficulty: float, seed: int
) -> GeneratedTask:
    """Write the splits of `task`, with `sizes[split]` rows each.

    `noise` is the share of rows of the splits sft and rm whose label is replaced by another one;
    `difficulty` the share of hard rows (0 to 1; each grammar's docstring says what is hard).
    Equal arguments give equal results. RllrError: unknown task or split, a share outside [0, 1],
    or more rows than the grammar has texts for.
    """
    grammar = _grammar(task)
    _check(sizes, noise=noise, difficulty=difficulty)
    rng = random.Random(f"{seed}/{task}")
    splits: dict[str, list[dict[str, Any]]] = {}
    rationales: dict[str, dict[str, str]] = {}
    seen: set[str] = set()
    for split, size in sizes.items():
        rows = splits[split] = []
        for label in _balanced(grammar.labels, size, rng):
            draft = _new_draft(task, label, difficulty, seen, rng)
            row_id = f"{task}-{len(rationales):06d}"
            rows.append({"id": row_id, **draft.fields, "label": label})
            rationales[row_id] = _rationales(grammar, draft, rng)
        if split in NOISY_SPLITS:
            _add_noise(rows, grammar.labels, noise, rng)
    return GeneratedTask(splits, rationales)


def _grammar(task: str) -> Grammar:
    if task not in GRAMMARS:
        raise RllrError(f"no generated data for task {task!r}; there is for {', '.join(GRAMMARS)}")
    return GRAMMARS[task]


def _check(sizes: dict[str, int], **shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise RllrError(f"generated data: {name} is {share}, allowed is a share from 0 to 1")
    for split, size in sizes.items():
        if split not in SPLITS or size < 0:
            raise RllrError(
                f"generated data: {size} rows for split {split!r}; allowed are 0 or more rows "
                f"for {', '.join(SPLITS)}"
            )


def _balanced(labels: tuple[Label, ...], size: int, rng: random.Random) -> list[Label]:
    return rng.sample(list(islice(cycle(rng.sample(labels, len(labels))), size)), size)


def _new_draft(
    task: str, label: Label, difficulty: float, seen: set[str], rng: random.Random
) -> Draft:
    """A draft none of whose texts was used before in this task, in any split or place."""
    hard = rng.random() < difficulty
    for _ in range(ATTEMPTS):
        draft = GRAMMARS[task].draw(label, hard, rng)
        texts = set(draft.fields.values())
        if len(texts) == len(draft.fields) and seen.isdisjoint(texts):
            seen |= texts
            return draft
    raise RllrError(
        f"generated data: the small vocabulary of task {task!r} has no further text for label "
        f"{label!r} after {len(seen)} different texts; ask for smaller splits"
    )


def _rationales(grammar: Grammar, draft: Draft, rng: random.Random) -> dict[str, str]:
    return {
        label_text(label): rng.choice(grammar.templates).format(*quotes)
        for label, quotes in draft.quotes.items()
    }


def _add_noise(
    rows: list[dict[str, Any]], labels: tuple[Label, ...], noise: float, rng: random.Random
) -> None:
    for row in rng.sample(rows, round(noise * len(rows))):
        row["label"] = rng.choice([label for label in labels if label != row["label"]])
