"""Tables in the terminal: a heading line per group instead of the first column, to save width.

What a terminal would obey in a name is shown, not sent.
"""

from __future__ import annotations

from rich.console import Console, JustifyMethod
from rich.table import Table as RichTable
from rich.text import Text

from rllr.plain import plain
from rllr.reporting.tables.table import Row, Table, TableCell

STYLES = {"": "", "best": "bold", "second": "underline"}
# The width where the output is no terminal (a log, a pipe) and has none of its own.
PIPE_WIDTH = 120


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a table with its footnotes; best in bold, second underlined.

    Fits 100 columns at eight tasks; a still narrower terminal wraps lines, but no column is lost.
    """
    console = console or _console()
    needed = sum(_widths(table)) + len(table.columns)
    console.print(Text(plain(table.title), style="bold"))
    console.print(_draw(table), width=max(console.width, needed), crop=False)
    for letter, sentence in table.footnotes:
        console.print(Text(plain(f"{letter}  {sentence}"), style="dim"))
    for sentence in (table.caption, *table.notes):
        console.print(Text(plain(sentence), style="dim"))
    console.print()


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def _draw(table: Table) -> RichTable:
    drawn = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for index, (name, width) in enumerate(zip(table.columns[1:], _widths(table), strict=True), 1):
        side: JustifyMethod = "left" if index < table.labels else "right"
        drawn.add_column(Text(plain(name)), justify=side, min_width=width, overflow="fold")
    for group in table.groups:
        drawn.add_row(Text(plain(group[0][0].text), style="bold"))
        for row in group:
            drawn.add_row(*_indented(row))
    return drawn


def _widths(table: Table) -> list[int]:
    """What each printed column needs for its cells; headings fold to that where space is short."""
    rows = [_indented(row) for group in table.groups for row in group]
    return [max((len(row[i]) for row in rows), default=0) for i in range(len(table.columns) - 1)]


def _indented(row: Row) -> list[Text]:
    texts = [_text(cell) for cell in row[1:]]
    return [Text.assemble("  ", texts[0]), *texts[1:]]


def _text(cell: TableCell) -> Text:
    text = Text.assemble((plain(cell.text), STYLES[cell.emphasis]))
    return text.append(f" {','.join(cell.marks)}", style="dim") if cell.marks else text
