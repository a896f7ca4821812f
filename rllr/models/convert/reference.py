"""ChatGLM3 and Baichuan2 computed from their published files, for the self-check of a conversion.

Written from the descriptions of the architectures, one row at a time and so without any padding or
mask but the causal one, in fp64, a layer's weights at a time. It shares with the conversion the
reading of files, and nothing else: no table of names, no configuration, no module of transformers.

Sources: RoPE, https://arxiv.org/abs/2104.09864; ALiBi, https://arxiv.org/abs/2108.12409; RMSNorm,
https://arxiv.org/abs/1910.07467; Baichuan 2 (NormHead), https://arxiv.org/abs/2309.10305; ChatGLM,
https://arxiv.org/abs/2406.12793.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllr.files import read_json
from rllr.models.convert.checkpoint import Tensors

if TYPE_CHECKING:
    from torch import Tensor

VOCABULARY_ROWS = 1 << 12


class ChatGLM3:
    """Grouped keys and values, biases on them, rotary positions on half of each head."""

    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = read_json(folder / "config.json")
        self.tensors = Tensors(folder)
        self.layers = self.config["num_layers"]

    def embed(self, row: list[int]) -> Tensor:
        """[length, width] from token ids."""
        return self.tensors["transformer.embedding.word_embeddings.weight"][row].double()

    def layer(self, index: int) -> dict[str, Tensor]:
        """One layer's weights."""
        names = ["input_layernorm", "self_attention.query_key_value", "self_attention.dense"]
        names += ["post_attention_layernorm", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"]
        prefix = f"transformer.encoder.layers.{index}"
        weights = {name: self.tensors[f"{prefix}.{name}.weight"].double() for name in names}
        bias = self.tensors[f"{prefix}.self_attention.query_key_value.bias"]
        return weights | {"bias": bias.double()}

    def forward(self, states: Tensor, weights: dict[str, Tensor]) -> Tensor:
        """One layer on one row, [length, width]."""
        eps = self.config["layernorm_epsilon"]
        inner = rms_norm(states, weights["input_layernorm"], eps)
        fused = inner @ weights["self_attention.query_key_value"].T + weights["bias"]
        states = states + self._attend(fused) @ weights["self_attention.dense"].T
        inner = rms_norm(states, weights["post_attention_layernorm"], eps)
        gate, up = (inner @ weights["mlp.dense_h_to_4h"].T).tensor_split(2, dim=-1)
        return states + (silu(gate) * up) @ weights["mlp.dense_4h_to_h"].T

    def _attend(self, fused: Tensor) -> Tensor:
        heads, head = self.config["num_attention_heads"], self.config["kv_channels"]
        groups = heads
        if self.config.get("multi_query_attention"):
            groups = self.config["multi_query_group_num"]
        parts = fused.reshape(len(fused), heads + 2 * groups, head).transpose(0, 1)
        query, key, value = parts[:heads], parts[heads : heads + groups], parts[-groups:]
        query, key = (self._rotate(part) for part in (query, key))
        # Consecutive query heads share one key and one value.
        key, value = (part.repeat_interleave(heads // groups, dim=0) for part in (key, value))
        return attention(query, key, value)

    def _rotate(self, part: Tensor) -> Tensor:
        """Turn neighbouring pairs of the first half of each head; [heads, length, head]."""
        import torch

        half = part.shape[-1] // 2
        cos, sin = angles(part.shape[1], half, 10000.0 * self.config.get("rope_ratio", 1))
        even, odd, rest = part[..., 0:half:2], part[..., 1:half:2], part[..., half:]
        turned = torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1)
        return torch.cat([turned.flatten(-2), rest], dim=-1)

    def logits(self, states: Tensor) -> Tensor:
        """[tokens, vocabulary] from the last layer's states."""
        norm = self.tensors["transformer.encoder.final_layernorm.weight"].double()
        inner = rms_norm(states, norm, self.config["layernorm_epsilon"])
        return project(inner, self.tensors["transformer.output_layer.weight"])


class Baichuan2:
    """The 7B with rotary positions on whole heads; the 13B with ALiBi."""

    def __init__(self, folder: Path, alibi: bool) -> None:
        self.config: dict[str, Any] = read_json(folder / "config.json")
        self.tensors = Tensors(folder)
        self.layers = self.config["num_hidden_layers"]
        self.alibi = alibi

    def embed(self, row: list[int]) -> Tensor:
        """[length, width] from token ids."""
        return self.tensors["model.embed_tokens.weight"][row].double()

    def layer(self, index: int) -> dict[str, Tensor]:
        """One layer's weights."""
        names = ["input_layernorm", "self_attn.W_pack", "self_attn.o_proj"]
        names += ["post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
        prefix = f"model.layers.{index}"
        return {name: self.tensors[f"{prefix}.{name}.weight"].double() for name in names}

    def forward(self, states: Tensor, weights: dict[str, Tensor]) -> Tensor:
        """One layer on one row, [length, width]."""
        eps = self.config["rms_norm_eps"]
        inner = rms_norm(states, weights["input_layernorm"], eps)
        attended = self._attend(inner @ weights["self_attn.W_pack"].T)
        states = states + attended @ weights["self_attn.o_proj"].T
        inner = rms_norm(states, weights["post_attention_layernorm"], eps)
        gated = silu(inner @ weights["mlp.gate_proj"].T) * (inner @ weights["mlp.up_proj"].T)
        return states + gated @ weights["mlp.down_proj"].T

    def _attend(self, fused: Tensor) -> Tensor:
        heads = self.config["num_attention_heads"]
        query, key, value = fused.reshape(len(fused), 3, heads, -1).permute(1, 2, 0, 3)
        if self.alibi:
            return attention(query, key, value, linear_bias(heads, len(fused)))
        return attention(self._rotate(query), self._rotate(key), value)

    def _rotate(self, part: Tensor) -> Tensor:
        """Turn pairs of the first and the second half of each head; [heads, length, head]."""
        import torch

        head = part.shape[-1]
        cos, sin = angles(part.shape[1], head, self.config.get("rope_theta", 10000.0))
        first, second = part[..., : head // 2], part[..., head // 2 :]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    def logits(self, states: Tensor) -> Tensor:
        """[tokens, vocabulary] from the last layer's states."""
        norm = self.tensors["model.norm.weight"].double()
        inner = rms_norm(states, norm, self.config["rms_norm_eps"])
        return project(inner, self.tensors["lm_head.weight"], unit_length=True)


def angles(length: int, width: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine of position * theta^(-2i/width), i < width/2: [length, width/2] each."""
    import torch

    frequencies = theta ** -(torch.arange(0, width, 2).double() / width)
    turns = torch.outer(torch.arange(length).double(), frequencies)
    return turns.cos(), turns.sin()


def linear_bias(heads: int, length: int) -> Tensor:
    """ALiBi: minus slope times distance, [heads, length, length].

    Slopes of n heads, a power of two, are the geometric series that starts and continues with
    2^(-8/n); others fill up from the series of the doubled power, from its first by steps of two.
    """
    import torch

    power = 1 << (heads.bit_length() - 1)
    exponents = torch.arange(1, power + 1) * (8 / power)
    filling = torch.arange(1, 2 * power + 1)[::2][: heads - power] * (4 / power)
    slopes = torch.exp2(-torch.cat([exponents, filling]))
    positions = torch.arange(length)
    return -slopes[:, None, None] * (positions[:, None] - positions[None, :])


def attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Causal attention on one row: [heads, length, head] each, to [length, heads * head]."""
    import torch

    scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
    scores = scores if bias is None else scores + bias
    future = torch.ones_like(scores[0], dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, float("-inf")).softmax(dim=-1)
    return (weights @ value).transpose(0, 1).flatten(1)


def rms_norm(states: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight."""
    return states / (states.square().mean(dim=-1, keepdim=True) + eps).sqrt() * weight


def silu(states: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return states * states.sigmoid()


def project(states: Tensor, weight: Tensor, *, unit_length: bool = False) -> Tensor:
    """[tokens, vocabulary]; with `unit_length` each row of the weight is divided by its length.

    The quotient is rounded once to the stored type: the original holds it in that type.
    """
    import torch

    def logits() -> Iterator[Tensor]:
        for rows in weight.split(VOCABULARY_ROWS):
            exact = rows.double()
            if unit_length:
                # A row of zeros stays one.
                exact = exact / exact.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
                exact = exact.to(rows.dtype).double()
            yield states @ exact.T

    return torch.cat(list(logits()), dim=-1)
