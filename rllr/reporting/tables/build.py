"""The tables of a run: one place that says which there are, one function that writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rllr import files
from rllr.reporting.results.analysis import Analysis, analyse
from rllr.reporting.results.collect import Run, announce, load_run
from rllr.reporting.tables.cost import cost_table, method_cost_table
from rllr.reporting.tables.deltas import delta_table
from rllr.reporting.tables.health import health_table
from rllr.reporting.tables.mismatch import mismatch_table
from rllr.reporting.tables.rationales import rationales_table
from rllr.reporting.tables.render import FORMATS
from rllr.reporting.tables.reward_models import reward_models_table
from rllr.reporting.tables.scale import scale_table
from rllr.reporting.tables.scores import headline_table, main_table
from rllr.reporting.tables.table import Table

BUILDERS: dict[str, Callable[[Analysis], Table]] = {
    "headline": headline_table,
    "main": main_table,
    "delta": delta_table,
    "reward_models": reward_models_table,
    "mismatch": mismatch_table,
    "rationales": rationales_table,
    "scale": scale_table,
    "cost": cost_table,
    "method_cost": method_cost_table,
    "health": health_table,
}


def build_tables(run: Run) -> dict[str, Table]:
    """Every table of a run by name, in the order in which they are shown."""
    return tables_of(analyse(run))


def tables_of(analysis: Analysis) -> dict[str, Table]:
    """Every table of an analysed run by name."""
    return {name: build(analysis) for name, build in BUILDERS.items()}


def write_tables(run_dir: Path, out_dir: Path) -> list[Path]:
    """Write each table of a run as `<name>.{md,csv,tex,html}`; returns the paths written.

    Works with any part of a run's cells; what cannot be used is named on stderr. Raises RllrError
    if there is no usable cell at all, before anything is written.
    """
    analysis = analyse(load_run(run_dir))
    announce(analysis.run.warnings)
    written = []
    for name, table in tables_of(analysis).items():
        for suffix, render in FORMATS.items():
            path = out_dir / f"{name}.{suffix}"
            files.write_text(path, render(table))
            written.append(path)
    return written
