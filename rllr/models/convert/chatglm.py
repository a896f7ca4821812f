"""ChatGLM3's published layout, and its native form: GlmForCausalLM.

Query, key and value are one fused projection, in contiguous row blocks; the gate and the up
projection are fused in the native form too. Rotary positions need no permutation of rows. Each key
converts by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rllr.errors import RllrError
from rllr.models.convert.checkpoint import Published

if TYPE_CHECKING:
    import torch

LAYER = re.compile(r"transformer\.encoder\.layers\.(\d+)\.(.+)")
FUSED = "self_attention.query_key_value"
TOP_NAMES = {
    "transformer.embedding.word_embeddings.weight": "model.embed_tokens.weight",
    "transformer.encoder.final_layernorm.weight": "model.norm.weight",
    "transformer.output_layer.weight": "lm_head.weight",
}
LAYER_NAMES = {
    "self_attention.dense.weight": "self_attn.o_proj.weight",
    "mlp.dense_h_to_4h.weight": "mlp.gate_up_proj.weight",
    "mlp.dense_4h_to_h.weight": "mlp.down_proj.weight",
    "input_layernorm.weight": "input_layernorm.weight",
    "post_attention_layernorm.weight": "post_attention_layernorm.weight",
}
# Computed, not learnt.
BUFFER = re.compile(r".*rotary_pos_emb\.inv_freq")
# <|user|> and <|observation|> end a turn as the end of sequence does.
TURN_ENDS = (64795, 64797)
# What every published ChatGLM3 says; the same keys could declare another architecture.
REQUIRED = {
    "rmsnorm": True,
    "post_layer_norm": True,
    "original_rope": True,
    "add_qkv_bias": True,
    "add_bias_linear": False,
    "apply_residual_connection_post_layernorm": False,
    "tie_word_embeddings": False,
    "pre_seq_len": None,
}
ROPE_THETA = 10000.0


def heads(published: Published) -> tuple[int, int]:
    """Number of attention heads, and of key-value groups."""
    number = published.size("num_attention_heads")
    grouped = published.get("multi_query_attention", False)
    groups = published.size("multi_query_group_num") if grouped else number
    if number % groups:
        raise RllrError(
            f"{published.path}: num_attention_heads {number} must be a multiple of "
            f"multi_query_group_num {groups}"
        )
    return number, groups


def native_config(published: Published, architecture: str) -> dict[str, Any]:
    """The native config.json, without the type of its weights. RllrError for another variant."""
    published.require(REQUIRED)
    number, groups = heads(published)
    vocabulary = published.size("padded_vocab_size")
    eos = published.get("eos_token_id", 2)
    ends = [eos, *(token for token in TURN_ENDS if token < vocabulary)]
    return {
        "model_type": architecture,
        "architectures": ["GlmForCausalLM"],
        "vocab_size": vocabulary,
        "hidden_size": published.size("hidden_size"),
        "intermediate_size": published.size("ffn_hidden_size"),
        "num_hidden_layers": published.size("num_layers"),
        "num_attention_heads": number,
        "num_key_value_heads": groups,
        "head_dim": published.size("kv_channels"),
        "hidden_act": "silu",
        "rms_norm_eps": published.number("layernorm_epsilon"),
        "max_position_embeddings": published.size("seq_length"),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": ROPE_THETA * published.number("rope_ratio", 1.0),
            "partial_rotary_factor": 0.5,
        },
        "attention_bias": True,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": ends if len(ends) > 1 else eos,
        "pad_token_id": published.get("pad_token_id", 0),
    }


def is_dropped(key: str, _published: Published) -> bool:
    """Whether the native model computes it."""
    return bool(BUFFER.fullmatch(key))


def shapes(published: Published, _keys: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The published keys and the shapes that config.json gives them."""
    number, groups = heads(published)
    width, inner = published.size("hidden_size"), published.size("ffn_hidden_size")
    head = published.size("kv_channels")
    rows = (number + 2 * groups) * head
    layer = {
        f"{FUSED}.weight": (rows, width),
        f"{FUSED}.bias": (rows,),
        "self_attention.dense.weight": (width, number * head),
        "mlp.dense_h_to_4h.weight": (2 * inner, width),
        "mlp.dense_4h_to_h.weight": (width, inner),
        "input_layernorm.weight": (width,),
        "post_attention_layernorm.weight": (width,),
    }
    table = (published.size("padded_vocab_size"), width)
    embedding, norm, output = TOP_NAMES
    found: dict[str, tuple[int, ...]] = {embedding: table, norm: (width,), output: table}
    for index in range(published.size("num_layers")):
        found |= {f"transformer.encoder.layers.{index}.{name}": layer[name] for name in layer}
    return found


def convert(key: str, tensor: torch.Tensor, published: Published) -> dict[str, torch.Tensor]:
    """The native tensors that one published tensor becomes."""
    if key in TOP_NAMES:
        return {TOP_NAMES[key]: tensor}
    match = LAYER.fullmatch(key)
    assert match
    prefix, name = f"model.layers.{match[1]}", match[2]
    if name in LAYER_NAMES:
        return {f"{prefix}.{LAYER_NAMES[name]}": tensor}
    number, groups = heads(published)
    head = published.size("kv_channels")
    parts = tensor.split([number * head, groups * head, groups * head])
    kind = name.rpartition(".")[2]
    return {f"{prefix}.self_attn.{x}_proj.{kind}": y for x, y in zip("qkv", parts, strict=True)}
