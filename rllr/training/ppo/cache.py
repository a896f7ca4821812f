"""A key-value cache that is given its room once, for all layers together.

The library's dynamic cache copies every layer's keys and values to append one token, which took
half of a rollout's time on a CPU, and holds a layer twice while it copies. One block of memory is
also one that the allocator hands back whole when the rollout is done.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class Room:
    """Memory for keys and values of `layers` layers, taken when the first of them is filled."""

    def __init__(self, layers: int, capacity: int) -> None:
        self.left, self.capacity = layers, capacity
        self.memory: Tensor | None = None

    def take(self, like: Tensor) -> Tensor:
        """The next layer's part, (2, B, heads, capacity, size); `like` is (B, heads, new, size)."""
        if self.memory is None:
            rows, heads, _, size = like.shape
            self.memory = like.new_empty(self.left, 2, rows, heads, self.capacity, size)
        self.left -= 1
        return self.memory[self.left]


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer in a part of a room; `keys` and `values` are views of it."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self.room = room

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take this layer's part; empty so far."""
        self.part = self.room.take(key_states)
        self.keys, self.values = self.part[:, :, :, :0]
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> Any:
        """Append keys and values, (B, heads, new, size); all there are so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        self.part[0, :, :, start:end], self.part[1, :, :, start:end] = key_states, value_states
        self.keys, self.values = self.part[:, :, :, :end]
        return self.keys, self.values


def make_cache(config: Any, capacity: int) -> Cache:
    """An empty cache for a model of this config; layers with a sliding window keep their own."""
    layers = DynamicCache(config=config).layers
    plain = [type(layer) is DynamicLayer for layer in layers]
    room = Room(sum(plain), capacity)
    pairs = zip(layers, plain, strict=True)
    return Cache(layers=[RoomyLayer(room) if whole else layer for layer, whole in pairs])
