from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from synthetic_run import SyntheticRun

from rllr.reporting.figures.build import write_figures
from rllr.reporting.figures.plotting import styles_of
from rllr.reporting.names import FIGURE_FORMATS, FIGURES
from rllr.reporting.results.collect import load_run
from rllr.reporting.results.curves import load_curve, rolling_mean


def write_log(run: SyntheticRun, rows: list[dict[str, float]], unit: str = "mixture") -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    run.write(f"trained/llama/rllr/{unit}/seed0/log.jsonl", text)


def test_all_figures_are_written_and_never_differ(small_run: SyntheticRun, tmp_path: Path) -> None:
    write_log(small_run, [{"step": i, "reward": i / 9, "kl": i / 5} for i in range(10)])
    first = write_figures(small_run.folder, tmp_path / "a")
    second = write_figures(small_run.folder, tmp_path / "b")
    wanted = {f"{name}.{suffix}" for name in FIGURES for suffix in FIGURE_FORMATS}
    assert {path.name for path in first} == wanted
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    for path in first:
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
        else:
            assert path.read_bytes().startswith(b"\x89PNG")


def test_figures_without_data_say_so(run: SyntheticRun, tmp_path: Path) -> None:
    run.accuracy("llama", "zero_shot", 3)
    assert len(write_figures(run.folder, tmp_path)) == len(FIGURES) * len(FIGURE_FORMATS)


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font:UserWarning")
def test_names_are_drawn_as_they_are(small_run: SyntheticRun, tmp_path: Path) -> None:
    """No formula, however broken; no crash with another script, a control code, half a pair."""
    hostile = r"$a$ $\frac{x$ \$ --> <script>"
    other = "模型 \x1b[31m \x00 \ud800"
    formula = "$x$"
    models = [{"key": "llama", "name": formula}, {"key": "bloom", "name": other}]
    small_run.grid(models=models, methods=[{"key": "rllr", "name": hostile}])
    write_log(small_run, [{"step": i, "reward": i / 9, "kl": i / 5} for i in range(10)])
    write_figures(small_run.folder, tmp_path)
    drawn = (tmp_path / "scores.svg").read_text()
    # A formula's letters are slanted.
    assert "Oblique" not in drawn
    assert "<script>" not in drawn
    assert ElementTree.fromstring(drawn).tag.endswith("svg")


def test_curve_is_the_mean_over_units(small_run: SyntheticRun) -> None:
    write_log(small_run, [{"step": 1, "reward": 1.0, "kl": 0.0}, {"step": 2, "loss": 3.0}], "sst2")
    write_log(small_run, [{"step": 1, "reward": 3.0, "kl": 2.0}, {"step": 2, "reward": 5, "kl": 1}])
    curve = load_curve(load_run(small_run.folder), "llama", "rllr")
    assert curve is not None
    assert curve.steps.tolist() == [1, 2]
    assert curve.reward.tolist() == [2.0, 5.0]
    assert curve.kl.tolist() == [1.0, 1.0]


def test_a_broken_log_is_named(small_run: SyntheticRun, capsys: pytest.CaptureFixture[str]) -> None:
    small_run.write("trained/llama/rllr/mixture/seed0/log.jsonl", "{broken\n")
    assert load_curve(load_run(small_run.folder), "llama", "rllr") is None
    assert "trained/llama/rllr/mixture/seed0/log.jsonl:1" in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_rolling_mean_keeps_length_and_constants(count: int) -> None:
    assert rolling_mean(np.full(count, 3.0)).tolist() == pytest.approx([3.0] * count)


def test_methods_of_a_run_look_different() -> None:
    styles = styles_of(["sft_label", "sft", "rlhf", "rllr", "rllr_mixed", "dpo", "rloo"])
    for attribute in ("colour", "marker"):
        assert len({getattr(style, attribute) for style in styles.values()}) == 7


def test_curves_of_methods_of_ones_own_are_drawn(run: SyntheticRun, tmp_path: Path) -> None:
    """Their line styles are dash patterns, not names."""
    methods = ["rllr", "mine", "another", "third"]
    for method in methods:
        run.accuracy("llama", method, 3)
        rows = [{"step": step, "reward": 1.0, "kl": 0.0} for step in (1, 2)]
        path = f"trained/llama/{method}/mixture/seed0/log.jsonl"
        run.write(path, "".join(json.dumps(row) + "\n" for row in rows))
    write_figures(run.folder, tmp_path)
    drawn = (tmp_path / "reward_curves.svg").read_text()
    assert drawn.count("stroke-dasharray") >= 2 * 3
