from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ppo_tiny import EOS, VOCAB, decode, one_base, prompts, sampler, settings

from rllr.errors import RllrError
from rllr.training.ppo.randomness import generator_for
from rllr.training.ppo.rewards import Scorer, check_terms, combine
from rllr.training.ppo.roles import POLICY
from rllr.training.ppo.rollout import sample
from rllr.training.ppo.settings import RewardTerm


def _function(name: str, **options: Any) -> RewardTerm:
    return RewardTerm(name, function=lambda texts, gold: [0.0] * len(texts), **options)


def test_the_mixed_reward_caps_the_label_reward_alone() -> None:
    terms = [_function("label", cap=1.5), _function("rationale"), _function("watched", weight=0.0)]
    raw = {
        "label": torch.tensor([1.0, 2.0, -3.0]),
        "rationale": torch.tensor([10.0, 20.0, 30.0]),
        "watched": torch.tensor([5.0, 5.0, 5.0]),
    }
    assert combine(terms, raw).tolist() == [11.0, 21.5, 27.0]
    half = [_function("label", cap=1.5, weight=0.5)]
    assert combine(half, raw).tolist() == [0.5, 0.75, -1.5]


def test_terms_get_the_responses_they_are_meant_for(tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    rows = prompts(5)
    roles.activate(POLICY)
    how = sampler(eos_ids=tuple(range(2, VOCAB, 5)))
    batch = sample(roles, [row.ids for row in rows], how, generator_for(1), "test").batch
    seen: list[tuple[list[str], list[Any]]] = []

    def length(texts: list[str], gold: list[Any]) -> list[float]:
        seen.append((texts, gold))
        return [float(len(text.split())) for text in texts]

    terms = [RewardTerm("rm", adapter_path=tmp_path), RewardTerm("length", function=length)]
    raw = Scorer(roles, terms, decode, how.eos_ids, 2)(batch, [row.gold for row in rows])
    assert torch.allclose(raw["rm"], roles.score("rm", batch), atol=1e-6)
    ended = [ids[-1] in how.eos_ids for ids in _rows(batch)]
    assert raw["length"].tolist() == [len(r) - e for r, e in zip(_rows(batch), ended, strict=True)]
    assert seen[0][1] == [row.gold for row in rows]


def _rows(batch: Any) -> list[list[int]]:
    lengths = batch.lengths.tolist()
    rows = batch.ids[:, batch.prompt_width :].tolist()
    return [row[:n] for row, n in zip(rows, lengths, strict=True)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RewardTerm("label"), "'label' needs either"),
        (lambda: check_terms([]), "at least one"),
        (lambda: check_terms([_function("a"), _function("a")]), "distinct names"),
        (lambda: settings("llama", temperature=0.0), "temperature is 0.0; allowed is above 0"),
        (
            lambda: settings("llama", mini_batch_size=4),
            "mini_batch_size is 4; allowed is a divisor",
        ),
        (lambda: settings("llama", steps=0), "steps is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(RllrError, match=message):
        make()


def test_a_function_that_gives_too_few_rewards_is_named(tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    roles.activate(POLICY)
    batch = sample(roles, [[3], [4]], sampler(), generator_for(1), "test").batch
    terms = [RewardTerm("short", function=lambda texts, gold: [1.0])]
    with pytest.raises(RllrError, match="'short' gave 1 rewards for 2 responses"):
        Scorer(roles, terms, decode, (EOS,), 2)(batch, [None, None])
