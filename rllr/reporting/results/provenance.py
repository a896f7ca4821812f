"""Where each cell came from: the manifests behind it, and how they differ from most.

A cell rests on the manifest of its predictions, on those of the stages whose files that one names
as inputs, and so on. In one table all of them should come from the same code, data, configuration,
versions and kind of device; who differs is marked, and the mark says in what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rllr.errors import RllrError
from rllr.expected import run_place
from rllr.expected.stage import PARTS
from rllr.layout import MANIFEST, PREDICTIONS_MANIFEST
from rllr.reporting.results.deviations import Deviation, deviations
from rllr.reporting.results.grid import CellKey
from rllr.reporting.results.manifests import Manifest, read_manifest


@dataclass(frozen=True)
class Provenance:
    """What is known of where the cells came from.

    `deviations` of each cell, without repeats; `unknown` are cells without a usable manifest.
    """

    deviations: dict[CellKey, tuple[Deviation, ...]] = field(default_factory=dict)
    unknown: frozenset[CellKey] = frozenset()
    cells: int = 0

    def note(self) -> str:
        """What a reader of any table has to know; empty where all manifests are there."""
        if not self.unknown:
            return ""
        what = "which code, data and settings"
        if len(self.unknown) == self.cells:
            return f"There are no manifests: {what} the cells come from is not known."
        if len(self.unknown) == 1:
            return f"One cell has no manifest: {what} it comes from is not known."
        return f"{len(self.unknown)} cells have no manifest: {what} they come from is not known."


def trace(
    folder: Path,
    run: str,
    keys: Iterable[CellKey],
    expected: Mapping[str, str],
    warnings: list[str],
) -> Provenance:
    """Follow every cell of the run named `run` in `folder` back to its data.

    `expected` are digests of settings as `rllr.expected.expected_settings` gives them. Manifests
    that cannot be read are named in `warnings`.
    """
    reader = _Reader(folder, run, warnings)
    behind = {key: reader.behind(str(key.path / PREDICTIONS_MANIFEST)) for key in keys}
    found: dict[str, list[Deviation]] = {}
    for deviation in deviations(reader.manifests, run, expected):
        found.setdefault(deviation.where, []).append(deviation)
    marked = {
        key: tuple(one for place in sorted(places & found.keys()) for one in found[place])
        for key, places in behind.items()
    }
    unknown = frozenset(key for key, places in behind.items() if not places)
    return Provenance(marked, unknown, len(behind))


class _Reader:
    """Reads manifests as they are needed, each once."""

    def __init__(self, folder: Path, run: str, warnings: list[str]) -> None:
        self.folder, self.run, self.warnings = folder, run, warnings
        self.manifests: dict[str, Manifest] = {}
        self.resting: dict[str, frozenset[str]] = {}

    def behind(self, place: str) -> frozenset[str]:
        """A manifest and all that it rests on, those that are there."""
        if place not in self.resting:
            self.resting[place] = frozenset()  # a manifest that names itself ends here
            self.resting[place] = self._followed(place)
        return self.resting[place]

    def _followed(self, place: str) -> frozenset[str]:
        manifest = self._read(place)
        if manifest is None:
            return frozenset()
        self.manifests[place] = manifest
        inputs = {run_place(path, self.run) for path in manifest.inputs}
        stages = {f"{path.rpartition('/')[0]}/{MANIFEST}" for path in inputs}
        # What lies outside of the run is known by its hash alone.
        inside = [one for one in sorted(stages) if _is_inside(one.split("/"))]
        return frozenset({place}).union(*map(self.behind, inside))

    def _read(self, place: str) -> Manifest | None:
        path = self.folder / place
        if not path.exists():
            return None
        try:
            return read_manifest(path)
        except RllrError as error:
            self.warnings.append(f"{place}: left out: {error}; what it says is not known")
            return None


def _is_inside(parts: list[str]) -> bool:
    return parts[0] in PARTS and ".." not in parts
