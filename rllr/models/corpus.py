"""Plain text to pretrain a tiny model on: inputs, and exercises in copying and comparing words.

Labels are never looked at, and nothing is known of how the texts came about: only their words are
used. Most documents set a text beside a copy of it whose words are shuffled and partly replaced,
and list what both hold and what only one does: finding a word again, and noticing that it has no
partner, is what a two-layer model seldom learns from a few thousand labelled pairs alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

MAX_WORDS = 24
REPLACED = (0.0, 0.2, 0.4, 0.6, 1.0)

Words = list[str]


def pretraining_documents(
    examples: Sequence[Mapping[str, Any]], count: int, seed: int
) -> list[str]:
    """Write `count` documents from rows with `text`, or `text_a` and `text_b`.

    Texts are cut to 24 words. The same arguments give the same documents. No words, no documents.
    """
    rng = random.Random(f"{seed}/pretraining")
    texts = [words for row in examples for words in _texts(row)]
    vocabulary = sorted({word for words in texts for word in words})
    kinds = rng.choices(list(KINDS), weights=list(KINDS.values()), k=count if texts else 0)
    return [kind(rng.choice(texts), vocabulary, rng) for kind in kinds]


def _texts(row: Mapping[str, Any]) -> list[Words]:
    fields = (row[name].split()[:MAX_WORDS] for name in ("text", "text_a", "text_b") if name in row)
    return [words for words in fields if words]


def _altered(words: Words, vocabulary: Words, rng: random.Random) -> Words:
    """A shuffled copy, some share of its words replaced by others of the vocabulary."""
    share = rng.choice(REPLACED)
    copy = [rng.choice(vocabulary) if rng.random() < share else word for word in words]
    return rng.sample(copy, len(copy))


def _quoted(words: Iterable[str]) -> str:
    return " ".join(f'"{word}"' for word in words) or "nothing"


def _plain(words: Words, vocabulary: Words, rng: random.Random) -> str:
    return " ".join(words)


def _repeated(words: Words, vocabulary: Words, rng: random.Random) -> str:
    return f"{' '.join(words)}\n{' '.join(words)}"


def _cited(words: Words, vocabulary: Words, rng: random.Random) -> str:
    """A text and some of its words, in quotes."""
    return f"Text: {' '.join(words)}\n{_quoted(rng.sample(words, min(3, len(words))))}"


def _side_by_side(first: Words, second: Words) -> str:
    return f"First: {' '.join(first)}\nSecond: {' '.join(second)}\n"


def _compared(words: Words, vocabulary: Words, rng: random.Random) -> str:
    """Two texts and, in random order, the words of both and the words of one alone."""
    other = _altered(words, vocabulary, rng)
    parts = [
        f"both say {_quoted(word for word in other if word in words)}",
        f"only second says {_quoted(word for word in other if word not in words)}",
    ]
    return _side_by_side(words, other) + " ".join(rng.sample(parts, len(parts)))


def _tagged(words: Words, vocabulary: Words, rng: random.Random) -> str:
    """Two texts, each word of the second marked: again if the first says it too, else new."""
    other = _altered(words, vocabulary, rng)
    marked = (f"{word} {'again' if word in words else 'new'}" for word in other)
    return f"First: {' '.join(words)}\nSecond: {' '.join(marked)}"


# How often each kind of document is written, relative to the others.
KINDS: dict[Callable[[Words, Words, random.Random], str], int] = {
    _plain: 1,
    _repeated: 1,
    _cited: 1,
    _compared: 3,
    _tagged: 2,
}
