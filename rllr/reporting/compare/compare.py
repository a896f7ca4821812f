"""What changed between two runs: what they were made with, and their numbers with intervals."""

from __future__ import annotations

from pathlib import Path

from rllr import files
from rllr.reporting.compare.both import put_together
from rllr.reporting.compare.settings import settings_table
from rllr.reporting.compare.table import compare_table
from rllr.reporting.results.analysis import analyse
from rllr.reporting.results.collect import announce, load_run
from rllr.reporting.tables.console import print_table
from rllr.reporting.tables.render import to_markdown
from rllr.reporting.tables.table import Table


def compare_runs(first: Path, second: Path, by: str) -> tuple[Table, Table]:
    """What two runs were made with, and run `second` minus run `first`.

    `by` says how finely: method, model, task or cell. What cannot be used is named on
    stderr. Raises RllrError if a run has no usable cell.
    """
    analyses = [analyse(load_run(folder)) for folder in (first, second)]
    for folder, analysis in zip((first, second), analyses, strict=True):
        announce([f"{folder}: {warning}" for warning in analysis.run.warnings])
    both = put_together(*analyses)
    return settings_table(first, second), compare_table(both, by)


def show_comparison(first: Path, second: Path, by: str) -> None:
    """Print the comparison to the terminal."""
    for table in compare_runs(first, second, by):
        print_table(table)


def write_comparison(first: Path, second: Path, by: str, to: Path) -> None:
    """Write the comparison as Markdown."""
    files.write_text(to, "\n".join(map(to_markdown, compare_runs(first, second, by))))
