"""What a PPO run is told: settings, reward terms and prompts. Plain data, importable without torch.

Defaults are the published recipe (TRL 0.7.2 as the released code of arXiv 2405.19763 calls it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rllr.errors import RllrError

RewardFunction = Callable[[list[str], list[Any]], Sequence[float]]


@dataclass(frozen=True)
class PPOSettings:
    """Settings of one PPO run; RllrError names the first value that makes no sense.

    `batch_size` responses are sampled per step. An optimiser step sees `mini_batch_size` of them
    (None: all), `micro_batch_size` at a time; `scoring_batch_size` go through the reference, value
    and reward models at a time (None: as many), and `rollout_batch_size`, grouped by prompt length,
    are decoded together (None: all). These change memory and speed, not the gradient (of given
    responses: groups take the random numbers in their own order); so does
    `gradient_checkpointing`. `steps=None` means one pass over the prompts, an incomplete last batch
    dropped.
    `top_k=0` and `top_p=1.0` switch these two off. `ratio_guard` is the mean probability ratio
    above which a mini-batch is skipped. `target_modules` are the policy's LoRA targets, which
    differ per architecture, so there is no default that would fit.
    """

    target_modules: tuple[str, ...]
    learning_rate: float = 5e-6
    value_learning_rate: float | None = None
    batch_size: int = 32
    mini_batch_size: int | None = None
    micro_batch_size: int = 8
    scoring_batch_size: int | None = None
    rollout_batch_size: int | None = None
    gradient_checkpointing: bool = False
    ppo_epochs: int = 1
    steps: int | None = None
    max_new_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 50
    kl_coef: float = 0.2
    kl_target: float = 6.0
    kl_horizon: float = 10_000.0
    adaptive_kl: bool = True
    gamma: float = 1.0
    lam: float = 0.95
    clip_ratio: float = 0.2
    clip_value: float = 0.2
    value_weight: float = 0.1
    whiten: bool = True
    normalise_rewards: bool = True
    max_grad_norm: float = 1.0
    ratio_guard: float = 10.0
    lora_rank: int = 16
    lora_alpha: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.target_modules:
            raise RllrError("PPO: target_modules is empty; name at least one linear layer for LoRA")
        for name in ("batch_size", "micro_batch_size", "ppo_epochs", "max_new_tokens", "lora_rank"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("scoring_batch_size", "rollout_batch_size"):
            self._require(name, (getattr(self, name) or 1) >= 1, "at least 1, or None")
        self._require("steps", self.steps is None or self.steps >= 1, "at least 1, or None")
        self._require("temperature", self.temperature > 0, "above 0")
        self._require("top_p", 0 < self.top_p <= 1, "above 0 and at most 1")
        self._require("top_k", self.top_k >= 0, "0 (off) or more")
        divides = self.mini_size >= 1 and self.batch_size % self.mini_size == 0
        self._require("mini_batch_size", divides, f"a divisor of batch_size ({self.batch_size})")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise RllrError(f"PPO: {name} is {getattr(self, name)!r}; allowed is {allowed}")

    @property
    def mini_size(self) -> int:
        """Responses per optimiser step."""
        return self.batch_size if self.mini_batch_size is None else self.mini_batch_size

    @property
    def scoring_size(self) -> int:
        """Responses per pass through the reference, value and reward models."""
        return self.scoring_batch_size or self.micro_batch_size

    @property
    def value_rate(self) -> float:
        """Learning rate of the value adapter; the policy's unless set apart."""
        return self.learning_rate if self.value_learning_rate is None else self.value_learning_rate

    def total_steps(self, prompts: int) -> int:
        """Steps of the run when there are `prompts` prompts."""
        return max(1, prompts // self.batch_size) if self.steps is None else self.steps


@dataclass(frozen=True)
class RewardTerm:
    """One summand of the reward: `weight * min(raw, cap)`.

    `raw` comes either from a trained reward model (`adapter_path`: a folder as TRL's RewardTrainer
    saves it) or from `function(responses, gold)`, which gets the decoded responses without EOS and
    returns one float each. A term of weight 0 is measured and logged, and does not train.
    """

    name: str
    adapter_path: Path | None = None
    function: RewardFunction | None = None
    cap: float | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if (self.adapter_path is None) == (self.function is None):
            raise RllrError(
                f"reward term {self.name!r} needs either a reward model's adapter or a function"
            )


@dataclass(frozen=True)
class PromptRow:
    """One prompt: its token ids (not padded) and, for function rewards, its gold answer or None."""

    ids: list[int]
    gold: Any = None
