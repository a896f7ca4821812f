"""Reward and KL over the policies' training."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rllr.reporting.figures.plotting import WIDTH, Style, empty_figure, styles_of, wrap
from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.curves import Curve, load_curve, rolling_mean


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
        row[0].set_ylabel(f"{wrap(grid.name(model))}\n\nReward")
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
