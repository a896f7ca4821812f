import math

import pytest
import torch

from rllr.training.ppo import core

MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)


def _random(seed: int, shape: tuple[int, ...] = (3, 4)) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_masked_statistics_equal_those_of_the_chosen_values() -> None:
    values = _random(0)
    chosen = values[MASK]
    assert torch.allclose(core.masked_mean(values, MASK), chosen.mean())
    assert torch.allclose(core.masked_variance(values, MASK), chosen.var())
    whitened = core.masked_whiten(values, MASK)
    assert torch.allclose(whitened[MASK], (chosen - chosen.mean()) / chosen.std(), atol=1e-5)
    assert (whitened[~MASK] == 0).all()


@pytest.mark.parametrize("values", [torch.full((3, 4), 5.3), torch.tensor([[5.3]])])
def test_whitening_values_that_do_not_vary_gives_zero(values: torch.Tensor) -> None:
    whitened = core.masked_whiten(values, torch.ones_like(values, dtype=torch.bool))
    assert whitened.abs().max() < 0.01


def test_logprobs_and_entropy_equal_those_of_the_categorical_distribution() -> None:
    logits, tokens = _random(1, (2, 3, 7)) * 4, torch.tensor([[0, 6, 2], [3, 3, 1]])
    distribution = torch.distributions.Categorical(logits=logits)
    assert torch.allclose(core.token_logprobs(logits, tokens), distribution.log_prob(tokens))
    assert torch.allclose(core.entropy(logits), distribution.entropy(), atol=1e-6)
    assert torch.allclose(core.entropy(torch.zeros(5)), torch.tensor(math.log(5)))


def test_token_rewards_are_kl_everywhere_and_the_score_at_the_last_token() -> None:
    scores, kl = _random(2, (3,)), _random(3)
    rewards = core.token_rewards(scores, kl, MASK, 0.3)
    for row in range(3):
        length = int(MASK[row].sum())
        for t in range(4):
            expected = -0.3 * kl[row, t] + (scores[row] if t == length - 1 else 0.0)
            assert rewards[row, t].item() == pytest.approx(float(expected) if t < length else 0.0)


def test_gae_equals_the_double_sum_of_its_definition() -> None:
    rewards, values, gamma, lam = _random(4), _random(5), 0.9, 0.7
    advantages, returns = core.advantages_and_returns(rewards, values, MASK, gamma, lam)
    for row in range(3):
        length = int(MASK[row].sum())
        value = [*values[row, :length].tolist(), 0.0]
        delta = [float(rewards[row, t]) + gamma * value[t + 1] - value[t] for t in range(length)]
        for t in range(length):
            expected = sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, length))
            assert advantages[row, t].item() == pytest.approx(expected, abs=1e-5)
            assert returns[row, t].item() == pytest.approx(expected + value[t], abs=1e-5)
    assert (advantages[~MASK] == 0).all() and (returns[~MASK] == 0).all()


def test_gae_limits_are_monte_carlo_and_one_step() -> None:
    rewards, values = _random(6, (1, 3)), _random(7, (1, 3))
    mask = torch.ones(1, 3, dtype=torch.bool)
    full, returns = core.advantages_and_returns(rewards, values, mask, 1.0, 1.0)
    future = rewards.flip(1).cumsum(1).flip(1)
    assert torch.allclose(full, future - values, atol=1e-6)
    assert torch.allclose(returns, future, atol=1e-6)
    one_step, _ = core.advantages_and_returns(rewards, values, mask, 1.0, 0.0)
    following = torch.cat([values[:, 1:], torch.zeros(1, 1)], 1)
    assert torch.allclose(one_step, rewards + following - values, atol=1e-6)


def test_clipped_losses_equal_a_loop_over_tokens() -> None:
    ratio, advantages = _random(8, (40,)).exp(), _random(9, (40,))
    losses = core.policy_losses(ratio, advantages, 0.2)
    for rho, advantage, loss in zip(ratio.tolist(), advantages.tolist(), losses, strict=True):
        clipped = min(max(rho, 0.8), 1.2)
        assert loss.item() == pytest.approx(-min(rho * advantage, clipped * advantage), abs=1e-6)
    values, old, returns = _random(10, (40,)), _random(11, (40,)), _random(12, (40,))
    losses = core.value_losses(values, old, returns, 0.2)
    for v, o, r, loss in zip(*(x.tolist() for x in (values, old, returns, losses)), strict=True):
        near = min(max(v, o - 0.2), o + 0.2)
        assert loss == pytest.approx(max((v - r) ** 2, (near - r) ** 2) / 2, abs=1e-5)


def test_a_clipped_ratio_has_no_gradient_where_it_would_gain() -> None:
    ratio = torch.tensor([2.0, 2.0, 0.1, 0.1], requires_grad=True)
    core.policy_losses(ratio, torch.tensor([1.0, -1.0, 1.0, -1.0]), 0.2).sum().backward()
    assert ratio.grad is not None and ratio.grad.tolist() == [0.0, 1.0, -1.0, 0.0]


def test_explained_variance() -> None:
    returns = _random(13)
    assert core.explained_variance(returns, returns, MASK) == 1
    assert core.explained_variance(returns + 7, returns, MASK) == pytest.approx(1, abs=1e-5)
    assert core.explained_variance(torch.zeros(3, 4), returns, MASK) == pytest.approx(0, abs=1e-6)
    assert core.explained_variance(returns, torch.ones(3, 4), MASK) == 0


def test_cosine_factor_falls_from_one() -> None:
    factors = [core.cosine_factor(step, 4) for step in range(5)]
    assert factors == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0])


@pytest.mark.parametrize(
    ("kl", "factor"),
    [(6.0, 1.0), (6.6, 1 + 0.1 * 32 / 1e4), (1e9, 1 + 0.2 * 32 / 1e4), (-5.0, 1 - 0.2 * 32 / 1e4)],
)
def test_the_kl_controller_follows_its_formula(kl: float, factor: float) -> None:
    controller = core.AdaptiveKL(0.2, target=6.0, horizon=1e4)
    controller.update(kl, 32)
    assert controller.coefficient == pytest.approx(0.2 * factor)


def test_a_fixed_kl_coefficient_stays() -> None:
    controller = core.AdaptiveKL(0.2, 6.0, 1e4, adaptive=False)
    controller.update(100.0, 32)
    assert controller.coefficient == 0.2


def test_running_moments_equal_those_of_everything_seen() -> None:
    moments, seen = core.RunningMoments(), []
    for seed, size in enumerate((5, 1, 9)):
        seen.append(_random(20 + seed, (size,)) * 3 + 100)
        moments.update(seen[-1])
    rewards = torch.cat(seen).double()
    assert moments.mean == pytest.approx(rewards.mean().item())
    assert moments.variance == pytest.approx(rewards.var(unbiased=False).item())
    expected = (seen[-1].double() - rewards.mean()) / rewards.std()
    assert torch.allclose(moments.normalise(seen[-1]).double(), expected, atol=1e-5)


@pytest.mark.parametrize("rewards", [torch.full((7,), 4.7), torch.tensor([4.7])])
def test_equal_rewards_and_a_single_one_normalise_to_zero(rewards: torch.Tensor) -> None:
    moments = core.RunningMoments()
    for _ in range(3):
        moments.update(rewards)
        assert moments.normalise(rewards).abs().max() < 1e-3
