"""ALiBi in the native Llama architecture: attention biases linear in distance, no rotary positions.

Baichuan2-13B has no native class. It is Llama with its rotary positions scaled to nothing and this
attention function. Transformers does not save which attention function a model needs, so
config.json carries a field of this project's own; every load here passes the function because of it
and asserts that it is in use. Other programs that load the folder must do the same
(`register_alibi`), else the model knows no positions.

Source: Press, Smith, Lewis: Train Short, Test Long (2022), https://arxiv.org/abs/2108.12409.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rllr.errors import RllrError

if TYPE_CHECKING:
    import torch

ALIBI = "alibi"
FIELD = "position_embedding_type"
# Every rotation angle becomes less than a float can tell from zero.
NEUTRAL_ROPE = {"rope_type": "linear", "factor": 1e30, "rope_theta": 10000.0}


def alibi_config() -> dict[str, Any]:
    """What config.json of a Llama model with ALiBi holds beyond Llama's own."""
    return {FIELD: ALIBI, "rope_parameters": dict(NEUTRAL_ROPE)}


def alibi_slopes(heads: int) -> list[float]:
    """One slope per head: 2^(-8i/n) for i = 1 ... n, where n heads are a power of two.

    For other numbers those of the next lower power, then every second one of the next higher.
    """
    lower = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * i / lower) for i in range(1, lower + 1)]
    between = [2 ** (-8 * i / (2 * lower)) for i in range(1, 2 * lower + 1, 2)]
    return slopes + between[: heads - lower]


def alibi_bias(heads: int, queries: int, keys: int, like: torch.Tensor) -> torch.Tensor:
    """slope * (key - query position): [1, heads, queries, keys], type and device of `like`.

    The queries are the last ones of the keys. Padding on the left does not matter: only distances
    enter, and softmax takes no notice of what a whole row has in common.
    """
    import torch

    positions = torch.arange(keys, device=like.device, dtype=torch.float32)
    distances = positions[None, :] - positions[keys - queries :, None]
    slopes = torch.tensor(alibi_slopes(heads), device=like.device)
    return (slopes[:, None, None] * distances)[None].to(like.dtype)


def register_alibi() -> None:
    """Make the attention function known to transformers as `alibi`; again does no harm."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(ALIBI, _attend)
    AttentionMaskInterface.register(ALIBI, sdpa_mask)


def attention_arguments(config: Mapping[str, Any]) -> dict[str, str]:
    """What transformers must be told when it builds a model of this configuration."""
    if config.get(FIELD) != ALIBI:
        return {}
    register_alibi()
    return {"attn_implementation": ALIBI}


def require_attention(model: Any) -> None:
    """Raise RllrError where a model that needs ALiBi was built without it."""
    used = model.config._attn_implementation
    if getattr(model.config, FIELD, None) == ALIBI and used != ALIBI:
        raise RllrError(
            f"the model needs the attention function {ALIBI!r} (its config.json says {FIELD}: "
            f"{ALIBI}), but was built with {used!r} and would know no positions; load it with "
            "rllr.models.load"
        )


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **settings: Any,
) -> Any:
    """Scaled dot-product attention with the bias; the tensors are [batch, heads, length, width]."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    bias = alibi_bias(query.shape[1], query.shape[2], key.shape[2], query)
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, position_bias=bias, **settings
    )
