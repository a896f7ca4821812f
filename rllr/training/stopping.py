"""Ending between two steps, in all processes of a training job at the same one."""

from __future__ import annotations

import time

import torch

from rllr.interruption import InterruptedStageError, stop_reason
from rllr.training.world import World


class Stopping:
    """Asks after each step whether to save and end; knows how long a step took at most."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.longest = 0.0
        self.last = time.monotonic()

    def start(self) -> None:
        """Training begins now."""
        self.last = time.monotonic()

    def reason(self) -> str | None:
        """Why to stop now, or None; every process asks after every step, and all get one answer."""
        now = time.monotonic()
        self.longest = max(self.longest, now - self.last)
        self.last = now
        own = stop_reason(self.longest)
        asked = self.world.sum(torch.tensor(float(own is not None)))
        if not asked:
            return None
        return own or "another process of the job was asked to stop"


def interrupted(step: int, total: int, reason: str) -> InterruptedStageError:
    """What to raise when the state after `step` of `total` is saved."""
    return InterruptedStageError(f"step {step} of {total}", reason)
