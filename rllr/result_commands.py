"""Commands for finished runs: `archive` keeps one, `compare` holds two against each other."""

from __future__ import annotations

import argparse
from pathlib import Path

LEVELS = ("method", "model", "task", "cell")


def add_result_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the command line."""
    text = "write one tarball of a run for a paper's appendix"
    archive = commands.add_parser("archive", help=text, description=text)
    archive.add_argument("folder", type=Path, help="a run's folder, such as results/tiny")
    archive.add_argument("--to", type=Path, help="where (default: RUN.tar.gz beside the folder)")
    archive.add_argument(
        "--without-texts",
        action="store_true",
        help="no prompts and responses, which quote data sets that may not be passed on",
    )
    archive.set_defaults(run=_archive)
    text = "say what changed between two runs, with intervals"
    compare = commands.add_parser("compare", help=text, description=text)
    compare.add_argument("first", type=Path, metavar="RUN_A", help="a run's folder")
    compare.add_argument("second", type=Path, metavar="RUN_B", help="another: B minus A is shown")
    compare.add_argument(
        "--by", choices=LEVELS, default=LEVELS[0], help="how finely (default: methods over all)"
    )
    compare.add_argument("--to", type=Path, help="a Markdown file instead of the terminal")
    compare.set_defaults(run=_compare)


def _archive(options: argparse.Namespace) -> None:
    from rllr.reporting import writing
    from rllr.reporting.archive.archive import archive_path, write_archive

    path = archive_path(options.folder, options.to)
    with writing(path):
        written = write_archive(options.folder, path, texts=not options.without_texts)
    for note in written.notes:
        print(f"note: {note}")
    if written.quoted:
        print(
            f"note: predictions quote test texts of {', '.join(written.quoted)}, whose terms may "
            "not let you pass them on; --without-texts leaves them out"
        )
    size = path.stat().st_size / 1e6
    print(f"{path}: {written.count} files of the run, {size:.1f} MB")


def _compare(options: argparse.Namespace) -> None:
    from rllr.reporting import writing
    from rllr.reporting.compare.compare import show_comparison, write_comparison

    if options.to is None:
        show_comparison(options.first, options.second, options.by)
        return
    with writing(options.to):
        write_comparison(options.first, options.second, options.by, options.to)
    print(options.to)
