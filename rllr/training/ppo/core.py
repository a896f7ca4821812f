"""The arithmetic of PPO, as pure functions on tensors, and the two controllers with state.

Shapes: B responses, T response positions, N response tokens in all (a mask of shape (B, T) tells
which positions hold a token), V words. Log-probabilities are natural logarithms.

Sources: Schulman et al. 2017 (PPO, arXiv 1707.06347), Schulman et al. 2016 (GAE, arXiv
1506.02438), Ziegler et al. 2019 (KL in the reward, adaptive coefficient, arXiv 1909.08593), in the
form that TRL 0.7.2 gave them.

Deviations from TRL 0.7.2: the running moments are kept in double precision, and unbiased variances
divide by max(n - 1, 1), so that equal rewards give a score of 0 and a single token gives no NaN
(TRL: rounding noise divided by 1e-7, and an exception). Explained variance ignores a constant
offset, as its name says (TRL: one minus the mean squared error over the variance).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

WHITEN_EPSILON = 1e-8
SCALE_EPSILON = torch.finfo(torch.float32).eps

# Where a batch is spread over processes, this sums a number over them; alone, it is the identity.
Total = Callable[[Tensor], Tensor]


def alone(value: Tensor) -> Tensor:
    """The sum over one process."""
    return value


def masked_mean(values: Tensor, mask: Tensor, total: Total = alone) -> Tensor:
    """Mean of `values` where `mask` is true; both of the same shape, at least one true."""
    return total((values * mask).sum()) / total(mask.sum())


def masked_variance(values: Tensor, mask: Tensor, total: Total = alone) -> Tensor:
    """Unbiased variance of `values` where `mask` is true; 0 for a single value."""
    centred = (values - masked_mean(values, mask, total)) * mask
    return total(centred.square().sum()) / (total(mask.sum()) - 1).clamp(min=1)


def masked_whiten(values: Tensor, mask: Tensor, total: Total = alone) -> Tensor:
    """(values - mean) / sqrt(variance + 1e-8) over the true positions; 0 at the others."""
    scale = torch.rsqrt(masked_variance(values, mask, total) + WHITEN_EPSILON)
    return (values - masked_mean(values, mask, total)) * scale * mask


def token_logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log softmax(logits)[token]: logits (..., V), tokens (...) -> (...), in float32."""
    logits = logits.float()
    chosen = logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return chosen - logits.logsumexp(-1)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of p = softmax(z) in nats, logsumexp(z) - sum_v p_v z_v: (..., V) -> (...)."""
    logits = logits.float()
    return logits.logsumexp(-1) - (logits.softmax(-1) * logits).sum(-1)


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """Per-token reward, r_t = -kl_coef * kl_t + [t is the last token] * score.

    `scores` (B); `kl` (B, T), the log-ratio logp_t - ref_t of the sampled token (an unbiased
    estimate of the KL divergence, not its absolute value) -> (B, T), 0 outside the mask. Every row
    has at least one token, and its tokens are its first ones. Source: Ziegler et al. 2019, sec. 2.
    """
    rewards = -kl_coef * kl * mask
    last = mask.sum(1, keepdim=True) - 1
    return rewards.scatter_add(1, last, scores.unsqueeze(1).to(rewards.dtype))


def advantages_and_returns(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation; all (B, T), results 0 outside the mask.

    delta_t = r_t + gamma V_{t+1} - V_t, A_t = delta_t + gamma lam A_{t+1}, return_t = A_t + V_t.
    V_t is the value before token t. After the last token the value is 0, also when the response was
    cut at the length limit (no bootstrapping, as in TRL). Source: Schulman et al. 2016, eq. 16.
    """
    rewards, values = rewards * mask, values * mask
    advantages = torch.zeros_like(values)
    running = next_value = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        running = delta + gamma * lam * running
        advantages[:, t] = running
        next_value = values[:, t]
    return advantages * mask, (advantages + values) * mask


def policy_losses(ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Clipped surrogate per token, max(-A rho, -A clamp(rho, 1 - clip, 1 + clip)); any one shape.

    Source: Schulman et al. 2017, eq. 7, with the sign turned into a loss.
    """
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip))


def value_losses(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Clipped squared error per token, 1/2 max((V - R)^2, (clamp(V, V_old -+ clip) - R)^2).

    Any one shape. Source: the value clipping of OpenAI's baselines, as in TRL.
    """
    clipped = torch.clamp(values, old_values - clip, old_values + clip)
    return 0.5 * torch.maximum((values - returns).square(), (clipped - returns).square())


def explained_variance(
    values: Tensor, returns: Tensor, mask: Tensor, total: Total = alone
) -> float:
    """1 - Var(R - V) / Var(R) over the mask's true positions; 0 where the returns do not vary."""
    whole = masked_variance(returns, mask, total).item()
    left = masked_variance(returns - values, mask, total).item()
    return 1 - left / whole if whole > 0 else 0.0


def cosine_factor(step: int, total: int) -> float:
    """Factor on the learning rate at step 0 <= step < total: (1 + cos(pi step / total)) / 2."""
    return 0.5 * (1 + math.cos(math.pi * step / total))


@dataclass
class AdaptiveKL:
    """The KL coefficient, steered so that a response's KL nears `target` (in nats).

    beta <- beta * (1 + clip(KL / target - 1, -0.2, 0.2) * responses / horizon).
    Source: Ziegler et al. 2019, section 2.2; the published run starts at 0.2 with target 6, horizon
    10000. A fixed coefficient is the case `adaptive=False`.
    """

    coefficient: float
    target: float
    horizon: float
    adaptive: bool = True

    def update(self, kl: float, responses: int) -> None:
        """Take in the mean KL per response of `responses` new responses."""
        if self.adaptive:
            error = min(max(kl / self.target - 1, -0.2), 0.2)
            self.coefficient *= 1 + error * responses / self.horizon


@dataclass
class RunningMoments:
    """Mean and variance of every reward seen so far, merged batch by batch.

    Source: Chan et al. 1979, as in TRL's RunningMoments. The moments are those of the whole run and
    include the batch being normalised.
    """

    count: int = 0
    mean: float = 0.0
    variance: float = 1.0

    def update(self, rewards: Tensor) -> None:
        """Take in a batch of rewards of shape (B)."""
        batch = rewards.double()
        new, old = batch.numel(), self.count
        delta = batch.mean().item() - self.mean
        squares = batch.var(unbiased=False).item() * new + self.variance * old
        squares += delta**2 * old * new / (old + new)
        self.count = old + new
        self.mean += delta * new / self.count
        self.variance = squares / self.count

    @property
    def scale(self) -> float:
        """Unbiased standard deviation + float32 epsilon."""
        unbiased = self.variance * self.count / max(self.count - 1, 1)
        return math.sqrt(unbiased) + SCALE_EPSILON

    def normalise(self, rewards: Tensor) -> Tensor:
        """(reward - mean) / scale: (B) -> (B) float32."""
        return ((rewards.double() - self.mean) / self.scale).float()
