"""Estimated GPU memory of a stage's process, and disk.

    sft, reward   weights + 16 bytes per trained parameter + what the backward pass keeps
    policy        the same with an adapter of each role, and the larger of that and a rollout
    sample, predict   weights + cache + one layer's pass over the prompts

What is kept, per token: layers x (a x hidden + b x intermediate + c x heads x context); a, b, c are
in `plan_assumptions`. With gradient checkpointing: a hidden state per layer, one layer in full.
A cache holds 2 x layers x key-value heads x head size x 2 bytes per token. Rows are taken as long
as `generation` allows, so that the estimate is an upper end.
"""

from __future__ import annotations

from typing import Any

from rllr.config.load import Project
from rllr.config.schema import GroupSettings, PpoSettings
from rllr.plan_assumptions import (
    BYTES,
    CHECKPOINT,
    KEPT_PER_CONTEXT,
    KEPT_PER_HIDDEN,
    KEPT_PER_HIDDEN_GATED,
    KEPT_PER_INTERMEDIATE_GATED,
    KEPT_PER_TARGET,
    PASSING_HIDDEN,
    PASSING_INTERMEDIATE,
    PASSING_SCORES,
    PREDICTION,
    RUNTIME,
    TRAINED,
)
from rllr.plan_jobs import Planned
from rllr.plan_sizes import Sizes, head_size, lora_parameters, parameters, shape_of


def decoded_at_once(project: Project, rule: str) -> int:
    """Rows of a batch in sampling or prediction."""
    config = project.config
    if rule != "sample":
        return config.generation.batch_size
    prompts = config.pairs.batch_size or config.generation.batch_size
    return prompts * config.pairs.samples_per_prompt


class Memory:
    """Bytes of one model's stages."""

    def __init__(self, project: Project, model: str) -> None:
        self.project = project
        self.name = model
        self.model = project.models[model]
        self.shape = shape_of(model, self.model)
        self.width = BYTES[self.model.precision]
        self.weights = parameters(model, self.model) * self.width
        generation = project.config.generation
        self.longest = generation.max_prompt_tokens + generation.max_new_tokens

    def of(self, job: Planned) -> float:
        """Peak of one process of a job that computes; RUNTIME included."""
        stages = {"sft": self._sft, "reward_model": self._reward, "policy": self._policy}
        if job.rule in stages:
            return RUNTIME + stages[job.rule](job.name)
        return RUNTIME + self.weights + self.decoding(decoded_at_once(self.project, job.rule))

    def kept(self, rows: int, checkpointing: bool, trainer: str = "trainer") -> float:
        """What autograd keeps of a pass over `rows` rows of the longest length."""
        layer = self.kept_per_token(self.longest, trainer)
        layers = self.shape.layers
        if checkpointing:
            state = self.shape.hidden_size * self.width
            return rows * self.longest * (layers * state + layer)
        return rows * self.longest * layers * layer

    def kept_per_token(self, context: int, trainer: str) -> float:
        """The same per token and layer, in a row of `context` tokens; fp32 takes twice of bf16."""
        shape, architecture = self.shape, self.model.architecture
        hidden = KEPT_PER_HIDDEN.get(architecture, KEPT_PER_HIDDEN_GATED)
        hidden += KEPT_PER_TARGET[trainer] * len(self.model.lora_targets)
        inner = 0.0 if architecture in KEPT_PER_HIDDEN else KEPT_PER_INTERMEDIATE_GATED
        scores = KEPT_PER_CONTEXT.get(architecture, 0.0) * shape.heads * context
        found = hidden * shape.hidden_size + inner * shape.intermediate_size + scores
        return found * self.width / BYTES["bf16"]

    def decoding(self, rows: int) -> float:
        """The key-value cache of `rows` rows, and one layer's pass over their prompts."""
        shape = self.shape
        per_token = 2 * shape.layers * shape.kv_heads * head_size(shape) * self.width
        prompt = self.project.config.generation.max_prompt_tokens
        units = PASSING_HIDDEN * shape.hidden_size + PASSING_INTERMEDIATE * shape.intermediate_size
        passing = float(units * self.width)
        passing += PASSING_SCORES.get(self.model.architecture, 0.0) * shape.heads * prompt
        return rows * (self.longest * per_token + prompt * passing)

    def _trained(self, settings: Any) -> float:
        return TRAINED * lora_parameters(self.name, self.model, settings.lora_rank)

    def _rows(self, settings: Any) -> int:
        own = settings.batch_size // self.model.gpus
        return min(settings.micro_batch_size or own, own)

    def _sft(self, method: str) -> float:
        settings = self.project.sft(self.name, method)
        kept = self.kept(self._rows(settings), settings.gradient_checkpointing)
        if settings.tuning == "full":
            return TRAINED * parameters(self.name, self.model) + kept
        return self.weights + self._trained(settings) + kept

    def _reward(self, name: str) -> float:
        """A pair is two rows. While it is loaded, the decoder is there twice."""
        settings = self.project.reward(self.name, name)
        kept = self.kept(2 * self._rows(settings), settings.gradient_checkpointing)
        return self.weights + max(self.weights, self._trained(settings) + kept)

    def _policy(self, method: str) -> float:
        """Policy and value are trained (in the critic-free algorithms the policy alone)."""
        settings = self.project.rl(self.name, method)
        adapter = lora_parameters(self.name, self.model, settings.lora_rank)
        roles = 2 if isinstance(settings, PpoSettings) else 1
        frozen = len(self.project.methods[method].reward_models) * BYTES["fp32"]
        group = isinstance(settings, GroupSettings)
        kind = "trainer" if group else "ppo"
        kept = self.kept(self._rows(settings), settings.gradient_checkpointing, kind)
        rows = settings.batch_size // self.model.gpus
        rollout = self.decoding(min(getattr(settings, "rollout_batch_size", None) or rows, rows))
        return self.weights + adapter * (TRAINED * roles + frozen) + max(kept, rollout)

    def disk(self, job: Planned) -> float:
        """Bytes that a job leaves, with a training one's checkpoint, which goes when it is done."""
        if job.rule in ("fetch_model", "base_model"):
            return self.weights
        if job.rule in ("sft", "reward_model", "policy"):
            return self._disk_of_training(job)
        sizes = Sizes(self.project)
        if job.rule.startswith("predict"):
            return sizes.predicted(job.name, job.unit).count * PREDICTION
        return sizes.sampled(job.name, job.unit).count * PREDICTION

    def _disk_of_training(self, job: Planned) -> float:
        kind = {"sft": self.project.sft, "reward_model": self.project.reward}
        settings: Any = kind.get(job.rule, self.project.rl)(self.name, job.name)
        if getattr(settings, "tuning", "lora") == "full":
            return (BYTES["fp32"] + CHECKPOINT) * parameters(self.name, self.model)
        adapter = lora_parameters(self.name, self.model, settings.lora_rank)
        return (BYTES["fp32"] + CHECKPOINT) * adapter
