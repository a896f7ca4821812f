"""Writes a neutral table as LaTeX that pdfLaTeX compiles whatever names and texts are in it.

A table floats over the whole width of the page and is shrunk only where it is still too wide, or,
with its notes, too high. Where groups share their first column it becomes a line above each group,
which leaves the numbers a readable size. A table too long for a page is continued in a second one.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from rllr.reporting.page.markup import UNPRINTABLE
from rllr.reporting.tables.table import Row, Table, TableCell

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "\N{MINUS SIGN}": r"$-$",
    "\N{EN DASH}": r"\textendash{}",
    "→": r"$\rightarrow$",
    "\N{NO-BREAK SPACE}": "~",
}
# What pdfLaTeX's standard fonts (T1) hold beyond ASCII, found by compiling each.
KNOWN = {chr(code) for code in range(0xA1, 0x17F)} - set("ĦħĸĿŀŉŦŧ\N{SOFT HYPHEN}")
KNOWN |= set("\N{EM DASH}“”\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}…•€™")
# Lines of a table that fit on a page with its notes.
PAGE = 54
# Characters of a note on a line, and the space between two notes in lines.
NOTE_LINE, NOTE_SKIP = 88, 0.4
# Shares of a page's height: what a caption leaves, and what a table has however long its notes.
CAPTION_LEAVES, LEAST_ROOM = 0.92, 0.4
# Characters of a heading that a column of numbers has room for anyhow.
NARROW = 8


def to_latex(table: Table) -> str:
    """One `table*` environment (or several, for a long table); needs booktabs, graphicx and T1."""
    grouped, lines = _lines(table)
    pages = list(_pages(lines)) or [[]]
    parts = [
        _part(table, page, grouped=grouped, first=page is pages[0], last=page is pages[-1])
        for page in pages
    ]
    packages = r"\usepackage{booktabs,graphicx} and \usepackage[T1]{fontenc}"
    return "\n".join([f"% needs {packages}", *parts]) + "\n"


def _lines(table: Table) -> tuple[bool, list[list[str]]]:
    """The body as groups of lines, and whether the first column became a line above each group."""
    groups = [group for group in table.groups if group]
    named = table.labels > 1 and all(len({row[0] for row in group}) == 1 for group in groups)
    if not named or all(len(group) == 1 for group in groups):
        return False, [[_row(row) for row in rows] for rows in table.display_groups()]
    return True, [
        [_over(table, group[0][0]), *(_row(row[1:], indent=True) for row in group)]
        for group in groups
    ]


def _over(table: Table, name: TableCell) -> str:
    shown = _cell(replace(name, emphasis="best"))
    return f"\\multicolumn{{{len(table.columns) - 1}}}{{l}}{{{shown}}} \\\\"


def _pages(groups: list[list[str]]) -> Iterator[list[list[str]]]:
    """The groups as they fall on pages; one that is longer than a page is cut."""
    pieces = [group[i : i + PAGE] for group in groups for i in range(0, len(group), PAGE)]
    ends = 0
    numbered: list[tuple[int, list[str]]] = []
    for piece in pieces:
        # A piece that would cross the end of a page starts the next one.
        if ends % PAGE + len(piece) > PAGE:
            ends += PAGE - ends % PAGE
        numbered.append((ends // PAGE, piece))
        ends += len(piece)
    for _, found in groupby(numbered, key=lambda item: item[0]):
        yield [piece for _, piece in found]


def _part(table: Table, groups: list[list[str]], *, grouped: bool, first: bool, last: bool) -> str:
    columns = table.columns[grouped:]
    labels = table.labels - grouped
    align = "l" * labels + "r" * (len(columns) - labels)
    title = latex_escape(table.title) + ("" if first else " (continued)")
    title += "" if title.endswith("?") else "."
    label = f"\\label{{tab:{table.name.replace('_', '-')}}}" if first else ""
    same_number = [] if first else ["\\addtocounter{table}{-1}"]
    below = _below(table) if last else []
    height = f"{_room(table) if last else CAPTION_LEAVES:.2f}\\textheight"
    body = "\n\\midrule\n".join("\n".join(group) for group in groups)
    lines = [
        "\\begin{table*}[tp]\n\\centering\\small\\setlength{\\tabcolsep}{3pt}",
        *same_number,
        f"\\caption{{{title}}}{label}\n\\medskip",
        f"\\resizebox*{{!}}{{\\ifdim\\totalheight>{height}{height}\\else\\totalheight\\fi}}{{%",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{@{{}}{align}@{{}}}}\n\\toprule",
        " & ".join(_heading(name, i >= labels) for i, name in enumerate(columns)),
        "\\\\\n\\midrule",
        *([body] if body else []),
        "\\bottomrule\n\\end{tabular}}}",
        *below,
        "\\end{table*}",
    ]
    return "\n".join(lines)


def _room(table: Table) -> float:
    """The share of a page's height that its notes leave to a table."""
    texts = [table.caption, *(text for _, text in table.footnotes), *table.notes]
    lines = sum(math.ceil(len(text) / NOTE_LINE) + NOTE_SKIP for text in texts)
    return max(LEAST_ROOM, CAPTION_LEAVES - lines / PAGE)


def _heading(name: str, number: bool) -> str:
    """A column's name; a long one of a column of numbers on two lines, as even as may be."""
    words = name.split()
    if not number or len(name) <= NARROW or len(words) == 1:
        return latex_escape(name)
    halves = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
    over, under = min(halves, key=lambda lines: max(map(len, lines)))
    return f"\\shortstack[r]{{{latex_escape(over)}\\\\{{{latex_escape(under)}}}}}"


def _below(table: Table) -> list[str]:
    """Caption, footnotes and notes, a paragraph each."""
    marked = [f"\\textsuperscript{{{mark}}} {latex_escape(text)}" for mark, text in table.footnotes]
    texts = [latex_escape(table.caption), *marked, *(latex_escape(note) for note in table.notes)]
    return [f"\\par\\smallskip{{\\footnotesize\\raggedright {text}\\par}}" for text in texts]


def _row(row: Row, *, indent: bool = False) -> str:
    cells = " & ".join(_cell(cell) for cell in row)
    return ("\\quad " if indent else "") + cells + r" \\"


def _cell(cell: TableCell) -> str:
    text = latex_escape(cell.text)
    # A row that starts with [ or * would be read as an argument of the \\ before it.
    text = f"{{{text}}}" if text.startswith(("[", "*")) else text
    if cell.emphasis:
        text = f"\\{'textbf' if cell.emphasis == 'best' else 'underline'}{{{text}}}"
    return text + (f"\\textsuperscript{{{','.join(cell.marks)}}}" if cell.marks else "")


def latex_escape(text: str) -> str:
    """`text` as LaTeX shows it, and never obeys it.

    Characters that pdfLaTeX has no glyph for appear as `[U+6A21]` there, and as themselves in
    LuaLaTeX and XeLaTeX, which take any character that the chosen font has.
    """
    flat = " ".join(unicodedata.normalize("NFC", text).split())
    pieces = [
        "".join(LATEX.get(one, one) for one in run) if known else _unknown("".join(run))
        for known, run in groupby(flat, key=_is_known)
    ]
    # Two hyphens in a row would be set as a dash.
    return re.sub("-(?=-)", "-{}", "".join(pieces))


def _is_known(character: str) -> bool:
    return " " <= character <= "~" or character in LATEX or character in KNOWN


def _unknown(text: str) -> str:
    codes = " ".join(f"U+{ord(character):04X}" for character in text)
    # No engine can print a control character or half of a surrogate pair; others turn direction.
    if UNPRINTABLE.search(text):
        return f"[{codes}]"
    return f"\\ifx\\Umathchar\\undefined[{codes}]\\else {text}\\fi{{}}"
