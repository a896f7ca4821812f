"""Commands for the time before a run: `pin` and `doctor`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
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
