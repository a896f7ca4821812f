"""Commands for results: tables, figures, report; `archive` keeps a run, `compare` takes two."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllr.errors import RllrError
from rllr.plain import plain

if TYPE_CHECKING:
    from rllr.config.load import Project
    from rllr.reporting.results.grid import Grid

# Reads the configuration that a command was given.
ReadProject = Callable[[argparse.Namespace], "Project"]
LEVELS = ("method", "model", "task", "cell")


def add_result_commands(commands: argparse._SubParsersAction, read: ReadProject) -> None:
    """Add the commands to the command line."""
    for name, (text, run) in {
        "tables": ("write the comparison tables of a folder of results", _tables),
        "figures": ("draw the figures of a folder of results", _figures),
        "report": ("write the HTML report of a folder of results", _report),
    }.items():
        tool = commands.add_parser(name, help=text, description=text)
        tool.add_argument("folder", type=Path, help="a run's folder, such as results/tiny")
        tool.add_argument("--to", type=Path, help="where to write (default: inside the folder)")
        tool.add_argument("--config", type=Path, help="take names and order from this run")
        tool.set_defaults(run=partial(run, read))
    _add_archive(commands)
    _add_compare(commands)


def _add_archive(commands: argparse._SubParsersAction) -> None:
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


def _add_compare(commands: argparse._SubParsersAction) -> None:
    text = "say what changed between two runs, with intervals"
    compare = commands.add_parser("compare", help=text, description=text)
    compare.add_argument("first", type=Path, metavar="RUN_A", help="a run's folder")
    compare.add_argument("second", type=Path, metavar="RUN_B", help="another: B minus A is shown")
    compare.add_argument(
        "--by", choices=LEVELS, default=LEVELS[0], help="how finely (default: methods over all)"
    )
    compare.add_argument("--to", type=Path, help="a Markdown file instead of the terminal")
    compare.set_defaults(run=_compare)


def _grid(read: ReadProject, options: argparse.Namespace) -> Grid | None:
    """How tables are laid out: by the configuration, if one is given, else as the folder says.

    What goes elsewhere (`--to`) leaves the folder as it is; else it keeps the grid, from which its
    own tables, figures and report are made.
    """
    if not options.config:
        return None
    from rllr import slices
    from rllr.artefact import commit
    from rllr.expected import expected_settings
    from rllr.files import write_json
    from rllr.layout import Layout
    from rllr.reporting import writing
    from rllr.reporting.results.grid import parse_grid

    project = read(options)
    facts = {"commit": commit(), "bases": Layout(project).bases()}
    expected = {"expected_settings": expected_settings(project)}
    content = {**slices.grid(project), **facts, **expected}
    path = options.folder / "grid.json"
    if not options.to and options.folder.is_dir() and not _holds(path, content):
        with writing(path):
            write_json(path, content)
    return parse_grid(content, str(options.config))


def _holds(path: Path, content: Any) -> bool:
    from rllr.files import read_json

    try:
        return bool(read_json(path) == content)
    except RllrError:
        return False


def _tables(read: ReadProject, options: argparse.Namespace) -> None:
    from rllr.reporting import write_tables

    to = options.to or options.folder / "tables"
    for path in write_tables(options.folder, to, _grid(read, options)):
        print(path)


def _figures(read: ReadProject, options: argparse.Namespace) -> None:
    from rllr.reporting import write_figures

    to = options.to or options.folder / "figures"
    for path in write_figures(options.folder, to, _grid(read, options)):
        print(path)


def _report(read: ReadProject, options: argparse.Namespace) -> None:
    from rllr.reporting import write_report

    to = options.to or options.folder / "report.html"
    print(write_report(options.folder, to, _grid(read, options)))


def _archive(options: argparse.Namespace) -> None:
    from rllr.reporting import writing
    from rllr.reporting.archive.archive import archive_path, write_archive

    path = archive_path(options.folder, options.to)
    with writing(path):
        written = write_archive(options.folder, path, texts=not options.without_texts)
    for note in written.notes:
        print(f"note: {plain(note)}")
    if written.quoted:
        tasks = plain(", ".join(written.quoted))
        print(
            f"note: predictions quote test texts of {tasks}, whose terms may "
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
