"""Text for a terminal: what it would obey is shown as Python writes it, not sent."""

from __future__ import annotations

import unicodedata

# Control and format characters, halves of surrogate pairs, line and paragraph separators.
OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def plain(text: str) -> str:
    """The text with what a terminal would obey made visible; line breaks stay."""
    return "".join(char if _is_plain(char) else _escaped(char) for char in text)


def _is_plain(char: str) -> bool:
    return char == "\n" or char.isprintable() or unicodedata.category(char) not in OBEYED


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
