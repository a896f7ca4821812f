"""Tiny random models of the four architectures, and reward adapters saved as RewardTrainer does."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model

from rllr.training.ppo.adapters import build_one_base
from rllr.training.ppo.roles import POLICY, OneBase
from rllr.training.ppo.rollout import Sampler
from rllr.training.ppo.settings import PPOSettings, PromptRow

ARCHITECTURES = ("bloom", "glm", "llama", "mistral")
TARGETS = {
    "bloom": ("query_key_value",),
    "glm": ("q_proj", "k_proj", "v_proj"),
    "llama": ("q_proj", "v_proj"),
    "mistral": ("q_proj", "v_proj"),
}
ALL_LINEAR = {
    "bloom": ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
    "glm": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"),
    "llama": ("q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "mistral": ("q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
}
CLASSES = {"bloom": "Bloom", "glm": "Glm", "llama": "Llama", "mistral": "Mistral"}
PAD, EOS, VOCAB, HIDDEN = 0, 2, 61, 32


def tiny_model(arch: str, seed: int = 0, hidden: int = HIDDEN) -> Any:
    """A random causal model, two layers, dropout configured (and to be off in every pass)."""
    common = {"vocab_size": VOCAB, "hidden_size": hidden, "pad_token_id": PAD, "eos_token_id": EOS}
    if arch == "bloom":
        specific = {"n_layer": 2, "n_head": 4, "hidden_dropout": 0.1}
    else:
        specific = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        specific |= {"intermediate_size": 48, "max_position_embeddings": 64}
    if arch == "glm":
        specific |= {"head_dim": hidden // 4, "attention_bias": True}
    if arch == "mistral":
        specific |= {"sliding_window": 8}
    config = getattr(transformers, f"{CLASSES[arch]}Config")(
        **common, **specific, attention_dropout=0.1
    )
    torch.manual_seed(seed)
    model = getattr(transformers, f"{CLASSES[arch]}ForCausalLM")(config)
    for parameter in model.parameters():  # logits far from uniform, so that mistakes show
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return model


def sharp_model(arch: str) -> Any:
    """A tiny model whose logits reach twice as far: it can give one word nearly all probability."""
    model = tiny_model(arch)
    norm = model.base_model.ln_f if arch == "bloom" else model.base_model.norm
    with torch.no_grad():
        norm.weight.mul_(2)
    return model


def save_reward_model(arch: str, base: Any, folder: Path, seed: int = 1) -> Any:
    """Save a random SEQ_CLS reward adapter on `base`'s weights; return the model that scores."""
    config = copy.deepcopy(base.config)
    config.num_labels = 1
    torch.manual_seed(seed)
    model = getattr(transformers, f"{CLASSES[arch]}ForSequenceClassification")(config)
    model.base_model.load_state_dict(base.base_model.state_dict())
    lora = LoraConfig(
        r=3, lora_alpha=7, lora_dropout=0.1, target_modules=list(TARGETS[arch]), task_type="SEQ_CLS"
    )
    scorer = get_peft_model(model, lora).eval()
    move(scorer, "lora_B")
    scorer.save_pretrained(str(folder))
    return scorer


def move(model: Any, part: str, scale: float = 0.1) -> None:
    """Random values for the parameters whose name holds `part` (new LoRA matrices B are zero)."""
    for name, parameter in model.named_parameters():
        if part in name:
            torch.nn.init.normal_(parameter, std=scale)


def settings(arch: str, **changes: Any) -> PPOSettings:
    """Small settings for `arch`."""
    small: dict[str, Any] = {"batch_size": 6, "micro_batch_size": 4, "max_new_tokens": 7}
    small |= {"target_modules": TARGETS[arch], "lora_rank": 4}
    return PPOSettings(**(small | changes))


def one_base(arch: str, folder: Path, moved: bool = True) -> OneBase:
    """All roles on one tiny base, with reward model "rm"; the policy away from the reference."""
    base = tiny_model(arch)
    save_reward_model(arch, base, folder)
    roles = build_one_base(base, settings(arch), {"rm": folder}, "rm")
    if moved:
        torch.manual_seed(2)
        move(roles.model, f"lora_B.{POLICY}")
    return roles


def prompts(count: int, seed: int = 0) -> list[PromptRow]:
    """Random prompts of 2 to 12 tokens."""
    draw = random.Random(seed)
    lengths = [draw.randint(2, 12) for _ in range(count)]
    return [PromptRow([draw.randrange(3, VOCAB) for _ in range(n)], gold=n) for n in lengths]


def sampler(**changes: Any) -> Sampler:
    """Full-softmax sampling of up to 7 tokens."""
    return Sampler(
        **({"pad_id": PAD, "eos_ids": (EOS,), "max_new_tokens": 7, "top_k": 0} | changes)
    )


def decode(ids: list[int]) -> str:
    """Ids as words, for function rewards."""
    return " ".join(map(str, ids))


def share_of(word: int) -> Callable[[list[str], list[Any]], list[float]]:
    """A reward: the share of a response's tokens that are `word`."""

    def reward(responses: list[str], gold: list[Any]) -> list[float]:
        texts = [text.split() for text in responses]
        return [words.count(str(word)) / max(len(words), 1) for words in texts]

    return reward
