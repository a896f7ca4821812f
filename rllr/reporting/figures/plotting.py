"""The look of all figures: colours and markers per method, and files that are the same each time.

Colours are from Okabe & Ito, "Color Universal Design" (2008); markers and line styles differ too,
so that figures can be read in grey.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from rllr.reporting.page.markup import printable

# Inches.
WIDTH = 7.2
# For names that DejaVu cannot write: of these, the fonts that are here. Others appear as boxes.
_INSTALLED = {font.name for font in fontManager.ttflist}
OTHER_SCRIPTS = [
    name
    for name in ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Droid Sans Fallback")
    if name in _INSTALLED
]
# Any: matplotlib types the keys as a union of every setting's name.
SETTINGS: Any = {
    "svg.hashsalt": "rllr",
    "font.size": 9,
    "font.family": ["DejaVu Sans", *OTHER_SCRIPTS],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e6ea",
    "legend.frameon": False,
    "savefig.dpi": 150,
}


@dataclass(frozen=True)
class Style:
    """How one method (or comparison) is drawn."""

    colour: str
    marker: str
    line: Any


STYLES = {
    "sft_label": Style("#767676", "v", ":"),
    "sft": Style("#000000", "s", "-"),
    "rlhf": Style("#e69f00", "^", "--"),
    "rllr": Style("#0072b2", "o", "-"),
    "rllr_mixed": Style("#009e73", "D", "-."),
}
OTHER_STYLES = (
    Style("#cc79a7", "P", (0, (5, 1))),
    Style("#d55e00", "X", (0, (3, 1, 1, 1))),
    Style("#56b4e9", "*", (0, (1, 1))),
)


def styles_of(methods: list[str]) -> dict[str, Style]:
    """A style for each method: its own if it is known, else one of the rest in turn."""
    others = [method for method in methods if method not in STYLES]
    turns = {key: OTHER_STYLES[index % len(OTHER_STYLES)] for index, key in enumerate(others)}
    return {method: STYLES.get(method) or turns[method] for method in methods}


@contextmanager
def look() -> Iterator[None]:
    """The settings under which figures are drawn and saved."""
    with mpl.rc_context(SETTINGS):
        yield


def empty_figure(text: str) -> Figure:
    """A small figure that says why there is nothing to draw."""
    figure = Figure(figsize=(7.2, 1.2))
    figure.text(0.5, 0.5, text, ha="center", va="center", color="#57606a")
    return figure


def encode(figure: Figure, suffix: str) -> bytes:
    """The figure as `svg` or `png` bytes, without date or version, so that they never differ."""
    metadata = {"Date": None, "Creator": None} if suffix == "svg" else {"Software": None}
    stream = io.BytesIO()
    figure.savefig(stream, format=suffix, metadata=metadata, bbox_inches="tight")
    return stream.getvalue()


def plain_name(name: str) -> str:
    """A name to be drawn as it is: a dollar sign starts no formula, control codes are replaced."""
    return printable(name).replace("$", r"\$")


def wrap(name: str) -> str:
    """A name on two lines, broken at its first space."""
    return name.replace(" ", "\n", 1)
