"""Examples: the JSONL contract, checked row by row.

`{"id", "text", "label"}` for single texts, `{"id", "text_a", "text_b", "label"}` for pairs.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from rllr.config.schema import TaskConfig
from rllr.errors import RllrError
from rllr.files import numbered_rows
from rllr.tasks.labels import legal_label

Example = dict[str, Any]
NO_LETTER_OR_DIGIT = re.compile(r"[\W_]+")
# Unicode categories that do not count: punctuation, separators, control and format characters, and
# modifier symbols, as ` is a quotation mark in tokenised texts; of the marks, variation selectors.
IGNORED = ("P", "Z", "Cc", "Cf", "Sk")
VARIATION_SELECTORS = range(0xFE00, 0xFE10)


def read_examples(path: Path, task: TaskConfig, *, labelled: bool = True) -> list[Example]:
    """Read and check a JSONL file; RllrError names file, line, field and what was expected."""
    return list(_checked(path, task, labelled))


def _checked(path: Path, task: TaskConfig, labelled: bool) -> Iterator[Example]:
    lines: dict[str, int] = {}
    for number, row in numbered_rows(path):
        where = f"{path}:{number}"
        example = _check_row(row, task, where, labelled)
        if example["id"] in lines:
            raise RllrError(f"{where}: id {example['id']!r} is also on line {lines[example['id']]}")
        lines[example["id"]] = number
        yield example


def _check_row(row: Mapping[str, Any], task: TaskConfig, where: str, labelled: bool) -> Example:
    for field in ("id", *task.fields):
        value = row.get(field)
        if not isinstance(value, str) or not value.strip():
            raise RllrError(f"{where}: field {field!r} must be a non-empty string, found {value!r}")
    example: Example = {field: row[field] for field in ("id", *task.fields)}
    if labelled or row.get("label") is not None:
        if "label" not in row:
            raise RllrError(f"{where}: field 'label' is missing")
        try:
            example["label"] = legal_label(task, row["label"])
        except RllrError as error:
            raise RllrError(f"{where}: {error}") from error
    return example


def text_key(task: TaskConfig, example: Mapping[str, Any]) -> str:
    """What makes two examples the same text: NFKC, case-folded, without spaces and punctuation.

    Vowel signs and accents, emoji, + and other symbols count; the minus sign of a keyboard is
    punctuation. A pair is the same whichever of its texts comes first.
    """
    return joined(folded_texts(task, example))


def folded_texts(task: TaskConfig, example: Mapping[str, Any]) -> list[str]:
    """Each text of an example as it is compared, in prompt order."""
    return [_fold(str(example[field])) for field in task.fields]


def joined(folded: list[str]) -> str:
    """One key of an example's folded texts, whatever their order."""
    return "\n".join(sorted(folded))


def text_hash(text: str) -> int:
    """64 bits of a hash, by which texts of all sources are compared."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _fold(text: str) -> str:
    # Before NFKC too: it makes a space and a mark of an accent that stands by itself.
    folded = _without_ignored(_normal(_without_ignored(text)))
    # Punctuation-only texts (":-)") stay distinct: they fold to themselves.
    return folded or _normal(text).strip()


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _without_ignored(text: str) -> str:
    return NO_LETTER_OR_DIGIT.sub(lambda found: _counting(found[0]), text)


@lru_cache(maxsize=4096)
def _counting(signs: str) -> str:
    """Those of a text's characters between letters and digits that count."""
    return "".join(
        sign
        for sign in signs
        if not unicodedata.category(sign).startswith(IGNORED)
        and ord(sign) not in VARIATION_SELECTORS
    )
