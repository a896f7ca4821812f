"""Writes a neutral table as Markdown, CSV, LaTeX (booktabs) or HTML."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator

from tabulate import tabulate

from rllr.reporting.page.markup import Html, element, join, page, printable, scroll_box
from rllr.reporting.tables.latex import to_latex
from rllr.reporting.tables.table import Row, Table, TableCell

# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_markdown(table: Table) -> str:
    """GitHub's Markdown; names are escaped, marks are superscripts, second best is underlined."""
    rows = [[_md_cell(cell) for cell in row] for group in table.display_groups() for row in group]
    columns = [_md_escape(name) for name in table.columns]
    numbers = len(columns) - table.labels
    body = tabulate(
        rows,
        headers=columns,
        tablefmt="github",
        disable_numparse=True,
        colalign=["left"] * table.labels + ["right"] * numbers if rows else None,
    )
    footnotes = [f"<sup>{letter}</sup> {_md_escape(text)}" for letter, text in table.footnotes]
    parts = [f"### {_md_escape(table.title)}", body, _md_escape(table.caption)]
    parts += [*footnotes, *(_md_escape(note) for note in table.notes)]
    return "\n\n".join(parts) + "\n"


def _md_cell(cell: TableCell) -> str:
    text = _md_escape(cell.text)
    if cell.emphasis:
        text = f"**{text}**" if cell.emphasis == "best" else f"<ins>{text}</ins>"
    return text + (f"<sup>{','.join(cell.marks)}</sup>" if cell.marks else "")


def _md_escape(text: str) -> str:
    flat = " ".join(printable(text).splitlines()).replace("&", "&amp;")
    flat = flat.replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", flat)


def to_csv(table: Table) -> str:
    """Tidy CSV: one row per number, with all that is known of it; empty where it is missing.

    A text that a spreadsheet would take for a formula (it starts with =, +, -, @, a tab or a
    carriage return) gets an apostrophe before it; numbers are written as they are.
    """
    records = table.records()
    names = list(dict.fromkeys(name for record in records for name in record))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({name: _csv_value(value) for name, value in record.items()})
    return stream.getvalue()


def _csv_value(value: str | int | float | None) -> str | int | float | None:
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value.startswith(FORMULA) else value)


def to_html(table: Table) -> Html:
    """An HTML fragment: the table in a box that scrolls by itself, its caption and footnotes."""
    head = element("tr", *(_html_head(table, i) for i in range(len(table.columns))))
    bodies = [element("tbody", *_html_rows(table, group)) for group in table.groups if group]
    caption = element("caption", table.title)
    drawn = element(
        "table", caption, element("thead", head), *bodies, id=table.name, class_="sortable"
    )
    box = scroll_box(drawn, table.title)
    footnotes = [
        element("p", element("sup", letter), " ", text) for letter, text in table.footnotes
    ]
    notes = [element("p", note) for note in table.notes]
    return join(
        box, element("div", element("p", table.caption), *footnotes, *notes, class_="notes")
    )


def _html_head(table: Table, index: int) -> Html:
    number = "number" if index >= table.labels else ""
    return element("th", table.columns[index], scope="col", class_=number)


def _html_rows(table: Table, group: tuple[Row, ...]) -> Iterator[Html]:
    """A group's rows; a name that stands in the row above too is there, but not seen."""
    above = None
    for row in group:
        first = "repeat" if row[0] == above else ""
        above = row[0]
        cells = [
            element("th", *_html_cell(cell), scope="row", title=cell.detail, class_=first * (not i))
            if i < table.labels
            else element("td", *_html_cell(cell), class_="number", title=cell.detail)
            for i, cell in enumerate(row)
        ]
        yield element("tr", *cells)


def _html_cell(cell: TableCell) -> list[Html | str]:
    tags = {"": None, "best": "strong", "second": "u"}
    tag = tags[cell.emphasis]
    text = element(tag, cell.text) if tag else cell.text
    return [text, element("sup", ",".join(cell.marks))] if cell.marks else [text]


def html_page(table: Table) -> str:
    """The table as a page of its own."""
    return page(table.title, to_html(table))


FORMATS: dict[str, Callable[[Table], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "tex": to_latex,
    "html": html_page,
}
