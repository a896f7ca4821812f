"""The libraries' trainers in several processes: every step works on one process's very batch.
Also, in any number of processes: a batch's rows sorted by length, so that little is padding.

Left to themselves, they fill up the last batch of an epoch with rows that were seen already, weigh
uneven shares of held-out rows equally, when resumed in a later epoch take the first one's order,
and after an evaluation train each process for itself. Here the order is one process's, then rows
that teach nothing up to a whole batch; every process evaluates all held-out rows; and training
begins anew with a model whose gradients are summed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate.data_loader import SeedableRandomSampler
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainerCallback

from rllr.errors import RllrError
from rllr.training.world import World


class SortedBatches(Sampler[int]):
    """The seeded random order, each global batch of `size` rows longest first.

    Batches hold the same rows as unsorted ones, so their gradients are the same; micro-batches, cut
    from neighbours, hold rows of like length. (The libraries' option makes other batches, from
    random numbers that a resumed run draws anew.)
    """

    def __init__(self, lengths: Sequence[int], size: int, seed: int) -> None:
        self.random = SeedableRandomSampler(range(len(lengths)), data_seed=seed)
        self.lengths = lengths
        self.size = size

    def __iter__(self) -> Iterator[int]:
        rows = list(self.random)
        for start in range(0, len(rows), self.size):
            batch = rows[start : start + self.size]
            yield from sorted(batch, key=lambda row: -self.lengths[row])

    def __len__(self) -> int:
        return len(self.lengths)


class WholeBatches(Sampler[int]):
    """The rows in the order of one process, then the blank row, whose index is their number.

    `random` decides the order, anew with each epoch it is set to. The length is a multiple of
    `size`, the rows that all processes take at a time.
    """

    def __init__(self, order: SeedableRandomSampler | SortedBatches, size: int) -> None:
        self.order = order
        self.random = order.random if isinstance(order, SortedBatches) else order
        self.rows = len(order)
        self.blanks = -self.rows % size

    def __iter__(self) -> Iterator[int]:
        yield from self.order
        yield from [self.rows] * self.blanks

    def __len__(self) -> int:
        return self.rows + self.blanks


class _Epochs(TrainerCallback):
    """Sets each epoch's order."""

    def __init__(self, order: WholeBatches) -> None:
        self.order = order

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer."""
        self.order.random.set_epoch(int(state.epoch or 0))


class _Shares(TrainerCallback):
    """Gives each process its own random numbers (dropout)."""

    def __init__(self, world: World, trainer: Any) -> None:
        self.world = world
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer; a checkpoint's random state is taken up after this."""
        if not isinstance(self.trainer.model_wrapped, DistributedDataParallel):
            raise RuntimeError("several processes, but their gradients would not be summed")
        torch.manual_seed(args.seed + self.world.rank)


class Shared(Trainer):
    """To be put before a trainer class of TRL; takes the world before that one's arguments.

    In several processes the last training row must be a blank one. With `lengths`, one of each row
    but the blank, batches are sorted by them. Checkpoints hold weights, not pickled arguments. With
    one process and no lengths all else is as it was.
    """

    model: Any
    train_dataset: Any
    eval_dataset: Any

    def __init__(
        self, world: World, lengths: Sequence[int] | None = None, **arguments: Any
    ) -> None:
        self.world = world
        self.order: WholeBatches | None = None
        super().__init__(**arguments)
        started = self.accelerator.num_processes
        if started != world.size:
            raise RllrError(
                f"the trainer runs in {started} processes; the model's file says gpus: {world.size}"
            )
        if world.size > 1 or lengths is not None:
            self.order = self._order(lengths)
            self.add_callback(_Epochs(self.order))
        if world.size > 1:
            self.add_callback(_Shares(world, self))

    def _order(self, lengths: Sequence[int] | None) -> WholeBatches:
        size = self.args.per_device_train_batch_size * self.world.size
        if lengths is None:
            rows = range(len(self.train_dataset) - 1)
            return WholeBatches(SeedableRandomSampler(rows, data_seed=self.args.seed), size)
        batch = size * self.args.gradient_accumulation_steps
        sorted_batches = SortedBatches(lengths, batch, self.args.seed)
        return WholeBatches(sorted_batches, size if self.world.size > 1 else 1)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As the library's."""
        # Set by an evaluation, for which gradients need not be summed.
        self.model._is_accelerate_prepared = False
        return super().train(*args, **kwargs)

    def log(self, logs: dict[str, float], *args: Any) -> None:
        """As the library's."""
        if "train_loss" in logs:  # the only one that is each process's own
            own = torch.tensor(logs["train_loss"], dtype=torch.float64)
            logs["train_loss"] = self.world.sum(own).item() / self.world.size
        super().log(logs, *args)

    def get_eval_dataloader(self, *args: Any) -> Any:
        """As the library's; with several processes, each goes through all rows."""
        if self.world.size == 1:
            return super().get_eval_dataloader(*args)
        size, collate = self.args.per_device_eval_batch_size, self.data_collator
        return DataLoader(self.eval_dataset, size, collate_fn=collate)

    def _get_train_sampler(self, *args: Any) -> Any:
        return super()._get_train_sampler(*args) if self.order is None else self.order

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        self.model.save_pretrained(str(output_dir or self.args.output_dir))
