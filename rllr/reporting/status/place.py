"""Which run is meant, its configuration, and where its paths lie today."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rllr.config.load import Project, load_file
from rllr.errors import RllrError
from rllr.expected import run_place
from rllr.files import read_json
from rllr.layout import Layout
from rllr.reporting.results.find import RESULTS, only_run

HOW = (
    f"status: name a run's folder, for instance {RESULTS / 'tiny'}, or its configuration with "
    "--config"
)


@dataclass(frozen=True)
class Place:
    """A run's folder with the configuration that it is held against.

    `source` is the configuration's file. A run may lie elsewhere than the configuration says (a
    copy): `find` leads from the configuration's paths, and recorded ones, to those of today.
    """

    run: Path
    project: Project
    source: Path

    @cached_property
    def configured(self) -> Path:
        """The run's folder as the configuration says it."""
        return Layout(self.project).run

    @cached_property
    def home(self) -> Path:
        """The folder that the configuration's relative paths start from."""
        own, parts = self.run.resolve(), self.configured.parts
        fits = not self.configured.is_absolute() and own.parts[-len(parts) :] == parts
        return own.parents[len(parts) - 1] if fits else Path()

    @cached_property
    def copied(self) -> bool:
        """Whether the run does not lie where its configuration says."""
        return (self.home / self.configured).resolve() != self.run.resolve()

    def find(self, path: Path) -> Path:
        """Where a path of the configuration lies."""
        if path.is_relative_to(self.configured):
            return self.run / path.relative_to(self.configured)
        return self.home / path

    def recorded(self, path: str, bases: dict[str, Path]) -> Path:
        """Where a path that a manifest recorded lies; `bases` are folders of base models."""
        place = run_place(path, self.project.config.run)
        if place == path:
            return self.home / path
        head, _, rest = place.partition("/")
        if "@" in head:
            return bases[head] / rest if head in bases else self.home / path
        return self.run / place


def locate(run: Path | None, config: Path | None) -> Place:
    """The run that is meant: by folder, by configuration, or the only one below `results/`.

    Without a configuration it is the one that Snakemake was last started with for that run. Raises
    RllrError where there is no such run, several, or none whose configuration is known.
    """
    if config is not None:
        project = read_project(config)
        return Place(run or Layout(project).run, project, config)
    run = run or only_run("config/*.json", HOW)
    source = newest_config(run)
    return Place(run, read_project(source), source)


def read_project(path: Path) -> Project:
    """A resolved configuration (JSON, written by the workflow) or a user's YAML file."""
    if path.suffix != ".json":
        return load_file(path)
    try:
        return Project.parse(read_json(path))
    except RllrError as error:
        raise RllrError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error


def newest_config(run: Path) -> Path:
    """The configuration that the workflow wrote, or took up again, last."""
    if not run.is_dir():
        raise RllrError(f"{run}: no such folder; name a run's, or its configuration (--config)")
    there = (path for path in (run / "config").glob("*.json") if os.path.exists(path))
    found = sorted(there, key=os.path.getmtime)
    if not found:
        raise RllrError(
            f"{run}: holds no config/*.json, which Snakemake writes when it starts; name the "
            "configuration of the run: --config FILE"
        )
    return found[-1]
