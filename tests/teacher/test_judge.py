from __future__ import annotations

from typing import Any

import pytest

from rllr.config.load import Project
from rllr.teacher.judge import UNREADABLE, LexicalJudge
from rllr.teacher.lexicon import Lexicon

TRAINING = [
    *[{"text": "bright warm film", "label": "positive"}] * 6,
    *[{"text": "dull cold film", "label": "negative"}] * 6,
]
EXAMPLE = {"id": "1", "text": "bright but cold film"}


@pytest.fixture(scope="module")
def judge(preset: Project) -> LexicalJudge:
    return LexicalJudge(Lexicon.count(preset.tasks["mr"], TRAINING))


def response(rationale: str, label: str = "positive") -> str:
    return f"{rationale} Answer: {label}"


def test_the_gold_label_is_never_looked_at(judge: LexicalJudge) -> None:
    text = response('"bright" decides.')
    scores = {
        judge.score({**EXAMPLE, **extra}, text)
        for extra in ({}, {"label": "positive"}, {"label": "negative"}, {"label": "nonsense"})
    }
    assert len(scores) == 1


def test_evidence_from_the_input_beats_invented_evidence(judge: LexicalJudge) -> None:
    grounded = judge.score(EXAMPLE, response('"bright" decides.'))
    half = judge.score(EXAMPLE, response('"bright" and "warm" decide.'))
    invented = judge.score(EXAMPLE, response('"warm" decides.'))
    assert grounded > half > invented == 0


def test_evidence_for_the_stated_label_beats_evidence_against_it(judge: LexicalJudge) -> None:
    supports = judge.score(EXAMPLE, response('"bright" decides.'))
    neutral = judge.score(EXAMPLE, response('"film" decides.'))
    opposes = judge.score(EXAMPLE, response('"cold" decides.'))
    assert supports > neutral > opposes


def test_the_order_of_all_kinds_of_responses(judge: LexicalJudge) -> None:
    ordered = [
        "complete nonsense",
        response(""),
        response('"warm" decides.'),
        response('"film" decides.'),
        response('"bright" decides.'),
    ]
    scores = [judge.score(EXAMPLE, text) for text in ordered]
    assert scores == sorted(scores) and len(set(scores)) == len(scores)
    assert scores[0] == UNREADABLE
    assert min(scores) >= -2 and max(scores) <= 2


def test_an_unreadable_answer_is_lowest_whatever_it_quotes(judge: LexicalJudge) -> None:
    assert judge.score(EXAMPLE, response('"bright" decides.', "maybe")) == UNREADABLE
    assert judge.score(EXAMPLE, '"bright" decides.') == UNREADABLE


def test_without_quotes_known_words_are_the_evidence(judge: LexicalJudge) -> None:
    assert judge.evidence("The BRIGHT ending, not the weather") == ["bright"]
    assert judge.evidence('the bright "Weather report"') == ["weather", "report"]
    assert judge.evidence("") == []


def test_the_score_is_the_share_of_evidence_plus_its_support(judge: LexicalJudge) -> None:
    lexicon = judge.lexicon
    support = max(-2.0, min(2.0, lexicon.score("bright", "positive"))) / 2
    found = judge.score(EXAMPLE, response('"bright" and "warm" decide.'))
    assert found == pytest.approx((1 + support) / 2)


def test_words_of_a_pair_count_by_whether_both_texts_hold_them(preset: Project) -> None:
    rows: list[dict[str, Any]] = [
        *[{"text_a": "red cat", "text_b": "red cat", "label": "equivalent"}] * 5,
        *[{"text_a": "red cat", "text_b": "red dog", "label": "not_equivalent"}] * 5,
    ]
    judge = LexicalJudge(Lexicon.count(preset.tasks["mrpc"], rows))
    same = {"text_a": "the cat", "text_b": "a cat"}
    differs = {"text_a": "the cat", "text_b": "a dog"}
    text = response('"cat" decides.', "equivalent")
    assert judge.score(same, text) > judge.score(differs, text)
