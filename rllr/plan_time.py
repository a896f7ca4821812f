"""Estimated GPU hours of a job: multiplications over a reached rate, and decoding by memory.

N parameters, T tokens, L layers, H hidden size, C mean context (half a row):

    pass          F = (2 N + 4 L H C) T operations: each weight is multiplied and added once per
                  token; scores and their weighted sum are 2 H C each per layer (Kaplan et al. 2020,
                  section 2.1)
    LoRA step     2 F: forward, and backward to the inputs alone; frozen weights have no gradient,
                  and those of the adapters are below 1 % (4 N T instead of 6 N T)
    full step     3 F: also the gradient of each weight
    checkpointing one F more: layers are computed again
    PPO           per response token: 2 F each for policy and value per PPO epoch, one F each for
                  reference, value and every reward model, one for the rollout's prompt
    decoding      steps x max(1 ms x L, (weights + cache) / memory rate)

Input embeddings, which are looked up, are counted in N: up to 7 % of a 7B model with a vocabulary
of 125,000 words. Held-out losses, rewards, pairs and samples are counted; the gain of more
GPUs is taken as whole.
"""

from __future__ import annotations

import math

from rllr.config.load import Project
from rllr.config.schema import PpoSettings
from rllr.plan_assumptions import (
    BYTES,
    BYTES_PER_SECOND,
    LONGEST_OF_A_BATCH,
    PEAK_FLOPS,
    READING_SHARE,
    SECONDS_PER_JOB,
    SECONDS_PER_LAYER_STEP,
    TRAINING_SHARE,
)
from rllr.plan_jobs import Planned
from rllr.plan_memory import decoded_at_once
from rllr.plan_sizes import Rows, Sizes, head_size, parameters, shape_of


class Time:
    """GPU hours of one model's jobs, summed over a job's GPUs."""

    def __init__(self, project: Project, model: str) -> None:
        self.project = project
        self.name = model
        self.model = project.models[model]
        self.shape = shape_of(model, self.model)
        self.parameters = parameters(model, self.model)
        self.sizes = Sizes(project)

    def hours(self, job: Planned) -> float:
        """Of a job that computes on GPUs."""
        seconds = {
            "sft": self._sft,
            "reward_model": self._reward,
            "policy": self._policy,
            "sample": self._sample,
            "predict": self._predict,
            "predict_untrained": self._predict,
        }
        return (seconds[job.rule](job) + SECONDS_PER_JOB * self._gpus(job)) / 3600

    def _gpus(self, job: Planned) -> int:
        return self.model.gpus if job.rule in ("sft", "reward_model", "policy") else 1

    def passing(self, rows: Rows) -> float:
        """Operations of one forward pass over rows, F."""
        context = (rows.prompt + rows.response) / 2
        attention = 4 * self.shape.layers * self.shape.hidden_size * context
        return (2 * self.parameters + attention) * rows.tokens

    def _compute(self, operations: float) -> float:
        return operations / (PEAK_FLOPS * TRAINING_SHARE)

    def decoding(self, rows: Rows, batch: int) -> float:
        """Seconds to sample or decode one response for each row, `batch` rows at a time."""
        limit = self.project.config.generation.max_new_tokens
        steps = min(LONGEST_OF_A_BATCH * rows.response, limit)
        width, shape = BYTES[self.model.precision], self.shape
        cached = 2 * shape.layers * shape.kv_heads * head_size(shape) * (rows.prompt + steps)
        read = (self.parameters + batch * cached) * width / (BYTES_PER_SECOND * READING_SHARE)
        step = max(SECONDS_PER_LAYER_STEP * shape.layers, read)
        prompts = Rows(rows.count, rows.prompt, 0)
        return math.ceil(rows.count / batch) * steps * step + self._compute(self.passing(prompts))

    def _sft(self, job: Planned) -> float:
        settings = self.project.sft(self.name, job.name)
        rows = self.sizes.sft(job.name, job.unit)
        held = self.sizes.split("validation", self.project.unit_tasks(job.unit))
        passes = 3 if settings.tuning == "full" else 2
        passes += settings.gradient_checkpointing
        trained = passes * settings.epochs * self.passing(rows)
        # The held-out loss is measured twice.
        return self._compute(trained + 2 * held / rows.count * self.passing(rows))

    def _reward(self, job: Planned) -> float:
        settings = self.project.reward(self.name, job.name)
        start = self.project.config.reward_models[job.name].start
        pairs = self.sizes.pairs(job.name, job.unit)
        rows = Rows(2 * pairs, self.sizes.prompt, self.sizes.response(start))
        passes = 2 + settings.gradient_checkpointing
        held = 2 * self.sizes.split("validation", self.project.unit_tasks(job.unit))
        measured = 2 * held / rows.count  # both kinds of pairs
        trained = (passes * settings.epochs + measured) * self.passing(rows)
        return self._compute(trained + self.passing(self.sizes.held_out_samples(start, job.unit)))

    def _policy(self, job: Planned) -> float:
        settings = self.project.rl(self.name, job.name)
        ppo = isinstance(settings, PpoSettings)
        steps = self.sizes.steps(self.name, job.name, job.unit)
        prompt, response = self.sizes.prompt, self.sizes.response(job.name)
        rows = Rows(steps * settings.batch_size, prompt, response)
        rewards = len(self.project.methods[job.name].reward_models)
        trained = (2 + settings.gradient_checkpointing) * (2 if ppo else 1)
        trained *= getattr(settings, "ppo_epochs", 1)
        passes = trained + rewards + (2 if ppo else 1)
        measured = Rows(2 * settings.evaluation_prompts, prompt, response)
        seconds = self._compute(passes * self.passing(rows) + rewards * self.passing(measured))
        own = settings.batch_size // self.model.gpus
        own = min(getattr(settings, "rollout_batch_size", None) or own, own)
        seconds += self.decoding(rows, own) + self.decoding(measured, settings.batch_size)
        return seconds

    def _sample(self, job: Planned) -> float:
        rows = self.sizes.sampled(job.name, job.unit)
        return self.decoding(rows, decoded_at_once(self.project, job.rule))

    def _predict(self, job: Planned) -> float:
        rows = self.sizes.predicted(job.name, job.unit)
        return self.decoding(rows, decoded_at_once(self.project, job.rule))
