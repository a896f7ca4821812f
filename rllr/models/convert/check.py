"""Self-check of a conversion: the original's logits against those of the native modules.

The original side (reference.py) takes rows one by one; the native side takes the converted files,
transformers' own modules and the rows as one batch, padded on the left. Both hold one layer at a
time, and the output layer in slices, so that memory does not grow with the depth of the model.

Both compute in fp64, though transformers computes norms and rotary angles in fp32 all the same. In
fp32 alone, forty layers with a few large activations come as near as 1e-5 by rounding, which leaves
no room between noise and a fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllr.errors import RllrError
from rllr.models.alibi import FIELD, attention_arguments, require_attention
from rllr.models.convert.checkpoint import Tensors
from rllr.models.convert.reference import VOCABULARY_ROWS, Baichuan2, ChatGLM3

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 1e-5
LENGTHS = (16, 9, 4, 1)
# Spreads a row's ids over the vocabulary; prime, so that they do not repeat soon.
STRIDE = 7919


@dataclass
class Trace:
    """What one side computed for every token but padding, rows one after the other."""

    states: list[Tensor]  # [tokens, width], after each layer
    logits: Tensor  # [tokens, vocabulary]


def check_conversion(
    source: Path, to: Path, config: dict[str, Any], layout: str
) -> dict[str, float]:
    """Compare the published files in `source` with the native weights in `to`.

    `config` is the native config.json. Returns the largest difference of two logits, and their
    scale, the largest logit of the original. RllrError where the difference is above TOLERANCE
    times the scale, or a number is not finite.
    """
    import torch

    rows = check_rows(config["vocab_size"])
    with torch.inference_mode():
        original = trace_original(source, rows, layout, alibi=FIELD in config)
        native = trace_native(to, rows, config)
    scale = original.logits.abs().max().item()
    difference = (original.logits - native.logits).abs().max().item()
    if not original.logits.isfinite().all():
        raise RllrError(f"{source}: its weights give logits that are not finite; fetch them again")
    if not difference <= TOLERANCE * scale:
        raise RllrError(
            f"{to}: the converted model is not the original of {source}: logits differ by "
            f"{difference:.3g} of {scale:.3g}, allowed is {TOLERANCE:g} of it; first off is "
            f"{_first_off(original, native)}. Nothing was kept; report it with both config.json"
        )
    return {"max_abs_difference": difference, "logits_scale": scale}


def check_rows(vocabulary: int) -> list[list[int]]:
    """Token ids of a few short rows of different lengths."""
    return [[(n * 131 + i * STRIDE) % vocabulary for i in range(n)] for n in LENGTHS]


def trace_original(source: Path, rows: list[list[int]], layout: str, alibi: bool) -> Trace:
    """Run the published files, row by row."""
    import torch

    model = ChatGLM3(source) if layout == "chatglm" else Baichuan2(source, alibi)
    states = [model.embed(row) for row in rows]
    after = []
    for index in range(model.layers):
        weights = model.layer(index)
        states = [model.forward(row, weights) for row in states]
        # Before the next layer's are made, so that there is one layer at a time.
        del weights
        after.append(torch.cat(states))
    logits = model.logits(torch.cat(states))
    model.tensors.close()
    return Trace(after, logits)


def trace_native(folder: Path, rows: list[list[int]], config: dict[str, Any]) -> Trace:
    """Run the native modules on the converted files, as one batch padded on the left."""
    import torch

    tensors = Tensors(folder)
    ids, mask = _left_padded(rows, config["pad_token_id"])
    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
    states = tensors["model.embed_tokens.weight"][ids].double()
    model = one_layer_model(config)
    norm, model.norm = model.norm, torch.nn.Identity()
    after = []
    for index in range(config["num_hidden_layers"]):
        _load_layer(model.layers[0], tensors, index)
        states = model(
            inputs_embeds=states, attention_mask=mask, position_ids=positions, use_cache=False
        ).last_hidden_state
        after.append(states[mask.bool()])
    norm.load_state_dict({"weight": tensors["model.norm.weight"]})
    last = norm(after[-1])
    slices = tensors["lm_head.weight"].split(VOCABULARY_ROWS)
    logits = torch.cat([torch.nn.functional.linear(last, part.double()) for part in slices], dim=-1)
    tensors.close()
    return Trace(after, logits)


def one_layer_model(config: dict[str, Any]) -> Any:
    """The native decoder in fp64 with one layer and next to no vocabulary."""
    import torch
    from transformers import AutoConfig, AutoModel

    small = {"num_hidden_layers": 1, "vocab_size": 8, "dtype": "float64"}
    ids = dict.fromkeys(("pad_token_id", "bos_token_id"))
    shape = AutoConfig.for_model(**{**config, **small, **ids})
    model = AutoModel.from_config(shape, dtype=torch.float64, **attention_arguments(config))
    require_attention(model)
    return model.eval()


def _load_layer(layer: Any, tensors: Tensors, index: int) -> None:
    prefix = f"model.layers.{index}."
    keys = [key for key in tensors.names if key.startswith(prefix)]
    layer.load_state_dict({key.removeprefix(prefix): tensors[key] for key in keys}, strict=True)


def _left_padded(rows: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Ids and mask, both [rows, longest]."""
    import torch

    longest = max(map(len, rows))
    ids = [[pad] * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


def _first_off(original: Trace, native: Trace) -> str:
    for index, (left, right) in enumerate(zip(original.states, native.states, strict=True)):
        if not (left - right).abs().max() <= TOLERANCE * left.abs().max():
            return f"layer {index}"
    return "the last norm or the output layer"
