from __future__ import annotations

import math
import random

import pytest

from rllr.config.load import Project
from rllr.config.messages import validate
from rllr.config.schema import TaskConfig
from rllr.errors import RllrError
from rllr.tasks.labels import (
    label_text,
    legal_label,
    midpoint,
    read_label,
    sampled_wrong_labels,
    wrong_labels,
)


def task_with(*values: str) -> TaskConfig:
    raw = {"name": "T", "instruction": "Which?", "input": "{text}", "metric": "accuracy"}
    return validate(
        TaskConfig, {**raw, "labels": {"kind": "class", "values": list(values)}}, "task"
    )


def test_every_label_reads_back_as_itself(preset: Project) -> None:
    for task in preset.tasks.values():
        values = getattr(task.labels, "values", [0.0, 0.3, 2.5, 5.0])
        for label in values:
            text = label_text(task, label)
            for odd in (text, f" {text}.", f"**{text}**", f'"{text}" .\n', text.upper()):
                read = read_label(task, odd)
                assert read == label and type(read) is type(label), odd


@pytest.mark.parametrize("text", ["", "neutral", "posit", "positive negative", "1", "positive 5"])
def test_what_is_no_label_of_the_task_is_not_read(preset: Project, text: str) -> None:
    assert read_label(preset.tasks["mr"], text) is None


@pytest.mark.parametrize("text", ["0", "6", "1.5", "one", "3 stars", "-1", "1e0", "NaN"])
def test_stars_are_read_exactly(preset: Project, text: str) -> None:
    assert read_label(preset.tasks["appreviews"], text) is None


@pytest.mark.parametrize(
    "text, score",
    [
        ("3.2", 3.2),
        ("3", 3.0),
        ("0", 0.0),
        ("5.0.", 5.0),
        (".5", 0.5),
        ("-0.1", None),
        ("5.1", None),
        ("nan", None),
        ("NaN", None),
        ("inf", None),
        ("-inf", None),
        ("1e3", None),
        ("1e400", None),
        ("three", None),
        ("2.5/5", None),
        ("", None),
    ],
)
def test_scores_are_read_within_their_range(
    preset: Project, text: str, score: float | None
) -> None:
    assert read_label(preset.tasks["stsb"], text) == score


def test_labels_that_end_in_punctuation_read_back() -> None:
    task = task_with("U.S.", "N/A", "'quoted'")
    for label in task.labels.values:
        assert read_label(task, label) == label


@pytest.mark.parametrize("value", ["6", 6, 0, 2.5, True, None, [1], "one"])
def test_data_labels_outside_the_set_are_refused_with_what_is_allowed(
    preset: Project, value: object
) -> None:
    with pytest.raises(RllrError, match="is none of 1, 2, 3, 4, 5"):
        legal_label(preset.tasks["appreviews"], value)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "3", None])
def test_data_scores_must_be_numbers(preset: Project, value: object) -> None:
    with pytest.raises(RllrError, match="is not a number"):
        legal_label(preset.tasks["stsb"], value)


def test_legal_labels_are_normalised(preset: Project) -> None:
    stars, score = preset.tasks["appreviews"], preset.tasks["stsb"]
    assert legal_label(stars, 3.0) == 3 and type(legal_label(stars, 3.0)) is int
    assert type(legal_label(score, 3)) is float
    for value in (5.01, -0.01):
        with pytest.raises(RllrError, match=r"is outside 0\.\.5"):
            legal_label(score, value)


def test_wrong_classes_are_all_others(preset: Project) -> None:
    for name in ("mr", "mnli", "agnews", "appreviews"):
        task = preset.tasks[name]
        for gold in task.labels.values:
            wrong = wrong_labels(task, gold)
            assert sorted([*wrong, gold], key=str) == sorted(task.labels.values, key=str)


@pytest.mark.parametrize(
    "gold, wrong",
    [(0.0, [1, 2, 3, 4, 5]), (2.4, [0, 1, 4, 5]), (3.0, [0, 1, 2, 4, 5]), (5.0, [0, 1, 2, 3, 4])],
)
def test_wrong_scores_are_at_least_one_away(
    preset: Project, gold: float, wrong: list[float]
) -> None:
    assert wrong_labels(preset.tasks["stsb"], gold) == wrong


def test_sampled_wrong_labels(preset: Project) -> None:
    task = preset.tasks["stsb"]
    everything = wrong_labels(task, 2.5)
    assert sampled_wrong_labels(task, 2.5, "all", random.Random(0)) == everything
    assert sorted(sampled_wrong_labels(task, 2.5, 99, random.Random(0))) == everything
    drawn = {sampled_wrong_labels(task, 2.5, 1, random.Random(seed))[0] for seed in range(50)}
    assert drawn == set(everything)
    two = sampled_wrong_labels(task, 2.5, 2, random.Random(1))
    assert len(set(two)) == 2
    assert two == sampled_wrong_labels(task, 2.5, 2, random.Random(1))


def test_the_midpoint(preset: Project) -> None:
    assert midpoint(preset.tasks["stsb"]) == 2.5
