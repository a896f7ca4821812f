"""Tables, figures and the report of a run's folder: the functions that the command line calls.

Each imports what it needs when it is called; none needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rllr.errors import RllrError

if TYPE_CHECKING:
    from rllr.reporting.results.grid import Grid


def write_tables(run_dir: Path, out_dir: Path, grid: Grid | None = None) -> list[Path]:
    """Write every table as Markdown, CSV, LaTeX and HTML; see `rllr.reporting.tables.build`."""
    from rllr.reporting.tables import build

    with writing(out_dir):
        return build.write_tables(run_dir, out_dir, grid)


def write_figures(run_dir: Path, out_dir: Path, grid: Grid | None = None) -> list[Path]:
    """Write every figure as SVG and PNG; see `rllr.reporting.figures.build`."""
    from rllr.reporting.figures import build

    with writing(out_dir):
        return build.write_figures(run_dir, out_dir, grid)


def write_report(run_dir: Path, out_file: Path, grid: Grid | None = None) -> Path:
    """Write the HTML report; see `rllr.reporting.page.report`."""
    from rllr.reporting.page import report

    with writing(out_file):
        return report.write_report(run_dir, out_file, grid)


@contextmanager
def writing(to: Path) -> Iterator[None]:
    """RllrError where something cannot be written: a read-only folder, a full disk."""
    try:
        yield
    except OSError as error:
        raise RllrError(
            f"{to}: cannot be written ({error}); name another place with --to"
        ) from error


def print_tables(run_dir: Path, names: Sequence[str]) -> None:
    """Print the named tables of a run to the terminal.

    Raises RllrError if a table's name is unknown or the run has no usable cell.
    """
    from rllr.reporting.results.collect import load_run
    from rllr.reporting.tables.build import BUILDERS, build_tables
    from rllr.reporting.tables.console import print_table

    unknown = [name for name in names if name not in BUILDERS]
    if unknown:
        raise RllrError(f"no table {unknown[0]!r}; there are: {', '.join(BUILDERS)}")
    tables = build_tables(load_run(run_dir))
    for name in names:
        print_table(tables[name])
