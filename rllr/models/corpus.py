"""Plain text to pretrain a tiny model on: the inputs themselves, and exercises in copying them.

Labels are never looked at, and nothing is known of how the texts came about: only their words are
used. From plain texts a model learns which words go together; from copies, to find a word again;
from two texts that differ, to compare them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MAX_WORDS = 24
CITED = 3

Words = list[str]


def pretraining_documents(
    examples: Sequence[Mapping[str, Any]], count: int, seed: int
) -> list[str]:
    """Write `count` documents from rows with `text`, or `text_a` and `text_b`.

    Texts are cut to 24 words. The same arguments give the same documents. No words, no documents.
    """
    rng = random.Random(f"{seed}/pretraining")
    texts = [words for row in examples for words in _texts(row)]
    kinds = rng.choices(list(KINDS), weights=list(KINDS.values()), k=count if texts else 0)
    return [kind(rng.choice(texts), rng) for kind in kinds]


def _texts(row: Mapping[str, Any]) -> list[Words]:
    fields = (row[name].split()[:MAX_WORDS] for name in ("text", "text_a", "text_b") if name in row)
    return [words for words in fields if words]


def _plain(words: Words, rng: random.Random) -> str:
    return f"Text: {' '.join(words)}"


def _repeated(words: Words, rng: random.Random) -> str:
    return f"First: {' '.join(words)}\nSecond: {' '.join(words)}"


def _cited(words: Words, rng: random.Random) -> str:
    """A text and some of its words, in any order."""
    cited = rng.sample(words, min(CITED, len(words)))
    return f"Text: {' '.join(words)}\n{' '.join(cited)}"


def _changed(words: Words, rng: random.Random) -> str:
    """A text, its words in another order with some left out, and those that were left out."""
    missing = sorted(rng.sample(range(len(words)), min(CITED, len(words))))
    kept = [word for place, word in enumerate(words) if place not in missing]
    rng.shuffle(kept)
    left_out = " ".join(words[place] for place in missing)
    return f"First: {' '.join(words)}\nSecond: {' '.join(kept)}\n{left_out}"


# How often each kind of document is written, relative to the others.
KINDS: dict[Callable[[Words, random.Random], str], int] = {
    _plain: 1,
    _repeated: 1,
    _cited: 1,
    _changed: 5,
}
