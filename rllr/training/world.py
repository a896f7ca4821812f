"""Data-parallel processes: who has which rows, and the sums that make them one batch.

Each process works on its share of every batch. Whatever an update divides by or normalises with
(token counts, means, variances, running moments) is summed over all of them, and so are gradients:
the result is that of one process with the whole batch, up to rounding.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from rllr.attempts import end_with_parent
from rllr.errors import RllrError

# What torchrun and accelerate tell each process.
SIZE = "WORLD_SIZE"


@dataclass(frozen=True)
class World:
    """This process among `size`; alone by default."""

    rank: int = 0
    size: int = 1

    def sum(self, values: Tensor) -> Tensor:
        """Sum over processes, elementwise; the argument is left as it was."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        dist.all_reduce(total)
        return total

    def gather(self, rows: Tensor) -> Tensor:
        """Every process's rows, (B / size) -> (B), in the order of ranks."""
        if self.size == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def rows(self, count: int) -> range:
        """Which of a batch's `count` rows are this process's."""
        share = count // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.size > 1:
            dist.barrier()

    def check(self, batch_size: int) -> None:
        """RllrError unless every process gets the same number of a batch's rows."""
        if batch_size % self.size:
            raise RllrError(
                f"PPO: batch_size is {batch_size}; it must be a multiple of the {self.size} "
                "processes"
            )


ALONE = World()


def join_world(processes: int) -> World:
    """The world of `processes` that `rllr.training.processes` started this process in.

    What a launcher says is ignored where one process is asked for. RllrError: it started others.
    """
    if processes == 1:
        return ALONE
    started = int(os.environ.get(SIZE, "1"))
    if started != processes:
        raise RllrError(
            f"{started} processes were started; the model's file says gpus: {processes}"
        )
    end_with_parent()
    if not dist.is_initialized():  # tensors are summed where they are
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    return World(dist.get_rank(), dist.get_world_size())
