from pathlib import Path

import pytest
from ppo_tiny import ARCHITECTURES, one_base, settings

from rllr.training.ppo.account import account, describe


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_account_counts_each_weight_once(arch: str, tmp_path: Path) -> None:
    roles = one_base(arch, tmp_path)
    parts = account(roles, settings(arch), prompt_tokens=9)
    named = dict(roles.model.named_parameters())
    base = sum(p.numel() for name, p in named.items() if "lora_" not in name)
    lora = sum(p.numel() for name, p in named.items() if "lora_" in name)
    heads = sum(head.weight.numel() for head in roles.heads.values())
    assert parts["base_weights"] == 4 * base
    assert parts["adapters"] == 4 * (lora + heads)
    always = sum(parts[k] for k in ("base_weights", "adapters", "optimizer_and_gradients"))
    both = account(roles, settings(arch), prompt_tokens=9, processes=2)
    assert both["kv_cache"] == parts["kv_cache"] / 2
    assert both["activations"] < parts["activations"]
    assert parts["peak"] == always + max(parts["activations"], parts["kv_cache"])
    assert "base weights" in describe(parts) and "peak" in describe(parts)


def test_activations_grow_with_the_micro_batch_and_shrink_with_checkpointing(
    tmp_path: Path,
) -> None:
    roles = one_base("llama", tmp_path)
    sizes = {
        rows: account(roles, settings("llama", micro_batch_size=rows), 40)["activations"]
        for rows in (1, 2, 6)
    }
    assert 1.8 < sizes[2] / sizes[1] < 2.2 and 2.7 < sizes[6] / sizes[2] < 3.3
    roles.use_checkpointing()
    less = account(roles, settings("llama", micro_batch_size=6), 40)["activations"]
    assert less < 0.8 * sizes[6]
    assert all(p.grad is None for p in roles.model.parameters())
