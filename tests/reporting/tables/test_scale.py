from __future__ import annotations

import csv
import io

import pytest
from synthetic_run import SyntheticRun, sft_summary

from rllr.reporting.results.collect import load_run
from rllr.reporting.tables.build import build_tables
from rllr.reporting.tables.cells import MINUS
from rllr.reporting.tables.render import to_csv
from rllr.reporting.tables.scale import size_text
from rllr.reporting.tables.table import Table

SIZES = {"llama": 6.74, "bloom": 7.07, "bloom3": 3.0}


def scale(run: SyntheticRun, **families: str) -> Table:
    models = [
        {"key": key, "name": key.upper(), "family": families.get(key), "size": size}
        for key, size in SIZES.items()
    ]
    run.grid(models=models)
    return build_tables(load_run(run.folder))["scale"]


def test_a_family_has_a_block_with_its_smallest_model_first(small_run: SyntheticRun) -> None:
    small_run.accuracy("bloom3", "sft", 6)
    small_run.accuracy("bloom3", "rllr", 3)
    table = scale(small_run, llama="Llama", bloom="BLOOM", bloom3="BLOOM")
    [block] = table.groups
    assert [[cell.text for cell in row[:3]] for row in block] == [
        ["BLOOM", "BLOOM3", "3 B"],
        ["BLOOM", "BLOOM", "7.07 B"],
    ]
    assert table.columns[3:8] == ("SFT (label only)", "SFT", "RLHF", "RLLR", f"RLLR {MINUS} SFT")
    # Of two tasks only one is there.
    assert block[1][6].text == "80.0 (1/2)" and block[1][7].text == "+20.0 (1/2)"
    assert block[0][7].text == f"{MINUS}30.0 (1/2)" and block[0][8].text.startswith("[")


def test_averages_and_differences_carry_the_flags_of_their_cells(small_run: SyntheticRun) -> None:
    small_run.summary("llama", "sft", sft_summary(1.0, 2.0))
    table = scale(small_run, llama="One", bloom="One")
    llama, bloom = table.groups[0]
    assert [cell.marks for cell in llama[3:9]] == [(), ("a",), ("a",), ("a",), ("a",), ()]
    assert not any(cell.marks for cell in bloom)
    assert table.footnotes[0][0] == "a" and "validation loss" in table.footnotes[0][1]


def test_the_csv_says_size_and_difference(small_run: SyntheticRun) -> None:
    table = scale(small_run, llama="One", bloom="One")
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    [row] = [row for row in rows if row["model"] == "llama" and row["minus"] == "sft"]
    assert (row["family"], row["size_billions"], row["points"]) == ("One", "6.74", "20.0")


def test_without_a_family_there_is_no_row_and_a_reason(small_run: SyntheticRun) -> None:
    for families in ({}, {"llama": "Llama", "bloom": "BLOOM"}):
        table = scale(small_run, **families)
        assert table.groups == () and "nothing to compare" in table.caption


def test_two_models_of_one_size_are_no_comparison(small_run: SyntheticRun) -> None:
    models = [{"key": key, "name": key, "family": "One", "size": 7.0} for key in ("llama", "bloom")]
    small_run.grid(models=models)
    assert build_tables(load_run(small_run.folder))["scale"].groups == ()


@pytest.mark.parametrize(
    ("size", "shown"),
    [(13.02, "13 B"), (7.07, "7.07 B"), (0.56, "560 M"), (0.0011, "1.1 M"), (1.9347e-4, "193 K")],
)
def test_sizes_have_a_unit_that_fits(size: float, shown: str) -> None:
    assert size_text(size) == shown


def test_numbers_that_rest_on_a_flagged_cell_are_marked(small_run: SyntheticRun) -> None:
    small_run.healthy_stages("bloom3")
    small_run.accuracy("bloom3", "sft", 6)
    small_run.accuracy("bloom3", "rllr", 3, flags=["odd"])
    table = scale(small_run, bloom="BLOOM", bloom3="BLOOM")
    columns = dict(zip(table.columns, table.groups[0][0], strict=True))
    assert columns["RLLR"].marks == columns[f"RLLR {MINUS} SFT"].marks == ("a",)
    assert columns["SFT"].marks == ()
    assert [sentence for _, sentence in table.footnotes] == ["Flagged by the scorer: odd."]
