"""What a run was asked to do, and how any part of it is made again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from rllr import files
from rllr.errors import RllrError
from rllr.reporting.archive.scrub import Places, places_of, scrub
from rllr.reporting.page.markup import Html, element, facts_table, join
from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.collect import Run
from rllr.reporting.results.grid import CellKey

# Resolved configurations shown in full; a run that was changed often has more.
SHOWN = 3


def configuration_of(analysis: Analysis) -> Html:
    """The run in a few facts, then its resolved configurations in full, folded up."""
    grid = analysis.run.grid
    entries = {
        "Run": grid.run,
        "Code": grid.commit or "commit not recorded",
        "Models": ", ".join(model.name for model in grid.models),
        "Tasks": ", ".join(f"{task.name} ({task.metric})" for task in grid.tasks),
        "Methods": ", ".join(method.name for method in grid.methods),
        "Context": ", ".join(method.name for method in grid.context_methods) or "none",
        "Seeds": ", ".join(map(str, grid.seeds)),
        "Training scope": grid.scope,
        **{name.capitalize(): origin for name, origin in grid.origins.items()},
        "The paper's experiment": "yes" if grid.paper else "no",
    }
    return join(facts_table(entries, "Configuration"), _resolved(analysis.run))


def _resolved(run: Run) -> Html:
    """The files that jobs read, newest first, without what tells of the machine."""
    folder = run.folder / "config"
    paths = sorted(folder.glob("*.json"), key=lambda path: -path.stat().st_mtime)
    read = {path.name: _read(path) for path in paths}
    places = places_of(run, read)
    blocks = [
        element("details", element("summary", *_named(name)), _text(content, places))
        for name, content in read.items()
    ]
    return join(*blocks[:SHOWN], *(element("p", *_named(path.name)) for path in paths[SHOWN:]))


def _named(name: str) -> list[Html | str]:
    return ["Resolved configuration ", element("code", f"config/{name}")]


def _read(path: Path) -> Any:
    """A configuration; of one that cannot be read, why."""
    try:
        return files.read_json(path)
    except RllrError as error:
        return str(error).replace(f"{path}: ", "")


def _text(content: Any, places: Places) -> Html:
    if isinstance(content, str):
        return element("p", content)
    note = "Absolute paths, and hosts that are asked over http, are shortened here."
    text = json.dumps(scrub(content, places), indent=2, ensure_ascii=False)
    return join(element("p", note), element("pre", text))


def reproduction(analysis: Analysis) -> Html:
    """How a cell is decoded and scored again, and how it is trained again."""
    cells = analysis.run.cells
    key = next((key for key in analysis.run.grid.expected() if key in cells), next(iter(cells)))
    text = (
        "Each score is of one cell or a mean of several, and a cell is a path. Delete its folder "
        "and name its file, and it is decoded and scored again (with the --configfile or --profile "
        "that the run had, if any); the section of each cell has its command:"
    )
    unit = "mixture" if cells[key].scope == "mixture" else key.task
    trained = results_folder(analysis) / "trained" / key.model / key.method / unit
    after = (
        "To train it again too, delete the folder of its weights first. Same seed, threads, "
        "versions and type of machine give the same numbers; manifests hold seed, versions and "
        "hashes of inputs."
    )
    return join(
        element("p", text),
        element("pre", again(analysis, key)),
        element("p", after),
        element("pre", shlex.join(["rm", "-r", str(trained / f"seed{key.seed}")])),
    )


def again(analysis: Analysis, key: CellKey) -> str:
    """The commands that decode and score a cell anew."""
    folder = results_folder(analysis) / key.path
    remove = shlex.join(["rm", "-r", str(folder)])
    return f"{remove}\n{shlex.join(['snakemake', '-c2', str(folder / 'metrics.json')])}"


def results_folder(analysis: Analysis) -> Path:
    """The run's folder as the workflow names it; a report never shows where it was made."""
    folder = analysis.run.folder
    return Path("results", analysis.run.grid.run) if folder.is_absolute() else folder
