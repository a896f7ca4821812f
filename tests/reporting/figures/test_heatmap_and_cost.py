"""The heat map and cost against score: what stands in the pictures."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from synthetic_run import SyntheticRun

from rllr.reporting.figures.cost import cost_figure
from rllr.reporting.figures.heatmap import COLOURS, heatmap_figure
from rllr.reporting.results.analysis import Analysis, analyse
from rllr.reporting.results.collect import load_run
from rllr.reporting.tables.cells import MINUS
from rllr.reporting.tables.table import MISSING


def analysis(run: SyntheticRun) -> Analysis:
    return analyse(load_run(run.folder))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_every_difference_is_printed_and_a_missing_one_is_hatched(small_run: SyntheticRun) -> None:
    small_run.accuracy("bloom", "rllr", 5)
    figure = heatmap_figure(analysis(small_run))
    # Llama, BLOOM, both; STS-B has no cell, so that the means are of SST-2 alone.
    assert texts(figure)[:3] == ["+20.0", MISSING, "+20.0\n(1/2)"]
    assert texts(figure)[3:6] == [f"{MINUS}10.0", MISSING, f"{MINUS}10.0\n(1/2)"]
    assert texts(figure)[6:] == ["+5.0", MISSING, "+5.0\n(2/4)"]
    squares = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    hatched = [index for index, square in enumerate(squares) if square.get_hatch()]
    assert hatched == [1, 4, 7]


def test_colours_are_symmetric_around_zero(small_run: SyntheticRun) -> None:
    small_run.accuracy("bloom", "rllr", 5)
    figure = heatmap_figure(analysis(small_run))
    faces = [patch.get_facecolor() for patch in figure.axes[0].patches]
    assert faces[0] == COLOURS(1.0) and faces[3] == COLOURS(0.25)


def test_no_difference_at_all_is_drawn(run: SyntheticRun) -> None:
    run.grid()
    for method in ("sft", "rllr"):
        run.cell("llama", "sst2", method, [{"id": "1", "label": "a", **answer("a")}])
    assert texts(heatmap_figure(analysis(run)))[0] == "0.0"


def answer(label: str) -> dict[str, object]:
    return {"prediction": label, "response": label, "parsed": True}


def test_without_both_methods_the_heat_map_says_so(run: SyntheticRun) -> None:
    run.accuracy("llama", "sft", 3)
    assert "RLLR and SFT" in heatmap_figure(analysis(run)).texts[0].get_text()


def test_cost_has_a_panel_per_model_and_a_marker_per_method(small_run: SyntheticRun) -> None:
    for model, seconds in (("llama", 60), ("bloom", 120)):
        small_run.manifest(f"trained/{model}/sft/mixture/seed0", "sft", seconds)
        small_run.manifest(f"trained/{model}/sft_label/mixture/seed0", "sft", 90)
    figure = cost_figure(analysis(small_run))
    assert [axes.get_title() for axes in figure.axes] == ["Llama", "BLOOM"]
    points = [[line.get_xdata()[0] for line in axes.lines] for axes in figure.axes]
    assert points == [[1.5, 1.0], [1.5, 2.0]]  # minutes, of sft_label and sft
    assert [text.get_text() for text in figure.legends[0].texts] == ["SFT (label only)", "SFT"]
    assert "Wall time (min)" in figure.get_supxlabel() and figure.axes[0].get_xscale() == "linear"


def test_costs_that_span_decades_have_a_logarithmic_axis(small_run: SyntheticRun) -> None:
    for stage, seconds in (("sft", 60), ("sft_label", 6000)):
        folder = f"trained/llama/{stage}/mixture/seed0"
        small_run.manifest(folder, "sft", seconds, gpus=1)
    figure = cost_figure(analysis(small_run))
    assert figure.axes[0].get_xscale() == "log" and "GPU hours" in figure.get_supxlabel()


def test_without_manifests_the_cost_figure_says_so(small_run: SyntheticRun) -> None:
    assert "manifests" in cost_figure(analysis(small_run)).texts[0].get_text()
