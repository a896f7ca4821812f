"""A run's state on disk, so that a killed run goes on where it was and ends in the same bits.

The file appears whole or not at all. It carries the identity of its run: another run's, or one that
cannot be read, is not used, and the run starts over. It is a torch file, as optimiser states nest
tensors among numbers, and is read with `weights_only=True`: nothing in it is executed.
"""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rllr.files import atomic

STATE = "state.pt"


@dataclass(frozen=True)
class Saving:
    """Where a run's state lies, which run it is, and every how many steps it is written."""

    folder: Path
    identity: str
    every: int = 10

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state on disk."""
        with atomic(self.folder / STATE) as temporary:
            torch.save({"identity": self.identity, **state}, temporary)

    def read(self) -> dict[str, Any] | None:
        """The state that this run left, or None; says so when there is one of no use."""
        path = self.folder / STATE
        if not path.exists():
            return None
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile):
            print(f"{path}: cannot be read; starting over", flush=True)
            return None
        if not isinstance(state, dict) or state.get("identity") != self.identity:
            print(f"{path}: of a run of other settings, inputs or code; starting over", flush=True)
            return None
        return state
