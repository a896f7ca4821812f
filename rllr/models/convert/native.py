"""Models that transformers has natively (Llama-2, Mistral, BLOOM): nothing is renamed.

What is dropped: computed buffers, and an output layer that is tied to the embeddings. Published
BLOOM files leave out the prefix `transformer.`; they may, as transformers adds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rllr.errors import RllrError
from rllr.models.convert.checkpoint import Published

if TYPE_CHECKING:
    import torch

BUFFER = re.compile(r".*rotary_emb\.inv_freq")
# Tied to the embeddings where config.json does not say otherwise.
TIED = ("bloom",)
# Keys that ask for code, or repeat the type of the weights under its old name.
LEFT_OUT = ("auto_map", "torch_dtype", "_name_or_path")


def native_config(published: Published, architecture: str) -> dict[str, Any]:
    """The published config.json, without what asks for code. RllrError for another architecture."""
    found = published.get("model_type")
    if found != architecture:
        raise RllrError(
            f"{published.path}: model_type is {found!r}, but the model's file says `architecture: "
            f"{architecture}`"
        )
    return {key: value for key, value in published.values.items() if key not in LEFT_OUT}


def is_dropped(key: str, published: Published) -> bool:
    """Whether the native model computes it, or shares it with its embeddings."""
    tied = published.get("tie_word_embeddings", published.get("model_type") in TIED)
    return bool(BUFFER.fullmatch(key)) or (tied and key == "lm_head.weight")


def shapes(published: Published, keys: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The native keys and their shapes, of a model that is built without memory.

    Without the model's prefix where none of the published `keys` has it.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.for_model(**native_config(published, published.get("model_type")))
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise RllrError(
            f"{published.path}: transformers cannot build this model: {error}"
        ) from error
    prefix = f"{model.base_model_prefix}."
    bare = not any(key.startswith(prefix) for key in keys)
    return {
        key.removeprefix(prefix) if bare else key: tuple(value.shape)
        for key, value in model.state_dict().items()
        if not is_dropped(key, published)
    }


def convert(key: str, tensor: torch.Tensor, published: Published) -> dict[str, torch.Tensor]:
    """The tensor as it is."""
    return {key: tensor}
