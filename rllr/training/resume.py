"""Checkpoints of the libraries' trainers: a killed run goes on where it was, to the same bits.

A checkpoint is used only when it is whole and of this very run (`identity`); training arguments,
which the libraries would pickle, are not kept in it. None is written after the last step: the
libraries would go on from it with a step too many.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from rllr.training.stopping import Stopping, interrupted
from rllr.training.world import World

IDENTITY = "identity.txt"
STATE = "trainer_state.json"


def checkpoint_arguments(every: int) -> dict[str, Any]:
    """Keyword arguments for TrainingArguments: the newest checkpoint is kept."""
    return {"save_strategy": "steps", "save_steps": every, "save_total_limit": 1}


def last_checkpoint(folder: Path, identity: str, world: World) -> Path | None:
    """The newest whole checkpoint of this very run; all others are removed."""
    if not world.rank:
        _remove_others(folder, identity, world.size)
    world.wait()
    found = _checkpoints(folder)
    return found[-1] if found else None


def steps_done(checkpoint: Path | None) -> int:
    """How many steps a checkpoint holds."""
    return int(checkpoint.name.split("-")[1]) if checkpoint else 0


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*"), key=steps_done)


def _remove_others(folder: Path, identity: str, processes: int) -> None:
    """Remove what this run cannot go on from; other files in the folder are not ours."""
    mark = folder / IDENTITY
    same = mark.exists() and mark.read_text() == identity
    for path in _checkpoints(folder):
        if not (same and _is_whole(path, processes)):
            reason = "not whole" if same else "of a run of other settings, inputs or code"
            print(f"{path}: {reason}; not used", flush=True)
            shutil.rmtree(path)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(identity)


def _is_whole(checkpoint: Path, processes: int) -> bool:
    """Whether every file is there and none is cut short; the first process writes STATE last."""
    random = [f"rng_state_{rank}" for rank in range(processes)] if processes > 1 else ["rng_state"]
    archives = ["optimizer.pt", "scheduler.pt", *(f"{name}.pth" for name in random)]
    if not all(zipfile.is_zipfile(checkpoint / name) for name in archives):
        return False
    try:
        json.loads((checkpoint / STATE).read_text())
    except (OSError, ValueError):
        return False
    return any(checkpoint.glob("*.safetensors"))


class Checkpoints(TrainerCallback):
    """Has a checkpoint written and training ended where the stage is asked to stop."""

    def __init__(self, world: World) -> None:
        self.stopping = Stopping(world)
        self.reason: str | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer before the first step."""
        self.stopping.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer after each step, before it writes a checkpoint."""
        if state.global_step >= state.max_steps:
            control.should_save = False
            return
        self.reason = self.stopping.reason()
        if self.reason:
            control.should_save = control.should_training_stop = True


def train(trainer: Any, checkpoint: Path | None, world: World) -> None:
    """Train from a checkpoint or from the start; InterruptedStageError if asked to stop."""
    checkpoints = Checkpoints(world)
    trainer.add_callback(checkpoints)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if checkpoints.reason:
        raise interrupted(trainer.state.global_step, trainer.state.max_steps, checkpoints.reason)
