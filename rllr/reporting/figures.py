"""The figures of a run: scores, differences, and the policies' training curves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rllr import files
from rllr.reporting.analysis import Analysis, Estimate, analyse
from rllr.reporting.collect import announce, load_run
from rllr.reporting.curves import Curve, load_curve, rolling_mean
from rllr.reporting.deltas import compared, comparison_name, delta_estimates
from rllr.reporting.plotting import Style, empty_figure, encode, look, styles_of
from rllr.reporting.scores import average_estimate, model_blocks

WIDTH = 7.2


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
                _point(axes, average, place + shift, styles[method], vertical=True)
        axes.plot(
            [], [], styles[method].marker, color=styles[method].colour, label=grid.name(method)
        )
    axes.set_xticks(range(len(blocks)), [_wrap(name) for name, _ in blocks])
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
                _point(axes, overall, place, _forest_style(len(models) > 1), vertical=False)
        axes.set_title(comparison_name(analysis, other))
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(blocks)), [name for name, _ in blocks])
    panels[0].set_ylim(len(blocks) - 0.5, -0.5)
    figure.supxlabel("Difference in points (right of 0: RLLR is better)", fontsize=9)
    figure.tight_layout()
    return figure


def _forest_style(overall: bool) -> Style:
    return Style("#d55e00", "D", "-") if overall else Style("#0072b2", "o", "-")


def _point(axes: Any, estimate: Estimate, place: float, style: Style, *, vertical: bool) -> None:
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


def _wrap(name: str) -> str:
    return name.replace(" ", "\n", 1)


def reward_curves_figure(analysis: Analysis) -> Figure:
    """Reward and KL per training step: a row per model, a line per policy."""
    grid = analysis.run.grid
    policies, found = _load_curves(analysis)
    if not found:
        return empty_figure("No policy training log in this run")
    styles = styles_of(policies)
    figure = Figure(figsize=(WIDTH, 0.9 + 1.45 * len(found)))
    panels = figure.subplots(len(found), 2, squeeze=False, sharex=True)
    for row, (model, curves) in zip(panels, found.items(), strict=True):
        for method, curve in curves.items():
            _line(row[0], curve.steps, curve.reward, styles[method])
            _line(row[1], curve.steps, curve.kl, styles[method])
        row[0].set_ylabel(f"{_wrap(grid.name(model))}\n\nReward")
        row[1].set_ylabel("KL (nats)")
    for axes in panels[-1]:
        axes.set_xlabel("Training step")
    handles = [Line2D([], [], linestyle=s.line, color=s.colour) for s in styles.values()]
    names = [grid.name(method) for method in policies]
    figure.legend(handles, names, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(names))
    figure.tight_layout()
    return figure


def _load_curves(analysis: Analysis) -> tuple[list[str], dict[str, dict[str, Curve]]]:
    """The methods that have a curve, and for each model that has any, its curves by method."""
    grid = analysis.run.grid
    found: dict[str, dict[str, Curve]] = {}
    for model in grid.models:
        for method in grid.methods:
            curve = load_curve(analysis.run, model.key, method.key)
            if curve is not None:
                found.setdefault(model.key, {})[method.key] = curve
    present = {method for curves in found.values() for method in curves}
    return [method.key for method in grid.methods if method.key in present], found


def _line(axes: Any, steps: Any, values: Any, style: Style) -> None:
    axes.plot(steps, values, color=style.colour, alpha=0.25, linewidth=0.8)
    smooth = rolling_mean(np.asarray(values))
    axes.plot(steps, smooth, linestyle=style.line, color=style.colour, linewidth=1.5)


DRAWINGS: dict[str, Callable[[Analysis], Figure]] = {
    "scores": scores_figure,
    "delta": delta_figure,
    "reward_curves": reward_curves_figure,
}
SUFFIXES = ("svg", "png")


def draw(analysis: Analysis, name: str, suffix: str) -> bytes:
    """One figure of an analysed run as the bytes of an svg or png file."""
    with look():
        return encode(DRAWINGS[name](analysis), suffix)


def write_figures(run_dir: Path, out_dir: Path) -> list[Path]:
    """Write each figure of a run as `<name>.{svg,png}`; returns the paths written.

    All are written whatever the run holds; one without data says so. Raises RllrError if there is
    no usable cell at all.
    """
    analysis = analyse(load_run(run_dir))
    announce(analysis.run.warnings)
    written = []
    for name in DRAWINGS:
        for suffix in SUFFIXES:
            path = out_dir / f"{name}.{suffix}"
            with files.atomic(path) as temporary:
                temporary.write_bytes(draw(analysis, name, suffix))
            written.append(path)
    return written
