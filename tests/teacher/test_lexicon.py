from __future__ import annotations

import math

import pytest

from rllr.config.load import Project
from rllr.tasks.labels import label_bin
from rllr.teacher.lexicon import Lexicon, features, words_of


def test_scores_follow_the_formula(preset: Project) -> None:
    rows = [
        {"text": "good good film", "label": "positive"},
        {"text": "good plot", "label": "positive"},
        {"text": "bad film", "label": "positive"},
        {"text": "bad plot, good cast", "label": "negative"},
    ]
    lexicon = Lexicon.count(preset.tasks["mr"], rows)
    # "good" stands in three texts, two of them positive; three of four texts are positive.
    prior = (3 + 1) / (4 + 1 * 2)
    wanted = math.log((2 + 1 * prior) / (3 + 1)) - math.log(prior)
    assert lexicon.score("good", "positive") == pytest.approx(wanted, abs=1e-12)
    against = (1 + 1) / (4 + 1 * 2)
    wanted = math.log((1 + 1 * against) / (3 + 1)) - math.log(against)
    assert lexicon.score("good", "negative") == pytest.approx(wanted, abs=1e-12)


def test_a_word_never_seen_says_nothing(preset: Project) -> None:
    lexicon = Lexicon.count(preset.tasks["mr"], [{"text": "a", "label": "positive"}] * 3)
    assert lexicon.score("unseen", "positive") == pytest.approx(0)
    assert lexicon.score("unseen", "negative") == pytest.approx(0)


def test_the_sign_of_a_score_is_what_the_word_speaks_for(preset: Project) -> None:
    rows = [{"text": "up and", "label": "positive"}, {"text": "down and", "label": "negative"}] * 4
    lexicon = Lexicon.count(preset.tasks["mr"], rows)
    assert lexicon.score("up", "positive") > 0 > lexicon.score("up", "negative")
    assert lexicon.score("and", "positive") == pytest.approx(0)
    assert lexicon.vocabulary == {"up", "and", "down"}


def test_words() -> None:
    assert words_of('Don\'t "STOP", top-notch 3 films_here!') == [
        "don't",
        "stop",
        "top-notch",
        "3",
        "films",
        "here",
    ]


def test_features_of_a_pair(preset: Project) -> None:
    pair = {"text_a": "Red cat", "text_b": "red dog"}
    found = features(preset.tasks["qqp"], pair)
    assert found == {"cat": "one:cat", "dog": "one:dog", "red": "both:red"}
    assert Lexicon.count(preset.tasks["qqp"], [{**pair, "label": "duplicate"}]).vocabulary == {
        "red",
        "cat",
        "dog",
    }


@pytest.mark.parametrize("score, whole", [(0.0, "0"), (0.49, "0"), (0.5, "1"), (4.5, "5")])
def test_scores_are_counted_in_whole_steps(preset: Project, score: float, whole: str) -> None:
    assert label_bin(preset.tasks["stsb"], score) == whole
