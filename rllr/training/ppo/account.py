"""Where the memory of a PPO step goes.

Peak = base weights + adapters and heads + optimiser states and gradients + whichever is larger of
the key-value cache of a rollout and the activations of one training micro-batch. Activations are
counted, not estimated: one row of the largest size goes forward, what autograd keeps for the
backward pass is added up, and every row of a micro-batch takes as much.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rllr.training.ppo.batch import batch_of
from rllr.training.ppo.roles import POLICY, VALUE, OneBase
from rllr.training.ppo.settings import PPOSettings

MOMENTS = 2  # of AdamW, each as large as the parameter
LOGIT_COPIES = 4  # themselves, exponentials, the entropy's product, the gradient


def account(
    one_base: OneBase, settings: PPOSettings, prompt_tokens: int, processes: int = 1
) -> dict[str, int]:
    """Bytes by purpose, and `peak`, for prompts of up to `prompt_tokens` tokens, in each process.

    The cache is counted whole where a sliding window would make it smaller.
    """
    own = settings.batch_size // processes
    named = dict(one_base.model.named_parameters())
    adapters = [p for name, p in named.items() if "lora_" in name]
    adapters += [head.weight for head in one_base.heads.values()]
    counted = {id(parameter) for parameter in adapters}
    trained = [p for role in (POLICY, VALUE) for p in one_base.parameters(role)]
    parts = {
        "base_weights": _bytes(p for p in named.values() if id(p) not in counted),
        "adapters": _bytes(adapters),
        "optimizer_and_gradients": (MOMENTS + 1) * _bytes(trained),
        "kv_cache": _cache_bytes(one_base, settings, own, prompt_tokens),
        "activations": _activation_bytes(one_base, settings, own, prompt_tokens),
    }
    always = sum(parts[name] for name in ("base_weights", "adapters", "optimizer_and_gradients"))
    return {**parts, "peak": always + max(parts["kv_cache"], parts["activations"])}


def describe(parts: dict[str, int]) -> str:
    """The account as one line in MiB."""
    items = (f"{name.replace('_', ' ')} {size / 2**20:.0f}" for name, size in parts.items())
    return "memory of a step (MiB): " + ", ".join(items)


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _cache_bytes(one_base: OneBase, settings: PPOSettings, own: int, prompt_tokens: int) -> int:
    config = one_base.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rows = min(settings.rollout_batch_size or own, own)
    tokens = rows * (prompt_tokens + settings.max_new_tokens)
    width = one_base.lm_head.weight.element_size()
    return 2 * config.num_hidden_layers * heads * size * tokens * width


def _activation_bytes(
    one_base: OneBase, settings: PPOSettings, own: int, prompt_tokens: int
) -> int:
    """What autograd keeps of the policy's pass over one micro-batch, and a piece's logits."""
    rows = min(settings.micro_batch_size, settings.mini_size, own)
    prompt, response = [1] * prompt_tokens, [1] * settings.max_new_tokens
    batch = batch_of([prompt], [response], 0, one_base.device)
    parameters = {p.untyped_storage().data_ptr() for p in one_base.model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # itself, it would hold its own graph, and neither be ever freed

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        states = one_base.policy_states(batch)
    tokens = rows * len(states)
    piece = range(tokens)[one_base.pieces(tokens)[0]]
    logits = len(piece) * one_base.lm_head.weight.shape[0] * torch.float32.itemsize
    return rows * sum(kept.values()) + LOGIT_COPIES * logits
