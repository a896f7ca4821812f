"""How to go on with a run, and the exit status that a script asks for."""

from __future__ import annotations

from rllr.config.load import CONFIG_DIR, load_file
from rllr.layout import Layout
from rllr.reporting.status.cells import Status
from rllr.reporting.status.state import count

DONE, UNFINISHED, FAILED = 0, 1, 3
DEFAULT = CONFIG_DIR / "tiny.yaml"


def exit_status(status: Status) -> int:
    """0: all is done; 3: something has failed and does not run again; 1: it takes more time."""
    counts = count(status.everything)
    if counts["failed"]:
        return FAILED
    return DONE if counts["done"] == len(status.everything) else UNFINISHED


def advice(status: Status) -> list[str]:
    """What to do next, as lines."""
    layout, find = Layout(status.place.project), status.place.find
    counts = count(status.everything)
    if exit_status(status) == DONE:
        return [f"All is done: {find(layout.report)}, tables in {find(layout.tables)}"]
    waits = "what failed, is missing or stale is made (again) by"
    if counts["running"]:
        waits = f"{counts['running']} run now; when their Snakemake has ended, {waits}"
    lines = [waits[0].upper() + waits[1:], f"  {_command(status)}"]
    if counts["failed"]:
        lines.insert(0, "A log's last lines say what to mend first.")
    if any(one.root for one in status.stages if one.state == "stale"):
        lines.append(
            "  Where that finds nothing to do for a stale stage, delete its manifest first."
        )
    return lines


def _command(status: Status) -> str:
    place = status.place
    if place.source.suffix != ".json":
        return f"snakemake -c2 --configfile {place.source}    (or with the --profile it had)"
    if load_file(DEFAULT).hash == place.project.hash:
        return "snakemake -c2"
    return "snakemake -c2 --configfile FILE    (the run's own, or with the --profile it had)"
