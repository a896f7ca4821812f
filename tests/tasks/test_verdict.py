from __future__ import annotations

import pytest

from rllr.tasks.verdict import is_right


@pytest.mark.parametrize(
    ("stated", "gold", "right"),
    [("positive", "positive", True), ("negative", "positive", False), (None, "positive", False)],
)
def test_a_class_is_right_when_it_is_the_gold_one(
    stated: str | None, gold: str, right: bool
) -> None:
    assert is_right(stated, gold, score=False) == right


@pytest.mark.parametrize(
    ("stated", "gold", "right"),
    [(3.0, 3.5, True), (1.1, 0.6, True), (3.0, 3.6, False), (None, 3.0, False)],
)
def test_a_score_is_right_within_half_a_point(
    stated: float | None, gold: float, right: bool
) -> None:
    assert is_right(stated, gold, score=True) == right
