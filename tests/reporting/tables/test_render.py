from __future__ import annotations

import csv
import io
from html.parser import HTMLParser

import pytest
from rich.console import Console

from rllr.reporting.page.markup import Html, element, join
from rllr.reporting.tables.cells import MINUS, points, signed
from rllr.reporting.tables.console import print_table
from rllr.reporting.tables.render import (
    html_page,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
)
from rllr.reporting.tables.table import MISSING, Footnotes, Table, TableCell

EVIL = "<script>alert(1)</script>"


def table(model: str = "Llama") -> Table:
    best = TableCell(
        "71.3", emphasis="best", marks=("a",), detail="n = 9", records=({"x": 1, "y": None},)
    )
    second = TableCell("70.0", emphasis="second", records=({"x": 2, "z": "a,b"},))
    rows = (
        (TableCell(model), TableCell("SFT"), best, TableCell(MISSING)),
        (TableCell(model), TableCell("RLLR"), second, TableCell("[1.0, 2.0]")),
    )
    return Table(
        name="main_one",
        title="All methods",
        caption="95 % of it.",
        columns=("Model", "Method", "SST-2", "95 % CI"),
        groups=(rows, rows),
        footnotes=(("a", "A & b."),),
        notes=("One note.",),
    )


class Tags(HTMLParser):
    """Collects tags, and fails on one that is closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_markdown() -> None:
    text = to_markdown(table())
    assert "**71.3**<sup>a</sup>" in text
    assert "<ins>70.0</ins>" in text
    assert text.count("Llama") == 2
    assert "<sup>a</sup> A &amp; b." in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {5}


def test_markdown_escapes_pipes_and_markup() -> None:
    text = to_markdown(table(f"a|b *c* {EVIL}"))
    assert "a\\|b \\*c\\* &lt;script&gt;" in text
    assert "<script>" not in text


def test_csv_is_tidy() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(table()))))
    assert rows[:2] == [{"x": "1", "y": "", "z": ""}, {"x": "2", "y": "", "z": "a,b"}]


def test_csv_has_no_formulas_and_keeps_numbers() -> None:
    values = {"a": "=1+1", "b": "+x", "c": "-1", "d": "@x", "e": -1.5, "f": "ok", "g": "\t=1"}
    cell = TableCell("", records=(values,))
    row = next(csv.DictReader(io.StringIO(to_csv(Table("t", "", "", ("x",), (((cell,),),))))))
    assert list(row.values()) == ["'=1+1", "'+x", "'-1", "'@x", "-1.5", "ok", "'\t=1"]


def test_html_is_well_formed_and_escaped() -> None:
    parser = Tags()
    parser.feed(html_page(table(EVIL)))
    assert parser.open == []
    assert "script" not in parser.seen
    assert "<strong>71.3</strong><sup>a</sup>" in to_html(table())
    assert 'title="n = 9"' in to_html(table())


def test_markup_escapes_children_and_attributes() -> None:
    made = element("p", EVIL, element("b", "&"), title='"><script>')
    assert made == (
        '<p title="&quot;&gt;&lt;script&gt;">&lt;script&gt;alert(1)&lt;/script&gt;<b>&amp;</b></p>'
    )
    assert join(Html("<br>"), "<br>") == "<br>&lt;br&gt;"


def test_console_keeps_every_column_and_fits() -> None:
    stream = io.StringIO()
    print_table(table(), Console(file=stream, width=60))
    printed = stream.getvalue()
    for text in ("Llama", "SFT", "71.3 a", "[1.0, 2.0]", "A & b.", "One note."):
        assert text in printed
    assert max(map(len, printed.splitlines())) <= 60
    narrow = io.StringIO()
    print_table(table(), Console(file=narrow, width=12))
    assert "[1.0, 2.0]" in narrow.getvalue()


def test_console_and_files_hold_no_control_codes() -> None:
    hostile = table("\x1b[31mred \ud800\u202e")
    stream = io.StringIO()
    print_table(hostile, Console(file=stream, width=80))
    assert "\\x1b[31mred \\ud800\\u202e" in stream.getvalue()
    for render in (to_markdown, to_csv, to_latex, html_page):
        text = render(hostile)
        assert not {"\x1b", "\u202e"} & set(text)
        assert text.encode("utf-8")


def test_an_empty_table_renders() -> None:
    empty = Table("delta", "None", "Nothing.", ("Model", "Method", "SST-2"), ())
    for render in (to_markdown, to_csv, to_latex, html_page):
        assert isinstance(render(empty), str)
    print_table(empty, Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("value", "shown", "with_sign"),
    [
        (0.7126, "71.3", "+71.3"),
        (-0.004, f"{MINUS}0.4", f"{MINUS}0.4"),
        (-0.0004, "0.0", "0.0"),
        (1.0, "100.0", "+100.0"),
    ],
)
def test_points(value: float, shown: str, with_sign: str) -> None:
    assert (points(value), signed(value)) == (shown, with_sign)


def test_equal_averages_look_alike_in_whatever_order_they_are_summed() -> None:
    accuracies = [0.905, 0.885, 0.65, 0.785, 0.905, 0.94, 0.675, 0.675]  # 80.25 on average
    shown = set()
    for turn in range(8):
        turned = accuracies[turn:] + accuracies[:turn]
        shown |= {points(sum(one / 8 for one in order)) for order in (turned, turned[::-1])}
    assert len(shown) == 1


def test_footnote_letters_follow_first_use() -> None:
    footnotes = Footnotes()
    assert footnotes.letters(("weak_reward_model",)) == ("a",)
    assert footnotes.letters(("constant_prediction", "weak_reward_model")) == ("a", "b")
    many = tuple(f"code{i}" for i in range(26))
    assert footnotes.letters(many)[-1] == "z" or "bb" in footnotes.letters(many)
    assert len(set(letter for letter, _ in footnotes.texts())) == 28
