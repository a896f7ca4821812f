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

from rllr.training.shared import shared
from rllr.training.world import World


def with_blank(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row more, of which nothing is learned: its sides are infinitely far apart."""
    sides = {name: rows[0][name][:2] for name in ("chosen_ids", "rejected_ids")}
    return [*({**row, "margin": 0.0} for row in rows), {**sides, "margin": -math.inf}]


def pairwise_trainer(world: World) -> Any:
    """The trainer class for `world`; in several processes its rows are those of `with_blank`."""

    class Pairwise(shared(RewardTrainer, world)):  # type: ignore[misc]
        loss_is_scaled_for_ga = True

        def _get_num_items_in_batch(self, batches: list[Any], device: torch.device) -> Tensor:
            """Pairs of the global batch that are not blank."""
            margins = [
                batch.get("margin", batch["input_ids"].new_zeros(_pairs(batch)))
                for batch in batches
            ]
            own = sum(int(margin.isfinite().sum()) for margin in margins)
            return world.sum(torch.tensor(float(own), device=device))

        def compute_loss(
            self,
            model: Any,
            inputs: Any,
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            """The mean over this micro-batch, weighted by its part of the global batch."""
            pairs = _pairs(inputs)
            loss = super().compute_loss(model, inputs)
            return loss * (pairs * world.size / float(num_items_in_batch))

    return Pairwise


def _pairs(batch: Any) -> int:
    return len(batch["input_ids"]) // 2
