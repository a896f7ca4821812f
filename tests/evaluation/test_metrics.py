from __future__ import annotations

import random

import numpy as np
import pytest
from scipy import stats

from rllr.config.load import Project
from rllr.evaluation.metrics import RESAMPLES, bootstrap_indices, class_f1, evaluate, pearson

GOLD = ["negative", "negative", "positive", "positive", "positive"]
PREDICTED = ["negative", "positive", "positive", None, "positive"]


def scores(count: int, seed: int) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    gold = rng.uniform(0, 5, count).round(1)
    return gold.tolist(), np.clip(gold + rng.normal(0, 1.5, count), 0, 5).round(1).tolist()


def test_accuracy_counts_unreadable_responses_as_wrong(preset: Project) -> None:
    found = evaluate(preset.tasks["mr"], GOLD, PREDICTED, seed=0)
    assert found["metric"] == "accuracy" and found["n"] == 5
    assert found["value"] == pytest.approx(3 / 5)
    assert found["flags"] == []
    # F1 of negative: 1 hit, 1 missed; of positive: 2 hits, 1 missed, 1 too many.
    assert found["extra"]["macro_f1"] == pytest.approx((2 / 3 + 4 / 6) / 2)


def test_f1_of_a_class() -> None:
    assert class_f1(GOLD, PREDICTED, "positive") == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert class_f1(GOLD, [None] * 5, "positive") == 0
    assert class_f1(["a"], ["a"], "b") == 0
    assert class_f1(GOLD, GOLD, "negative") == 1


def test_tasks_that_ask_for_f1_get_it(preset: Project) -> None:
    task = preset.tasks["mrpc"]
    gold = ["equivalent", "not_equivalent", "equivalent"]
    predicted = ["equivalent", "equivalent", None]
    found = evaluate(task, gold, predicted, seed=0)
    assert found["extra"]["f1"] == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))
    assert "f1" not in evaluate(preset.tasks["mr"], GOLD, PREDICTED, seed=0)["extra"]


def test_classes_that_no_example_has_do_not_pull_the_macro_average_down(preset: Project) -> None:
    found = evaluate(preset.tasks["mnli"], ["neutral", "neutral"], ["neutral", "neutral"], seed=0)
    assert found["extra"]["macro_f1"] == 1


def test_correlations_agree_with_scipy(preset: Project) -> None:
    gold, predicted = scores(80, seed=3)
    found = evaluate(preset.tasks["stsb"], gold, predicted, seed=0)
    assert found["metric"] == "pearson"
    assert found["value"] == pytest.approx(stats.pearsonr(gold, predicted)[0], abs=1e-12)
    spearman = stats.spearmanr(gold, predicted)[0]
    assert found["extra"]["spearman"] == pytest.approx(spearman, abs=1e-12)
    assert found["ci_low"] < found["value"] < found["ci_high"]


def test_pearson_works_along_the_last_axis() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 4, 30))
    wanted = [stats.pearsonr(a, b)[0] for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(pearson(x, y), wanted, atol=1e-12)


@pytest.mark.parametrize("value", [3.0, 0.1, 2.3])
def test_a_constant_prediction_counts_zero_and_is_flagged(preset: Project, value: float) -> None:
    gold, _ = scores(37, seed=1)
    found = evaluate(preset.tasks["stsb"], gold, [value] * 37, seed=0)
    assert (found["value"], found["ci_low"], found["ci_high"]) == (0, 0, 0)
    assert found["extra"]["spearman"] == 0
    assert found["flags"] == ["constant_prediction"]


def test_nothing_but_unreadable_responses_is_a_constant(preset: Project) -> None:
    gold, _ = scores(10, seed=1)
    assert evaluate(preset.tasks["stsb"], gold, [None] * 10, seed=0)["flags"]


def test_an_unreadable_score_counts_as_the_midpoint(preset: Project) -> None:
    gold, predicted = scores(20, seed=2)
    task = preset.tasks["stsb"]
    unread = [None, *predicted[1:]]
    assert evaluate(task, gold, unread, 0) == evaluate(task, gold, [2.5, *predicted[1:]], 0)


@pytest.mark.parametrize("hits", [120, 160, 190])
def test_the_interval_is_close_to_the_exact_binomial_one(preset: Project, hits: int) -> None:
    gold = ["positive"] * 200
    predicted = ["positive"] * hits + ["negative"] * (200 - hits)
    random.Random(0).shuffle(predicted)
    found = evaluate(preset.tasks["mr"], gold, predicted, seed=4)
    exact = stats.binomtest(hits, 200).proportion_ci(0.95)
    assert found["ci_low"] == pytest.approx(exact.low, abs=0.02)
    assert found["ci_high"] == pytest.approx(exact.high, abs=0.02)


def test_all_right_and_all_wrong(preset: Project) -> None:
    task = preset.tasks["mr"]
    for predicted, value in ((GOLD, 1), ([None] * 5, 0)):
        found = evaluate(task, GOLD, predicted, seed=0)
        assert (found["value"], found["ci_low"], found["ci_high"]) == (value, value, value)


def test_the_resamples_depend_on_the_seed_alone() -> None:
    draws = bootstrap_indices(50, seed=1)
    assert draws.shape == (RESAMPLES, 50)
    assert draws.min() >= 0 and draws.max() < 50
    assert (draws == bootstrap_indices(50, seed=1)).all()
    assert (draws != bootstrap_indices(50, seed=2)).any()
