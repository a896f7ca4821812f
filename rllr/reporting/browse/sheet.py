"""Examples in the terminal: any text, shown as it is, at the width there is.

Nothing in a text is taken for markup or for a control sequence: characters that a terminal would
obey (escape, carriage return, direction marks, …) are shown as Python writes them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from rllr.plain import plain
from rllr.reporting.results.responses import Response

TEXT_FIELDS = ("text", "text_a", "text_b")


@dataclass(frozen=True)
class Column:
    """One side of two that are compared: entries of a heading and a text."""

    title: str
    entries: Sequence[tuple[str, str]]


class Sheet:
    """Prints headings, tables and examples."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that is not of UTF-8
            sys.stdout.reconfigure(errors="backslashreplace")
        self.console = Console(highlight=False, markup=False, emoji=False)

    def heading(self, text: str) -> None:
        """A line in bold, after an empty one."""
        self.console.print()
        self.console.print(Text(plain(text), style="bold"))

    def note(self, text: str) -> None:
        """A line of plain text."""
        self.console.print(Text(plain(text)))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> None:
        """A table; all but its first `words` columns, and a last one of words, hold numbers."""
        drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="underline")
        for index, name in enumerate(columns):
            side: JustifyMethod = "left" if index < words or not name else "right"
            drawn.add_column(Text(name), justify=side, overflow="fold", no_wrap=not index)
        for row in rows:
            drawn.add_row(*(Text(plain(cell)) for cell in row))
        self.console.print(drawn)

    def example(self, row: Mapping[str, Any]) -> None:
        """An example: its id and label, then its texts."""
        label = row.get("label")
        stated = "no label" if label is None else str(label)
        self.console.print()
        head = Text(plain(str(row.get("id", "?"))), style="dim")
        self.console.print(head.append("  ").append(plain(stated), style="bold"))
        drawn = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
        for name in TEXT_FIELDS:
            if name in row:
                drawn.add_row(Text(name, style="dim"), Text(plain(str(row[name]))))
        self.console.print(drawn)

    def prompt(self, row: Response) -> None:
        """What was asked: its id and gold label, then the prompt."""
        self.example({"id": row.id, "label": f"gold {row.label}", "text": row.prompt})

    def response(self, row: Response) -> None:
        """What was asked, and what was answered."""
        self.prompt(row)
        stated = "no label" if row.prediction is None else f"predicted {row.prediction}"
        self.console.print(
            Text(f"{plain(stated)}: ", style="bold").append(plain(row.response), style="not bold")
        )

    def compare(self, left: Column, right: Column) -> None:
        """Two columns of the same width side by side."""
        drawn = Table(box=None, padding=(0, 2, 0, 2), pad_edge=False, expand=True)
        for side in (left, right):
            drawn.add_column(Text(side.title, style="underline"), ratio=1, overflow="fold")
        drawn.add_row(_stacked(left), _stacked(right))
        self.console.print(drawn)


def _stacked(side: Column) -> Text:
    parts = []
    for title, text in side.entries:
        head = Text(f"{plain(title)}: " if title else "", style="bold")
        parts.append(head.append(plain(text).strip(), style="not bold"))
    return Text("\n").join(parts) if parts else Text("none", style="dim")
