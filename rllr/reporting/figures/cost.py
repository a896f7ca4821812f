"""What a method took with all that it rests on, against its average score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rllr.reporting.figures.plotting import WIDTH, Style, empty_figure, styles_of
from rllr.reporting.figures.scores import draw_point
from rllr.reporting.results.analysis import Analysis, Estimate
from rllr.reporting.results.cost import Cost, open_ledger
from rllr.reporting.tables.cost import SECONDS, method_mean, time_unit
from rllr.reporting.tables.scores import average_estimate

COLUMNS = 3
# A logarithmic axis where the dearest method takes this many times what the cheapest one does.
DECADE = 10
# By model, then by method.
Found = Mapping[str, Mapping[str, tuple[Cost, Estimate]]]


def cost_figure(analysis: Analysis) -> Figure:
    """Average over tasks against cost: a panel per model, a marker per method.

    The cost is in GPU hours where every method has them, else in wall time.
    """
    grid, found = analysis.run.grid, _found(analysis)
    if not found:
        return empty_figure("No method of this run has both its scores and its manifests")
    styles = styles_of([entry.key for entry in grid.methods])
    columns = min(COLUMNS, len(found))
    rows = math.ceil(len(found) / columns)
    figure = Figure(figsize=(WIDTH, 0.9 + 2.0 * rows))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    value, label = _axis(found)
    for axes, (model, methods) in zip(panels.flat, found.items(), strict=False):
        for method, (cost, average) in methods.items():
            draw_point(axes, average, value(cost), styles[method], vertical=True)
        axes.set_title(grid.name(model))
    _finish(figure, panels, [value(cost) for cost in _costs(found)], label)
    shown = {
        key: style for key, style in styles.items() if any(key in one for one in found.values())
    }
    _legend(figure, analysis, shown)
    return figure


def _found(analysis: Analysis) -> Found:
    """Cost and average of each model's methods that have both; models without one are left out."""
    ledger, found = open_ledger(analysis.run), dict[str, dict[str, tuple[Cost, Estimate]]]()
    for model in analysis.run.grid.models:
        for method in analysis.run.grid.methods:
            mean = method_mean(ledger, model.key, method.key)
            average = average_estimate(analysis, [model.key], method.key)
            if mean and average:
                found.setdefault(model.key, {})[method.key] = (mean.cost, average)
    return found


def _costs(found: Found) -> list[Cost]:
    return [cost for methods in found.values() for cost, _ in methods.values()]


def _axis(found: Found) -> tuple[Callable[[Cost], float], str]:
    """What the horizontal axis shows of a cost, and its label."""
    costs = _costs(found)
    if all(cost.gpu_seconds is not None for cost in costs):
        return lambda cost: (cost.gpu_seconds or 0.0) / SECONDS["h"], "GPU hours"
    unit = time_unit([cost.seconds for cost in costs])
    return lambda cost: cost.seconds / SECONDS[unit], f"Wall time ({unit})"


def _finish(figure: Figure, panels: Any, values: list[float], label: str) -> None:
    """Scale and labels; a panel without a model is hidden, and the one above it has the ticks."""
    if max(values) >= DECADE * min(values) > 0:
        panels[0][0].set_xscale("log")
    else:
        panels[0][0].set_xlim(left=0)
    for axes in panels.flat:
        axes.set_visible(bool(axes.get_title()))
    for column in panels.T:
        last = [axes for axes in column if axes.get_visible()][-1]
        last.tick_params(labelbottom=True)
    figure.supxlabel(f"{label} of a method with all that it rests on", fontsize=9)
    figure.supylabel("Average over tasks (points)", fontsize=9)
    figure.tight_layout()


def _legend(figure: Figure, analysis: Analysis, styles: Mapping[str, Style]) -> None:
    handles = [
        Line2D([], [], linestyle="", marker=style.marker, color=style.colour)
        for style in styles.values()
    ]
    names = [analysis.run.grid.name(method) for method in styles]
    figure.legend(
        handles, names, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(5, len(names))
    )
