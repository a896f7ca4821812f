from __future__ import annotations

from typing import Any

import pytest

from rllr.config.load import Project
from rllr.data.pair_statistics import pair_statistics


def pair(chosen: str, rejected: str, gold: Any = "positive", task: str = "mr") -> dict[str, Any]:
    example = {} if gold is None else {"label": gold}
    texts = {"chosen": f" x Answer: {chosen}", "rejected": f" y Answer: {rejected}"}
    return {"task": task, "example": example, **texts}


def test_labels(preset: Project) -> None:
    pairs = [
        pair("positive", "positive"),
        pair("positive", "negative"),
        pair("negative", "positive"),
        pair("positive", "?"),
    ]
    found = pair_statistics(preset, pairs)
    assert (found["pairs"], found["equal_labels"]) == (4, 0.25)
    assert (found["one_label_right"], found["judge_prefers_right"]) == (3, 2 / 3)


def test_no_pairs(preset: Project) -> None:
    found = pair_statistics(preset, [])
    assert (found["pairs"], found["equal_labels"], found["longer_by_words"]) == (0, None, None)
    assert found["by_task"] == {}


def test_lengths_are_those_of_the_chosen_response_less_those_of_the_rejected(
    preset: Project,
) -> None:
    longer = {**pair("positive", "negative"), "chosen": "a b c d", "rejected": "a b"}
    shorter = {**longer, "chosen": "abc", "rejected": "abcd"}
    same = {**longer, "chosen": " a b", "rejected": "a b "}
    found = pair_statistics(preset, [longer, shorter, same])
    assert found["longer_by_characters"] == pytest.approx((4 - 1 + 0) / 3)
    assert found["longer_by_words"] == pytest.approx(2 / 3)
    assert (found["chosen_is_longer"], found["rejected_is_longer"]) == (1 / 3, 1 / 3)
    assert found["same_text"] == 1


def test_groups_by_task_and_gold_label(preset: Project) -> None:
    pairs = [
        pair("positive", "negative"),
        pair("negative", "positive", "negative"),
        pair("positive", "negative", None),
        pair("3.8", "1.0", 3.75, "stsb"),
        pair("2.0", "3.0", 3.0, "stsb"),
    ]
    found = pair_statistics(preset, pairs)["by_task"]
    labels = {
        task: {name: group["pairs"] for name, group in one["by_label"].items()}
        for task, one in found.items()
    }
    assert labels == {"mr": {"negative": 1, "positive": 1, "unlabelled": 1}, "stsb": {"3": 2}}
    # 3.75 is written as 3.8, and that is what is read back.
    assert found["stsb"]["judge_prefers_right"] == 0.5


def test_a_score_near_the_gold_one_is_right(preset: Project) -> None:
    pairs = [pair("3.4", "1.0", 3.0, "stsb"), pair("2.0", "2.5", 3.0, "stsb")]
    pairs.append(pair("2.8", "3.2", 3.0, "stsb"))
    found = pair_statistics(preset, pairs)
    assert (found["one_label_right"], found["judge_prefers_right"]) == (2, 0.5)
