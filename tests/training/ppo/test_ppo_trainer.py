from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from ppo_tiny import (
    ALL_LINEAR,
    ARCHITECTURES,
    EOS,
    PAD,
    decode,
    prompts,
    save_reward_model,
    settings,
    share_of,
    sharp_model,
    tiny_model,
)

from rllr.errors import RllrError
from rllr.training.ppo.evaluate import evaluate_reward
from rllr.training.ppo.roles import POLICY
from rllr.training.ppo.settings import PromptRow, RewardTerm
from rllr.training.ppo.trainer import PPOResult, train_ppo

TOKENS = {"decode": decode, "pad_id": PAD, "eos_ids": [EOS]}
SHARE = [RewardTerm("share", function=share_of(7))]


def _train(arch: str, terms: list[RewardTerm], **changes: Any) -> tuple[PPOResult, list[Any]]:
    return _train_on(tiny_model(arch), arch, terms, **changes)


def _train_on(
    base: Any, arch: str, terms: list[RewardTerm], **changes: Any
) -> tuple[PPOResult, list[Any]]:
    history: list[Any] = []
    result = train_ppo(
        base,
        settings=settings(arch, **({"steps": 3, "learning_rate": 0.01} | changes)),
        terms=terms,
        value_from="rm" if any(term.name == "rm" for term in terms) else None,
        prompts=prompts(20),
        on_step=lambda step, total, metrics: history.append((step, total, metrics)),
        **TOKENS,
    )
    return result, history


def _learn(arch: str, **changes: Any) -> tuple[PPOResult, list[float], list[float]]:
    """Train a policy that can learn on the share of one word: result, rewards, KL per step."""
    ways = {"target_modules": ALL_LINEAR[arch], "top_k": 0, "adaptive_kl": False, "kl_coef": 0.02}
    ways |= {"steps": 20, "learning_rate": 0.02, "batch_size": 32, "micro_batch_size": 32}
    result, history = _train_on(sharp_model(arch), arch, SHARE, **(ways | changes))
    metrics = [metrics for *_, metrics in history]
    return result, [m["reward"] for m in metrics], [m["kl"] for m in metrics]


@pytest.fixture
def mixed(tmp_path: Path) -> list[RewardTerm]:
    """A capped reward model plus a function, on llama."""
    save_reward_model("llama", tiny_model("llama"), tmp_path / "rm")
    return [RewardTerm("rm", adapter_path=tmp_path / "rm", cap=0.1), *SHARE]


def _policy(result: PPOResult) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in result.one_base.parameters(POLICY)])


def test_a_run_reports_each_step_and_leaves_the_base_alone(mixed: list[RewardTerm]) -> None:
    result, history = _train("llama", mixed)
    assert [(step, total) for step, total, _ in history] == [(1, 3), (2, 3), (3, 3)]
    first, last = history[0][2], history[2][2]
    assert abs(first["kl"]) < 1e-5 and first["ratio"] == pytest.approx(1, abs=1e-5)
    assert first["learning_rate"] == 0.01 and last["learning_rate"] == pytest.approx(0.0025)
    assert {"reward/rm", "reward/share", "entropy", "value_loss", "clip_fraction"} <= set(first)
    assert all(
        torch.isfinite(torch.tensor(list(metrics.values()))).all() for *_, metrics in history
    )
    assert result.summary["steps"] == 3 and result.summary["samples"] == 18
    assert result.summary["last"] == last
    fresh = tiny_model("llama").eval()
    ids = torch.tensor([prompts(1)[0].ids])
    with result.one_base.reference():
        assert torch.equal(result.one_base.model(input_ids=ids).logits, fresh(input_ids=ids).logits)


def test_the_same_seed_gives_the_same_adapter_bit_for_bit(mixed: list[RewardTerm]) -> None:
    first, second, other = (_policy(_train("llama", mixed, seed=s)[0]) for s in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_the_saved_policy_is_the_trained_one(tmp_path: Path) -> None:
    result, _ = _train("glm", SHARE)
    result.save_policy(tmp_path)
    again = PeftModel.from_pretrained(tiny_model("glm"), str(tmp_path)).eval()
    ids = torch.tensor([prompts(1)[0].ids])
    result.one_base.activate(POLICY)
    assert torch.equal(result.one_base.model(input_ids=ids).logits, again(input_ids=ids).logits)
    assert not torch.allclose(again(input_ids=ids).logits, tiny_model("glm").eval()(ids).logits)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_reward_rises_to_near_its_optimum(arch: str) -> None:
    """Without a KL penalty, under which the optimum would be another one."""
    _, rewards, _ = _learn(arch, steps=40, kl_coef=0.0)
    assert rewards[0] < 0.1
    assert sum(rewards[-3:]) / 3 > 0.95  # the optimum is 1


def test_a_huge_kl_coefficient_holds_the_policy() -> None:
    """Whitening gives KL noise alone steps of full size, so KL hovers near 0, not at it."""
    _, free_rewards, free_kl = _learn("llama", kl_coef=0.0, learning_rate=0.005)
    _, held_rewards, held_kl = _learn("llama", kl_coef=1e4, learning_rate=0.005)
    assert free_rewards[-1] > 0.5 and free_kl[-1] > 10
    assert held_rewards[-1] < 0.1 and abs(held_kl[-1]) < 1


def test_without_reward_the_policy_stays_near_the_reference() -> None:
    nothing = [RewardTerm("nothing", function=lambda texts, gold: [0.0] * len(texts))]
    _, history = _train("llama", nothing, steps=100, learning_rate=1e-4, batch_size=12)
    assert all(abs(metrics["kl"]) < 0.01 for *_, metrics in history)


@pytest.mark.parametrize("eos_ids", [list(range(61)), []])
def test_one_token_responses_and_responses_without_eos_train(eos_ids: list[int]) -> None:
    history: list[Any] = []
    train_ppo(
        tiny_model("bloom"),
        settings=settings("bloom", steps=2, learning_rate=0.01, mini_batch_size=1),
        terms=SHARE,
        value_from=None,
        prompts=prompts(6),
        on_step=lambda step, total, metrics: history.append(metrics),
        **(TOKENS | {"eos_ids": eos_ids}),
    )
    assert history[-1]["response_length"] == (1 if eos_ids else 7)
    assert history[-1]["ended"] == (1 if eos_ids else 0)
    assert all(torch.isfinite(torch.tensor(list(metrics.values()))).all() for metrics in history)


def test_equal_rewards_give_scores_of_zero() -> None:
    equal = [RewardTerm("equal", function=lambda texts, gold: [3.3] * len(texts))]
    _, history = _train("llama", equal, kl_coef=0.0)
    assert all(abs(metrics["score"]) < 1e-3 for *_, metrics in history)
    assert all(metrics["reward"] == pytest.approx(3.3) for *_, metrics in history)


def test_a_reward_that_is_not_finite_is_named_with_its_step() -> None:
    calls: list[int] = []

    def breaks(texts: list[str], gold: list[Any]) -> list[float]:
        calls.append(1)
        return [float("nan") if len(calls) == 2 else 1.0] * len(texts)

    with pytest.raises(RllrError, match=r"step 2: reward 'breaks' is NaN or infinite"):
        _train("llama", [RewardTerm("breaks", function=breaks)])


def test_the_kl_coefficient_is_steered_after_each_step() -> None:
    _, history = _train("llama", SHARE, kl_horizon=60.0)
    first, second, third = (metrics for *_, metrics in history)
    assert first["kl_coef"] == 0.2
    assert second["kl_coef"] == pytest.approx(0.2 * (1 - 0.2 * 6 / 60))  # KL 0, target 6
    error = min(max(second["kl"] / 6 - 1, -0.2), 0.2)
    assert third["kl_coef"] == pytest.approx(second["kl_coef"] * (1 + error * 6 / 60))


def test_one_pass_over_the_prompts_is_the_default() -> None:
    _, history = _train("llama", SHARE, steps=None)
    assert len(history) == 20 // 6


def test_prompts_that_cannot_be_used_are_refused() -> None:
    for rows, message in (
        ([], "no prompts"),
        ([PromptRow([])], "prompt 1 has no tokens"),
        ([PromptRow([3]), PromptRow([3] * 58)], "prompt 2 has 58 tokens; with 7 new ones"),
    ):
        with pytest.raises(RllrError, match=message):
            train_ppo(
                tiny_model("llama"),
                settings=settings("llama"),
                terms=SHARE,
                value_from=None,
                prompts=rows,
                on_step=lambda *_: None,
                **TOKENS,
            )


def test_held_out_rewards_compare_base_and_policy_prompt_by_prompt() -> None:
    still, *_ = _learn("mistral", steps=1, learning_rate=0.0)
    moved, *_ = _learn("mistral", steps=20, kl_coef=0.0)

    def rewards(result: PPOResult, use_policy: bool, seed: int = 0) -> list[float]:
        return evaluate_reward(
            result.one_base,
            prompts(15, seed=9),
            settings=settings("mistral"),
            terms=SHARE,
            use_policy=use_policy,
            seed=seed,
            **TOKENS,
        )

    before = rewards(still, False)
    assert rewards(still, True) == before == rewards(moved, False)
    assert rewards(still, True, seed=1) != before
    gain = torch.tensor(rewards(moved, True)) - torch.tensor(before)
    assert len(gain) == 15 and gain.mean() > 2 * gain.std() / 15**0.5


def test_the_value_model_learns_to_explain_the_returns() -> None:
    """A reward that the prompt alone decides: its length. The policy stands still."""
    known = [RewardTerm("length", function=lambda texts, gold: [float(n) for n in gold])]
    ways = {"learning_rate": 0.0, "value_learning_rate": 0.02, "steps": 40, "batch_size": 16}
    _, history = _train("llama", known, kl_coef=0.0, target_modules=ALL_LINEAR["llama"], **ways)
    explained = [metrics["explained_variance"] for *_, metrics in history]
    assert explained[0] == 0 and sum(explained[-5:]) / 5 > 0.5
