"""Every value that was not published says why it was chosen, and stands in docs/chosen-here.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rllr.config.load import CONFIG_DIR, read_yaml

DOCUMENT = CONFIG_DIR.parent / "docs/chosen-here.md"
MODELS = [
    path
    for path in sorted((CONFIG_DIR / "models").glob("*.yaml"))
    if read_yaml(path)["source"]["kind"] == "hub"
]
FILES = [CONFIG_DIR / "paper.yaml", CONFIG_DIR / "scale.yaml", *MODELS]
MARK = "chosen-here"


def chosen(path: Path) -> list[tuple[str, str]]:
    """(key, reason) of each marked comment: the key below it, or beside it, with its parents."""
    found, comment = [], []
    parents: dict[int, str] = {}
    for line in path.read_text().splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.lstrip("# "))
            continue
        if key := re.match(r"(\s*)([\w.-]+):", line):
            indent = len(key[1])
            parents = {depth: name for depth, name in parents.items() if depth < indent}
            parents[indent] = key[2]
            text = " ".join(comment)
            if MARK in text and parents[indent] != "name":  # a model's file opens with its name
                found.append((".".join(parents.values()), reason(text)))
        comment = []
    return found


def reason(text: str) -> str:
    """What follows the mark, without its punctuation."""
    return text.partition(MARK)[2].lstrip(",.: ")


def table() -> str:
    """The document's table."""
    rows = ["| file | key | why |", "|---|---|---|"]
    for path in FILES:
        name = path.relative_to(CONFIG_DIR)
        rows += [f"| `{name}` | `{key}` | {why} |" for key, why in chosen(path)]
    return "\n".join(rows)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_chosen_value_has_a_reason(path: Path) -> None:
    marks = [line for line in path.read_text().splitlines() if MARK in line]
    entries = chosen(path)
    assert entries
    for key, why in entries:
        assert len(why.split()) >= 3, f"{path.name}: {key}: no reason"
    # Every mark is found, but for the one in the head of most files, which explains it.
    explained = sum("marked" in line for line in marks)
    assert len(entries) == len(marks) - explained


def test_the_document_lists_them_all() -> None:
    text = DOCUMENT.read_text()
    assert text.endswith(table() + "\n"), f"replace the table of {DOCUMENT} by:\n\n{table()}\n"
