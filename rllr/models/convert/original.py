"""A native model written in the layout in which its kind is published, to be fetched and converted.

For the small models of this project, which go the way of the real ones, and for tests. ChatGLM3 is
written as two safetensors files, Baichuan2 as two pickles, each with an index and without code.

Baichuan2's output layer divides each row by its length, so a native model can be written only if
its rows have length one (rllr/models/tiny.py trains them so). Here each row is multiplied by a
number of its own, which the conversion has to undo.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllr.errors import RllrError
from rllr.files import atomic, read_json, write_json
from rllr.models.alibi import FIELD
from rllr.models.convert import baichuan, chatglm
from rllr.models.convert.checkpoint import CONFIG, INDEXES, Tensors
from rllr.models.convert.convert import save_tensors

if TYPE_CHECKING:
    import torch

SEED = 0
# How far from one a row of the output layer may be, in fp32.
UNIT = 1e-4


def write_original(native: Path, to: Path, layout: str) -> None:
    """Write the native model of folder `native` into `to` as published in `layout`.

    Raises RllrError where the layout cannot express the model.
    """
    config, tensors = read_json(native / CONFIG), Tensors(native)
    if layout == "chatglm":
        published, state = chatglm_config(config), _chatglm_state(config, tensors)
    elif layout == "baichuan":
        published, state = baichuan_config(config, native), _baichuan_state(config, tensors, native)
    else:
        raise RllrError(f"layout {layout!r} cannot be written; chatglm and baichuan can")
    dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in state.values()}
    _write_state(state, to, pickled=layout == "baichuan")
    write_json(to / CONFIG, published | {"torch_dtype": dtypes.pop()})
    tensors.close()


def chatglm_config(native: dict[str, Any]) -> dict[str, Any]:
    """A ChatGLM3 config.json, with its published keys, from the native one."""
    return {
        "model_type": "chatglm",
        "architectures": ["ChatGLMModel"],
        "add_bias_linear": False,
        "add_qkv_bias": True,
        "apply_query_key_layer_scaling": True,
        "apply_residual_connection_post_layernorm": False,
        "attention_dropout": 0.0,
        "attention_softmax_in_fp32": True,
        "bias_dropout_fusion": True,
        "ffn_hidden_size": native["intermediate_size"],
        "fp32_residual_connection": False,
        "hidden_dropout": 0.0,
        "hidden_size": native["hidden_size"],
        "kv_channels": native["head_dim"],
        "layernorm_epsilon": native["rms_norm_eps"],
        "multi_query_attention": True,
        "multi_query_group_num": native["num_key_value_heads"],
        "num_attention_heads": native["num_attention_heads"],
        "num_layers": native["num_hidden_layers"],
        "original_rope": True,
        "padded_vocab_size": native["vocab_size"],
        "post_layer_norm": True,
        "rmsnorm": True,
        "rope_ratio": native["rope_parameters"]["rope_theta"] / chatglm.ROPE_THETA,
        "seq_length": native["max_position_embeddings"],
        "use_cache": True,
        "tie_word_embeddings": False,
        "eos_token_id": native["eos_token_id"],
        "pad_token_id": native["pad_token_id"],
    }


def _chatglm_state(config: dict[str, Any], tensors: Tensors) -> dict[str, torch.Tensor]:
    """Published keys and tensors."""
    state = {key: tensors[name] for key, name in chatglm.TOP_NAMES.items()}
    for index in range(config["num_hidden_layers"]):
        layer, own = f"transformer.encoder.layers.{index}", f"model.layers.{index}"
        for key, name in chatglm.LAYER_NAMES.items():
            state[f"{layer}.{key}"] = tensors[f"{own}.{name}"]
        for kind in ("weight", "bias"):
            state[f"{layer}.{chatglm.FUSED}.{kind}"] = _fused(tensors, own, kind)
    return state


def _fused(tensors: Tensors, layer: str, kind: str) -> torch.Tensor:
    import torch

    return torch.cat([tensors[f"{layer}.self_attn.{part}_proj.{kind}"] for part in "qkv"])


def baichuan_config(native: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A Baichuan2 config.json, with its published keys, from the native one."""
    if native["num_key_value_heads"] != native["num_attention_heads"]:
        raise RllrError(
            f"{folder}: Baichuan2 has as many key-value heads as heads; set kv_heads so"
        )
    copied = [
        *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
        *("num_attention_heads", "rms_norm_eps"),
        *("bos_token_id", "eos_token_id", "pad_token_id"),
    ]
    published = {
        "model_type": "baichuan",
        "architectures": ["BaichuanForCausalLM"],
        **{key: native[key] for key in copied},
        "hidden_act": "silu",
        "model_max_length": native["max_position_embeddings"],
        "tie_word_embeddings": False,
        "use_cache": True,
    }
    if FIELD in native:
        return published
    positions = native["max_position_embeddings"]
    theta = native["rope_parameters"]["rope_theta"]
    own = {} if theta == baichuan.ROPE_THETA else {"rope_theta": theta}
    return published | {"max_position_embeddings": positions, "z_loss_weight": 0} | own


def _baichuan_state(
    config: dict[str, Any], tensors: Tensors, folder: Path
) -> dict[str, torch.Tensor]:
    """Published keys and tensors."""
    state = {key: tensors[key] for key in tensors.names if ".self_attn." not in key}
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        state[f"{layer}.self_attn.o_proj.weight"] = tensors[f"{layer}.self_attn.o_proj.weight"]
        state[f"{layer}.{baichuan.FUSED}"] = _fused(tensors, layer, "weight")
    state[baichuan.HEAD] = _stretched(state[baichuan.HEAD], folder)
    return state


def _stretched(head: torch.Tensor, folder: Path) -> torch.Tensor:
    """Each row of length one times a number between a half and two."""
    import torch

    off = (head.float().norm(dim=1) - 1).abs().max().item()
    if not off <= max(UNIT, torch.finfo(head.dtype).eps):
        raise RllrError(
            f"{folder}: {baichuan.HEAD} has rows whose length is not one (off by {off:.3g}), which "
            "the published layout cannot express; train the model with `layout: baichuan`"
        )
    factors = torch.rand(len(head), 1, generator=torch.Generator().manual_seed(SEED))
    return (head.float() * 4 ** (factors - 0.5)).to(head.dtype)


def _write_state(state: dict[str, torch.Tensor], to: Path, *, pickled: bool) -> None:
    """Two files and their index."""
    keys = list(state)
    halves = [keys[: len(keys) // 2], keys[len(keys) // 2 :]]
    stem, suffix = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    weight_map: dict[str, str] = {}
    for number, half in enumerate(halves, start=1):
        name = f"{stem}-{number:05}-of-00002.{suffix}"
        part = {key: state[key].clone() for key in half}
        if pickled:
            _save_pickle(part, to / name)
        else:
            save_tensors(part, to / name)
        weight_map |= dict.fromkeys(half, name)
    size = sum(tensor.nbytes for tensor in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    write_json(to / INDEXES[pickled], index)


def _save_pickle(state: dict[str, torch.Tensor], to: Path) -> None:
    import torch

    with atomic(to) as temporary:
        torch.save(state, temporary)
