from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_run import SyntheticRun, class_row

from rllr import reporting
from rllr.errors import RllrError
from rllr.reporting.names import FIGURES
from rllr.reporting.page.samples import samples_of
from rllr.reporting.page.summary import sentences
from rllr.reporting.results.analysis import analyse
from rllr.reporting.results.collect import load_run

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
    assert "RLLR is 40.0 points above SFT, over 1 shared cell" in text
    assert "RLLR is better" in text


def test_summary_says_when_rllr_is_worse(run: SyntheticRun) -> None:
    text = with_difference(run, 90, 50)
    assert "RLLR is 40.0 points below SFT" in text
    assert "SFT is better" in text


def test_summary_says_when_the_interval_contains_zero(run: SyntheticRun) -> None:
    assert "does not show that RLLR beats SFT" in with_difference(run, 60, 61)


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
    assert "<script" not in page
    assert "onerror=alert(1)&gt;" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.findall(r"url\(|@import", page)
    for heading in ("Headline", "Flags", "Sample predictions", "Reproduce a cell"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("data:image/svg+xml;base64,") == len(FIGURES)
    assert str(small_run.folder) not in page


def test_report_names_a_cell_to_reproduce(small_run: SyntheticRun, tmp_path: Path) -> None:
    page = reporting.write_report(small_run.folder, tmp_path / "report.html").read_text()
    path = "results/synthetic/cells/llama/sst2/sft_label/seed0/metrics.json"
    assert f"snakemake -c2 {path}" in page


def test_samples_show_one_of_each_outcome(small_run: SyntheticRun) -> None:
    rows = [class_row(i, i != 1) for i in range(10)]
    rows[5] = {**rows[5], "prediction": None, "parsed": False, "response": "well" * 1000}
    small_run.cell("llama", "sst2", "rllr", rows)
    found = samples_of(analyse(load_run(small_run.folder)), "llama", "rllr")
    assert [(one.outcome, one.id) for one in found] == [
        ("right", "sst2-0"),
        ("wrong", "sst2-1"),
        ("unparsed", "sst2-5"),
    ]
    assert found[2].response.endswith("(4000 characters)")


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
