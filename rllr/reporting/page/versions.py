"""Which code, packages, image and device made a run's artefacts, as their manifests say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rllr.errors import RllrError
from rllr.layout import MANIFEST, PREDICTIONS_MANIFEST
from rllr.reporting.page.markup import Html, element, facts_table, join
from rllr.reporting.results.collect import Run
from rllr.reporting.results.grid import BASELINE_MODEL
from rllr.reporting.results.manifests import Manifest, read_manifest

UNKNOWN = "not recorded"


def versions_of(run: Run) -> Html:
    """Every version that manifests name, with the number of artefacts where they differ.

    A manifest that cannot be read is named here and left out.
    """
    found: list[Manifest] = []
    problems: list[str] = []
    paths = _paths(run)
    for path in filter(Path.exists, paths):
        try:
            found.append(read_manifest(path))
        except RllrError as error:
            problems.append(f"{path.relative_to(run.folder)}: {error}; it is left out here")
    text = (
        f"From {len(found)} manifests of the {len(paths)} predictions and trained stages; in "
        "brackets how many of them, where they differ."
    )
    named = [element("p", problem, class_="warn") for problem in problems]
    table = facts_table(_versions(found), "Versions") if found else Html("")
    return join(element("p", text), *named, table)


def _paths(run: Run) -> list[Path]:
    cells = [key.path / PREDICTIONS_MANIFEST for key in run.cells if key.model != BASELINE_MODEL]
    stages = [stage.path / MANIFEST for stage in run.stages]
    return [run.folder / path for path in (*cells, *stages)]


def _versions(found: list[Manifest]) -> dict[str, str]:
    packages = sorted({name for manifest in found for name in manifest.packages})
    return {
        "Commit": _counted(one.commit or UNKNOWN for one in found),
        "Image": _counted(one.image or "none" for one in found),
        "Device": _counted(one.device or UNKNOWN for one in found),
        "Python": _counted(one.python or UNKNOWN for one in found),
        **{
            name: _counted(one.packages[name] for one in found if name in one.packages)
            for name in packages
        },
    }


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values).most_common()
    if len(counts) == 1:
        return counts[0][0]
    return ", ".join(f"{value} ({count})" for value, count in counts)
