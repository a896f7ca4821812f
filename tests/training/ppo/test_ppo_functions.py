from __future__ import annotations

from typing import Any

import pytest

from rllr.config.load import load
from rllr.errors import RllrError
from rllr.training.ppo.functions import FUNCTIONS, Gold, format_valid, label_correct, length


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    return load({"extends": "tiny", "tasks": ["mr", "appreviews", "stsb"]}).tasks


def test_a_correct_label_earns_one(tasks: dict[str, Any]) -> None:
    responses = ["a b Answer: positive", "a Answer: Positive.", "a Answer: negative", "positive"]
    golds = [Gold(tasks["mr"], "positive")] * 4
    assert label_correct(responses, golds) == [1, 1, 0, 0]
    stars = [Gold(tasks["appreviews"], 4), Gold(tasks["appreviews"], 4)]
    assert label_correct(["Answer: 4", "Answer: 5"], stars) == [1, 0]


def test_a_score_earns_by_its_distance(tasks: dict[str, Any]) -> None:
    golds = [Gold(tasks["stsb"], 4.0)] * 4
    responses = ["Answer: 4.0", "Answer: 1.5", "Answer: 5.0", "Answer: 7.0"]
    assert label_correct(responses, golds) == pytest.approx([1, 0.5, 0.8, 0])


def test_without_a_gold_label_there_is_nothing_to_compare_with(tasks: dict[str, Any]) -> None:
    with pytest.raises(RllrError, match=r"needs gold labels.*use a reward model"):
        label_correct(["Answer: positive"], [Gold(tasks["mr"])])


def test_format_and_length_need_no_gold_label(tasks: dict[str, Any]) -> None:
    golds = [Gold(tasks["mr"])] * 3
    responses = ["one two Answer: positive", "Answer: great", ""]
    assert format_valid(responses, golds) == [1, 0, 0]
    assert length(responses, golds) == [4, 2, 0]


def test_every_function_of_the_configuration_exists() -> None:
    from typing import get_args

    from rllr.config.schema import RewardFunction

    assert set(get_args(RewardFunction)) == set(FUNCTIONS)
