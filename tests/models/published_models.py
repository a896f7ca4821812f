"""Small random models in the layouts in which ChatGLM3, Baichuan2 and the others are published.

Written key by key, without the project's own writer. Biases are not zero, norms not one, epsilons
and rotary bases not the defaults, so that a conversion which drops one of them shows.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

LAYERS = 2
CHATGLM = {
    "model_type": "chatglm",
    "architectures": ["ChatGLMModel"],
    "auto_map": {"AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration"},
    "add_bias_linear": False,
    "add_qkv_bias": True,
    "ffn_hidden_size": 40,
    "hidden_size": 32,
    "kv_channels": 16,
    "layernorm_epsilon": 0.01,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "num_attention_heads": 4,
    "num_layers": LAYERS,
    "original_rope": True,
    "padded_vocab_size": 60,
    "post_layer_norm": True,
    "rmsnorm": True,
    "rope_ratio": 2,
    "seq_length": 128,
    "torch_dtype": "float16",
    "eos_token_id": 2,
    "pad_token_id": 0,
}
BAICHUAN = {
    "model_type": "baichuan",
    "architectures": ["BaichuanForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_baichuan.BaichuanForCausalLM"},
    "hidden_act": "silu",
    "hidden_size": 48,
    "intermediate_size": 40,
    "max_position_embeddings": 128,
    "model_max_length": 128,
    "num_attention_heads": 6,
    "num_hidden_layers": LAYERS,
    "rms_norm_eps": 0.01,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 60,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
# The 13B has ALiBi and no max_position_embeddings.
BAICHUAN_13B = {key: value for key, value in BAICHUAN.items() if not key.startswith("max_")}

State = dict[str, torch.Tensor]


def randoms(shapes: dict[str, tuple[int, ...]], dtype: torch.dtype = torch.float32) -> State:
    """Random tensors; vectors, which are norms and biases, are around 0.7."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, shape in shapes.items():
        values = torch.randn(shape, generator=generator) * 0.3
        state[key] = (values + 0.7 if len(shape) == 1 else values).to(dtype)
    return state


def chatglm_shapes() -> dict[str, tuple[int, ...]]:
    """ChatGLM3's keys, in the order of its files."""
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.embedding.word_embeddings.weight": (60, 32),
        "transformer.rotary_pos_emb.inv_freq": (4,),
    }
    for index in range(LAYERS):
        layer = f"transformer.encoder.layers.{index}"
        shapes |= {
            f"{layer}.input_layernorm.weight": (32,),
            f"{layer}.self_attention.query_key_value.weight": (128, 32),
            f"{layer}.self_attention.query_key_value.bias": (128,),
            f"{layer}.self_attention.dense.weight": (32, 64),
            f"{layer}.post_attention_layernorm.weight": (32,),
            f"{layer}.mlp.dense_h_to_4h.weight": (80, 32),
            f"{layer}.mlp.dense_4h_to_h.weight": (32, 40),
        }
    shapes["transformer.encoder.final_layernorm.weight"] = (32,)
    shapes["transformer.output_layer.weight"] = (60, 32)
    return shapes


def baichuan_shapes() -> dict[str, tuple[int, ...]]:
    """Baichuan2's keys, in the order of its files."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (60, 48)}
    for index in range(LAYERS):
        layer = f"model.layers.{index}"
        shapes |= {
            f"{layer}.self_attn.W_pack.weight": (144, 48),
            f"{layer}.self_attn.o_proj.weight": (48, 48),
            f"{layer}.self_attn.rotary_emb.inv_freq": (4,),
            f"{layer}.mlp.gate_proj.weight": (40, 48),
            f"{layer}.mlp.down_proj.weight": (48, 40),
            f"{layer}.mlp.up_proj.weight": (40, 48),
            f"{layer}.input_layernorm.weight": (48,),
            f"{layer}.post_attention_layernorm.weight": (48,),
        }
    return shapes | {"model.norm.weight": (48,), "lm_head.weight": (60, 48)}


def write_published(
    folder: Path, config: dict[str, Any], parts: list[State], suffix: str = "safetensors"
) -> Path:
    """config.json, one file per part, their index, and some code beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_published.py").write_text("raise SystemExit('this must never run')")
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    weight_map = {}
    for number, part in enumerate(parts, start=1):
        name = f"{stem}-{number:05}-of-{len(parts):05}.{suffix}"
        if suffix == "safetensors":
            save_file(part, folder / name, metadata={"format": "pt"})
        else:
            torch.save(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    index = "model.safetensors.index.json" if stem == "model" else "pytorch_model.bin.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def in_parts(state: State, count: int) -> list[State]:
    """The keys in order, cut into `count` runs; a layer may lie in two of them."""
    keys = list(state)
    bounds = [round(len(keys) * part / count) for part in range(count + 1)]
    return [
        {key: state[key] for key in keys[start:end]} for start, end in itertools.pairwise(bounds)
    ]


def write_chatglm(folder: Path, dtype: torch.dtype = torch.float32, **changes: Any) -> Path:
    """A ChatGLM3 in three safetensors files."""
    return write_published(folder, CHATGLM | changes, in_parts(randoms(chatglm_shapes(), dtype), 3))


def write_large_chatglm(folder: Path, vocabulary: int) -> Path:
    """The same with so many tokens."""
    shapes = {
        key: (vocabulary, *shape[1:]) if shape[0] == 60 else shape
        for key, shape in chatglm_shapes().items()
    }
    config = CHATGLM | {"padded_vocab_size": vocabulary}
    return write_published(folder, config, in_parts(randoms(shapes), 3))


def write_baichuan(
    folder: Path, *, alibi: bool = False, dtype: torch.dtype = torch.float32, **changes: Any
) -> Path:
    """A Baichuan2 in two pickles; rows of its output layer have all sorts of lengths."""
    config = BAICHUAN_13B if alibi else BAICHUAN
    state = randoms(baichuan_shapes(), dtype)
    state["lm_head.weight"] *= torch.linspace(0.2, 5, 60)[:, None].to(dtype)
    if alibi:
        state = {key: value for key, value in state.items() if "inv_freq" not in key}
    return write_published(folder, config | changes, in_parts(state, 2), "bin")
