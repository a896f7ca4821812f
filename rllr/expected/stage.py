"""One artefact of a run as the configuration wants it, and how recorded paths are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rllr.config.schema import SPLITS

# Kinds of stages in the order in which a run comes to them, and the folders of their logs.
LOGS = {
    "data": "data",
    "rationales": "rationales",
    "label_pairs": "label_pairs",
    "base": "base_model",
    "sft": "sft",
    "sample": "sample",
    "judge": "judge",
    "reward": "reward_model",
    "policy": "policy",
    "baseline": "baseline",
    "predict": "predict",
    "judge_test": "judge_test",
}
# Files of rows, by the run's folder that they lie below.
ROWS = {
    "data": SPLITS,
    "rationales": ("sft", "rm", "validation"),
    "pairs": ("train", "heldout"),
}
# Folders of a run that hold what later stages are made from.
PARTS = (*ROWS, "samples", "trained", "cells")
InputHash = Callable[[Mapping[str, str]], str]


@dataclass(frozen=True)
class Stage:
    """One artefact that a run needs: where it lies and what its manifest is to say.

    `files` are what it consists of besides the manifest (`weights` apart, which may be pruned),
    `behind` the manifests of the stages that its inputs come from, `beating` where its heartbeat
    and its record of attempts lie. `input_hash` (predictions alone) makes the expected hash from
    the recorded hashes of the inputs.
    """

    kind: str
    name: str
    manifest: Path
    settings: Any
    log: Path
    behind: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()
    weights: Path | None = None
    beating: Path | None = None
    input_hash: InputHash | None = None

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.manifest.parent


def run_place(path: Path | str, run: str) -> str:
    """A recorded path below the folder of the run named `run`, wherever that lay at the time.

    Of what lies outside of the run's own parts: a base model's folder and what is in it, else the
    path itself.
    """
    parts = str(path).split("/")
    for index in range(len(parts) - 1, 0, -1):
        if "@" in parts[index] or (parts[index] in PARTS and parts[index - 1] == run):
            return "/".join(parts[index:])
    return str(path)


def without_seed(place: str) -> str:
    """The same for all seeds of a stage."""
    head, found, seed = place.rpartition("/seed")
    return head if found and seed.isdigit() else place
