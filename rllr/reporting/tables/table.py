"""A neutral table: what it says, apart from how any format writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Literal

from rllr.reporting.results.checks import meaning

Record = Mapping[str, str | int | float | None]
Emphasis = Literal["", "best", "second"]
MISSING = "\N{EN DASH}"


@dataclass(frozen=True)
class TableCell:
    """One shown cell: its text, how it stands out, its footnote letters.

    `detail` is what a reader sees who asks for more (a tooltip), `records` its rows of the CSV.
    """

    text: str
    emphasis: Emphasis = ""
    marks: tuple[str, ...] = ()
    detail: str = ""
    records: tuple[Record, ...] = ()


Row = tuple[TableCell, ...]


@dataclass(frozen=True)
class Table:
    """A table of groups of rows; the first `labels` columns are text, the others numbers.

    `footnotes` are (letter, sentence); `notes` are sentences under the table without a mark.
    """

    name: str
    title: str
    caption: str
    columns: tuple[str, ...]
    groups: tuple[tuple[Row, ...], ...]
    labels: int = 2
    footnotes: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def display_groups(self) -> Iterator[list[Row]]:
        """The groups of rows with repeats of the first column left blank."""
        for group in self.groups:
            rows: list[Row] = []
            for row in group:
                repeated = bool(rows) and row[0] == group[len(rows) - 1][0]
                rows.append((TableCell(""), *row[1:]) if repeated else row)
            if rows:
                yield rows

    def records(self) -> list[Record]:
        """One record per number, in reading order, for the CSV."""
        return [
            record
            for group in self.groups
            for row in group
            for cell in row
            for record in cell.records
        ]


@dataclass
class Footnotes:
    """Hands out footnote letters to flag codes in order of first use."""

    codes: list[str] = field(default_factory=list)

    def letters(self, codes: tuple[str, ...]) -> tuple[str, ...]:
        """The letters of some codes, sorted."""
        self.codes += [code for code in codes if code not in self.codes]
        return tuple(_letter(index) for index in sorted(self.codes.index(code) for code in codes))

    def texts(self) -> tuple[tuple[str, str], ...]:
        """(letter, sentence) for every code used so far."""
        return tuple((_letter(index), meaning(code)) for index, code in enumerate(self.codes))


def _letter(index: int) -> str:
    return ascii_lowercase[index % 26] * (index // 26 + 1)
