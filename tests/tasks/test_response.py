from __future__ import annotations

import pytest

from rllr.config.load import Project
from rllr.tasks.response import MARK, Parsed, format_response, parse_response


def test_responses_of_every_task_come_apart_as_they_were_made(preset: Project) -> None:
    for task in preset.tasks.values():
        for label in getattr(task.labels, "values", [0.0, 1.5, 5.0]):
            text = format_response(task, label, ' It says "good" and that is it. ')
            assert parse_response(task, text) == Parsed('It says "good" and that is it.', label)
            assert parse_response(task, format_response(task, label, None)) == Parsed("", label)


def test_a_response_starts_with_one_space(preset: Project) -> None:
    task = preset.tasks["mr"]
    assert format_response(task, "positive", "Why.") == f" Why. {MARK} positive"
    assert format_response(task, "positive", None) == f" {MARK} positive"


@pytest.mark.parametrize(
    "response, rationale, label",
    [
        ("It is good. Answer: POSITIVE.", "It is good.", "positive"),
        ("Answer:positive", "", "positive"),
        ("x Answer:   'positive'!", "x", "positive"),
        ("x Answer: positive\nHuman: next", "x", "positive"),
        ("x Answer:\npositive", "x", "positive"),
        ("Answer: negative or not? Answer: positive", "Answer: negative or not?", "positive"),
        ("Answer: positive Answer:", "Answer: positive", None),
        ("positive", "positive", None),
        ("answer: positive", "answer: positive", None),
        ("", "", None),
        ("x Answer: positive because it says so", "x", None),
        ("x Answer: not positive", "x", None),
        ("x Answer: 😀", "x", None),
    ],
)
def test_odd_responses(preset: Project, response: str, rationale: str, label: str | None) -> None:
    assert parse_response(preset.tasks["mr"], response) == Parsed(rationale, label)


@pytest.mark.parametrize(
    "answer, score",
    [("4.5", 4.5), ("4.5.", 4.5), ("5.5", None), ("nan", None), ("inf", None), ("1e3", None)],
)
def test_odd_scores(preset: Project, answer: str, score: float | None) -> None:
    assert parse_response(preset.tasks["stsb"], f"why Answer: {answer}").label == score
