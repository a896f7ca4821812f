"""TRL's RewardTrainer, whose loss is a mean over each global batch's pairs.

The library's own is a mean of means: over micro-batches and processes, whatever number of pairs
each has. With one micro-batch per step the two are the same number.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from trl import RewardTrainer

from rllr.training.shared import Shared


def with_blank(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row more, of which nothing is learned: its loss, at this margin, is 0 and has no slope."""
    sides = {name: rows[0][name][:2] for name in ("chosen_ids", "rejected_ids")}
    return [*({**row, "margin": 0.0} for row in rows), {**sides, "margin": -math.inf}]


class PairwiseTrainer(Shared, RewardTrainer):
    """In several processes, its rows are those of `with_blank`."""

    # By `compute_loss`; else the library would divide by the number of micro-batches.
    loss_is_scaled_for_ga = True

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean over this micro-batch, weighted by its part of the global batch.

        Processes' gradients are averaged, hence their number.
        """
        loss = super().compute_loss(model, inputs)
        return loss * (_pairs(inputs) * self.world.size / num_items_in_batch.item())

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        """Pairs of the global batch, blank ones left out."""
        own = sum(_pairs(batch) - _blanks(batch) for batch in batch_samples)
        return self.world.sum(torch.tensor(float(own), device=device))


def _pairs(batch: Any) -> int:
    return len(batch["input_ids"]) // 2


def _blanks(batch: Any) -> int:
    return int(batch["margin"].isinf().sum()) if "margin" in batch else 0
