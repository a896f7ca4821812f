"""Folders of nothing but metrics, copied anywhere and in any state: what `tables` makes of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_run import SyntheticRun

from rllr.cli import main
from rllr.config.load import CONFIG_DIR
from rllr.errors import RllrError
from rllr.reporting import write_figures, write_report, write_tables
from rllr.reporting.results.collect import load_run
from rllr.reporting.results.grid import CellKey

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bare(small_run: SyntheticRun, tmp_path: Path) -> SyntheticRun:
    """The small run's cells in a folder of their own, without predictions."""
    shutil.copytree(small_run.folder / "cells", tmp_path / "bare/cells")
    for path in (tmp_path / "bare").rglob("predictions.jsonl"):
        path.unlink()
    return SyntheticRun(tmp_path / "bare")


def metrics(model: str, method: str) -> str:
    return f"cells/{model}/sst2/{method}/seed0/metrics.json"


def change(run: SyntheticRun, path: str, **changes: object) -> None:
    content = json.loads((run.folder / path).read_text())
    run.write(path, {**content, **changes})


def test_metrics_alone_make_tables_figures_and_a_report(bare: SyntheticRun, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = sorted(bare.folder.rglob("*"))
    write_tables(bare.folder, out)
    assert "| llama" in (out / "main.md").read_text() and "80.0" in (out / "main.md").read_text()
    assert all(path.stat().st_size for path in write_figures(bare.folder, out))
    assert "no usable predictions" in write_report(bare.folder, out / "report.html").read_text()
    assert sorted(bare.folder.rglob("*")) == before


def test_anywhere_and_without_torch(bare: SyntheticRun, tmp_path: Path) -> None:
    code = (
        "import sys; from rllr.cli import main; assert main(['tables', 'bare']) == 0; "
        "assert not {'torch', 'transformers', 'datasets', 'snakemake'} & set(sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True)
    assert (bare.folder / "tables/delta.md").exists()


def test_a_configuration_lays_out_what_goes_elsewhere_and_changes_nothing(
    bare: SyntheticRun, tmp_path: Path
) -> None:
    for cell in list((bare.folder / "cells").iterdir()):
        shutil.rmtree(cell)
    bare.accuracy("llama2-tiny", "sft", 6)
    bare.write("grid.json", "no grid at all")
    words = ["tables", str(bare.folder), "--config", str(CONFIG_DIR / "tiny.yaml")]
    assert main([*words, "--to", str(tmp_path / "out")]) == 0
    assert "Llama-2 (tiny)" in (tmp_path / "out/main.md").read_text()
    assert (bare.folder / "grid.json").read_text() == "no grid at all"
    assert main(words) == 0
    assert json.loads((bare.folder / "grid.json").read_text())["run"] == "tiny"


# --- odd files and folders -----------------------------------------------------------------------


def test_links_are_followed_but_not_in_circles(bare: SyntheticRun, tmp_path: Path) -> None:
    cells = bare.folder / "cells"
    shutil.move(cells / "llama", tmp_path / "elsewhere")
    (cells / "llama").symlink_to(tmp_path / "elsewhere")
    (cells / "loop").symlink_to("..")
    (cells / "dangling").symlink_to("nowhere")
    run = load_run(bare.folder)
    assert len(run.cells) == 8
    assert run.warnings == ["cells/loop: a link to where it lies: left out"]


def test_each_odd_file_is_named_and_the_others_are_used(bare: SyntheticRun) -> None:
    bare.write(metrics("llama", "sft"), "")
    (bare.folder / metrics("llama", "rlhf")).write_bytes(b"\xff\xfe{")
    (bare.folder / metrics("llama", "rllr")).unlink()
    (bare.folder / metrics("llama", "rllr")).mkdir()
    change(bare, metrics("llama", "sft_label"), value=float("nan"))
    seed = bare.folder / "cells/bloom/sst2/sft/seed0"
    shutil.copytree(seed, seed.with_name("seed00"))
    run = load_run(bare.folder)
    assert {key.model for key in run.cells} == {"bloom"} and run.left_out == 5
    said = " ".join(run.warnings)
    for reason in ("Expecting value", "can't decode", "Is a directory", "value:", "seed00"):
        assert reason in said


def test_a_mark_of_byte_order_is_passed_over(bare: SyntheticRun) -> None:
    path = bare.folder / metrics("llama", "sft")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert CellKey("llama", "sst2", "sft", 0) in load_run(bare.folder).cells


def test_numbers_beyond_measure(bare: SyntheticRun, tmp_path: Path) -> None:
    extra = {"macro_f1": float("inf"), "odd": 10**400, "deep": {"er": 1}, "f1": 0.25}
    change(bare, metrics("llama", "sft"), n=10**400, extra=extra)
    write_tables(bare.folder, tmp_path / "out")
    written = (tmp_path / "out/main.csv").read_text()
    assert "25.0" in written and "inf" not in written and "f1_points" in written


def test_names_of_any_letters(bare: SyntheticRun, tmp_path: Path) -> None:
    name = "modèle|<script>$x_{$\\textbf{y}"
    shutil.move(bare.folder / "cells/llama", bare.folder / "cells" / name)
    for path in (bare.folder / "cells" / name).rglob("metrics.json"):
        change(bare, str(path.relative_to(bare.folder)), model=name)
    out = tmp_path / "out"
    write_tables(bare.folder, out)
    assert "modèle\\|&lt;script&gt;" in (out / "main.md").read_text()
    assert "\\textbf{y}" not in (out / "main.tex").read_text()
    report = write_report(bare.folder, out / "report.html").read_text()
    assert "<script>$" not in report and "modèle|&lt;script&gt;" in report


@pytest.mark.parametrize("field", ["label", "prediction"])
def test_predictions_whose_values_are_no_labels(small_run: SyntheticRun, field: str) -> None:
    path = small_run.folder / "cells/llama/sst2/rllr/seed0/predictions.jsonl"
    first, *others = path.read_text().splitlines()
    row = json.dumps({**json.loads(first), field: ["positive"]})
    path.write_text("\n".join([row, *others]))
    write_tables(small_run.folder, small_run.folder / "tables")
    from rllr.reporting.results.analysis import analyse

    (warning,) = analyse(load_run(small_run.folder)).run.warnings
    assert f"predictions.jsonl:1: its {field} is a list; its cell has no part" in warning


def test_half_a_surrogate_pair_in_a_response(small_run: SyntheticRun) -> None:
    path = small_run.folder / "cells/llama/sst2/sft/seed0/predictions.jsonl"
    path.write_text(path.read_text().replace("Answer:", "\\ud83d Answer:"))
    report = write_report(small_run.folder, small_run.folder / "report.html")
    assert "\N{REPLACEMENT CHARACTER} Answer:" in report.read_text()


# --- wrong folders -------------------------------------------------------------------------------


def test_the_wrong_folder_says_which_may_be_meant(bare: SyntheticRun, tmp_path: Path) -> None:
    for wrong, hint in {
        tmp_path / "nothing": "no such folder of results",
        tmp_path: "It holds runs: bare, synthetic; name one of them",
        bare.folder / "cells": f"It is a part of a run: name the folder {bare.folder}",
        bare.folder / "cells/llama/sst2": f"name the folder {bare.folder}",
        ROOT / "docs": "Run at least one cell first",
    }.items():
        with pytest.raises(RllrError, match=hint):
            write_tables(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_where_a_folder_should_be(bare: SyntheticRun, tmp_path: Path) -> None:
    bare.write("tables", "a file")
    with pytest.raises(RllrError, match=r"tables: cannot be written .* with --to"):
        write_tables(bare.folder, bare.folder / "tables")
    SyntheticRun(tmp_path / "other").write("cells", "a file")
    with pytest.raises(RllrError, match=r"cells: cannot be read \(Not a directory\)"):
        load_run(tmp_path / "other")
