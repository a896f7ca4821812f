from __future__ import annotations

import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from synthetic_run import SyntheticRun, class_row

from rllr import reporting
from rllr.errors import RllrError
from rllr.reporting.captions import FIGURE_CAPTIONS, TABLE_CAPTIONS
from rllr.reporting.figures.build import DRAWINGS
from rllr.reporting.names import FIGURES, TABLES
from rllr.reporting.page.samples import samples_of
from rllr.reporting.page.summary import sentences
from rllr.reporting.results.analysis import analyse
from rllr.reporting.results.collect import load_run
from rllr.reporting.results.grid import CellKey
from rllr.reporting.sections import SECTIONS
from rllr.reporting.tables.build import BUILDERS

CAPTION_FILES = Path(__file__).resolve().parents[3] / "workflow" / "report"
EVIL = "</pre><script>alert('x')</script><img src=x onerror=alert(1)>"


def summary(run: SyntheticRun) -> str:
    return " ".join(sentences(analyse(load_run(run.folder))))


def with_difference(run: SyntheticRun, sft: int, rllr: int) -> str:
    """The summary of a run of one model whose rllr is right where sft is, and beyond (or less)."""
    run.grid(models=[{"key": "llama", "name": "Llama"}])
    for method, correct in (("sft", sft), ("rllr", rllr)):
        run.cell("llama", "sst2", method, [class_row(i, i < correct) for i in range(100)])
    return summary(run)


def test_summary_says_when_rllr_is_better(run: SyntheticRun) -> None:
    text = with_difference(run, 50, 90)
    assert "RLLR is best with 90.0 (1/2) points, before SFT (50.0)" in text
    assert "RLLR is 40.0 points above SFT over 1 of 2 cells (95 % CI" in text
    assert "it is better than SFT on these test examples, though other seeds may differ" in text


def test_summary_says_when_rllr_is_worse(run: SyntheticRun) -> None:
    text = with_difference(run, 90, 50)
    assert "SFT is best with 90.0" in text
    assert "RLLR is 40.0 points below SFT" in text
    assert "it is worse than SFT" in text


def test_summary_says_when_the_interval_contains_zero(run: SyntheticRun) -> None:
    assert "this run shows no difference to SFT" in with_difference(run, 60, 61)


def test_summary_names_all_that_are_best(run: SyntheticRun) -> None:
    text = with_difference(run, 60, 60)
    assert "SFT and RLLR are best with 60.0 (1/2) points." in text
    assert "within 0.05 points of SFT" in text


def test_summary_has_three_sentences_and_ranks_only_what_can_be(small_run: SyntheticRun) -> None:
    found = sentences(analyse(load_run(small_run.folder)))
    assert len(found) == 3
    assert "RLLR is best with 80.0" in found[0]
    assert "above SFT (label only)" in found[1]
    assert "and 20.0 points above RLHF" in found[1]
    (small_run.folder / "cells/llama/sst2/rlhf/seed0/metrics.json").unlink()
    assert "they cover different cells and cannot be ranked" in summary(small_run)


def test_summary_marks_generated_data_and_flags(small_run: SyntheticRun) -> None:
    assert "Tiny models on generated data" in summary(small_run)
    small_run.grid(generated=False)
    assert "generated" not in summary(small_run)
    assert "Of 16 cells of trained methods, 8 are there and 0 of those carry a flag" in summary(
        small_run
    )


def test_report_is_self_contained_and_harmless(small_run: SyntheticRun, tmp_path: Path) -> None:
    small_run.grid(run=f"run {EVIL}")
    rows = [class_row(i, i > 3, response=EVIL, prompt=EVIL) for i in range(10)]
    rows[0] = {**rows[0], "prediction": None, "parsed": False}
    small_run.cell("llama", "sst2", "rllr", rows)
    page = reporting.write_report(small_run.folder, tmp_path / "report.html").read_text()
    assert re.findall("<script[^>]*>", page) == ["<script>"]
    assert "onerror=alert(1)&gt;" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.findall(r"url\(|@import", page)
    for heading in ("Headline", "Flags", "Cells", "Reproduce a cell", "Versions"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("data:image/svg+xml;base64,") == len(DRAWINGS)
    assert str(small_run.folder) not in page


def test_every_cell_says_how_to_make_it_again(small_run: SyntheticRun, tmp_path: Path) -> None:
    page = reporting.write_report(small_run.folder, tmp_path / "report.html").read_text()
    for key in load_run(small_run.folder).cells:
        folder = f"results/synthetic/{key.path}"
        assert f"rm -r {folder}\nsnakemake -c2 {folder}/metrics.json" in page
    assert "RLLR: no such cell in this run" in page


def test_samples_show_one_of_each_outcome(small_run: SyntheticRun) -> None:
    rows = [class_row(i, i != 1) for i in range(10)]
    rows[5] = {**rows[5], "prediction": None, "parsed": False, "response": "well" * 1000}
    small_run.cell("llama", "sst2", "rllr", rows)
    key = CellKey("llama", "sst2", "rllr", 0)
    found = samples_of(analyse(load_run(small_run.folder)), key, longest=1200)
    assert [(one.outcome, one.id) for one in found] == [
        ("right", "sst2-0"),
        ("wrong", "sst2-1"),
        ("unparsed", "sst2-5"),
    ]
    assert found[2].response.endswith("(4000 characters)")


def test_texts_that_no_page_may_hold_are_replaced(small_run: SyntheticRun, tmp_path: Path) -> None:
    rows = [class_row(i, i > 3, response="half \ud800 of a pair, \x1b[31m") for i in range(10)]
    small_run.cell("llama", "sst2", "rllr", rows)
    page = reporting.write_report(small_run.folder, tmp_path / "report.html").read_text()
    assert "half \N{REPLACEMENT CHARACTER} of a pair, \N{REPLACEMENT CHARACTER}[31m" in page


def test_a_full_grid_with_long_texts_stays_below_five_megabytes(
    run: SyntheticRun, tmp_path: Path
) -> None:
    names = [{"key": f"m{i}", "name": f"Model {i}"} for i in range(8)]
    tasks = [{"key": f"t{i}", "name": f"Task {i}", "metric": "accuracy"} for i in range(8)]
    run.grid(models=names[:5], tasks=tasks, methods=names, context_methods=[])
    long = "长" * 3000
    rows = [class_row(0, True), class_row(1, False), {**class_row(2, True), "prediction": None}]
    rows = [{**row, "prompt": long, "response": long} for row in rows]
    for model, task, method in product(names[:5], tasks, names):
        run.cell(model["key"], task["key"], method["key"], rows)
    page = reporting.write_report(run.folder, tmp_path / "report.html")
    assert page.read_text().count("(3000 characters)") == 5 * 8 * 8 * 6
    assert page.stat().st_size < 5_000_000


def test_versions_are_counted_and_broken_manifests_named(
    small_run: SyntheticRun, tmp_path: Path
) -> None:
    for method, commit in (("sft", "abc"), ("rlhf", "abc"), ("rllr", "def")):
        manifest = {"commit": commit, "packages": {"torch": "2.0"}, "device": "<GPU>"}
        manifest |= {"stage": "predict", "settings": {}, "inputs": {}}
        small_run.write(f"cells/llama/sst2/{method}/seed0/predictions.manifest.json", manifest)
    small_run.write("cells/bloom/sst2/sft/seed0/predictions.manifest.json", "[broken")
    page = reporting.write_report(small_run.folder, tmp_path / "report.html").read_text()
    assert "From 3 manifests of the 20 predictions and trained stages" in page
    assert "abc (2), def (1)" in page
    assert "<td>&lt;GPU&gt;</td>" in page
    named = "cells/bloom/sst2/sft/seed0/predictions.manifest.json: not valid JSON"
    assert named in page
    assert str(small_run.folder) not in page


def test_resolved_configurations_are_shown(small_run: SyntheticRun, tmp_path: Path) -> None:
    for number in range(5):
        small_run.write(f"config/{number}.json", f'{{"note": "<{number}>"}}')
    page = reporting.write_report(small_run.folder, tmp_path / "report.html").read_text()
    assert all(f"config/{number}.json" in page for number in range(5))
    assert len(re.findall("&quot;note&quot;: &quot;&lt;.&gt;&quot;", page)) == 3


def test_a_configuration_is_shown_without_its_machine(
    small_run: SyntheticRun, tmp_path: Path
) -> None:
    places = {"results_dir": "/scratch/alice/results", "data": {"path": "/home/alice/own data/mr"}}
    small_run.write("config/1.json", {"config": places, "endpoint": "http://gpu07.inside:8000/v1"})
    small_run.write("config/2.json", "{broken")
    small_run.write("config/3.json", {"config": None})
    page = reporting.write_report(small_run.folder, tmp_path / "report.html").read_text()
    assert "…/own data/mr" in page and "http://HOST/v1" in page
    assert "alice" not in page and "gpu07" not in page
    assert "not valid JSON" in page and str(small_run.folder) not in page


def test_every_table_and_figure_has_a_section_and_a_caption() -> None:
    for names, placed in (
        (BUILDERS, [name for section in SECTIONS for name in section.tables]),
        (DRAWINGS, [name for section in SECTIONS for name in section.figures]),
    ):
        assert sorted(names) == sorted(placed)
    assert (*BUILDERS, *DRAWINGS) == (*TABLES, *FIGURES)
    assert (set(TABLE_CAPTIONS), set(FIGURE_CAPTIONS)) == (set(TABLES), set(FIGURES))
    described = {
        path.relative_to(CAPTION_FILES).with_suffix("") for path in CAPTION_FILES.glob("*/*")
    }
    assert {Path("tables", name) for name in TABLES} <= described
    assert {Path("figures", name) for name in FIGURES} <= described


def test_print_tables(small_run: SyntheticRun, capsys: pytest.CaptureFixture[str]) -> None:
    reporting.print_tables(small_run.folder, ["headline", "delta"])
    printed = capsys.readouterr().out
    assert printed.index("SFT, RLHF and RLLR") < printed.index("RLLR minus other methods")
    with pytest.raises(RllrError, match="no table 'mian'"):
        reporting.print_tables(small_run.folder, ["mian"])


def test_tables_and_report_import_no_torch(small_run: SyntheticRun) -> None:
    code = (
        "import sys; from pathlib import Path; from rllr import reporting as r;"
        f"p = Path({str(small_run.folder)!r}); r.write_tables(p, p / 'tables');"
        "assert 'matplotlib' not in sys.modules; r.write_report(p, p / 'report.html');"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
