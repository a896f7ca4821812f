"""Advantages and returns of a whole step, rebuilt from definitions with loops."""

from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from ppo_tiny import VOCAB, decode, one_base, prompts, sampler, settings, share_of

from rllr.training.ppo.experience import Collector, Experience, Metrics
from rllr.training.ppo.randomness import generator_for
from rllr.training.ppo.rewards import Scorer
from rllr.training.ppo.roles import OneBase
from rllr.training.ppo.settings import RewardTerm


def _collect(roles: OneBase, folder: Path, **changes: Any) -> tuple[Experience, Metrics]:
    terms = [
        RewardTerm("rm", adapter_path=folder, cap=0.05),
        RewardTerm("share", function=share_of(7), weight=2.0),
    ]
    how = sampler(eos_ids=tuple(range(2, VOCAB, 7)))
    chosen = settings("llama", gamma=0.9, lam=0.8, **changes)
    scorer = Scorer(roles, terms, decode, how.eos_ids, 4)
    return Collector(scorer, how, chosen).collect(prompts(6), generator_for(4), "test")


def _scores(roles: OneBase, experience: Experience) -> list[float]:
    raw = roles.score("rm", experience.batch).tolist()
    texts = [decode(ids) for ids in experience.batch.responses(range(2, VOCAB, 7))]
    pairs = zip(raw, share_of(7)(texts, []), strict=True)
    return [min(label, 0.05) + 2 * share for label, share in pairs]


@pytest.mark.parametrize("normalise", [True, False])
def test_returns_equal_the_definitions(normalise: bool, tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    data, metrics = _collect(roles, tmp_path, normalise_rewards=normalise, whiten=False)
    scores = _scores(roles, data)
    assert metrics["reward"] == pytest.approx(mean(scores), abs=1e-5)
    if normalise:
        scores = [(score - mean(scores)) / stdev(scores) for score in scores]
    kl = (roles.policy_logprobs(data.batch) - roles.reference_logprobs(data.batch)).tolist()
    assert metrics["kl"] == pytest.approx(mean(map(sum, kl)), abs=1e-4)
    for row, length in enumerate(data.batch.lengths.tolist()):
        value, following = data.values[row].tolist(), [0.0, 0.0]  # next value, next advantage
        for t in reversed(range(length)):
            reward = -0.2 * kl[row][t] + (scores[row] if t == length - 1 else 0)
            delta = reward + 0.9 * following[0] - value[t]
            advantage = delta + 0.9 * 0.8 * following[1]
            assert data.advantages[row, t].item() == pytest.approx(advantage, abs=1e-4)
            assert data.returns[row, t].item() == pytest.approx(advantage + value[t], abs=1e-4)
            following = [value[t], advantage]


def test_whitening_touches_the_advantages_alone(tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    plain, _ = _collect(roles, tmp_path, whiten=False)
    whitened, _ = _collect(roles, tmp_path, whiten=True)
    mask = plain.batch.mask
    expected = (plain.advantages - plain.advantages[mask].mean()) / plain.advantages[mask].std()
    assert torch.allclose(whitened.advantages[mask], expected[mask], atol=1e-4)
    assert torch.equal(whitened.returns, plain.returns)
