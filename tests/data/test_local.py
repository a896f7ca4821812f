from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from data_project import ids, make, project_for
from tiny_project import local_rows, write_local

from rllr.data.examples import text_key
from rllr.data.local import faults
from rllr.errors import RllrError

Splits = dict[str, list[dict[str, Any]]]


@pytest.fixture
def splits() -> Splits:
    return {
        "train": local_rows("train", 50),
        "validation": local_rows("validation", 10),
        "test": local_rows("test", 12),
    }


def test_train_is_carved_and_nothing_is_lost(tmp_path: Path, splits: Splits) -> None:
    project = project_for(write_local(tmp_path, "mr", splits), rm_share=0.4, rl_share=0.2)
    found, facts = make(project, "mr", tmp_path / "to")
    sizes = {name: len(rows) for name, rows in found.items()}
    assert sizes == {"sft": 20, "rm": 20, "rl": 10, "validation": 10, "test": 12}
    carved = [ids(found[name]) for name in ("sft", "rm", "rl")]
    assert set.union(*carved) == ids(splits["train"])
    assert found["test"] == splits["test"] and found["validation"] == splits["validation"]
    assert set(facts["duplicates_removed"].values()) == {0}
    assert set(facts["overlaps"]["within"].values()) == {0}


@pytest.mark.parametrize("shares", [(0.4, 0.2), (0.9, 0.05), (0.05, 0.9), (0.0, 0.0)])
@pytest.mark.parametrize("count", [3, 4, 9])
def test_no_carved_split_is_empty(
    tmp_path: Path, splits: Splits, shares: tuple[float, float], count: int
) -> None:
    splits["train"] = local_rows("train", count)
    folder = write_local(tmp_path, "mr", splits)
    project = project_for(folder, rm_share=shares[0], rl_share=shares[1])
    found, _ = make(project, "mr", tmp_path / "to")
    assert all(found[name] for name in ("sft", "rm", "rl"))
    assert sum(len(found[name]) for name in ("sft", "rm", "rl")) == count


def test_the_carving_depends_on_the_seed_alone(tmp_path: Path, splits: Splits) -> None:
    folder = write_local(tmp_path, "mr", splits)
    made = [
        make(project_for(folder, seed=seed), "mr", tmp_path / str(number))[0]
        for number, seed in enumerate((0, 0, 1))
    ]
    assert made[0] == made[1]
    assert ids(made[0]["rm"]) != ids(made[2]["rm"])


def test_sizes_are_limits(tmp_path: Path, splits: Splits) -> None:
    folder = write_local(tmp_path, "mr", splits)
    sizes = {"sft": 5, "rm": 1000, "test": 3}
    found, facts = make(project_for(folder, sizes=sizes), "mr", tmp_path / "some")
    whole, _ = make(project_for(folder), "mr", tmp_path / "all")
    assert len(found["sft"]) == 5 and ids(found["sft"]) < ids(whole["sft"])
    assert len(found["test"]) == 3 and ids(found["test"]) < ids(whole["test"])
    assert found["rm"] == whole["rm"] and found["validation"] == whole["validation"]
    assert facts["sizes"]["rm"] == {"wanted": 1000, "got": 20}
    assert facts["sizes"]["rl"] == {"wanted": None, "got": 10}


def test_a_text_in_two_files_is_only_evaluated_on(tmp_path: Path, splits: Splits) -> None:
    shouted = splits["test"][0]["text"].upper() + "!"
    splits["train"] += [
        {"id": "copy-1", "text": shouted, "label": "negative"},
        {"id": "copy-2", "text": splits["validation"][0]["text"], "label": "positive"},
        {"id": "again", "text": splits["train"][0]["text"] + " .", "label": "positive"},
    ]
    splits["validation"] += [{"id": "copy-3", "text": shouted, "label": "positive"}]
    project = project_for(write_local(tmp_path, "mr", splits), overlap="drop")
    found, facts = make(project, "mr", tmp_path / "to")
    assert facts["duplicates_removed"] == {"train": 0, "validation": 0, "test": 0}
    assert facts["conflicting_labels"] == {"train": 1, "validation": 0, "test": 0}
    assert facts["overlaps"]["within"] == {
        "train in validation": 2,  # the shouted one is in validation too
        "train in test": 0,
        "validation in test": 1,
    }
    assert not {"copy-1", "copy-2", "copy-3", "again"} & set.union(*map(ids, found.values()))


def test_no_text_is_in_two_splits_not_even_as_a_swapped_pair(tmp_path: Path) -> None:
    def pairs(name: str, shift: int) -> list[dict[str, Any]]:
        words = [f"w{number + shift}" for number in range(12)]
        texts = zip(words, reversed(words), strict=True)
        return [
            {"id": f"{name}{i}", "text_a": a, "text_b": b, "label": "duplicate"}
            for i, (a, b) in enumerate(texts)
        ]

    folder = write_local(
        tmp_path,
        "qqp",
        {"train": pairs("t", 0), "validation": pairs("v", 12), "test": pairs("e", 24)},
    )
    project = project_for(folder, ["qqp"])
    found, facts = make(project, "qqp", tmp_path / "to")
    # Each of the twelve pairs stands there twice, once the other way round.
    assert facts["duplicates_removed"] == {"train": 6, "validation": 6, "test": 6}
    keys = [text_key(project.tasks["qqp"], row) for rows in found.values() for row in rows]
    assert len(keys) == len(set(keys)) == 18


# --- mistakes ------------------------------------------------------------------------------------


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(RllrError, match=r"data\.path: no folder .*/none/mr; local data lies in"):
        make(project_for(tmp_path / "none"), "mr", tmp_path / "to")


@pytest.mark.parametrize("name", ["train", "./train"])
def test_one_file_for_two_parts(tmp_path: Path, splits: Splits, name: str) -> None:
    folder = write_local(tmp_path, "mr", splits)
    project = project_for(folder, files={"test": name}, overlap="drop")
    (fault,) = faults(project)
    assert fault[0] == "mr" and "train.jsonl is both train and test; name another" in fault[1]
    with pytest.raises(RllrError, match="both train and test"):
        make(project, "mr", tmp_path / "to")


def test_a_missing_file(tmp_path: Path, splits: Splits) -> None:
    folder = write_local(tmp_path, "mr", splits)
    (folder / "mr" / "validation.jsonl").unlink()
    with pytest.raises(RllrError, match=r"no file .*/mr/validation\.jsonl \(nor \.csv, nor"):
        make(project_for(folder), "mr", tmp_path / "to")


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_an_empty_split(tmp_path: Path, splits: Splits, name: str) -> None:
    splits[name] = []
    project = project_for(write_local(tmp_path, "mr", splits))
    with pytest.raises(RllrError, match=rf"{name}\.jsonl: the part has 0 usable examples"):
        make(project, "mr", tmp_path / "to")


def test_a_split_that_holds_nothing_but_test_texts(tmp_path: Path, splits: Splits) -> None:
    splits["validation"] = [{**row, "id": "v" + row["id"]} for row in splits["test"]]
    project = project_for(write_local(tmp_path, "mr", splits), overlap="drop")
    with pytest.raises(RllrError, match=r"validation\.jsonl: the part has 0 usable examples"):
        make(project, "mr", tmp_path / "to")


def test_an_id_in_two_splits(tmp_path: Path, splits: Splits) -> None:
    splits["test"][4]["id"] = splits["train"][7]["id"]
    project = project_for(write_local(tmp_path, "mr", splits))
    with pytest.raises(
        RllrError, match=r"test\.jsonl:5: id 'train-7' is also that of .*train\.jsonl:8"
    ):
        make(project, "mr", tmp_path / "to")


def test_a_label_outside_the_set(tmp_path: Path, splits: Splits) -> None:
    splits["validation"][2]["label"] = "great"
    project = project_for(write_local(tmp_path, "mr", splits))
    with pytest.raises(RllrError, match=r"validation\.jsonl:3: label 'great' is none of"):
        make(project, "mr", tmp_path / "to")
