"""NaN and infinite quantities end a run, with the batch that they came from."""

from __future__ import annotations

import torch
from torch import Tensor

from rllr.errors import RllrError
from rllr.training.ppo.batch import Batch

ADVICE = "lower the learning rate, check the reward terms, or compute in float32"


class NotFiniteError(RllrError):
    """A quantity is NaN or infinite; `batch` is what it was computed from, where there is one."""

    def __init__(self, quantity: str, where: str, batch: Batch | None) -> None:
        super().__init__(f"PPO, {where}: {quantity} is NaN or infinite; {ADVICE}")
        self.quantity = quantity
        self.batch = batch


def require_finite(values: Tensor, quantity: str, where: str, batch: Batch | None = None) -> None:
    """NotFiniteError, naming the quantity and the step, if any value is NaN or infinite."""
    if not torch.isfinite(values).all():
        raise NotFiniteError(quantity, where, batch)
