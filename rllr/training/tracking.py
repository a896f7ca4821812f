"""What a policy's training shows: a row per step in log.jsonl, TensorBoard or W&B, and progress."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rllr.errors import RllrError
from rllr.job import Job
from rllr.training.common import LOG, keep_steps

REPORT_EVERY = 10

# Takes one step's number and metrics; `None` as metrics ends it.
Tracker = Callable[[int, dict[str, float] | None], None]


class StepLog:
    """Writes each step's metrics, and says reward, KL and seconds left: a bar on a terminal, else
    a line now and then. Steps that a killed run had logged after its last checkpoint are dropped.
    """

    def __init__(self, folder: Path, trackers: Sequence[Tracker] = ()) -> None:
        self.path = folder / LOG
        self.trackers = trackers
        self.first = 0
        self.started = time.monotonic()
        self.bar: Any = None

    def __call__(self, step: int, total: int, metrics: dict[str, float]) -> None:
        """Called by the trainer after each step, counting from 1."""
        if not self.first:
            self._begin(step, total)
        with self.path.open("a") as stream:
            stream.write(json.dumps({"step": step, **metrics}) + "\n")
        for track in self.trackers:
            track(step, metrics)
        self._show(step, total, metrics)

    def close(self) -> None:
        """End the trackers and the bar."""
        for track in self.trackers:
            track(0, None)
        if self.bar is not None:
            self.bar.close()

    def _begin(self, step: int, total: int) -> None:
        self.first = step
        keep_steps(self.path, step - 1)
        self.bar = tqdm(total=total, initial=step - 1, unit="step", disable=None)

    def _show(self, step: int, total: int, metrics: dict[str, float]) -> None:
        reward, kl = metrics["reward"], metrics["kl"]
        self.bar.update()
        self.bar.set_postfix(reward=f"{reward:.3f}", KL=f"{kl:.3f}")
        if self.bar.disable and (step % REPORT_EVERY == 0 or step == total):
            each = (time.monotonic() - self.started) / (step - self.first + 1)
            left = f"{each * (total - step):.0f} s left"
            print(f"step {step}/{total} reward {reward:.3f} KL {kl:.3f}, {left}", flush=True)


def trackers(job: Job, method: str) -> list[Tracker]:
    """The run's trackers; RllrError for one whose package is not installed."""
    makers = {"tensorboard": _tensorboard, "wandb": _wandb}
    return [makers[name](job, method) for name in job.project.config.trackers]


def _tensorboard(job: Job, method: str) -> Tracker:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise _missing("tensorboard") from error
    writer: Any = None

    def track(step: int, metrics: dict[str, float] | None) -> None:
        nonlocal writer
        if metrics is None:
            if writer is not None:
                writer.close()
            return
        if writer is None:  # rows of this step and later ones, of a killed run, are void
            writer = SummaryWriter(str(job.trained(method) / "tensorboard"), purge_step=step)
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    return track


def _wandb(job: Job, method: str) -> Tracker:
    folder = str(job.trained(method))
    for place in ("CACHE", "CONFIG", "DATA"):  # else in the home directory
        os.environ.setdefault(f"WANDB_{place}_DIR", f"{folder}/wandb")
    try:
        import wandb
    except ImportError as error:
        raise _missing("wandb") from error
    name = f"{job.project.config.run}/{job.model}/{method}/{job.unit}/seed{job.seed}"
    run: Any = wandb.init(project="rllr", name=name, dir=folder, mode="offline")

    def track(step: int, metrics: dict[str, float] | None) -> None:
        if metrics is None:
            run.finish()
        else:
            run.log(metrics, step=step)

    return track


def _missing(package: str) -> RllrError:
    return RllrError(
        f"trackers: {package} is not installed; install it (pip install {package}), or take it out "
        "of the configuration's trackers"
    )
