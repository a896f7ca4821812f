"""One self-contained HTML page per run: summary, tables, figures, flags, cells, configuration.

Nothing is fetched: the style sheet and the script that sorts tables are inline, figures are data
URIs. All text from data and models passes through `markup`, which escapes it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from pathlib import Path

from rllr import files
from rllr.reporting.captions import FIGURE_CAPTIONS
from rllr.reporting.figures.build import DRAWINGS, draw
from rllr.reporting.page.cells import cells_of
from rllr.reporting.page.configuration import configuration_of, reproduction
from rllr.reporting.page.markup import Html, element, join, page, scroll_box
from rllr.reporting.page.script import SORTING
from rllr.reporting.page.summary import sentences
from rllr.reporting.page.versions import versions_of
from rllr.reporting.results.analysis import Analysis, analyse
from rllr.reporting.results.checks import meaning
from rllr.reporting.results.collect import announce, load_run
from rllr.reporting.results.grid import CellKey
from rllr.reporting.sections import SECTIONS, Section
from rllr.reporting.tables.build import tables_of
from rllr.reporting.tables.render import to_html
from rllr.reporting.tables.table import Table


def write_report(run_dir: Path, out_file: Path) -> Path:
    """Write a run's report; returns its path. Raises RllrError if there is no usable cell."""
    analysis = analyse(load_run(run_dir))
    announce(analysis.run.warnings)
    files.write_text(out_file, render_report(analysis))
    return out_file


def render_report(analysis: Analysis) -> str:
    """The report of an analysed run as an HTML page."""
    tables = _once(tables_of(analysis))
    sections = {
        **{section.heading: _section(analysis, section, tables) for section in SECTIONS},
        "Flags": _flags(analysis),
        "Cells": cells_of(analysis),
        "Reproduce a cell": reproduction(analysis),
        "Configuration": configuration_of(analysis),
        "Versions": versions_of(analysis.run),
    }
    shown = {heading: content for heading, content in sections.items() if content}
    title = f"Results of run {analysis.run.grid.run}"
    links = [element("a", heading, href=f"#{_anchor(heading)}") for heading in shown]
    return page(
        title,
        element("h1", title),
        element("nav", *(join(link, " ") for link in links)),
        _warnings(analysis),
        element("div", *(element("p", one) for one in sentences(analysis)), class_="summary"),
        *(element("section", element("h2", h), c, id=_anchor(h)) for h, c in shown.items()),
        script=SORTING,
    )


def _once(tables: Mapping[str, Table]) -> dict[str, Table]:
    """The tables with each note only under the first that has it."""
    seen: set[str] = set()
    found = {}
    for name, table in tables.items():
        found[name] = replace(table, notes=tuple(note for note in table.notes if note not in seen))
        seen.update(table.notes)
    return found


def _section(analysis: Analysis, section: Section, tables: Mapping[str, Table]) -> Html:
    return join(
        *(to_html(tables[name]) for name in section.tables if name in tables),
        *(_figure(analysis, name) for name in section.figures if name in DRAWINGS),
    )


def _anchor(name: str) -> str:
    return f"section-{name.lower().replace(' ', '-')}"


def _warnings(analysis: Analysis) -> Html:
    warnings = analysis.run.warnings
    if not warnings:
        return Html("")
    items = element("ul", *(element("li", warning) for warning in warnings))
    return element(
        "div", element("p", "Not everything in this run could be used:"), items, class_="warn"
    )


def _figure(analysis: Analysis, name: str) -> Html:
    data = base64.b64encode(draw(analysis, name, "svg")).decode()
    caption = FIGURE_CAPTIONS[name]
    source = f"data:image/svg+xml;base64,{data}"
    image = Html(f'<img src="{source}" alt="{escape(caption)}" decoding="sync">')
    return element("figure", scroll_box(image, name), element("figcaption", caption))


def _flags(analysis: Analysis) -> Html:
    """Each flag that occurs: what it means, the facts behind it, how many cells carry it."""
    facts: dict[str, list[str]] = {}
    carriers: dict[str, set[CellKey]] = {}
    for key, flags in analysis.flags.items():
        for flag in flags:
            facts.setdefault(flag.code, []).append(flag.detail or str(key.path))
            carriers.setdefault(flag.code, set()).add(key)
    if not facts:
        return element("p", "No cell of this run carries a flag.")
    return join(
        *(
            element(
                "details",
                element("summary", element("strong", code), f" ({len(carriers[code])} cells)"),
                element("p", meaning(code)),
                element("ul", *(element("li", fact) for fact in dict.fromkeys(details))),
            )
            for code, details in facts.items()
        )
    )
