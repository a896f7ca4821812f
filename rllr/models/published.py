"""Which files of a published model are taken, and whether they are what was published.

Taken: configuration, generation configuration, tokenizer, weights, all from the top folder; weights
as safetensors where there are any, else pickles. Never code, and no other framework's weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from rllr.errors import RllrError
from rllr.files import CHUNK, read_json, sha256

CONFIGS = ("config.json", "generation_config.json")
TOKENIZERS = (
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "merges.txt", "chat_template.json", "chat_template.jinja"),
)
# Weights and their index, by preference.
WEIGHTS = (
    ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"),
)


@dataclass(frozen=True)
class PublishedFile:
    """A file's name, size in bytes, and SHA-256 (LFS files) or git blob id (the others), or both.

    `sha256` and `blob` are hex digits; a file has at least one of them.
    """

    name: str
    size: int
    sha256: str | None = None
    blob: str | None = None

    @property
    def digest(self) -> str:
        """What identifies its content."""
        return self.sha256 or self.blob or ""


def select(files: Sequence[PublishedFile], where: str) -> list[PublishedFile]:
    """The files to take, small ones first; RllrError where configuration or weights are missing.

    Small ones first, so that what is refused is refused before gigabytes were read.
    """
    weights = next((found for kind in WEIGHTS if (found := _weights(files, kind))), [])
    texts = [file for file in files if file.name in (*CONFIGS, *TOKENIZERS)]
    names = {file.name for file in texts}
    lacking = {
        "config.json": "config.json" in names,
        "tokenizer.json or tokenizer.model": names & {"tokenizer.json", "tokenizer.model"},
        "weights (model*.safetensors or pytorch_model*.bin)": weights,
    }
    missing = [what for what, found in lacking.items() if not found]
    if missing:
        raise RllrError(
            f"{where} holds no {' and no '.join(missing)}; is it a model of the transformers "
            "library? Name another repository in the model's file"
        )
    return sorted([*texts, *weights], key=lambda file: (file.size, file.name))


def _weights(files: Sequence[PublishedFile], patterns: Sequence[str]) -> list[PublishedFile]:
    """Files of one kind of weights; none where there is an index alone."""
    found = [file for file in files if _is_one_of(file.name, patterns)]
    return found if any(not file.name.endswith(".json") for file in found) else []


def _is_one_of(name: str, patterns: Sequence[str]) -> bool:
    return "/" not in name and any(fnmatchcase(name, pattern) for pattern in patterns)


def is_published(name: str) -> bool:
    """Whether a file of that name may be part of a published model."""
    return _is_one_of(name, (*CONFIGS, *TOKENIZERS, *(name for kind in WEIGHTS for name in kind)))


def fault(path: Path, file: PublishedFile) -> str | None:
    """What is wrong with the file at `path`: its size or its content; None if nothing is."""
    size = path.stat().st_size
    if size != file.size:
        return f"{size} bytes, not {file.size}"
    if file.sha256:
        found = sha256(path)
        return None if found == file.sha256 else f"sha256 {found}, not {file.sha256}"
    found = git_blob(path)
    return None if found == file.blob else f"git blob {found}, not {file.blob}"


def git_blob(path: Path) -> str:
    """A file's id in git: SHA-1 of `blob <size>`, a zero byte and its content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def check_shards(folder: Path, files: Sequence[PublishedFile], where: str) -> None:
    """RllrError when the weights' index names a shard that was not published."""
    names = {file.name for file in files}
    for index in (name for name in names if name.endswith(".index.json")):
        found = read_json(folder / index)
        shards = found.get("weight_map") if isinstance(found, dict) else None
        if not isinstance(shards, dict) or not all(isinstance(n, str) for n in shards.values()):
            raise RllrError(f"{where}: {index} has no `weight_map` of file names")
        missing = sorted(set(shards.values()) - names)
        if missing:
            raise RllrError(
                f"{where}: {index} names {missing[0]}, which is not there ({len(missing)} are "
                "missing); the repository is incomplete at this commit: pin another"
            )
