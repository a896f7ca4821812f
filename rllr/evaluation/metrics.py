"""Metrics of predictions, with percentile bootstrap intervals over test examples.

Metrics are fractions. A response from which no label can be read counts as wrong; for a score it
counts as the middle of the range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rllr.config.schema import TaskConfig
from rllr.tasks.labels import Label, midpoint

Array = NDArray[np.float64]
RESAMPLES = 1000


def pearson(gold: Array, predicted: Array) -> Array:
    """Pearson correlation along the last axis; 0 where either side is constant."""
    x = gold - gold.mean(-1, keepdims=True)
    y = predicted - predicted.mean(-1, keepdims=True)
    scale = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    flat = (np.ptp(gold, axis=-1) == 0) | (np.ptp(predicted, axis=-1) == 0)
    safe = np.where(flat, 1.0, scale)
    result: Array = np.where(flat, 0.0, (x * y).sum(-1) / safe)
    return result


def class_f1(gold: Sequence[Label], predicted: Sequence[Label | None], label: Label) -> float:
    """F1 of one class: 2 TP / (2 TP + FP + FN); 0 when the class never occurs on either side."""
    pairs = list(zip(gold, predicted, strict=True))
    hits = sum(g == label and p == label for g, p in pairs)
    misses = sum((g == label) != (p == label) for g, p in pairs)
    return 2 * hits / (2 * hits + misses) if hits or misses else 0.0


def bootstrap_indices(n: int, seed: int) -> NDArray[np.int64]:
    """(RESAMPLES, n) example indices, drawn with replacement."""
    return np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))


def evaluate(
    task: TaskConfig, gold: Sequence[Label], predicted: Sequence[Label | None], seed: int
) -> dict[str, Any]:
    """The task's metric with its 95 % interval, further metrics and flags."""
    score = _evaluate_scores if task.metric == "pearson" else _evaluate_classes
    result = score(task, gold, predicted, bootstrap_indices(len(gold), seed))
    return {"metric": task.metric, "n": len(gold), **result}


def _evaluate_classes(
    task: TaskConfig, gold: Sequence[Label], predicted: Sequence[Label | None], draws: Any
) -> dict[str, Any]:
    hits = np.array([g == p for g, p in zip(gold, predicted, strict=True)], dtype=np.float64)
    # Classes that the test split lacks would drag the macro average down by no fault of the model.
    present = sorted(set(gold), key=str)
    f1 = {label: class_f1(gold, predicted, label) for label in present}
    extra = {"macro_f1": float(np.mean(list(f1.values())))}
    if task.f1_of is not None:
        extra["f1"] = class_f1(gold, predicted, task.f1_of)
    return {
        "value": float(hits.mean()),
        **_interval(hits[draws].mean(-1)),
        "extra": extra,
        "flags": [],
    }


def _evaluate_scores(
    task: TaskConfig, gold: Sequence[Label], predicted: Sequence[Label | None], draws: Any
) -> dict[str, Any]:
    from scipy.stats import rankdata

    x = np.array(gold, dtype=np.float64)
    y = np.array([midpoint(task) if p is None else p for p in predicted], dtype=np.float64)
    extra = {"spearman": float(pearson(rankdata(x), rankdata(y)))}
    flags = ["constant_prediction"] if np.ptp(y) == 0 else []
    interval = _interval(pearson(x[draws], y[draws]))
    return {"value": float(pearson(x, y)), **interval, "extra": extra, "flags": flags}


def _interval(values: Array) -> dict[str, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return {"ci_low": float(low), "ci_high": float(high)}
