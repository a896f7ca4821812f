"""Data-parallel processes: who has which rows, and the sums that make them one batch.

Each process samples, scores and trains its share of every batch. Whatever the update divides by or
normalises with (token counts, means, variances, running moments) is summed over all of them, and so
are gradients: on given responses the result is that of one process with the whole batch.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from rllr.errors import RllrError

# What torchrun and accelerate tell each process.
SIZE, RANK = "WORLD_SIZE", "RANK"
# What `spread` tells them. (A cluster's launcher may set the other two for a purpose of its own.)
SPREAD = "RLLR_SPREAD"
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl


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

    def check(self, batch_size: int) -> None:
        """RllrError unless every process gets the same number of a batch's rows."""
        if batch_size % self.size:
            raise RllrError(
                f"PPO: batch_size is {batch_size}; it must be a multiple of the {self.size} "
                "processes"
            )


ALONE = World()


def join_world(processes: int) -> World:
    """The world of `processes` that `spread`, torchrun or accelerate started this process in.

    What a launcher says is ignored where one process is asked for. RllrError: it started others.
    """
    if processes == 1:
        return ALONE
    started = int(os.environ.get(SIZE, "1"))
    if started != processes:
        raise RllrError(f"PPO: {started} processes were started; the settings say {processes}")
    _end_with_launcher()
    if not dist.is_initialized():  # tensors are summed where they are
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    return World(dist.get_rank(), dist.get_world_size())


def _end_with_launcher() -> None:
    """Have the kernel kill this process when its launcher is killed; it would go on writing."""
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL("libc.so.6").prctl(DIE_WITH_PARENT, signal.SIGKILL)


def is_first(processes: int) -> bool:
    """Whether this process, of `processes`, is the one that writes files."""
    return processes == 1 or int(os.environ.get(RANK, "0")) == 0


def spread(processes: int) -> None:
    """Start this very command over in `processes` processes, in this one's place, unless done."""
    if processes > 1 and SPREAD not in os.environ:
        os.environ[SPREAD] = str(processes)
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = [sys.executable, *launcher, "-m", "rllr", *sys.argv[1:]]
        os.execv(sys.executable, command)
