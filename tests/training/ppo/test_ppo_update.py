"""Gradients of the update against finite differences of losses written as loops."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ppo_tiny import ARCHITECTURES, VOCAB, one_base, prompts, sampler, settings

from rllr.errors import RllrError
from rllr.training.ppo.experience import Experience
from rllr.training.ppo.randomness import generator_for
from rllr.training.ppo.roles import POLICY, VALUE, OneBase
from rllr.training.ppo.rollout import sample
from rllr.training.ppo.update import Updater


def _experience(roles: OneBase) -> Experience:
    """Six responses, with old log-probabilities and values off the present ones by up to 0.5."""
    roles.activate(POLICY)
    how = sampler(eos_ids=tuple(range(2, VOCAB, 7)))
    rollout = sample(roles, [row.ids for row in prompts(6)], how, generator_for(4), "test")
    noise = torch.Generator().manual_seed(5)
    shape, mask = rollout.logprobs.shape, rollout.batch.mask

    def off(scale: float) -> torch.Tensor:
        return scale * torch.randn(shape, generator=noise) * mask

    values = roles.values(rollout.batch)
    return Experience(rollout.batch, rollout.logprobs + off(0.3), values + off(0.3), off(1), off(1))


def _rows(experience: Experience) -> list[tuple[int, torch.Tensor, int]]:
    """(row, its ids without padding, tokens of its response)."""
    batch = experience.batch
    return [
        (row, batch.ids[row][batch.attention[row].bool()][None], int(batch.lengths[row]))
        for row in range(len(batch))
    ]


@torch.no_grad()
def _policy_loss(roles: OneBase, experience: Experience) -> float:
    total, count = 0.0, 0
    roles.activate(POLICY)
    for row, ids, length in _rows(experience):
        logprobs = roles.model(input_ids=ids).logits[0].log_softmax(-1)
        for t in range(length):
            place = ids.shape[1] - length + t
            new = float(logprobs[place - 1, ids[0, place]])
            ratio = torch.tensor(new - float(experience.logprobs[row, t])).exp().item()
            advantage = float(experience.advantages[row, t])
            clipped = min(max(ratio, 0.8), 1.2)
            total, count = total - min(ratio * advantage, clipped * advantage), count + 1
    return total / count


@torch.no_grad()
def _value_loss(roles: OneBase, experience: Experience) -> float:
    total, count = 0.0, 0
    roles.activate(VALUE)
    for row, ids, length in _rows(experience):
        values = roles.heads[VALUE](roles.decoder(input_ids=ids).last_hidden_state[0])[:, 0]
        for t in range(length):
            value = float(values[ids.shape[1] - length + t - 1])
            old, target = float(experience.values[row, t]), float(experience.returns[row, t])
            near = min(max(value, old - 0.2), old + 0.2)
            total += 0.1 * 0.5 * max((value - target) ** 2, (near - target) ** 2)
            count += 1
    return total / count


@torch.no_grad()
def _slope(
    loss: Callable[[OneBase, Experience], float], roles: OneBase, role: str, data: Experience
) -> tuple[float, float]:
    """(norm of the gradient, slope of `loss` along it by central difference)."""
    parameters = roles.parameters(role)
    gradient = [p.grad.clone() for p in parameters if p.grad is not None]
    norm = torch.cat([g.flatten() for g in gradient]).norm().item()
    step, losses = 5e-4, []
    for sign in (1, -2):
        for parameter, g in zip(parameters, gradient, strict=True):
            parameter.add_(g, alpha=sign * step / norm)
        losses.append(loss(roles, data))
    return norm, (losses[0] - losses[1]) / (2 * step)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_gradients_equal_finite_differences(arch: str, tmp_path: Path) -> None:
    roles = one_base(arch, tmp_path)
    data, updater = _experience(roles), Updater(roles, settings(arch))
    stats = updater.policy_gradient(data, "test")
    assert 0.1 < stats["clip_fraction"] < 0.9
    assert stats["policy_loss"] == pytest.approx(_policy_loss(roles, data), abs=1e-5)
    norm, slope = _slope(_policy_loss, roles, POLICY, data)
    assert slope == pytest.approx(norm, rel=0.02)
    stats = updater.value_gradient(data, "test")
    assert 0.1 * stats["value_loss"] == pytest.approx(_value_loss(roles, data), abs=1e-5)
    norm, slope = _slope(_value_loss, roles, VALUE, data)
    assert slope == pytest.approx(norm, rel=0.02)


def test_gradients_do_not_depend_on_the_micro_batch(tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    data, found = _experience(roles), []
    for size in (1, 4, 6):
        updater = Updater(roles, settings("llama", micro_batch_size=size))
        updater.policy_gradient(data, "test")
        updater.value_gradient(data, "test")
        both = roles.parameters(POLICY) + roles.parameters(VALUE)
        found.append(torch.cat([p.grad.flatten() for p in both if p.grad is not None]))
    assert torch.allclose(found[0], found[1], atol=1e-6)
    assert torch.allclose(found[0], found[2], atol=1e-6)


def test_logits_made_piece_by_piece_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles, found = one_base("llama", tmp_path), []
    data, updater = _experience(roles), Updater(roles, settings("llama"))
    for tokens in (1000, 3):
        monkeypatch.setattr("rllr.training.ppo.roles.LOGIT_ELEMENTS", tokens * VOCAB + 1)
        assert len(roles.pieces(10)) == (1 if tokens == 1000 else 4)
        stats = updater.policy_gradient(data, "test")
        gradient = torch.cat([p.grad.flatten() for p in roles.parameters(POLICY)])
        found.append((stats, gradient, roles.reference_logprobs(data.batch)))
    (stats, whole, logprobs), (stats_again, pieces, logprobs_again) = found
    assert stats_again == pytest.approx(stats, rel=1e-5)
    assert torch.allclose(whole, pieces, rtol=1e-4, atol=1e-7)
    assert torch.allclose(logprobs, logprobs_again, atol=1e-6)


def _weights(roles: OneBase) -> torch.Tensor:
    both = roles.parameters(POLICY) + roles.parameters(VALUE)
    return torch.cat([parameter.detach().flatten().clone() for parameter in both])


def test_a_batch_above_the_ratio_guard_changes_nothing(tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    data = _experience(roles)
    updater = Updater(roles, settings("llama", learning_rate=0.1))
    updater.step(data, "test")  # from here on Adam has momentum
    before = _weights(roles)
    far = replace(data, logprobs=data.logprobs - 200.0 * data.batch.mask)
    stats = updater.step(far, "test")
    assert stats["skipped"] == 1 and 10 < stats["ratio"] < float("inf")
    assert torch.equal(_weights(roles), before)
    assert updater.step(data, "test")["skipped"] == 0
    assert not torch.equal(_weights(roles), before)


def test_mini_batches_and_epochs_take_each_response_once_per_epoch(tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    updater = Updater(roles, settings("llama", mini_batch_size=2, ppo_epochs=3))
    taken: list[Any] = []
    real = updater.step
    updater.step = lambda mini, where: (taken.append(mini), real(mini, where))[1]  # type: ignore
    data = _experience(roles)
    updater.update(data, generator_for(0), "test")
    assert [len(mini.batch) for mini in taken] == [2] * 9
    for epoch in range(3):
        rows = torch.cat([mini.advantages for mini in taken[3 * epoch : 3 * epoch + 3]])
        assert sorted(rows.sum(1).tolist()) == sorted(data.advantages.sum(1).tolist())


def test_the_gradient_norm_is_limited_per_role(tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    data = _experience(roles)
    data = replace(data, advantages=1e3 * data.advantages, returns=1e3 * data.returns)
    updater = Updater(roles, settings("llama", max_grad_norm=0.5))
    stats = updater.step(data, "test")
    assert stats["policy_grad_norm"] > 1 and stats["value_grad_norm"] > 1
    for role in (POLICY, VALUE):
        grads = [p.grad.flatten() for p in roles.parameters(role) if p.grad is not None]
        assert torch.cat(grads).norm().item() == pytest.approx(0.5, rel=1e-3)


def test_the_schedule_scales_both_rates(tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    updater = Updater(roles, settings("llama", learning_rate=0.4, value_learning_rate=0.8))
    assert updater.schedule(5, 10) == pytest.approx(0.2)
    rates = [updater.optimizers[role].param_groups[0]["lr"] for role in (POLICY, VALUE)]
    assert rates == pytest.approx([0.2, 0.4])


@pytest.mark.parametrize("quantity", ["returns", "advantages"])
def test_a_quantity_that_is_not_finite_is_named_with_its_step(
    quantity: str, tmp_path: Path
) -> None:
    roles = one_base("llama", tmp_path)
    data = _experience(roles)
    broken = replace(data, **{quantity: data.returns * float("nan")})
    updater, before = Updater(roles, settings("llama")), _weights(roles)
    name = "value loss" if quantity == "returns" else "gradient of the policy"
    with pytest.raises(RllrError, match=f"step 7: {name} is NaN or infinite"):
        updater.step(broken, "step 7")
    assert torch.isfinite(before).all() and torch.isfinite(_weights(roles)).all()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_checkpointing_changes_no_gradient(arch: str, tmp_path: Path) -> None:
    """Nor does dropout come back with it, although layers recompute in training mode only."""
    found = []
    for checkpointed in (False, True):
        roles = one_base(arch, tmp_path / str(checkpointed))
        experience, updater = _experience(roles), Updater(roles, settings(arch))
        if checkpointed:
            roles.use_checkpointing()
        passes = _count_layer_passes(roles)
        updater.policy_gradient(experience, "test")
        policy = [p.grad.clone() for p in roles.parameters(POLICY)]
        updater.value_gradient(experience, "test")
        value = [p.grad.clone() for p in roles.parameters(VALUE)]
        found.append((policy, value, passes["first"]))
    (policy, value, plain), (policy_again, value_again, recomputed) = found
    assert recomputed == 2 * plain
    for one, other in zip(policy + value, policy_again + value_again, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)


def _count_layer_passes(roles: OneBase) -> dict[str, int]:
    """Counts calls of the first layer's attention projection from now on."""
    counts = {"first": 0}
    names = ("q_proj", "query_key_value")
    first = next(m for n, m in roles.model.named_modules() if n.endswith(names))

    def count(*_: Any) -> None:
        counts["first"] += 1

    first.register_forward_hook(count)
    return counts
