"""From parts to splits: disjoint, stratified, seeded, and as large as asked for or can be."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from data_project import Rows, ids, make, pairs, project_for, single, write

from rllr.config.data import LocalData
from rllr.config.schema import SPLITS
from rllr.data.examples import text_key
from rllr.data.prepare import prepare
from rllr.data.splits import train_amounts
from rllr.errors import RllrError

CARVED = {"files": {"validation": None, "test": None}}


def share(rows: Rows) -> float:
    return sum(row["label"] == "negative" for row in rows) / len(rows)


@pytest.mark.parametrize("seed", range(6))
def test_no_text_is_in_two_splits_whatever_the_data(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    words = ["One", "two", "TWO", "three", "four!", "fünf"]
    carved = rng.choice([[], ["validation"], ["test"], ["validation", "test"]])
    for name in ("train", "validation", "test"):
        rows = [
            {
                "text": " ".join(rng.choices(words, k=rng.randint(3, 4))),
                "label": rng.choice(["negative", "positive"]),
            }
            for _ in range(rng.randint(60, 200))
        ]
        if name not in carved:
            write(tmp_path / f"mr/{name}.csv", rows)
    files = dict.fromkeys(carved)
    project = project_for(tmp_path, overlap="drop", files=files, seed=seed)
    made, facts = make(project, "mr", tmp_path / "to")
    keys = [{text_key(project.tasks["mr"], row) for row in made[name]} for name in SPLITS]
    assert all(not one & other for one, other in combinations(keys, 2))
    assert [len(found) for found in keys] == [len(made[name]) for name in SPLITS]
    rows = [row for name in SPLITS for row in made[name]]
    assert len(ids(rows)) == len(rows)
    removed = [facts["duplicates_removed"], facts["conflicting_labels"]]
    gone = sum(sum(counts.values()) for counts in (*removed, facts["overlaps"]["within"]))
    assert len(rows) + gone == sum(facts["rows_read"].values())


def test_every_split_holds_the_labels_in_their_proportions(tmp_path: Path) -> None:
    write(tmp_path / "mr/train.jsonl", single("t", 400))
    made, _ = make(project_for(tmp_path, **CARVED), "mr", tmp_path / "to")
    assert {name: len(rows) for name, rows in made.items()} == {
        **{"test": 40, "validation": 18},
        **{"rm": 136, "rl": 68, "sft": 138},
    }
    for rows in made.values():
        assert abs(share(rows) - 0.25) <= 1.01 / len(rows)


def test_scores_are_stratified_by_whole_numbers(tmp_path: Path) -> None:
    scores = [0.2] * 100 + [2.6] * 60 + [3.4] * 40
    rows = [{**r, "label": s} for r, s in zip(pairs("t", 200), scores, strict=True)]
    write(tmp_path / "stsb/train.jsonl", rows)
    project = project_for(tmp_path, ["stsb"], **CARVED)
    made, facts = make(project, "stsb", tmp_path / "to")
    found = Counter(round(row["label"]) for row in made["test"])
    assert found == {0: 10, 3: 10}
    assert set(facts["labels"]["rm"]) == {"0.2", "2.6", "3.4"}


def test_the_same_seed_carves_the_same_another_others(tmp_path: Path) -> None:
    write(tmp_path / "mr/train.jsonl", single("t", 200))
    made = [
        make(project_for(tmp_path, seed=seed, **CARVED), "mr", tmp_path / f"to{n}")[0]
        for n, seed in enumerate((0, 0, 1))
    ]
    assert made[0] == made[1]
    assert all(ids(made[0][name]) != ids(made[2][name]) for name in SPLITS)


def test_training_order_is_drawn_and_evaluation_keeps_the_file_s(tmp_path: Path) -> None:
    write(tmp_path / "mr/train.jsonl", single("t", 100))
    made, _ = make(project_for(tmp_path, sizes={"test": 7}, **CARVED), "mr", tmp_path / "to")
    numbers = {name: [int(row["text"].split()[-1]) for row in made[name]] for name in made}
    assert numbers["test"] == sorted(numbers["test"]) and len(numbers["test"]) == 7
    assert numbers["sft"] != sorted(numbers["sft"])


# --- sizes ---------------------------------------------------------------------------------------


def amounts(rows: int, **settings: object) -> tuple[int, int, int]:
    data = LocalData(source="local", path="x", **settings)  # type: ignore[arg-type]
    found = train_amounts(data, rows)
    return found["sft"], found["rm"], found["rl"]


@pytest.mark.parametrize("rows", [3, 4, 5, 10, 99, 1000])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (1600, 1200, 600), (1, 1, 10**6), (10**6, 1, 1)])
def test_sizes_shrink_in_proportion_and_no_split_is_empty(
    rows: int, sizes: tuple[int, int, int]
) -> None:
    wanted = dict(zip(("sft", "rm", "rl"), sizes, strict=True))
    found = amounts(rows, sizes=wanted)
    assert sum(found) == rows and min(found) >= 1
    for got, size in zip(found, sizes, strict=True):
        assert abs(got - rows * size / sum(sizes)) <= 2


def test_sizes_that_fit_are_kept(tmp_path: Path) -> None:
    write(tmp_path / "mr/train.jsonl", single("t", 300))
    sizes = {"sft": 100, "rm": 70, "rl": 30, "validation": 20, "test": 60}
    made, facts = make(project_for(tmp_path, sizes=sizes, **CARVED), "mr", tmp_path / "to")
    assert {name: len(made[name]) for name in SPLITS} == sizes
    assert facts["sizes"]["test"] == {"wanted": 60, "got": 60}


def test_too_large_a_carved_part_leaves_train_its_share(tmp_path: Path) -> None:
    write(tmp_path / "mr/train.jsonl", single("t", 300))
    lines: list[str] = []
    sizes = {"sft": 160, "rm": 120, "rl": 60, "validation": 20, "test": 10_000}
    project = project_for(tmp_path, sizes=sizes, **CARVED)
    facts = prepare(project, "mr", tmp_path / "to", say=lines.append)
    # A tenth and a twentieth of what is left; the rest as 160 : 120 : 60.
    wanted = {"test": 30, "validation": 13, "sft": 122, "rm": 90, "rl": 45}
    assert facts["examples"] == wanted
    assert "data mr: sft has 122 examples of the 160 asked for" in lines


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "mr/train.jsonl", single("t", 4))
    with pytest.raises(RllrError, match=r"train\.jsonl: the part has 4 usable examples, needs 5"):
        make(project_for(tmp_path, **CARVED), "mr", tmp_path / "to")
    write(tmp_path / "mr/train.jsonl", single("t", 5))
    made, _ = make(project_for(tmp_path, **CARVED), "mr", tmp_path / "to")
    assert [len(made[name]) for name in SPLITS] == [1, 1, 1, 1, 1]
