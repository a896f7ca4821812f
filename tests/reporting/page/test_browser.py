"""The report in a real headless Chromium, at the width of a desktop and of a telephone.

REPORT_PICTURES=DIR keeps the pictures of the pages there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import CHROMIUM, Browser, chromium
from synthetic_run import SyntheticRun, class_row, score_row

from rllr import reporting
from rllr.reporting.tables.cells import MINUS
from rllr.reporting.tables.table import MISSING

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here to open the report in")

WIDTHS = (1280, 390)
EVIL = "<script>document.title = 'harmed'</script><img src=https://example.org/x onerror=alert(1)>"
COLUMN = """(table, heading) => {
  const index = [...document.querySelectorAll(`#${table} thead th`)]
    .findIndex((head) => head.textContent === heading);
  return [...document.querySelectorAll(`#${table} tbody tr`)]
    .map((row) => [row.cells[0].textContent, row.cells[index].textContent]);
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with hostile and very long texts, in a name, a prompt, a response."""
    run = SyntheticRun(tmp_path_factory.mktemp("browser") / "synthetic")
    models = [{"key": "llama", "name": EVIL}, {"key": "bloom", "name": "BLOOM"}]
    run.grid(models=models, run="wide" * 60)
    for model in ("llama", "bloom"):
        run.healthy_stages(model)
        for method, correct in (("sft_label", 5), ("sft", 7), ("rlhf", 6), ("rllr", 8)):
            rows = [class_row(i, i < correct) for i in range(10)]
            rows[9] = {**rows[9], "prediction": None, "response": EVIL + "long" * 200}
            run.cell(model, "sst2", method, rows)
    scores = [score_row(i, float(i), 5.0 - i if i else None) for i in range(5)]
    run.cell("llama", "stsb", "sft", scores)
    return reporting.write_report(run.folder, run.folder / "report.html")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_page_nor_fetched(
    browser: Browser, report: Path, width: int, tmp_path: Path
) -> None:
    browser.open(report, width)
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert browser.value("innerWidth") == width
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.requests == []
    assert browser.errors == []
    assert browser.value("document.title").startswith("Results of run wide")
    assert browser.value("[...document.images].every((image) => image.naturalWidth > 0)")
    picture = Path(os.environ.get("REPORT_PICTURES", tmp_path)) / f"report-{width}.png"
    browser.picture(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_browser_notices_what_it_is_there_to_notice(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    wide = "<!DOCTYPE html><div style='width: 900px'>wide</div><img src='missing.png'>"
    page.write_text(f"{wide}<script>console.error('one'); throw Error('two')</script>")
    browser.open(page, 390)
    assert browser.value("document.documentElement.scrollWidth") >= 900
    assert browser.requests == [(tmp_path / "missing.png").as_uri()]
    assert len(browser.errors) >= 2


def column(browser: Browser, table: str, heading: str) -> list[tuple[str, str]]:
    """(first cell, cell under a heading) of every row as the table stands."""
    return [tuple(pair) for pair in browser.value(f"({COLUMN})({table!r}, {heading!r})")]


def focus(browser: Browser, table: str, heading: str) -> None:
    heads = f"[...document.querySelectorAll('#{table} thead th')]"
    browser.value(f"{heads}.find((h) => h.textContent === {heading!r}).firstChild.focus()")


def turns(browser: Browser, table: str) -> list[str]:
    return [
        turn
        for turn in browser.value(
            f"[...document.querySelectorAll('#{table} th')].map((h) => h.ariaSort)"
        )
        if turn
    ]


def test_a_heading_sorts_its_groups_by_keyboard(browser: Browser, report: Path) -> None:
    browser.open(report, 1280)
    before = column(browser, "main", "SST-2")
    assert [score for _, score in before][:5] == [MISSING, "50.0", "70.0", "60.0", "80.0"]
    focus(browser, "main", "SST-2")
    falling = ["80.0", "70.0", "60.0", "50.0"]
    for order, turn in (
        ([*falling, MISSING], ["descending"]),
        ([*reversed(falling), MISSING], ["ascending"]),
        ([score for _, score in before][:5], []),
    ):
        browser.press("Enter", 13)
        assert turns(browser, "main") == turn
        assert [score for _, score in column(browser, "main", "SST-2")] == 3 * order
    assert column(browser, "main", "SST-2") == before


def test_names_sort_whole_groups(browser: Browser, report: Path) -> None:
    browser.open(report, 1280)
    focus(browser, "main", "Model")
    browser.press("Enter", 13)
    names = [name for name, _ in column(browser, "main", "Model")]
    assert names == [EVIL] * 5 + ["All models"] * 5 + ["BLOOM"] * 5
    seen = "[...document.querySelectorAll('#main tbody tr')].map((r) => r.cells[0].className)"
    assert browser.value(seen) == ["", *["repeat"] * 4] * 3


def test_signs_and_dashes_are_understood(browser: Browser, report: Path) -> None:
    """Minus signs are below zero, a dash is last in either direction."""
    browser.open(report, 1280)
    browser.value(
        """(() => {
          const low = ["\\u2013", "\\u22122.5"];
          const shown = [...low, "+10.0 \\u00b10.3 (7/8)", "9.5", "[1,200.0, 3.0]"];
          const rows = [...document.querySelector("#main tbody:nth-of-type(2)").rows];
          rows.forEach((row, i) => { row.cells[2].textContent = shown[i]; });
        })()"""
    )
    focus(browser, "main", "SST-2")
    falling = ["[1,200.0, 3.0]", "+10.0 ±0.3 (7/8)", "9.5", f"{MINUS}2.5"]
    for order in ([*falling, MISSING], [*reversed(falling), MISSING]):
        browser.press("Enter", 13)
        mine = [score for name, score in column(browser, "main", "SST-2") if name == "BLOOM"]
        assert mine == order


def test_without_a_script_all_is_there(browser: Browser, report: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(report, 390)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.value("document.querySelectorAll('th button').length") == 0
    assert browser.value("document.querySelectorAll('#main tbody tr').length") == 15
