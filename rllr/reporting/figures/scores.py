"""Average scores, and RLLR's differences, with their intervals."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from rllr.reporting.figures.plotting import WIDTH, Style, empty_figure, styles_of, wrap
from rllr.reporting.results.analysis import Analysis, Estimate
from rllr.reporting.tables.comparisons import compared, delta_estimates
from rllr.reporting.tables.deltas import comparison_name
from rllr.reporting.tables.scores import average_estimate, model_blocks


def scores_figure(analysis: Analysis) -> Figure:
    """Average over tasks of each trained method, per model, with 95 % interval."""
    grid = analysis.run.grid
    methods = [entry.key for entry in grid.methods]
    if not methods or not grid.models:
        return empty_figure("No trained method in this run")
    blocks, styles = model_blocks(grid), styles_of(methods)
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots()
    for index, method in enumerate(methods):
        shift = 0.7 * ((index + 0.5) / len(methods) - 0.5)
        averages = [average_estimate(analysis, models, method) for _, models in blocks]
        for place, average in enumerate(averages):
            if average is not None:
                draw_point(axes, average, place + shift, styles[method], vertical=True)
        axes.plot(
            [], [], styles[method].marker, color=styles[method].colour, label=grid.name(method)
        )
    axes.set_xticks(range(len(blocks)), [wrap(name) for name, _ in blocks])
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("Average over tasks (points)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(5, len(methods)))
    return figure


def delta_figure(analysis: Analysis) -> Figure:
    """Forest plot: RLLR minus each other method, per model and over all, with 95 % interval."""
    others, blocks = compared(analysis), model_blocks(analysis.run.grid)
    if not others or not blocks:
        return empty_figure("Nothing to compare RLLR with in this run")
    figure = Figure(figsize=(WIDTH, 1.2 + 0.3 * len(blocks)))
    panels = figure.subplots(1, len(others), sharey=True, sharex=True, squeeze=False)[0]
    for axes, other in zip(panels, others, strict=True):
        axes.axvline(0, color="#57606a", linewidth=1)
        for place, (_, models) in enumerate(blocks):
            overall = delta_estimates(analysis, models, other)[-1]
            if overall is not None:
                draw_point(axes, overall, place, _forest_style(len(models) > 1), vertical=False)
        axes.set_title(comparison_name(analysis, other))
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(blocks)), [name for name, _ in blocks])
    panels[0].set_ylim(len(blocks) - 0.5, -0.5)
    figure.supxlabel("Difference in points (right of 0: RLLR is better)", fontsize=9)
    figure.tight_layout()
    return figure


def _forest_style(overall: bool) -> Style:
    return Style("#d55e00", "D", "-") if overall else Style("#0072b2", "o", "-")


def draw_point(
    axes: Any, estimate: Estimate, place: float, style: Style, *, vertical: bool
) -> None:
    """A point with its interval; hollow where it does not cover all its cells."""
    value = 100 * estimate.value
    complete = len(estimate.covered) == estimate.expected
    where = (place, value) if vertical else (value, place)
    error = None
    if estimate.low is not None and estimate.high is not None:
        error = [[max(0, value - 100 * estimate.low)], [max(0, 100 * estimate.high - value)]]
    axes.errorbar(
        *where,
        **{"yerr" if vertical else "xerr": error},
        fmt=style.marker,
        color=style.colour,
        markersize=5,
        markerfacecolor=style.colour if complete else "white",
        linewidth=1.2,
    )
