"""Reading published weights: the files, the tensors in them, and a tensor when it is asked for.

Both forms are mapped into memory, so a tensor's bytes are read when it is used, and a single file
of 15 GB needs no 15 GB. Pickles are read with `weights_only=True`: tensors and plain containers, no
code. Pickles from before torch 1.6 cannot be mapped and are refused.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllr.errors import RllrError
from rllr.files import read_json

if TYPE_CHECKING:
    import torch

CONFIG = "config.json"
SAFETENSORS_INDEX = "model.safetensors.index.json"
# In order of preference: an index of shards, or the one file there is.
INDEXES = (SAFETENSORS_INDEX, "pytorch_model.bin.index.json")
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
FETCH_AGAIN = "fetch the model again"


@dataclass(frozen=True)
class Published:
    """A published config.json; missing and unsupported values are RllrErrors that name the file."""

    path: Path
    values: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Published:
        """Read the folder's config.json."""
        path = folder / CONFIG
        values = read_json(path)
        if not isinstance(values, dict):
            raise RllrError(f"{path}: expected a JSON object, found {type(values).__name__}")
        return cls(path, values)

    def get(self, key: str, default: Any = None) -> Any:
        """A value that may be missing."""
        return self.values.get(key, default)

    def size(self, key: str) -> int:
        """A positive whole number that must be there."""
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise RllrError(f"{self.path}: {key} must be a positive whole number, found {value!r}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A positive number; it must be there unless a default is given."""
        value = self.values.get(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
            raise RllrError(f"{self.path}: {key} must be a positive number, found {value!r}")
        return float(value)

    def require(self, expected: Mapping[str, Any]) -> None:
        """Refuse a variant of the architecture; a missing key counts as expected."""
        for key, value in expected.items():
            if self.values.get(key, value) != value:
                raise RllrError(
                    f"{self.path}: {key} is {self.values[key]!r}; the conversion is right for "
                    f"{value!r} only, so this is another architecture than the declared one"
                )


@dataclass(frozen=True)
class Entry:
    """What a file says of one tensor, before its bytes are read."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """Size of the tensor."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Shard:
    """One file of weights."""

    path: Path
    entries: dict[str, Entry]


def read_shards(folder: Path) -> list[Shard]:
    """Every file of weights with its tensors' shapes; no tensor's bytes are read.

    Raises RllrError where there are no weights, a file is missing, truncated or more than tensors,
    a key is in two files, or the index and the files disagree.
    """
    weight_map = _weight_map(folder)
    names = sorted(set(weight_map.values())) if weight_map else [_single_file(folder)]
    shards = [Shard(folder / name, _entries(folder / name)) for name in names]
    owners: dict[str, str] = {}
    for shard in shards:
        for key in shard.entries:
            if key in owners:
                raise RllrError(
                    f"{shard.path}: {key} is in {owners[key]} too; each key must be in one file: "
                    f"{FETCH_AGAIN}"
                )
            owners[key] = shard.path.name
    _match_index(folder, weight_map, owners)
    return shards


def _weight_map(folder: Path) -> dict[str, str]:
    """The index's key -> file name; empty where a single file holds everything."""
    for index, single in zip(INDEXES, SINGLE_FILES, strict=True):
        path = folder / index
        if not path.exists():
            if (folder / single).exists():
                return {}
            continue
        content = read_json(path)
        found = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(found, dict) or not found:
            raise RllrError(f"{path}: no `weight_map` of keys and files in it; {FETCH_AGAIN}")
        for key, name in found.items():
            if not isinstance(name, str) or Path(name).name != name:
                raise RllrError(f"{path}: {key} is said to be in {name!r}, which is no file name")
            if not (folder / name).exists():
                raise RllrError(
                    f"{path}: {key} is said to be in {name}, which is missing; fetch it"
                )
        return found
    return {}


def _single_file(folder: Path) -> str:
    for name in SINGLE_FILES:
        if (folder / name).exists():
            return name
    raise RllrError(f"{folder}: no weights; expected one of {', '.join((*INDEXES, *SINGLE_FILES))}")


def _match_index(folder: Path, weight_map: Mapping[str, str], owners: Mapping[str, str]) -> None:
    for key, name in weight_map.items():
        if owners.get(key) != name:
            raise RllrError(
                f"{folder / name}: {key} is not in it, but the index says so; the file or the "
                f"index is not the published one: {FETCH_AGAIN}"
            )
    for key, name in owners.items():
        if weight_map and key not in weight_map:
            raise RllrError(f"{folder / name}: {key} is not in the index; {FETCH_AGAIN}")


def _entries(path: Path) -> dict[str, Entry]:
    with open_shard(path) as (keys, read):
        tensors = ((key, read(key)) for key in keys)
        return {key: Entry(tuple(tensor.shape), tensor.dtype) for key, tensor in tensors}


@contextmanager
def open_shard(path: Path) -> Iterator[tuple[list[str], Callable[[str], torch.Tensor]]]:
    """The keys of one file, and a function from a key to its tensor (mapped, not yet read)."""
    if path.suffix != ".safetensors":
        state = _unpickle(path)
        yield list(state), state.__getitem__
        return
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(str(path), framework="pt")
    except (SafetensorError, OSError) as error:
        raise RllrError(
            f"{path}: not a whole safetensors file ({error}); it is truncated or something else: "
            f"{FETCH_AGAIN}"
        ) from error
    with file as tensors:
        # Not sorted by name: the order in which the file holds them.
        yield list(tensors.offset_keys()), tensors.get_tensor


def _unpickle(path: Path) -> Mapping[str, torch.Tensor]:
    import torch

    try:
        state = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (RuntimeError, ValueError, OSError, EOFError, pickle.UnpicklingError) as error:
        cause = str(error).partition("\n")[0]
        raise RllrError(
            f"{path}: not a whole PyTorch file of tensors alone ({cause}); it is truncated, older "
            f"than torch 1.6, or holds code, which is never run: {FETCH_AGAIN}, as safetensors "
            "where they are published"
        ) from error
    if not isinstance(state, Mapping):
        raise RllrError(f"{path}: expected tensors by name, found {type(state).__name__}")
    for key, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise RllrError(f"{path}: {key} is no tensor, but {type(value).__name__}")
    return state


class Tensors:
    """A folder's tensors by key, with one file open at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths = {key: shard.path for shard in read_shards(folder) for key in shard.entries}
        self._stack = ExitStack()
        self._open: Path | None = None

    def __getitem__(self, key: str) -> torch.Tensor:
        """The tensor in the type in which it is stored; RllrError where there is none."""
        if key not in self._paths:
            raise RllrError(f"{self.folder}: no weights called {key}")
        if self._paths[key] != self._open:
            self.close()
            self._open = self._paths[key]
            _, self._read = self._stack.enter_context(open_shard(self._open))
        return self._read(key)

    @property
    def names(self) -> list[str]:
        """All keys, file by file."""
        return list(self._paths)

    def close(self) -> None:
        """Close the open file."""
        self._stack.close()
        self._open = None
