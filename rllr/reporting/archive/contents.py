"""What of a run goes into its archive, and what should be there and is not.

Named by pattern, so that nothing else slips in: no weights, no checkpoints, no training data, no
logs of jobs, which name machines and paths. Folders of a run may be links, to a larger disk; a file
that is a link out of the run is not the run's and stays out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rllr.reporting.names import FIGURE_FORMATS, FIGURES, TABLE_FORMATS, TABLES
from rllr.reporting.results.collect import Run

PREDICTIONS = "predictions.jsonl"
REPORT = "report.html"
RESULTS = "results"
MODELS = "models"
# Cells that a message lists.
SHOWN = 5


class Part(NamedTuple):
    """A kind of file: what it is to a reader, and where it lies in the run's folder."""

    what: str
    patterns: tuple[str, ...]


PARTS = (
    Part("tables, in four formats", tuple(f"tables/*.{end}" for end in TABLE_FORMATS)),
    Part("figures", tuple(f"figures/*.{end}" for end in FIGURE_FORMATS)),
    Part("the report: all on one page", (REPORT,)),
    Part("the run's models, tasks, methods and seeds, by name and in order", ("grid.json",)),
    Part("the resolved configuration, every setting of every stage", ("config/*.json",)),
    Part("each cell's metrics", ("cells/*/*/*/seed*/metrics.json",)),
    Part(
        "each cell's predictions: prompt, response, predicted and gold label",
        (f"cells/*/*/*/seed*/{PREDICTIONS}",),
    ),
    Part(
        "manifests: commit, code, settings, seed, input hashes, packages, device and time",
        (
            "cells/*/*/*/seed*/predictions.manifest.json",
            "data/*/manifest.json",
            "rationales/*/manifest.json",
            "pairs/label_sensitive/*/manifest.json",
            "pairs/rationale_sensitive/*/*/*/seed*/manifest.json",
            "samples/*/*/*/seed*/manifest.json",
            "trained/*/*/*/seed*/manifest.json",
            "judged/*/*/seed*/manifest.json",
        ),
    ),
    Part("what training did, in brief", ("trained/*/*/*/seed*/summary.json",)),
    Part("training curves, a row per step", ("trained/*/*/*/seed*/log.jsonl",)),
    Part("rewards of sampled responses", ("trained/*/*/*/seed*/sample_rewards.jsonl",)),
    Part("the judge's verdicts on test responses", ("judged/*/*/seed*/comparisons.jsonl",)),
)


@dataclass(frozen=True, order=True)
class Member:
    """A file of the archive: its place below `results/` there, and where it lies now."""

    name: str
    path: Path


def members(run: Run, *, texts: bool) -> list[Member]:
    """The run's files, sorted by name; without `texts` the report, which quotes them, is left out.

    Manifests of base models, which several runs may share, lie beside the run.
    """
    here = run.folder.resolve().name
    found = [
        Member(f"{RESULTS}/{here}/{path.relative_to(run.folder).as_posix()}", path)
        for path in _files(run.folder)
        if (texts or path.name != REPORT) and not _leads_out(path, run.folder)
    ]
    return sorted([*found, *_bases(run)])


def _files(folder: Path) -> Iterator[Path]:
    patterns = [pattern for part in PARTS for pattern in part.patterns]
    for pattern in patterns:
        yield from (path for path in folder.glob(pattern) if path.is_file())


def _leads_out(path: Path, folder: Path) -> bool:
    """Whether a file is a link to one elsewhere: it could be anything, a key for instance."""
    inside = (folder.resolve(), path.parent.resolve())
    return path.is_symlink() and not any(map(path.resolve().is_relative_to, inside))


def links_out(run: Run) -> list[str]:
    """The files that are left out as they are links out of the run, a line each."""
    found = sorted(path for path in _files(run.folder) if _leads_out(path, run.folder))
    return [f"left out: {path.relative_to(run.folder)}: a link out of the run" for path in found]


def _bases(run: Run) -> Iterator[Member]:
    for base in run.grid.bases.values():
        path = run.folder / base / "manifest.json"
        if path.is_file():
            yield Member(f"{RESULTS}/{MODELS}/{Path(base).name}/manifest.json", path)


def missing(run: Run) -> list[str]:
    """What a whole run has and this one lacks, a line each."""
    lines = [
        f"{name}/*.{{{','.join(ends)}}}: {', '.join(lacking)}"
        for name, ends, lacking in (
            ("tables", TABLE_FORMATS, _lacking(run.folder / "tables", TABLES, TABLE_FORMATS)),
            ("figures", FIGURE_FORMATS, _lacking(run.folder / "figures", FIGURES, FIGURE_FORMATS)),
        )
        if lacking
    ]
    lines += [name for name in (REPORT, "grid.json") if not (run.folder / name).is_file()]
    if not any(run.folder.glob("config/*.json")):
        lines.append("config/*.json: the configuration")
    return [*lines, *_cells(run)]


def _lacking(folder: Path, names: tuple[str, ...], ends: tuple[str, ...]) -> list[str]:
    return [name for name in names if not all((folder / f"{name}.{end}").is_file() for end in ends)]


def _cells(run: Run) -> Iterator[str]:
    gone = [str(key.path) for key in run.grid.expected() if key not in run.cells]
    bare = [
        str(key.path) for key in run.cells if not (run.folder / key.path / PREDICTIONS).exists()
    ]
    for what, paths in (("cells", gone), (f"{PREDICTIONS} of cells", bare)):
        if paths:
            more = f" and {len(paths) - SHOWN} more" if paths[SHOWN:] else ""
            yield f"{len(paths)} {what}: {', '.join(paths[:SHOWN])}{more}"
