from pathlib import Path

import pytest
import torch
from ppo_tiny import ARCHITECTURES, EOS, PAD, VOCAB, one_base, prompts, sampler
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from rllr.errors import RllrError
from rllr.training.ppo.batch import Batch, left_pad, position_ids
from rllr.training.ppo.randomness import generator_for, prompt_order
from rllr.training.ppo.roles import POLICY, OneBase
from rllr.training.ppo.rollout import Rollout, Sampler, draw_index, sample, sample_grouped


def _sample(roles: OneBase, how: Sampler, count: int = 5) -> Rollout:
    roles.activate(POLICY)
    ids = [row.ids for row in prompts(count)]
    return sample(roles, ids, how, generator_for(3, "test"), "test")


def test_left_padding_and_responses() -> None:
    ids, attention = left_pad([[5, 6, 7], [8]], PAD)
    assert ids.tolist() == [[5, 6, 7], [PAD, PAD, 8]]
    assert attention.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert position_ids(attention).tolist() == [[0, 1, 2], [0, 0, 0]]
    mask = torch.tensor([[True, True], [True, False]])
    batch = Batch(torch.tensor([[5, 6, 9, EOS], [7, 8, EOS, PAD]]), torch.ones(2, 4), mask)
    assert batch.responses([EOS]) == [[9], []]
    assert batch.tokens.tolist() == [9, EOS, EOS]
    assert batch.spread(torch.tensor([1.0, 2.0, 3.0])).tolist() == [[1.0, 2.0], [3.0, 0.0]]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_ratio_is_one_before_the_first_update(arch: str, tmp_path: Path) -> None:
    """Sampling's log-probabilities, training's, and those of rows alone in plain forwards agree."""
    roles = one_base(arch, tmp_path)
    rollout = _sample(roles, sampler(top_k=5, temperature=0.7))
    batch = rollout.batch
    ratio = (roles.policy_logprobs(batch) - rollout.logprobs).exp()[batch.mask]
    assert len(set(batch.lengths.tolist())) > 1 or batch.lengths.min() == 7
    assert (ratio - 1).abs().max() < 1e-5
    for row, prompt in enumerate(prompts(5)):
        response = batch.ids[row, batch.prompt_width :][batch.mask[row]]
        alone = torch.tensor([prompt.ids + response.tolist()])
        logits = roles.model(input_ids=alone).logits[0, len(prompt.ids) - 1 : -1]
        expected = logits.log_softmax(-1).gather(1, response[:, None])[:, 0]
        assert torch.allclose(rollout.logprobs[row][batch.mask[row]], expected, atol=1e-5)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_greedy_sampling_equals_generate(arch: str, tmp_path: Path) -> None:
    roles = one_base(arch, tmp_path)
    rollout = _sample(roles, sampler(top_k=1))
    ids, attention = left_pad([row.ids for row in prompts(5)], PAD)
    expected = roles.model.generate(
        input_ids=ids, attention_mask=attention, max_new_tokens=7, do_sample=False
    )
    assert torch.equal(rollout.batch.ids, expected)


def test_immediate_eos_is_a_response_of_one_token(tmp_path: Path) -> None:
    rollout = _sample(one_base("llama", tmp_path), sampler(eos_ids=tuple(range(VOCAB))))
    assert rollout.batch.mask.shape == (5, 1) and rollout.batch.mask.all()
    assert rollout.ended.all()
    assert rollout.batch.responses(range(VOCAB)) == [[]] * 5


def test_a_response_without_eos_is_cut_at_the_limit(tmp_path: Path) -> None:
    rollout = _sample(one_base("llama", tmp_path), sampler(eos_ids=()))
    assert rollout.batch.mask.shape == (5, 7) and rollout.batch.mask.all()
    assert not rollout.ended.any()


def test_nothing_counts_after_the_first_eos(tmp_path: Path) -> None:
    rollout = _sample(one_base("llama", tmp_path), sampler(eos_ids=tuple(range(0, VOCAB, 3))), 40)
    batch = rollout.batch
    lengths = batch.lengths.tolist()
    assert len(set(lengths)) > 2
    for row, length in enumerate(lengths):
        response = batch.ids[row, batch.prompt_width :].tolist()
        stops = [token % 3 == 0 for token in response[:length]]
        assert not any(stops[:-1]) and stops[-1] == rollout.ended[row].item()
        assert response[length:] == [PAD] * (len(response) - length)
    assert (rollout.logprobs[~batch.mask] == 0).all()


@pytest.mark.parametrize(
    ("k", "p", "heat"), [(0, 1.0, 1.0), (4, 1.0, 1.0), (0, 0.6, 2.0), (5, 0.8, 0.5)]
)
def test_draws_follow_the_distribution_that_transformers_would_sample(
    k: int, p: float, heat: float
) -> None:
    logits = torch.randn(1, 9, generator=torch.Generator().manual_seed(0)) * 1.5
    how = Sampler(PAD, (EOS,), 1, temperature=heat, top_k=k, top_p=p)
    draws = how.draw(logits.expand(40_000, -1), generator_for(0, "draws"), "test")
    frequency = draws.flatten().bincount(minlength=9) / len(draws)
    warpers = LogitsProcessorList([TemperatureLogitsWarper(heat)])
    warpers += [TopKLogitsWarper(k)] if k else []
    warpers += [TopPLogitsWarper(p)] if p < 1 else []
    expected = warpers(torch.zeros(1, 1), logits).softmax(-1)[0]
    assert torch.equal(frequency > 0, expected > 0)
    assert torch.allclose(frequency, expected, atol=0.01)


@pytest.mark.parametrize("point", [0.0, 0.3, 1 - 2**-53])
def test_an_index_without_weight_is_never_drawn(
    point: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at either end of the unit interval either, which a random number nearly never hits."""
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, point).double())
    weights = torch.tensor([[0.0, 0.4, 0.0, 0.6, 0.0], [0.0, 0.0, 1e-30, 0.0, 0.0]])
    drawn = draw_index(weights, generator_for(0))
    assert drawn.tolist() == [[3 if point > 0.5 else 1], [2]]


def test_logits_that_are_not_finite_are_named(tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    with torch.no_grad():
        roles.decoder.layers[0].input_layernorm.weight.fill_(float("nan"))
    with pytest.raises(RllrError, match=r"test: a logit is NaN or infinite"):
        _sample(roles, sampler())


def test_prompts_come_in_a_new_seeded_order_each_pass() -> None:
    visited = [index for step in range(6) for index in prompt_order(9, 3, step, seed=1)]
    first, second = visited[:9], visited[9:]
    assert sorted(first) == sorted(second) == list(range(9))
    assert first != second and first != list(range(9))
    assert prompt_order(9, 3, 4, seed=1) == visited[12:15]
    assert prompt_order(9, 18, 0, seed=1) == visited
    assert prompt_order(9, 9, 0, seed=2) != first
    assert len(prompt_order(2, 5, 1, seed=1)) == 5


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_groups_by_length_give_each_prompt_its_own_response(
    arch: str, size: int, tmp_path: Path
) -> None:
    """Greedy, so that the grouping alone could make a difference."""
    roles = one_base(arch, tmp_path)
    roles.activate(POLICY)
    ids, how = [row.ids for row in prompts(5)], sampler(top_k=1)
    whole = sample(roles, ids, how, generator_for(3), "test")
    grouped = sample_grouped(roles, ids, how, generator_for(3), "test", size)
    assert grouped.batch.responses([EOS]) == whole.batch.responses([EOS])
    assert torch.equal(grouped.ended, whole.ended)
    assert torch.allclose(grouped.logprobs, whole.logprobs, atol=1e-5)
    for row, prompt in enumerate(ids):
        seen = grouped.batch.attention[row].bool()
        assert grouped.batch.ids[row][seen].tolist()[: len(prompt)] == prompt
    assert torch.allclose(roles.policy_logprobs(grouped.batch), whole.logprobs, atol=1e-5)


def test_a_group_as_large_as_the_batch_is_the_batch(tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    roles.activate(POLICY)
    ids, how = [row.ids for row in prompts(5)], sampler()
    whole = sample(roles, ids, how, generator_for(3), "test")
    for size in (None, 5, 9):
        found = sample_grouped(roles, ids, how, generator_for(3), "test", size)
        assert torch.equal(found.batch.ids, whole.batch.ids)
