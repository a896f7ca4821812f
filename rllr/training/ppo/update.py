"""The PPO update: policy, then value, one adapter at a time.

Every loss is a mean over the tokens of its mini-batch, whatever the micro-batch size: a micro-batch
contributes its sum divided by the mini-batch's token count.

Deviations from TRL 0.7.2: policy and value have each an AdamW and a gradient-norm limit of their
own (there, one of each over both, where the value loss takes part in the policy's clipping); a
mini-batch above the ratio guard takes no optimiser step at all (there, a step on a zero loss, which
moves weights by Adam's momentum); accumulated micro-batches weigh by tokens, not equally.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from rllr.training.ppo.core import (
    cosine_factor,
    entropy,
    policy_losses,
    token_logprobs,
    value_losses,
)
from rllr.training.ppo.experience import Experience, Metrics
from rllr.training.ppo.finite import require_finite
from rllr.training.ppo.roles import POLICY, VALUE, OneBase
from rllr.training.ppo.settings import PPOSettings
from rllr.training.world import ALONE, World

# e^20: one such token already puts the mean ratio above the guard, and metrics stay finite.
LOG_RATIO_LIMIT = 20.0
POLICY_SUMS = ("policy_loss", "ratio", "clip_fraction", "approximate_kl", "entropy")
VALUE_SUMS = ("value_loss", "value_clip_fraction")


class Updater:
    """Both optimisers, and the passes over a batch of experience."""

    def __init__(self, one_base: OneBase, settings: PPOSettings, world: World = ALONE) -> None:
        self.one_base = one_base
        self.settings = settings
        self.world = world
        self.rates = {POLICY: settings.learning_rate, VALUE: settings.value_rate}
        self.optimizers = {
            role: AdamW(one_base.parameters(role), lr=rate) for role, rate in self.rates.items()
        }

    def schedule(self, step: int, total: int) -> float:
        """Set the learning rates of 0-based step `step` of `total`; return the policy's."""
        for role, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.rates[role] * cosine_factor(step, total)
        return self.rates[POLICY] * cosine_factor(step, total)

    def update(self, experience: Experience, generator: torch.Generator, where: str) -> Metrics:
        """All PPO epochs over one batch; the means of the mini-batches' metrics."""
        history: dict[str, list[float]] = defaultdict(list)
        for mini in self._mini_batches(experience, generator):
            for name, value in self.step(mini, where).items():
                history[name].append(value)
        return {name: sum(values) / len(values) for name, values in history.items()}

    def step(self, mini: Experience, where: str) -> Metrics:
        """One optimiser step of policy and value on a mini-batch, unless the ratio guard trips."""
        policy = self.policy_gradient(mini, where)
        if policy["ratio"] > self.settings.ratio_guard:
            return {**policy, "skipped": 1.0}
        policy["policy_grad_norm"] = self._descend(POLICY, where)
        value = self.value_gradient(mini, where)
        value["value_grad_norm"] = self._descend(VALUE, where)
        return {**policy, **value, "skipped": 0.0}

    def policy_gradient(self, mini: Experience, where: str) -> Metrics:
        """Leave the clipped policy loss's gradient in the policy's parameters.

        Logits are made, and their gradient taken back to the hidden states, a few tokens at a time;
        one backward pass through the decoder follows. Nothing is computed twice.
        """
        self.optimizers[POLICY].zero_grad()
        tokens, sums = self.world.sum(mini.batch.mask.sum()), _Sums(POLICY_SUMS)
        for micro in self._micro_batches(mini):
            states = self.one_base.policy_states(micro.batch)
            gradient = torch.empty_like(states)
            for piece in self.one_base.pieces(len(states)):
                leaf = states[piece].detach().requires_grad_()
                loss = self._policy_loss(leaf, micro, piece, sums, where)
                (gradient[piece],) = torch.autograd.grad(loss / tokens, leaf)
            self.one_base.backward(POLICY, states, gradient)
        self._add_gradients(POLICY)
        return sums.over(tokens, self.world)

    def _policy_loss(
        self, states: Tensor, micro: Experience, piece: slice, sums: _Sums, where: str
    ) -> Tensor:
        """The loss summed over a piece of a micro-batch's tokens, whose states (n, H) are given."""
        mask, clip = micro.batch.mask, self.settings.clip_ratio
        logits = self.one_base.logits(states)
        logprobs = token_logprobs(logits, micro.batch.tokens[piece])
        require_finite(logprobs, "log-probability", where, micro.batch)
        change = logprobs - micro.logprobs[mask][piece]
        ratio = change.clamp(max=LOG_RATIO_LIMIT).exp()
        losses = policy_losses(ratio, micro.advantages[mask][piece], clip)
        with torch.no_grad():
            outside = (ratio - 1).abs() > clip
            sums.add(policy_loss=losses, ratio=ratio, clip_fraction=outside)
            sums.add(approximate_kl=0.5 * change.square(), entropy=entropy(logits))
        return losses.sum()

    def value_gradient(self, mini: Experience, where: str) -> Metrics:
        """Leave the weighted value loss's gradient in the value model's parameters."""
        self.optimizers[VALUE].zero_grad()
        tokens, sums = self.world.sum(mini.batch.mask.sum()), _Sums(VALUE_SUMS)
        clip = self.settings.clip_value
        for micro in self._micro_batches(mini):
            mask = micro.batch.mask
            values, old = self.one_base.token_values(micro.batch), micro.values[mask]
            losses = value_losses(values, old, micro.returns[mask], clip)
            require_finite(losses, "value loss", where, micro.batch)
            self.one_base.backward(VALUE, self.settings.value_weight * losses.sum() / tokens)
            outside = (values.detach() - old).abs() > clip
            sums.add(value_loss=losses.detach(), value_clip_fraction=outside)
        self._add_gradients(VALUE)
        return sums.over(tokens, self.world)

    def _add_gradients(self, role: str) -> None:
        """Sum the role's gradients over processes; one that had no row contributes zeros."""
        if self.world.size > 1:
            for parameter in self.one_base.parameters(role):
                own = parameter.grad
                own = torch.zeros_like(parameter) if own is None else own
                parameter.grad = self.world.sum(own)

    def _descend(self, role: str, where: str) -> float:
        parameters = self.one_base.parameters(role)
        norm = clip_grad_norm_(parameters, self.settings.max_grad_norm)
        require_finite(norm, f"gradient of the {role}", where)
        self.optimizers[role].step()
        return float(norm)

    def _mini_batches(
        self, experience: Experience, generator: torch.Generator
    ) -> Iterator[Experience]:
        for _ in range(self.settings.ppo_epochs):
            order = torch.randperm(self.settings.batch_size, generator=generator)
            for index in order.split(self.settings.mini_size):
                yield experience.rows(self._own(index))

    def _own(self, index: Tensor) -> Tensor:
        """Of rows of the whole batch, those of this process, counted from its first."""
        mine = self.world.rows(self.settings.batch_size)
        return index[(index >= mine.start) & (index < mine.stop)] - mine.start

    def _micro_batches(self, mini: Experience) -> Iterator[Experience]:
        return mini.split(len(mini.batch), self.settings.micro_batch_size)


class _Sums:
    """Sums over tokens, by name, to be divided by the token count of a mini-batch."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.totals = dict.fromkeys(names, 0.0)

    def add(self, **values: Tensor) -> None:
        for name, tensor in values.items():
            self.totals[name] += tensor.detach().sum().item()

    def over(self, count: Tensor, world: World) -> Metrics:
        totals = torch.tensor(list(self.totals.values()), dtype=torch.float64, device=count.device)
        means = world.sum(totals) / count
        return dict(zip(self.totals, means.tolist(), strict=True))
