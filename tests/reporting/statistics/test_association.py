from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from rllr.reporting.statistics.association import (
    Bools,
    Floats,
    Ints,
    aucs,
    contests,
    correlations,
    measure,
    prompt_weights,
    shares,
    within,
)


@pytest.fixture
def sampled() -> tuple[Ints, Floats, Bools]:
    """120 responses to 30 prompts, with ties; a right one tends to score higher."""
    random = np.random.default_rng(5)
    prompts = random.permutation(np.repeat(np.arange(30), 4))
    right = random.random(120) < 0.6
    rewards = np.round(random.normal(size=120) + 0.8 * right + 0.5 * (prompts % 3), 1)
    return prompts, rewards, right


def repeated(sampled: tuple[Ints, Floats, Bools], counts: Floats) -> tuple[Floats, Bools]:
    """The responses of a draw written out."""
    prompts, rewards, right = sampled
    times = counts[prompts].astype(int)
    return np.repeat(rewards, times), np.repeat(right, times)


def test_correlation_and_auc_are_scipys_in_every_draw(
    sampled: tuple[Ints, Floats, Bools],
) -> None:
    weights = prompt_weights(30, "mr", resamples=20)
    found = correlations(*sampled, weights), aucs(*contests(*sampled), weights)
    for r, auc, counts in zip(*found, weights, strict=True):
        rewards, right = repeated(sampled, counts)
        assert r == pytest.approx(stats.pointbiserialr(right, rewards)[0])
        u = stats.mannwhitneyu(rewards[right], rewards[~right])[0]
        assert auc == pytest.approx(u / (right.sum() * (~right).sum()))


def test_pairs_of_one_prompt_by_hand(sampled: tuple[Ints, Floats, Bools]) -> None:
    prompts, rewards, right = sampled
    wins, pairs = (of.diagonal() for of in contests(*sampled))
    for prompt in range(30):
        mine = np.flatnonzero(prompts == prompt)
        both = [(i, j) for i, j in itertools.product(mine, mine) if right[i] and not right[j]]
        won = [
            1.0 if rewards[i] > rewards[j] else 0.5 * (rewards[i] == rewards[j]) for i, j in both
        ]
        assert (wins[prompt], pairs[prompt]) == (sum(won), len(both))


def test_a_share_of_nothing_is_no_number() -> None:
    found = shares(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    assert found[0] == 0.5 and np.isnan(found[1])


def test_what_a_prompt_adds_to_all_its_responses_cancels_within_prompts(
    sampled: tuple[Ints, Floats, Bools],
) -> None:
    prompts, rewards, right = sampled
    shifted = rewards + 100.0 * prompts
    weights = prompt_weights(30, "mr", resamples=5)
    found, plain = (within(*contests(prompts, x, right), weights) for x in (shifted, rewards))
    assert np.array_equal(found, plain)


@pytest.mark.parametrize("all_right", [True, False])
def test_without_both_kinds_of_response_there_is_no_number(all_right: bool) -> None:
    prompts, rewards = np.array([0, 0, 1]), np.array([1.0, 2.0, 3.0])
    right = np.full(3, all_right)
    weights = prompt_weights(2, "mr", resamples=3)
    pairs = contests(prompts, rewards, right)
    assert np.sum(pairs) == 0
    for draws in (correlations(prompts, rewards, right, weights), aucs(*pairs, weights)):
        assert np.isnan(draws).all() and measure(draws).value is None


def test_equal_rewards_know_nothing() -> None:
    prompts, rewards, right = np.array([0, 0, 1]), np.full(3, 0.1), np.array([True, False, True])
    weights = prompt_weights(2, "mr", resamples=5)
    assert np.nan_to_num(correlations(prompts, rewards, right, weights)).tolist() == [0.0] * 6
    assert aucs(*contests(prompts, rewards, right), weights)[0] == 0.5


def test_weights_count_each_prompt_once_and_then_as_drawn() -> None:
    weights = prompt_weights(7, "mr", resamples=50)
    assert weights[0].tolist() == [1.0] * 7
    assert (weights.sum(axis=1) == 7).all() and weights[1:].std() > 0
    assert np.array_equal(weights, prompt_weights(7, "mr", resamples=50))
    assert not np.array_equal(weights, prompt_weights(7, "sst2", resamples=50))


@pytest.mark.slow
def test_intervals_hold_the_true_auc_when_responses_of_a_prompt_are_alike() -> None:
    """Of 300 intervals 95 % should, less two standard errors; fewer if prompts are ignored."""
    random, repeats, prompts = np.random.default_rng(1), 300, np.repeat(np.arange(60), 4)
    truth = stats.norm.cdf(0.5)
    groups = (
        (prompts, prompt_weights(60, "mr", 400)),
        (np.arange(240), prompt_weights(240, "", 400)),
    )
    held = np.zeros(2)
    for _ in range(repeats):
        right = random.random(240) < random.beta(1, 1, 60)[prompts]
        rewards = right + random.normal(size=240) + random.normal(size=60)[prompts]
        found = [
            measure(aucs(*contests(group, rewards, right), weights)) for group, weights in groups
        ]
        held += [one.low <= truth <= one.high for one in found]
    bound = 0.95 - 2 * np.sqrt(0.95 * 0.05 / repeats)
    assert held[0] / repeats > bound > held[1] / repeats
