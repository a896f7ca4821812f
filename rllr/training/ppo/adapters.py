"""Building the roles: new adapters, and reward models loaded from disk.

A reward model as TRL's RewardTrainer saves it is a SEQ_CLS adapter with a `score` head; here its
LoRA weights become one more adapter of the causal model and its head a linear layer beside it. The
scores are the same. The value model starts as a copy of a named reward model (the published
recipe) or, where there is none, as a new adapter under a head of zeros.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn

from rllr.errors import RllrError
from rllr.training.ppo.roles import POLICY, VALUE, OneBase, reward_role
from rllr.training.ppo.settings import PPOSettings

HEAD_KEY = "base_model.model.score.weight"


@dataclass(frozen=True)
class RewardAdapter:
    """A reward model from disk: LoRA config and weights for a causal model, head weight (1, H)."""

    config: LoraConfig
    state: dict[str, Tensor]
    head: Tensor
    source: Path


def build_one_base(
    base: nn.Module, settings: PPOSettings, rewards: Mapping[str, Path], value_from: str | None
) -> OneBase:
    """Wrap `base` (a causal model, which is changed in place and frozen) in all roles.

    `rewards` maps reward models' names to adapter folders; `value_from` is one of these names, or
    None for a new value model. New LoRA weights depend on `settings.seed` alone, and the caller's
    random state is left as it was. RllrError: an unreadable or unfitting adapter, a bad name,
    a base in float16.
    """
    if value_from is not None and value_from not in rewards:
        known = ", ".join(rewards) or "none"
        raise RllrError(
            f"PPO: the value model starts from {value_from!r}; reward models are: {known}"
        )
    if any(parameter.dtype == torch.float16 for parameter in base.parameters()):
        raise RllrError(
            "PPO: the base model is in float16, in which small gradients are silently zero; "
            "load it in bfloat16 or float32"
        )
    for name in rewards:
        _check_name(name)
    loaded = {name: read_reward_adapter(path) for name, path in rewards.items()}
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = _wrap(base, settings)
        heads = {VALUE: _add_value(model, settings, loaded.get(value_from or ""))}
        heads |= _add_rewards(model, loaded)
    return OneBase(model, heads)


def with_rewards(model: PeftModel, rewards: Mapping[str, Path], policy_adapter: str) -> OneBase:
    """Put reward models on a PEFT model whose policy another trainer made; there is no value model.

    The policy's adapter is the active one afterwards. RllrError: an adapter that does not fit.
    """
    for name in rewards:
        _check_name(name)
    loaded = {name: read_reward_adapter(path) for name, path in rewards.items()}
    with torch.random.fork_rng():
        one_base = OneBase(model, _add_rewards(model, loaded), policy_adapter)
    one_base.activate(POLICY)
    return one_base


def _add_rewards(model: PeftModel, loaded: Mapping[str, RewardAdapter]) -> dict[str, nn.Linear]:
    return {
        reward_role(name): _add_loaded(model, reward_role(name), adapter)
        for name, adapter in loaded.items()
    }


def read_reward_adapter(folder: Path) -> RewardAdapter:
    """Read a reward model's adapter folder; RllrError names what is missing or unfit."""
    weights = folder / "adapter_model.safetensors"
    for path in (folder / "adapter_config.json", weights):
        if not path.is_file():
            raise RllrError(f"{path}: no such file; a reward model is a PEFT adapter folder")
    config = PeftConfig.from_pretrained(str(folder))
    if not isinstance(config, LoraConfig):
        raise RllrError(f"{folder}: the adapter is of type {config.peft_type}; only LoRA is read")
    config.task_type, config.modules_to_save = "CAUSAL_LM", None
    config.lora_dropout, config.inference_mode = 0.0, False
    state = load_file(weights)
    head = state.pop(HEAD_KEY, None)
    if head is None or head.shape[0] != 1:
        raise RllrError(f"{weights}: no scalar head ({HEAD_KEY}); train it as a reward model")
    return RewardAdapter(config, state, head, folder)


def _wrap(base: Any, settings: PPOSettings) -> PeftModel:
    try:
        return get_peft_model(base, _new_config(settings), adapter_name=POLICY)
    except ValueError as error:  # PEFT: no module matches
        names = ", ".join(settings.target_modules)
        raise RllrError(
            f"PPO: {type(base).__name__} has no layer named {names}; set the model's LoRA targets"
        ) from error


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise RllrError(f"PPO: reward model name {name!r}; allowed are letters, digits, _ and -")


def _new_config(settings: PPOSettings) -> LoraConfig:
    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=0.0,
        target_modules=list(settings.target_modules),
        task_type="CAUSAL_LM",
    )


def _add_value(model: PeftModel, settings: PPOSettings, start: RewardAdapter | None) -> nn.Linear:
    if start is not None:
        return _add_loaded(model, VALUE, start)
    model.add_adapter(VALUE, _new_config(settings))
    return _linear(model, torch.zeros(1, _base(model).config.hidden_size))


def _add_loaded(model: PeftModel, role: str, adapter: RewardAdapter) -> nn.Linear:
    try:
        model.add_adapter(role, copy.deepcopy(adapter.config))
        result: Any = set_peft_model_state_dict(model, adapter.state, adapter_name=role)
    except (RuntimeError, ValueError) as error:
        raise RllrError(f"{adapter.source}: the adapter does not fit the base model") from error
    missing = [key for key in result.missing_keys if f".{role}." in key]
    if missing or result.unexpected_keys:
        key = (missing + list(result.unexpected_keys))[0]
        raise RllrError(f"{adapter.source}: the adapter does not fit the base model (at {key})")
    return _linear(model, adapter.head)


def _linear(model: PeftModel, weight: Tensor) -> nn.Linear:
    """A float32 head without bias, holding a copy of `weight` (1, H), on the model's device."""
    device = _base(model).get_output_embeddings().weight.device
    head = nn.Linear(weight.shape[1], 1, bias=False, device=device)
    with torch.no_grad():
        head.weight.copy_(weight)
    return head


def _base(model: PeftModel) -> Any:
    return model.get_base_model()
