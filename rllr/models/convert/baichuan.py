"""Baichuan2's published layout, and its native form: LlamaForCausalLM.

Query, key and value are one fused projection of three equal row blocks. The published output layer
divides each of its rows by its length at every call (NormHead); the native one holds the divided
rows, which is the same as long as it stays frozen. The division is done in fp64 and rounded once
to the stored type. The 7B has rotary positions, the 13B ALiBi (rllr/models/alibi.py).

Deviation: `rope_theta`, which no published config.json has (it is 10000 there), is honoured, so
that the small models of this project can be written in this layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rllr.errors import RllrError
from rllr.models.alibi import alibi_config
from rllr.models.convert.checkpoint import Published

if TYPE_CHECKING:
    import torch

FUSED = "self_attn.W_pack.weight"
LAYER = re.compile(rf"(model\.layers\.\d+)\.{re.escape(FUSED)}")
HEAD = "lm_head.weight"
# Computed, not learnt.
BUFFER = re.compile(r".*rotary_emb\.inv_freq")
REQUIRED = {"hidden_act": "silu", "tie_word_embeddings": False}
ROPE_THETA = 10000.0
# The published config.json does not tell the two apart, but by their width.
PUBLISHED_WIDTH = {4096: "llama", 5120: "llama_alibi"}
# Divided at a time, for memory's sake.
ROWS = 1 << 12
# torch's own bound for a row of zeros.
SMALLEST_LENGTH = 1e-12


def native_config(published: Published, architecture: str) -> dict[str, Any]:
    """The native config.json, without the type of its weights. RllrError for another variant."""
    published.require(REQUIRED)
    width, heads = published.size("hidden_size"), published.size("num_attention_heads")
    _match(published, architecture, width, heads)
    positions = "max_position_embeddings"
    positions = positions if published.get(positions) else "model_max_length"
    theta = published.number("rope_theta", ROPE_THETA)
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": published.size("vocab_size"),
        "hidden_size": width,
        "intermediate_size": published.size("intermediate_size"),
        "num_hidden_layers": published.size("num_hidden_layers"),
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": width // heads,
        "hidden_act": "silu",
        "rms_norm_eps": published.number("rms_norm_eps"),
        "max_position_embeddings": published.size(positions),
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": published.get("bos_token_id"),
        "eos_token_id": published.get("eos_token_id", 2),
        "pad_token_id": published.get("pad_token_id", 0),
    }
    return config | alibi_config() if architecture == "llama_alibi" else config


def _match(published: Published, architecture: str, width: int, heads: int) -> None:
    if width % heads:
        raise RllrError(
            f"{published.path}: hidden_size {width} must be a multiple of "
            f"num_attention_heads {heads}"
        )
    expected = PUBLISHED_WIDTH.get(width, architecture)
    if expected != architecture:
        raise RllrError(
            f"{published.path}: a Baichuan2 of hidden_size {width} is `architecture: {expected}`, "
            f"but the model's file says {architecture}"
        )


def is_dropped(key: str, _published: Published) -> bool:
    """Whether the native model computes it."""
    return bool(BUFFER.fullmatch(key))


def shapes(published: Published, _keys: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The published keys and the shapes that config.json gives them."""
    width, inner = published.size("hidden_size"), published.size("intermediate_size")
    layer = {
        FUSED: (3 * width, width),
        "self_attn.o_proj.weight": (width, width),
        "mlp.gate_proj.weight": (inner, width),
        "mlp.up_proj.weight": (inner, width),
        "mlp.down_proj.weight": (width, inner),
        "input_layernorm.weight": (width,),
        "post_attention_layernorm.weight": (width,),
    }
    table = (published.size("vocab_size"), width)
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": table, HEAD: table}
    found["model.norm.weight"] = (width,)
    for index in range(published.size("num_hidden_layers")):
        found |= {f"model.layers.{index}.{name}": shape for name, shape in layer.items()}
    return found


def convert(key: str, tensor: torch.Tensor, published: Published) -> dict[str, torch.Tensor]:
    """The native tensors that one published tensor becomes."""
    if key == HEAD:
        return {key: unit_rows(tensor)}
    match = LAYER.fullmatch(key)
    if not match:
        return {key: tensor}
    parts = tensor.chunk(3)
    return {f"{match[1]}.self_attn.{x}_proj.weight": y for x, y in zip("qkv", parts, strict=True)}


def unit_rows(weight: torch.Tensor) -> torch.Tensor:
    """Each row divided by its length, in fp64; the result has the type of `weight`."""
    import torch

    result = torch.empty_like(weight)
    for rows, to in zip(weight.split(ROWS), result.split(ROWS), strict=True):
        lengths = rows.double().norm(dim=1, keepdim=True).clamp_min(SMALLEST_LENGTH)
        to.copy_(rows.double() / lengths)
    return result
