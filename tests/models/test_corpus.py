from __future__ import annotations

from typing import Any

from rllr.models.corpus import MAX_WORDS, pretraining_documents

ROWS: list[dict[str, Any]] = [
    {"id": "1", "text": "a witty and moving film", "label": "positive"},
    {"id": "2", "text_a": "the lake is cold", "text_b": "nobody swims there", "label": "neutral"},
    {"id": "3", "text": " ".join(f"word{i}" for i in range(200)), "label": 5},
]


def test_the_arguments_alone_decide() -> None:
    documents = pretraining_documents(ROWS, 50, seed=1)
    assert len(documents) == 50
    assert documents == pretraining_documents(ROWS, 50, seed=1)
    assert documents != pretraining_documents(ROWS, 50, seed=2)


def test_labels_are_never_looked_at() -> None:
    unlabelled = [{key: row[key] for key in row if key != "label"} for row in ROWS]
    other = [row | {"label": "SECRET"} for row in ROWS]
    expected = pretraining_documents(ROWS, 80, seed=0)
    assert pretraining_documents(unlabelled, 80, seed=0) == expected
    assert pretraining_documents(other, 80, seed=0) == expected


def test_every_text_is_used_and_nothing_but_texts() -> None:
    documents = pretraining_documents(ROWS, 200, seed=0)
    known = {word for row in ROWS for name in row for word in str(row[name]).split()}
    for start in ("a witty", "the lake", "nobody swims", "word0 word1"):
        assert any(start in document for document in documents)
    words = {word for document in documents for word in document.split()}
    assert words - known <= {"Text:", "First:", "Second:"}


def test_some_documents_repeat_their_text() -> None:
    documents = pretraining_documents(ROWS[:1], 100, seed=0)
    twice = [document for document in documents if document.count(ROWS[0]["text"]) == 2]
    assert 0 < len(twice) < 100


def test_long_texts_are_cut() -> None:
    longest = max(len(d.split()) for d in pretraining_documents(ROWS[2:], 100, seed=0))
    assert MAX_WORDS <= longest <= 3 * MAX_WORDS


def test_without_words_there_are_no_documents() -> None:
    assert pretraining_documents([], 10, seed=0) == []
    assert pretraining_documents([{"id": "1", "text": " "}], 10, seed=0) == []
