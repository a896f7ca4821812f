"""The state of each stage of a run: what its files say against what the configuration expects.

Stale is what Snakemake would make again, or should: it was made with other settings, from other
inputs than there are now, or rests on a stage that is not done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from rllr.errors import RllrError
from rllr.expected import Stage, run_place
from rllr.files import digest
from rllr.prune import PRUNED, listed_weights
from rllr.reporting.results.manifests import Manifest, first_difference
from rllr.reporting.status.place import Place
from rllr.reporting.status.present import Present
from rllr.reporting.status.signs import Sign, failure, running

State = Literal["done", "running", "failed", "stale", "missing"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Finding:
    """A stage's state, why, since `when` (seconds since 1970), and its log.

    `root` is false for what is stale only because something behind it is not done.
    """

    kind: str
    name: str
    state: State
    why: str = ""
    when: float = 0.0
    log: Path | None = None
    root: bool = True


class Examiner:
    """Holds a run's stages against its configuration, each after those it is made from."""

    def __init__(self, place: Place, stages: dict[Path, Stage], present: Present) -> None:
        self.place = place
        self.stages = stages
        self.present = present
        self.found: dict[Path, Finding] = {}
        # Whether a stage, or any that it rests on, has failed or runs.
        self.troubled: dict[Path, frozenset[State]] = {}
        self.runners: dict[Path, Sign | None] = {}

    def examine(self) -> dict[Path, Finding]:
        """The state of every stage, by its manifest."""
        for manifest, stage in self.stages.items():
            finding = self._finding(stage)
            self.found[manifest] = finding
            own = {finding.state} & {"failed", "running"}
            self.troubled[manifest] = frozenset(own).union(
                *(self.troubled[one] for one in stage.behind)
            )
        return self.found

    def _finding(self, stage: Stage) -> Finding:
        runner = self._runner(stage)
        if runner and stage.kind != "predict":
            return self._say(stage, "running", runner.text, runner.when)
        finding = self._of_files(stage)
        # A job of predictions is for all tasks; those that are done stay done.
        if runner and finding.state != "done":
            return self._say(stage, "running", runner.text, runner.when)
        return finding

    def _runner(self, stage: Stage) -> Sign | None:
        if stage.beating is None:
            return None
        if stage.beating not in self.runners:
            self.runners[stage.beating] = running(self.place.find(stage.beating))
        return self.runners[stage.beating]

    def _of_files(self, stage: Stage) -> Finding:
        path = self.place.find(stage.manifest)
        if self.present.stat(path) is None:
            return self._unmade(stage)
        try:
            manifest = self.present.manifest(path)
        except RllrError as error:
            text = f"{path}: {error}; delete it, and it is made again"
            return self._say(stage, "failed", text, self.present.mtime(path))
        gone = self._gone(stage)
        if gone:
            return self._say(stage, "missing", f"{gone} is gone")
        why = self._other_settings(stage, manifest)
        rests_on = None if why else self._unfinished(stage)
        if rests_on:
            why = f"rests on {rests_on.kind} {rests_on.name}, which is {rests_on.state}"
        why = why or self._other_inputs(stage, path, manifest)
        if why:
            return self._say(stage, "stale", why, root=rests_on is None)
        return self._say(stage, "done")

    def _unmade(self, stage: Stage) -> Finding:
        folder = self.place.find(stage.beating) if stage.beating else None
        sign = failure(folder, self.place.find(stage.log))
        begun = running(folder) if sign and folder else None
        if begun:  # since it was looked at
            return self._say(stage, "running", begun.text, begun.when)
        if sign:
            return self._say(stage, "failed", sign.text, sign.when)
        return self._say(stage, "missing")

    def _gone(self, stage: Stage) -> str:
        """The first of its files that is not there, and was not pruned either."""
        files = [path for path in stage.files if not self._exists(path)]
        if stage.weights and not self._exists(stage.weights) and stage.weights not in self.pruned:
            files.append(stage.weights)
        return str(self.place.find(files[0])) if files else ""

    @cached_property
    def pruned(self) -> set[Path]:
        """Weights that were pruned."""
        return listed_weights(self.place.run / PRUNED)

    def _exists(self, path: Path) -> bool:
        return self.present.stat(self.place.find(path)) is not None

    def _other_settings(self, stage: Stage, manifest: Manifest) -> str:
        if digest(stage.settings) != digest(manifest.settings):
            difference = first_difference(manifest.settings, stage.settings)
            return f"made with other settings ({difference})"
        # A prediction's settings are known by their hash, together with that of its inputs.
        made = stage.input_hash
        if made and manifest.inputs and made(manifest.inputs) != manifest.input_hash:
            return "made with other settings (prompt, generation, precision or the task's own)"
        return ""

    def _other_inputs(self, stage: Stage, path: Path, manifest: Manifest) -> str:
        recorded = {self._folder(name) for name in manifest.inputs}
        for behind in stage.behind:
            if self._folder(str(behind)) not in recorded:
                other = self.stages[behind]
                return f"was not made from {other.kind} {other.name}"
        for name, sha in manifest.inputs.items():
            now = self.place.recorded(name, self.bases)
            if self.present.differs(now, sha, path, manifest):
                return f"made from another {run_place(name, self.place.project.config.run)}"
        return ""

    def _folder(self, path: str) -> str:
        return run_place(path, self.place.project.config.run).rpartition("/")[0]

    @cached_property
    def bases(self) -> dict[str, Path]:
        """Folders of base models by name."""
        folders = [stage.folder for stage in self.stages.values() if stage.kind == "base"]
        return {folder.name: self.place.find(folder) for folder in folders}

    def _unfinished(self, stage: Stage) -> Finding | None:
        """The first stage behind it that is not done; a copied run may have no base models."""
        for manifest in stage.behind:
            finding = self.found[manifest]
            lost = self.place.copied and finding.kind == "base" and finding.state == "missing"
            if finding.state != "done" and not lost:
                return finding
        return None

    def _say(
        self, stage: Stage, state: State, why: str = "", when: float = 0.0, *, root: bool = True
    ) -> Finding:
        log = self.place.find(stage.log)
        return Finding(stage.kind, stage.name, state, why, when, log, root)


def count(findings: Iterable[Finding]) -> dict[State, int]:
    """How many there are in each state."""
    states = [finding.state for finding in findings]
    return {state: states.count(state) for state in STATES}
