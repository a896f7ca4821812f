"""Predictions without the texts of data sets and models: labels, ids and verdicts stay."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rllr import files
from rllr.errors import RllrError


def without_texts(path: Path) -> bytes:
    """A `predictions.jsonl` without prompts, and with hashes for responses.

    Equal responses have equal hashes, so that all tables stay what they were: whether a policy
    moved is told by whether its responses differ. A file that is no JSONL is left out: it may hold
    any text; the RllrError names it.
    """
    rows = []
    for number, row in files.numbered_rows(path):
        if "response" not in row:
            raise RllrError(f"{path}:{number}: no field 'response'")
        row.pop("prompt", None)
        row["response"] = _hash(str(row["response"]))
        rows.append(json.dumps(row, ensure_ascii=False))
    return as_json("".join(f"{row}\n" for row in rows))


def as_json(text: str) -> bytes:
    """JSON as bytes; half of a surrogate pair stays the escape that it was read from."""
    return text.encode("utf-8", "backslashreplace")


def _hash(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
