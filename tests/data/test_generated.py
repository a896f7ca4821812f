from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rllr
from rllr.data.generated import GRAMMARS, GeneratedTask, clean_label, generate_task, label_text
from rllr.data.generated.words import SENTIMENT
from rllr.errors import RllrError

SIZES = {"sft": 200, "rm": 1200, "rl": 100, "validation": 100, "test": 100}
NOISE = 0.08
DIFFICULTY = 0.7
AT_MOST = 0.60

LEGAL = {
    "mr": {"negative", "positive"},
    "appreviews": {1, 2, 3, 4, 5},
    "sst2": {"negative", "positive"},
    "mrpc": {"equivalent", "not_equivalent"},
    "qqp": {"duplicate", "not_duplicate"},
    "stsb": {0.0, 1.0, 2.0, 3.0, 4.0, 5.0},
    "mnli": {"entailment", "neutral", "contradiction"},
    "agnews": {"World", "Sports", "Business", "Sci/Tech"},
}
each_task = pytest.mark.parametrize("task", LEGAL)

# A pair of (rationale, label text): chosen first.
Pair = tuple[tuple[str, str], tuple[str, str]]


@pytest.fixture(scope="module")
def made() -> dict[str, GeneratedTask]:
    return {task: make(task) for task in LEGAL}


def make(task: str, seed: int = 0, **sizes: int) -> GeneratedTask:
    return generate_task(task, sizes or SIZES, noise=NOISE, difficulty=DIFFICULTY, seed=seed)


def input_text(row: dict[str, Any]) -> str:
    return " | ".join(row[name] for name in ("text", "text_a", "text_b") if name in row)


def label_pairs(data: GeneratedTask) -> list[Pair]:
    """Label-sensitive pairs of the rm split, with one wrong label each, drawn uniformly."""
    rng = random.Random(0)
    pairs = []
    for row in data.splits["rm"]:
        texts, gold = data.rationales[row["id"]], label_text(row["label"])
        wrong = rng.choice([label for label in texts if label != gold])
        pairs.append(((texts[gold], gold), (texts[wrong], wrong)))
    return pairs


def held_out_accuracy(pairs: list[tuple[str, str]]) -> float:
    """Bag-of-words logistic regression on (chosen, rejected) texts: right on the held-out half."""
    words = {word for pair in pairs for text in pair for word in re.findall(r"\S+", text)}
    column = {word: place for place, word in enumerate(sorted(words))}
    x = np.zeros((len(pairs), len(column)))
    for row, (chosen, rejected) in enumerate(pairs):
        for sign, text in ((1, chosen), (-1, rejected)):
            for word in text.split():
                x[row, column[word]] += sign
    train, held_out = x[::2], x[1::2]
    weights = np.zeros(len(column))
    for _ in range(300):
        slope = train.T @ (1 / (1 + np.exp(train @ weights))) / len(train) - 1e-3 * weights
        weights += slope
    margin = held_out @ weights
    return float(np.mean((margin > 0) + 0.5 * (margin == 0)))


def test_the_classifier_would_find_a_tell_tale_word(made: dict[str, GeneratedTask]) -> None:
    pairs = [(f"indeed {chosen[0]}", rejected[0]) for chosen, rejected in label_pairs(made["mr"])]
    assert held_out_accuracy(pairs) > 0.95


@each_task
def test_a_rationale_does_not_tell_right_from_wrong(
    made: dict[str, GeneratedTask], task: str
) -> None:
    pairs = [(chosen[0], rejected[0]) for chosen, rejected in label_pairs(made[task])]
    assert held_out_accuracy(pairs) <= AT_MOST


def test_rationales_of_all_tasks_together_do_not_either(made: dict[str, GeneratedTask]) -> None:
    pairs = [(c[0], r[0]) for data in made.values() for c, r in label_pairs(data)]
    random.Random(0).shuffle(pairs)
    assert held_out_accuracy(pairs) <= AT_MOST


@each_task
def test_label_priors_of_chosen_and_rejected_match(
    made: dict[str, GeneratedTask], task: str, record_property: Any
) -> None:
    pairs = [(chosen[1], rejected[1]) for chosen, rejected in label_pairs(made[task])]
    label_only = held_out_accuracy(pairs)
    record_property("label_only_accuracy", label_only)
    assert label_only <= AT_MOST
    chosen, rejected = (Counter(column) for column in zip(*pairs, strict=True))
    for label in map(label_text, LEGAL[task]):
        assert abs(chosen[label] - rejected[label]) / len(pairs) <= 0.03


@each_task
def test_right_and_wrong_rationales_share_their_templates(
    made: dict[str, GeneratedTask], task: str
) -> None:
    used = [Counter[int](), Counter[int]()]
    for pair in label_pairs(made[task]):
        for counts, (rationale, _) in zip(used, pair, strict=True):
            counts[template_of(task, rationale)[0]] += 1
    rows = SIZES["rm"]
    for place in range(len(GRAMMARS[task].templates)):
        assert used[0][place] > rows / 5 and abs(used[0][place] - used[1][place]) < rows * 0.07


def template_of(task: str, rationale: str) -> tuple[int, tuple[str, ...]]:
    """Which template a rationale was made from, and what stands in its places."""
    for place, template in enumerate(GRAMMARS[task].templates):
        pattern = re.sub(r"\\\{\d\\\}", "(.+)", re.escape(template))
        if match := re.fullmatch(pattern, rationale):
            return place, match.groups()
    raise AssertionError(f"no template of {task} gives {rationale!r}")


@each_task
def test_rationales_quote_the_input_alone(made: dict[str, GeneratedTask], task: str) -> None:
    data = made[task]
    for row in (row for rows in data.splits.values() for row in rows):
        for rationale in data.rationales[row["id"]].values():
            for quote in template_of(task, rationale)[1]:
                assert f" {quote} " in f" {input_text(row)} "


@each_task
def test_every_label_has_a_rationale(made: dict[str, GeneratedTask], task: str) -> None:
    data = made[task]
    labels = {label_text(label) for label in LEGAL[task]}
    ids = [row["id"] for rows in data.splits.values() for row in rows]
    assert list(data.rationales) == ids
    assert all(set(texts) == labels for texts in data.rationales.values())


@each_task
def test_sizes_ids_and_labels(made: dict[str, GeneratedTask], task: str) -> None:
    splits = made[task].splits
    assert {name: len(rows) for name, rows in splits.items()} == SIZES
    rows = [row for part in splits.values() for row in part]
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(re.fullmatch(rf"{task}-\d{{6}}", row["id"]) for row in rows)
    kind = type(next(iter(LEGAL[task])))
    assert all(row["label"] in LEGAL[task] and type(row["label"]) is kind for row in rows)
    for name in ("rl", "validation", "test"):
        counts = Counter(row["label"] for row in splits[name])
        assert max(counts.values()) - min(counts.values()) <= 1 and set(counts) == LEGAL[task]


@each_task
def test_no_text_occurs_twice(made: dict[str, GeneratedTask], task: str) -> None:
    rows = [row for part in made[task].splits.values() for row in part]
    texts = [row[name] for row in rows for name in ("text", "text_a", "text_b") if name in row]
    assert len(set(texts)) == len(texts)


@each_task
def test_only_training_labels_are_noisy(made: dict[str, GeneratedTask], task: str) -> None:
    for name, rows in made[task].splits.items():
        wrong = sum(row["label"] != clean_label(task, row) for row in rows) / len(rows)
        assert 0.05 <= wrong <= 0.10 if name in ("sft", "rm") else wrong == 0


def test_arguments_alone_decide() -> None:
    code = (
        "import json, sys; from rllr.data.generated import GRAMMARS, generate_task\n"
        "sizes = {'sft': 20, 'test': 20}\n"
        "made = [generate_task(t, sizes, noise=0.1, difficulty=0.5, seed=3) for t in GRAMMARS]\n"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules)\n"
        "print(json.dumps([[m.splits, m.rationales] for m in made]))"
    )
    root = Path(rllr.__file__).parents[1]

    def output(hash_seed: str) -> bytes:
        environment = {"PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, env=environment, cwd=root, capture_output=True, check=True
        ).stdout

    assert output("1") == output("2")
    assert make("mr", seed=0, test=20).splits != make("mr", seed=1, test=20).splits


def test_difficulty_is_the_share_of_hard_rows() -> None:
    cues = {word for words in SENTIMENT.values() for word in words}

    def share(difficulty: float) -> float:
        data = generate_task("mr", {"test": 400}, noise=0, difficulty=difficulty, seed=0)
        found = [sum(word in cues for word in row["text"].split()) for row in data.splits["test"]]
        assert set(found) <= {4, 5}
        return found.count(5) / len(found)

    assert share(0) == 0 and share(1) == 1 and abs(share(0.3) - 0.3) < 0.07


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"task": "cola"}, "no generated data for task 'cola'; there is for mr, appreviews"),
        ({"sizes": {"train": 5}}, "5 rows for split 'train'; allowed are .* sft, rm, rl"),
        ({"sizes": {"test": -1}}, "-1 rows for split 'test'"),
        ({"noise": 1.5}, "noise is 1.5, allowed is a share from 0 to 1"),
        ({"difficulty": -0.1}, "difficulty is -0.1"),
        ({"task": "stsb", "sizes": {"test": 9000}}, "task 'stsb' has no further text for label"),
    ],
)
def test_what_cannot_be_written_is_refused(arguments: dict[str, Any], message: str) -> None:
    usual = {"task": "mr", "sizes": {"test": 5}, "noise": 0.1, "difficulty": 0.5, "seed": 0}
    with pytest.raises(RllrError, match=message):
        generate_task(**(usual | arguments))
