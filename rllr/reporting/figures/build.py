"""The figures of a run: one place that says which there are, one function that writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from matplotlib.figure import Figure

from rllr import files
from rllr.reporting.figures.cost import cost_figure
from rllr.reporting.figures.heatmap import heatmap_figure
from rllr.reporting.figures.plotting import encode, look, plain_name
from rllr.reporting.figures.rewards import calibration_figure, rewards_figure
from rllr.reporting.figures.scores import delta_figure, scores_figure
from rllr.reporting.figures.training import reward_curves_figure
from rllr.reporting.names import FIGURE_FORMATS
from rllr.reporting.results.analysis import Analysis, analyse
from rllr.reporting.results.collect import announce, load_run
from rllr.reporting.results.grid import Entry, TaskEntry

Named = TypeVar("Named", Entry, TaskEntry)

DRAWINGS: dict[str, Callable[[Analysis], Figure]] = {
    "scores": scores_figure,
    "delta": delta_figure,
    "heatmap": heatmap_figure,
    "reward_curves": reward_curves_figure,
    "rewards": rewards_figure,
    "calibration": calibration_figure,
    "cost": cost_figure,
}


def draw(analysis: Analysis, name: str, suffix: str) -> bytes:
    """One figure of an analysed run as the bytes of an svg or png file."""
    with look():
        return encode(DRAWINGS[name](_with_plain_names(analysis)), suffix)


def _with_plain_names(analysis: Analysis) -> Analysis:
    """The analysis with names that matplotlib draws as they are, not as formulas."""
    grid = analysis.run.grid
    plain = replace(
        grid,
        models=_plain(grid.models),
        tasks=_plain(grid.tasks),
        context_tasks=_plain(grid.context_tasks),
        methods=_plain(grid.methods),
        context_methods=_plain(grid.context_methods),
    )
    return replace(analysis, run=replace(analysis.run, grid=plain))


def _plain(entries: tuple[Named, ...]) -> tuple[Named, ...]:
    return tuple(replace(entry, name=plain_name(entry.name)) for entry in entries)


def write_figures(run_dir: Path, out_dir: Path) -> list[Path]:
    """Write each figure of a run as `<name>.{svg,png}`; returns the paths written.

    All are written whatever the run holds; one without data says so. Raises RllrError if there is
    no usable cell at all.
    """
    analysis = analyse(load_run(run_dir))
    announce(analysis.run.warnings)
    written = []
    for name in DRAWINGS:
        for suffix in FIGURE_FORMATS:
            path = out_dir / f"{name}.{suffix}"
            with files.atomic(path) as temporary:
                temporary.write_bytes(draw(analysis, name, suffix))
            written.append(path)
    return written
