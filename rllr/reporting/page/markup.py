"""HTML that is escaped unless it was made here, so that no text from data or models can be markup.

Everything is inline (`style` holds the one style sheet), nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from rllr.reporting.page.style import STYLE

CODES = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff"
# They turn the direction of all that follows: https://trojansource.codes
TURNS = r"\u202a-\u202e\u2066-\u2069"
UNPRINTABLE = re.compile(f"[{CODES}{TURNS}]")


class Html(str):
    """A string that is already HTML."""


Child = Html | str


def element(tag: str, *children: Child, **attributes: str) -> Html:
    """An element; plain strings among children and all attribute values are escaped.

    A trailing underscore in an attribute's name is dropped (`class_`); an underscore inside
    becomes a hyphen (`aria_label`); an empty value leaves the attribute out.
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_escaped(value)}"'
        for name, value in attributes.items()
        if value
    )
    return Html(f"<{tag}{given}>{join(*children)}</{tag}>")


def join(*children: Child) -> Html:
    """Children one after another, plain strings escaped."""
    return Html("".join(one if isinstance(one, Html) else _escaped(one) for one in children))


def _escaped(text: str) -> str:
    return escape(printable(text))


def printable(text: str) -> str:
    """The text with what no page or file of text may hold (control codes, surrogates,
    overrides of direction) replaced."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def page(title: str, *body: Child, script: str = "") -> Html:
    """A complete, self-contained HTML page in English; `script` is run when all of it is there."""
    head = element(
        "head",
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<link rel="icon" href="data:,">'),
        element("title", title),
        element("style", Html(STYLE)),
    )
    scripts = [element("script", Html(script))] if script else []
    html = element("html", head, element("body", element("main", *body), *scripts), lang="en")
    return Html(f"<!DOCTYPE html>\n{html}\n")


def facts_table(facts: Mapping[str, str], title: str) -> Html:
    """A table of names and what is said of each, in a box that scrolls by itself."""
    rows = [
        element("tr", element("th", name, scope="row"), element("td", fact))
        for name, fact in facts.items()
    ]
    table = element("table", element("tbody", *rows), class_="wrap")
    return scroll_box(table, title)


def scroll_box(content: Html, title: str) -> Html:
    """What may be wider than the page, in a box that the keyboard can scroll."""
    return element("div", content, class_="scroll", tabindex="0", role="region", aria_label=title)
