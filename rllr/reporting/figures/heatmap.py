"""RLLR minus SFT for each model and task, as a heat map with every value printed."""

from __future__ import annotations

from typing import Any

from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rllr.reporting.figures.plotting import WIDTH, empty_figure, wrap
from rllr.reporting.results.analysis import Analysis, Estimate
from rllr.reporting.tables.cells import coverage, signed
from rllr.reporting.tables.comparisons import compared, delta_estimates
from rllr.reporting.tables.deltas import comparison_name
from rllr.reporting.tables.scores import model_blocks
from rllr.reporting.tables.table import MISSING

OTHER = "sft"
# Orange and blue of Okabe & Ito, white between: told apart by the colour-blind, and the darker a
# cell the larger its difference; the printed sign tells which side it is on in grey.
COLOURS = LinearSegmentedColormap.from_list("difference", ["#d55e00", "#ffffff", "#0072b2"])
# A map of nothing but zeros must still have a scale, in points.
LEAST_RANGE = 1.0
DARK = 0.75
# Inches.
ROW_HEIGHT = 0.42


def heatmap_figure(analysis: Analysis) -> Figure:
    """RLLR minus SFT in points: a row per model and their mean, a column per task and the mean."""
    grid = analysis.run.grid
    if OTHER not in compared(analysis) or not grid.models:
        return empty_figure("This run does not have both RLLR and SFT")
    blocks = model_blocks(grid)
    rows = [delta_estimates(analysis, models, OTHER) for _, models in blocks]
    figure = Figure(figsize=(WIDTH, 1.3 + ROW_HEIGHT * len(rows)))
    axes = figure.subplots()
    scale = _scale(rows)
    for place, row in enumerate(rows):
        for column, estimate in enumerate(row):
            _cell(axes, column, place, estimate, scale)
    _frame(axes, [task.name for task in grid.tasks], [name for name, _ in blocks])
    _bar(figure, axes, scale, comparison_name(analysis, OTHER))
    return figure


def _scale(rows: list[list[Estimate | None]]) -> Normalize:
    """Symmetric around 0, as wide as the largest difference, in points."""
    values = [abs(100 * one.value) for row in rows for one in row if one is not None]
    most = max([LEAST_RANGE, *values])
    return Normalize(-most, most)


def _cell(axes: Any, x: int, y: int, estimate: Estimate | None, scale: Normalize) -> None:
    """One square with its value; hatched with a dash where there is none."""
    corner = (x - 0.5, y - 0.5)
    if estimate is None:
        axes.add_patch(
            Rectangle(corner, 1, 1, facecolor="#ffffff", edgecolor="#c4c9cf", hatch="//")
        )
        axes.text(x, y, MISSING, ha="center", va="center", fontsize=8, backgroundcolor="#ffffff")
        return
    place = float(scale(100 * estimate.value))
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=COLOURS(place), edgecolor="#ffffff"))
    cells = coverage(len(estimate.covered), estimate.expected).strip()
    text = "\n".join(filter(None, (signed(estimate.value), cells)))
    colour = "#ffffff" if abs(2 * place - 1) > DARK else "#000000"
    axes.text(x, y, text, ha="center", va="center", fontsize=8, color=colour)


def _frame(axes: Any, tasks: list[str], models: list[str]) -> None:
    """Names beside the squares, and a line before the means."""
    width, height = len(tasks) + 1, len(models)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_xticks(range(width), [*map(wrap, tasks), "Mean"])
    axes.set_yticks(range(height), models)
    axes.tick_params(length=0, labelsize=8)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.axvline(width - 1.5, color="#000000", linewidth=1.5)
    if height > 1:
        axes.axhline(height - 1.5, color="#000000", linewidth=1.5)


def _bar(figure: Figure, axes: Any, scale: Normalize, name: str) -> None:
    side = axes.inset_axes((1.03, 0.0, 0.03, 1.0))
    bar = figure.colorbar(ScalarMappable(scale, COLOURS), cax=side)
    bar.set_label(f"{name} (points)")
    bar.outline.set_visible(False)
    side.grid(visible=False)
