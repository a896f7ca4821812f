"""Rewards of sampled responses against their labels: the mismatch made visible."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rllr.reporting.figures.plotting import WIDTH, Style, empty_figure, styles_of, wrap
from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.clouds import Cloud, calibrated, clouds
from rllr.reporting.results.summaries import RewardSummary
from rllr.reporting.statistics.bootstrap import wilson_interval
from rllr.reporting.tables.reward_models import KIND_NAMES

NOTHING = "No rewards of sampled responses in this run"
AXIS = "Reward (standard deviations from the reward model's mean on the task)"
BINS = 24
# Standard deviations; what lies beyond is counted in the outermost bins.
LIMIT = 3.0
COLUMNS = 3
# Filled against outlined, so that both are seen where they overlap, and in grey.
RIGHT: dict[str, Any] = {"histtype": "stepfilled", "color": "#56b4e9"}
WRONG: dict[str, Any] = {"histtype": "step", "color": "#000000", "linewidth": 1.3}
REFERENCE: dict[str, Any] = {"color": "#57606a", "linewidth": 1, "linestyle": ":"}


def rewards_figure(analysis: Analysis) -> Figure:
    """Histograms of rewards by label correctness: a row per model, a column per reward model."""
    found = clouds(analysis)
    if not found:
        return empty_figure(NOTHING)
    stages = _stages(found)
    figure = Figure(figsize=(WIDTH, 0.9 + 1.25 * len(found)))
    panels = figure.subplots(len(found), len(stages), squeeze=False, sharex=True, sharey="row")
    for row, (model, mine) in zip(panels, found.items(), strict=True):
        for axes, stage in zip(row, stages, strict=True):
            _histograms(axes, mine.get(stage))
        row[0].set_ylabel(f"{wrap(analysis.run.grid.name(model))}\n\nShare (%)")
    names = _names(analysis, stages)
    for axes, stage in zip(panels[0], stages, strict=True):
        axes.set_title(names[stage])
    figure.supxlabel(AXIS, fontsize=9)
    handles = [
        Patch(facecolor=RIGHT["color"], label="right label"),
        Patch(facecolor="none", edgecolor=WRONG["color"], label="wrong label or none"),
    ]
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    figure.tight_layout()
    return figure


def _stages(found: Mapping[str, Mapping[str, Cloud]]) -> list[str]:
    return sorted({stage for mine in found.values() for stage in mine})


def _names(analysis: Analysis, stages: list[str]) -> dict[str, str]:
    """Each reward model with the pairs that it is trained on, where that is known."""
    kinds = {
        key.stage: f" ({KIND_NAMES[summary.pairs].lower()} pairs)"
        for key, summary in analysis.run.stages.items()
        if isinstance(summary, RewardSummary)
    }
    return {stage: stage + kinds.get(stage, "") for stage in stages}


def _histograms(axes: Any, cloud: Cloud | None) -> None:
    """Shares of the right responses, and of the wrong ones; each sums to 100 %."""
    if cloud is None:
        axes.text(0.5, 0.5, "no rewards", ha="center", transform=axes.transAxes)
        return
    counts = []
    for mask, look in ((cloud.right, RIGHT), (~cloud.right, WRONG)):
        rewards = cloud.rewards[mask].clip(-LIMIT, LIMIT)
        counts.append(len(rewards))
        if len(rewards):
            weights = np.full(len(rewards), 100 / len(rewards))
            axes.hist(rewards, BINS, (-LIMIT, LIMIT), weights=weights, **look)
    axes.margins(y=0.3)  # room for the text
    text = f"right: n = {counts[0]}\nwrong: n = {counts[1]}"
    axes.text(0.02, 0.95, text, va="top", fontsize=7, transform=axes.transAxes)


def calibration_figure(analysis: Analysis) -> Figure:
    """Share of right labels by reward: a panel per model, a line per reward model."""
    found = clouds(analysis)
    if not found:
        return empty_figure(NOTHING)
    styles = _styles(_stages(found))
    names = _names(analysis, list(styles))
    columns = min(COLUMNS, len(found))
    rows = math.ceil(len(found) / columns)
    figure = Figure(figsize=(WIDTH, 0.9 + 2.0 * rows))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, (model, mine) in zip(panels, found.items(), strict=False):
        for stage, cloud in mine.items():
            _line(axes, cloud, styles[stage])
        axes.set_title(analysis.run.grid.name(model))
    for above, axes in zip(panels[len(found) - columns :], panels[len(found) :], strict=False):
        above.tick_params(labelbottom=True)
        axes.remove()
    figure.supylabel("Right labels (%)", fontsize=9)
    figure.supxlabel(AXIS, fontsize=9)
    handles = [
        Line2D([], [], color=s.colour, marker=s.marker, linestyle=s.line, label=names[stage])
        for stage, s in styles.items()
    ]
    handles.append(Line2D([], [], **REFERENCE, label="all responses"))
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=COLUMNS)
    figure.tight_layout()
    return figure


def _styles(stages: list[str]) -> dict[str, Style]:
    """A reward model looks like the method that it is named after: `rllr_rm` like `rllr`."""
    named = styles_of([stage.removesuffix("_rm") for stage in stages])
    return dict(zip(stages, named.values(), strict=True))


def _line(axes: Any, cloud: Cloud, style: Style) -> None:
    """The share of right labels in each bin, with its interval, and over all responses."""
    axes.axhline(100 * cloud.right.mean(), **REFERENCE)
    bins = calibrated(cloud)
    shares = [100 * one.right / one.n for one in bins]
    ends = np.array([wilson_interval(one.right, one.n) for one in bins]).T * 100
    axes.errorbar(
        [one.reward for one in bins],
        shares,
        yerr=np.abs(ends - shares),
        color=style.colour,
        marker=style.marker,
        linestyle=style.line,
        markersize=4,
        linewidth=1.2,
        elinewidth=0.8,
    )
