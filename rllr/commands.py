"""Commands for the time before a run, `pin` and `doctor`, and for looking at one: `show`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rllr.errors import RllrError

if TYPE_CHECKING:
    from rllr.config.load import Project

# Makes the parser of a command, from its name and its help; reads the configuration it was given.
MakeParser = Callable[[str, str], argparse.ArgumentParser]
ReadProject = Callable[[argparse.Namespace], "Project"]


def add_commands(parser: MakeParser, project: ReadProject) -> None:
    """Add the commands to the command line."""
    pin = parser(
        "pin", "write the current commits of the run's models and data sets into their files"
    )
    pin.add_argument(
        "--model",
        nargs="+",
        default=[],
        help="these models alone (default: all, and the tasks' data sets)",
    )
    pin.add_argument("--dry-run", action="store_true", help="only say what would be written")
    pin.set_defaults(run=partial(_pin, project))
    doctor = parser("doctor", "check what the run needs: token, hub, image, GPU, disk, data")
    doctor.set_defaults(run=partial(_doctor, project))


def _pin(project: ReadProject, options: argparse.Namespace) -> None:
    from rllr.pin import pin

    if options.config.suffix == ".json":
        raise RllrError(f"--config: {options.config} is a resolved configuration; name a YAML file")
    for line in pin(project(options), options.model, dry_run=options.dry_run):
        print(line)


def _doctor(project: ReadProject, options: argparse.Namespace) -> int:
    from rllr.doctor import examine

    needed = False
    for finding in examine(project(options)):
        print(finding, flush=True)
        needed |= finding.state == "missing"
    return int(needed)


# --- status --------------------------------------------------------------------------------------

WATCH_SECONDS = 5.0
LONGEST_WATCH = 86_400


def add_status(commands: argparse._SubParsersAction) -> None:
    """Add `status`: what of a run is done, runs, failed, is missing or stale."""
    text = "show what of a run is done, runs, failed, is missing or stale"
    ends = (
        "Exit status: 0 all is done, 1 not yet, 3 something has failed, 2 a mistake (no such run), "
        "130 ended by Ctrl-C. `while python -m rllr status; [ $? = 1 ]; do sleep 60; done` waits "
        "for a run's end or its first failure."
    )
    status = commands.add_parser("status", help=text, description=text, epilog=ends)
    status.add_argument(
        "folder", type=Path, nargs="?", help="a run's folder (default: the only one in results/)"
    )
    status.add_argument(
        "--config",
        type=Path,
        help="hold the run against this configuration (default: the one that Snakemake was last "
        "started with)",
    )
    status.add_argument(
        "--watch",
        type=float,
        nargs="?",
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help=f"again every so many seconds (default: {WATCH_SECONDS:g}) until all is done",
    )
    status.add_argument("--json", action="store_true", help="print it for programs, with reasons")
    status.set_defaults(run=_status)


def _status(options: argparse.Namespace) -> int:
    from rllr.reporting.status.command import show_status, watch_status

    if options.watch is None:
        return show_status(options.folder, options.config, as_json=options.json)
    if options.json:
        raise RllrError("--json: prints once; leave out --watch")
    if not 0 < options.watch <= LONGEST_WATCH:
        raise RllrError(
            f"--watch: {options.watch:g} is no time to wait; seconds above 0, at most a day's"
        )
    return watch_status(options.folder, options.config, options.watch)


# --- show ----------------------------------------------------------------------------------------

VIEWS = ("data", "rationales", "pairs")
KINDS = ("label_sensitive", "rationale_sensitive")
OUTCOMES = ("right", "wrong", "unparsed")


def add_show(commands: argparse._SubParsersAction) -> None:
    """Add `show`: examples of a run's data, rationales or pairs, one cell, or tables."""
    text = "print examples of a run's data, rationales or pairs, one cell, or tables of its results"
    show = commands.add_parser("show", help=text, description=text)
    show.add_argument(
        "what",
        help=f"{', '.join(VIEWS)}; cell; or a run's folder, such as results/tiny, for tables",
    )
    show.add_argument("name", nargs="?", help="of a cell: MODEL/TASK/METHOD, perhaps with /seedK")
    show.add_argument("--against", help="cell: what changed from this method, such as sft")
    show.add_argument("--outcome", choices=OUTCOMES, help="cell: only such responses")
    show.add_argument("--table", nargs="+", help="of a folder: tables to print (default: main)")
    show.add_argument(
        "--run", dest="folder", type=Path, help="the run's folder (default: if there is one)"
    )
    show.add_argument("--task", help="whose examples")
    show.add_argument("--split", help="data, rationales: a split; pairs: train or heldout")
    show.add_argument("--kind", choices=KINDS, help=f"of pairs (default: {KINDS[0]})")
    show.add_argument("--model", help="of rationale-sensitive pairs (default: all)")
    show.add_argument("--label", help="only examples with this label")
    show.add_argument(
        "--count", type=int, help="how many examples (default: 3; cell: 2 of each outcome)"
    )
    show.add_argument("--seed", type=int, help="other examples with another seed (default: 0)")
    show.set_defaults(run=_show)


def _show(options: argparse.Namespace) -> None:
    if options.what == "cell":
        _show_cell(options)
        return
    _refuse(options, ("name", *OF_CELLS), f"{options.what}; `show cell` has it")
    if options.what in VIEWS:
        _browse(options)
        return
    _refuse(options, ("folder", "task", *CHOICES), f"a table; `show {'|'.join(VIEWS)}` has it")
    from rllr.reporting import print_tables

    print_tables(Path(options.what), options.table or ["main"])


CHOICES = ("split", "kind", "model", "label", "count", "seed")
OF_CELLS = ("against", "outcome")


def _show_cell(options: argparse.Namespace) -> None:
    from rllr.reporting.browse.cell import CellRequest, show_cell

    _refuse(options, ("table", "task", "split", "kind", "model", "label"), "a cell")
    if options.name is None:
        raise RllrError("show cell: name one, for instance llama2-7b/sst2/rllr")
    if options.against and options.outcome:
        raise RllrError("--outcome: not an option of --against, which shows what changed")
    _check_count(options)
    choices = (*OF_CELLS, "count", "seed")
    given = {name: getattr(options, name) for name in choices if getattr(options, name) is not None}
    show_cell(CellRequest(options.name, options.folder, **given))


def _check_count(options: argparse.Namespace) -> None:
    if options.count is not None and options.count < 0:
        raise RllrError(f"--count: {options.count} is less than none")


def _browse(options: argparse.Namespace) -> None:
    from rllr.reporting.browse.examples import Request, browse, only_run

    _refuse(options, ("table",), f"{options.what}; `show FOLDER` has it")
    if options.what != "pairs":
        _refuse(options, ("kind", "model"), f"{options.what}; `show pairs` has it")
    if options.task is None:
        raise RllrError(f"show {options.what}: name a task, for instance --task mnli")
    _check_count(options)
    given = {name: getattr(options, name) for name in CHOICES if getattr(options, name) is not None}
    browse(options.what, Request(options.folder or only_run(), options.task, **given))


def _refuse(options: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    """An option that would be ignored is a mistake."""
    for name in names:
        if getattr(options, name) is not None:
            option = {"folder": "--run", "name": getattr(options, name)}.get(name, f"--{name}")
            raise RllrError(f"{option}: not an option of {why}")
