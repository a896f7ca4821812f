"""A published model's files into a native transformers folder: config.json, safetensors, an index.

Everything that can be seen without reading a tensor is checked before anything is written. Then one
file at a time is mapped, and its tensors are written in pieces of at most `piece` bytes: no more
than one input and one output file are held at once. Safetensors that need no change are linked.
A converted model is compared with its original (check.py); config.json comes last, so that a folder
which has one is whole.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rllr.errors import RllrError
from rllr.files import atomic, write_json
from rllr.models.convert import baichuan, chatglm, native
from rllr.models.convert.checkpoint import (
    CONFIG,
    SAFETENSORS_INDEX,
    Published,
    Shard,
    open_shard,
    read_shards,
)

if TYPE_CHECKING:
    import torch

RULES: dict[str, ModuleType] = {"native": native, "chatglm": chatglm, "baichuan": baichuan}
PIECE = 5 << 30


def convert_model(
    source: Path, to: Path, layout: str, architecture: str, piece: int = PIECE
) -> dict[str, Any]:
    """Write the native form of `source` into `to`; return facts about it.

    `layout` and `architecture` are those of the model's file (rllr/config/schema.py); `piece` is
    the size in bytes at which files of weights are split. Of what `to` held before, config.json
    and weights go first. Raises RllrError where the files are not what layout and architecture
    promise, or the converted model differs from the original; `to` then holds no model.
    """
    if source.resolve() == to.resolve():
        raise RllrError(f"{source}: the converted model must go to another folder")
    rules = RULES[layout]
    published = Published.read(source)
    config = rules.native_config(published, architecture)
    shards = _kept(read_shards(source), rules, published)
    config["dtype"] = stored_dtype(shards)
    clear(to)
    try:
        facts = _write_weights(shards, to, layout, published, piece)
        if layout != "native":
            from rllr.models.convert.check import check_conversion

            facts |= check_conversion(source, to, config, layout)
    except BaseException:
        clear(to)
        raise
    write_json(to / CONFIG, config)
    return {"layout": layout, "architecture": architecture, "dtype": config["dtype"], **facts}


def clear(to: Path) -> None:
    """Remove an earlier model from `to`, config.json first; other files stay."""
    weights = [*to.glob("*.safetensors"), *to.glob("*.safetensors.index.json")]
    for path in (to / CONFIG, *weights):
        path.unlink(missing_ok=True)


def _kept(shards: list[Shard], rules: ModuleType, published: Published) -> list[Shard]:
    """The shards without what is dropped, after a check of every key, shape and type."""
    kept = [
        Shard(s.path, {k: e for k, e in s.entries.items() if not rules.is_dropped(k, published)})
        for s in shards
    ]
    expected = rules.shapes(published, [key for shard in kept for key in shard.entries])
    for shard in kept:
        _check_entries(shard, expected, published)
    missing = expected.keys() - {key for shard in kept for key in shard.entries}
    if missing:
        raise RllrError(
            f"{published.path.parent}: {len(missing)} of {len(expected)} keys are missing, first "
            f"{min(missing)}; the files are incomplete, or of another model than config.json"
        )
    return [shard for shard in kept if shard.entries]


def _check_entries(
    shard: Shard, expected: dict[str, tuple[int, ...]], published: Published
) -> None:
    for key, entry in shard.entries.items():
        if key not in expected:
            raise RllrError(
                f"{shard.path}: {key} is not expected of the model that {published.path.name} "
                f"declares; expected are {len(expected)} keys such as {min(expected)}"
            )
        if entry.shape != expected[key]:
            raise RllrError(
                f"{shard.path}: {key} has shape {list(entry.shape)}; {published.path.name} makes "
                f"it {list(expected[key])}"
            )
        if not entry.dtype.is_floating_point:
            raise RllrError(
                f"{shard.path}: {key} holds {entry.dtype}; quantised weights are not converted, "
                "use the model's unquantised repository"
            )


def stored_dtype(shards: list[Shard]) -> str:
    """Name of the type that holds every stored tensor without loss."""
    import torch

    dtypes = [entry.dtype for shard in shards for entry in shard.entries.values()]
    return str(reduce(torch.promote_types, dtypes)).removeprefix("torch.")


@dataclass(frozen=True)
class Piece:
    """Tensors of one input file that become one output file; `linked`: the file as it is."""

    source: Path
    keys: list[str]
    linked: bool


def _pieces(shard: Shard, layout: str, limit: int) -> Iterator[Piece]:
    """The shard's keys in groups of at most `limit` bytes; a larger tensor is a group alone."""
    if layout == "native" and _is_unchanged(shard):
        yield Piece(shard.path, list(shard.entries), linked=True)
        return
    group: list[str] = []
    size = 0
    for key, entry in shard.entries.items():
        if group and size + entry.bytes > limit:
            yield Piece(shard.path, group, linked=False)
            group, size = [], 0
        group.append(key)
        size += entry.bytes
    yield Piece(shard.path, group, linked=False)


def _is_unchanged(shard: Shard) -> bool:
    """Whether the file can be used as it is: safetensors, and nothing in it is dropped."""
    if shard.path.suffix != ".safetensors":
        return False
    with open_shard(shard.path) as (keys, _):
        return set(keys) == set(shard.entries)


def _write_weights(
    shards: list[Shard], to: Path, layout: str, published: Published, limit: int
) -> dict[str, Any]:
    """Write every piece, then the index."""
    pieces = [piece for shard in shards for piece in _pieces(shard, layout, limit)]
    weight_map: dict[str, str] = {}
    for number, piece in enumerate(pieces, start=1):
        name = f"model-{number:05}-of-{len(pieces):05}.safetensors"
        if piece.linked:
            _link(piece.source, to / name)
            keys = piece.keys
        else:
            keys = _write_piece(piece, to / name, layout, published)
        weight_map |= dict.fromkeys(keys, name)
    entries = [entry for shard in shards for entry in shard.entries.values()]
    size = sum(entry.bytes for entry in entries)
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    write_json(to / SAFETENSORS_INDEX, index)
    parameters = sum(math.prod(entry.shape) for entry in entries)
    return {"files": len(pieces), "parameters": parameters, "bytes": size}


def _link(source: Path, to: Path) -> None:
    """The same file under another name, or a copy where the file system has no such links."""
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), to)
    except OSError:
        with atomic(to) as temporary:
            shutil.copyfile(source, temporary)


def _write_piece(piece: Piece, to: Path, layout: str, published: Published) -> list[str]:
    """Convert these keys of one file into another file; return the native keys."""
    tensors: dict[str, torch.Tensor] = {}
    with open_shard(piece.source) as (_, read):
        for key in piece.keys:
            tensors |= RULES[layout].convert(key, read(key), published)
        save_tensors(tensors, to)
    return list(tensors)


def save_tensors(tensors: dict[str, torch.Tensor], to: Path) -> None:
    """Write safetensors as transformers reads them, atomically."""
    from safetensors.torch import save_file

    with atomic(to) as temporary:
        whole = {key: tensor.contiguous() for key, tensor in tensors.items()}
        save_file(whole, str(temporary), metadata={"format": "pt"})
