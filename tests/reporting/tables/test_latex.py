from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_run import SyntheticRun, class_row

from rllr.reporting.names import TABLES
from rllr.reporting.tables.build import write_tables
from rllr.reporting.tables.cells import MINUS
from rllr.reporting.tables.latex import KNOWN, LATEX, PAGE, latex_escape, to_latex
from rllr.reporting.tables.table import MISSING, Table, TableCell

PDFLATEX = shutil.which("pdflatex")
HOSTILE = (
    r"\input{/etc/passwd} \end{table*} $x_1^2$ 50% #1 & ~{} ^^5c \\[1em] <script>`'`` --- ?` fi",
    "模型 Ж ﷽ 🦙 e\u0301 \u202e \x1b[31m \x00 \ud800 \n\n \\par",
)


def table(model: str = "Llama", models: int = 1) -> Table:
    best = TableCell("71.3", emphasis="best", marks=("a",))
    second = TableCell("70.0", emphasis="second")
    group = (
        (TableCell(model), TableCell("SFT"), best, TableCell(MISSING)),
        (TableCell(model), TableCell("RLLR"), second, TableCell("[1.0, 2.0]")),
    )
    return Table(
        name="main_one",
        title="All methods",
        caption="95 % of it.",
        columns=("Model", "Method", "SST-2", "95 % CI"),
        groups=(group,) * models,
        footnotes=(("a", "A & b."),),
        notes=("One note.",),
    )


def test_groups_have_their_name_above_them() -> None:
    text = to_latex(table(models=2))
    assert text.count(r"\multicolumn{3}{l}{\textbf{Llama}} \\") == 2
    assert r"\quad SFT & \textbf{71.3}\textsuperscript{a} & \textendash{} \\" in text
    assert r"\quad RLLR & \underline{70.0} & {[1.0, 2.0]} \\" in text
    assert "Method & SST-2 & 95 \\% CI\n\\\\\n\\midrule" in text
    assert r"\caption{All methods.}\label{tab:main-one}" in text
    assert r"\textsuperscript{a} A \& b." in text
    assert text.count(r"\midrule") == 2
    assert text.count("{") == text.count("}")


def test_rows_without_groups_keep_their_first_column() -> None:
    one = table()
    text = to_latex(replace(one, groups=tuple((row,) for row in one.groups[0])))
    assert r"Llama & SFT & \textbf{71.3}" in text
    assert "multicolumn" not in text


@pytest.mark.parametrize("name", ["[x]", "*x"])
def test_a_row_does_not_feed_the_line_break_before_it(name: str) -> None:
    one = table(name)
    assert f"\n{{{name}}} & SFT" in to_latex(replace(one, groups=((one.groups[0][0],),)))


def test_long_headings_of_numbers_take_two_lines() -> None:
    columns = ("Model", "Reward model", "GPU memory (GiB)", "95 % CI")
    text = to_latex(replace(table(), columns=columns))
    assert r"Reward model & \shortstack[r]{GPU memory\\{(GiB)}} & 95 \% CI" in text


def test_a_long_table_is_continued() -> None:
    text = to_latex(table(models=2 * PAGE // 3))
    assert text.count(r"\begin{table*}") == 2
    assert text.count("(continued)") == text.count(r"\label{tab:main-one}") == 1
    assert text.count("\\addtocounter{table}{-1}") == text.count("One note.") == 1
    assert text.count(r"\quad SFT") == 2 * PAGE // 3


def test_escapes_everything() -> None:
    assert latex_escape(r"\input{x} 5% & $a_b^c# ~<>") == (
        r"\textbackslash{}input\{x\} 5\% \& \$a\_b\textasciicircum{}c\# "
        r"\textasciitilde{}\textless{}\textgreater{}"
    )
    assert latex_escape(f"71.3 ±1.2 {MINUS}3") == r"71.3 $\pm$1.2 $-$3"
    assert latex_escape("模型x") == r"\ifx\Umathchar\undefined[U+6A21 U+578B]\else 模型\fi{}x"
    assert latex_escape("\x1b") == "[U+001B]"
    assert latex_escape("a---b") == "a-{}-{}-b"


def compiled(folder: Path, body: str) -> str:
    """The log of pdfLaTeX, run on a document with this body."""
    head = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,graphicx}"
    text = f"{head}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (folder / "all.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    log = (folder / "all.log").read_text(errors="replace")
    assert done.returncode == 0, log[-3000:]
    return log


def complaints(log: str) -> list[str]:
    return re.findall(r"^(?:Overfull|Missing character|LaTeX Warning: Float too).*", log, re.M)


@pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex here to compile the tables with")
def test_all_tables_of_a_run_compile_and_none_is_overfull(run: SyntheticRun) -> None:
    models = [{"key": f"m{i}", "name": name} for i, name in enumerate((*HOSTILE, "Llama-2" * 9))]
    tasks = [{"key": f"t{i}", "name": f"AppReviews {i}", "metric": "accuracy"} for i in range(8)]
    run.grid(models=models, tasks=tasks, paper=True)
    for model in models:
        run.healthy_stages(model["key"])
        for task in tasks:
            for method, correct in (("sft_label", 3), ("sft", 5), ("rlhf", 6), ("rllr", 7)):
                rows = [class_row(i, i < correct) for i in range(10)]
                run.cell(model["key"], task["key"], method, rows, flags=[HOSTILE[0]])
    write_tables(run.folder, run.folder)
    for name in TABLES:
        assert len((run.folder / f"{name}.tex").read_text().splitlines()) > 10
    log = compiled(run.folder, "\n".join(f"\\input{{{name}}}" for name in TABLES))
    assert complaints(log) == []


@pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex here to compile with")
def test_every_known_character_compiles_and_an_overfull_line_is_noticed(tmp_path: Path) -> None:
    characters = sorted({*KNOWN, *LATEX, *map(chr, range(33, 127))})
    log = compiled(tmp_path, "\n\n".join(latex_escape(f"x{one}x") for one in characters))
    assert complaints(log) == []
    log = compiled(tmp_path, "\\noindent\\rule{50cm}{1pt}")
    assert len(complaints(log)) == 1
