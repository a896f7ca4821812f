"""`python -m rllr status`: once, again and again, or for a program."""

from __future__ import annotations

import io
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from rllr.reporting.status.advice import DONE, exit_status
from rllr.reporting.status.cells import Looker, Status
from rllr.reporting.status.place import Place, locate
from rllr.reporting.status.present import Present
from rllr.reporting.status.signs import stamp
from rllr.reporting.status.state import Finding
from rllr.reporting.status.view import View

INTERRUPTED = 130
# Where the output is no terminal, and has no width of its own.
PIPE_WIDTH = 80


def show_status(run: Path | None, config: Path | None, *, as_json: bool = False) -> int:
    """Print a run's state once; returns the exit status."""
    status = Looker(locate(run, config)).look()
    if as_json:
        print(json.dumps(_record(status), indent=2, ensure_ascii=False))
    else:
        View(_console()).show(status)
    return exit_status(status)


def watch_status(run: Path | None, config: Path | None, seconds: float) -> int:
    """Print it every so many seconds, until all is done or Ctrl-C; returns the exit status."""
    console, present = _console(), Present()
    looker: Looker | None = None
    try:
        while True:
            place = locate(run, config)
            if looker is None or not _same(place, looker.place):
                looker = Looker(place, present)
            status = looker.look()
            console.clear()
            View(console).show(status)
            if exit_status(status) == DONE:
                return DONE
            console.print(f"{stamp(time.time())}, again in {seconds:g} s; Ctrl-C ends", style="dim")
            time.sleep(seconds)
    except KeyboardInterrupt:
        return INTERRUPTED


def _same(place: Place, other: Place) -> bool:
    return (place.run, place.project.hash) == (other.run, other.project.hash)


def _console() -> Console:
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that is not of UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    console = Console(highlight=False, markup=False, emoji=False)
    return console if console.is_terminal else Console(width=PIPE_WIDTH, highlight=False)


def _record(status: Status) -> dict[str, Any]:
    """The state for programs: every finding, with `when` in seconds since 1970 (0: unknown)."""
    place = status.place
    cells = [
        {"model": model, "task": task, "method": method, "seed": seed, **_fields(finding)}
        for (model, task, method, seed), finding in status.cells.items()
    ]
    stages = [
        {"kind": one.kind, "name": one.name, **_fields(one)}
        for one in (*status.stages, *status.report)
    ]
    facts = {"run": str(place.run), "config": str(place.source), "exit": exit_status(status)}
    return {**facts, "cells": cells, "stages": stages}


def _fields(finding: Finding) -> dict[str, Any]:
    fields = {name: asdict(finding)[name] for name in ("state", "why", "when")}
    return {**fields, "log": str(finding.log) if finding.log else None}
