import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from ppo_tiny import (
    ARCHITECTURES,
    HIDDEN,
    PAD,
    VOCAB,
    move,
    one_base,
    prompts,
    sampler,
    save_reward_model,
    settings,
    tiny_model,
)
from safetensors.torch import load_file, save_file

from rllr.errors import RllrError
from rllr.training.ppo.adapters import build_one_base
from rllr.training.ppo.batch import Batch
from rllr.training.ppo.randomness import generator_for
from rllr.training.ppo.roles import POLICY, VALUE, OneBase
from rllr.training.ppo.rollout import sample


def _batch(roles: OneBase) -> Batch:
    roles.activate(POLICY)
    ids = [row.ids for row in prompts(5)]
    how = sampler(eos_ids=tuple(range(2, VOCAB, 5)))
    return sample(roles, ids, how, generator_for(1, "roles"), "test").batch


def _alone(batch: Batch, row: int) -> torch.Tensor:
    return batch.ids[row][batch.attention[row].bool()][None]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_scores_equal_the_saved_reward_model(arch: str, tmp_path: Path) -> None:
    roles = one_base(arch, tmp_path)
    scorer = save_reward_model(arch, tiny_model(arch), tmp_path / "again")
    batch = _batch(roles)
    assert len(set(batch.lengths.tolist())) > 1
    expected = torch.stack([scorer(input_ids=_alone(batch, row)).logits[0, 0] for row in range(5)])
    assert expected.std() > 0.01
    assert torch.allclose(roles.score("rm", batch), expected, atol=1e-5)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_reference_is_the_base(arch: str, tmp_path: Path) -> None:
    roles, base = one_base(arch, tmp_path), tiny_model(arch).eval()
    batch = _batch(roles)
    reference, policy = roles.reference_logprobs(batch), roles.policy_logprobs(batch)
    with torch.no_grad():
        logits = base(input_ids=_alone(batch, 0)).logits.log_softmax(-1)[0]
    tokens, length = batch.tokens, int(batch.lengths[0])
    expected = logits[-length - 1 : -1].gather(1, tokens[:length, None])[:, 0]
    assert torch.allclose(reference[0, :length], expected, atol=1e-5)
    assert (reference - policy).abs().max() > 0.01


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_value_model_starts_as_the_reward_model(arch: str, tmp_path: Path) -> None:
    """The value before a further token is the score of the response that ends there."""
    roles = one_base(arch, tmp_path)
    ids = torch.randint(3, VOCAB, (4, 9), generator=torch.Generator().manual_seed(0))
    ids[0, :3] = PAD
    attention = (ids != PAD).long()
    scored = Batch(ids[:, :-1], attention[:, :-1], torch.ones(4, 3, dtype=torch.bool))
    longer = Batch(ids, attention, torch.ones(4, 4, dtype=torch.bool))
    assert torch.allclose(roles.values(longer)[:, -1], roles.score("rm", scored), atol=1e-6)


def test_a_new_value_model_starts_at_zero_and_learns(tmp_path: Path) -> None:
    roles = build_one_base(tiny_model("llama"), settings("llama"), {}, None)
    batch = _batch(roles)
    assert (roles.values(batch) == 0).all()
    roles.backward(VALUE, (roles.token_values(batch) - 1).square().mean())
    assert roles.heads[VALUE].weight.grad is not None
    assert roles.heads[VALUE].weight.grad.abs().max() > 0


def test_roles_share_no_trainable_parameter_and_the_base_is_frozen(tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    policy, value = (set(map(id, roles.parameters(role))) for role in (POLICY, VALUE))
    assert len(policy) == 8 and len(value) == 9 and not policy & value
    roles.activate(POLICY)
    learns = {id(p) for p in roles.model.parameters() if p.requires_grad}
    assert learns == policy
    assert all(parameter.dtype == torch.float32 for parameter in roles.parameters(VALUE))


def test_backward_after_a_switch_is_refused(tmp_path: Path) -> None:
    roles = one_base("llama", tmp_path)
    batch = _batch(roles)
    loss = roles.policy_states(batch).sum()
    roles.values(batch)
    with pytest.raises(RuntimeError, match="'policy' while 'value' is active"):
        roles.backward(POLICY, loss)
    roles.backward(POLICY, roles.policy_states(batch).sum())  # now gradients are there
    loss = roles.token_values(batch).sum()
    roles.activate(POLICY)
    with pytest.raises(RuntimeError, match="the last pass was 'value'"):
        roles.backward(POLICY, loss)
    with roles.reference(), pytest.raises(RuntimeError, match="adapters are off"):
        roles.activate(POLICY)


def test_a_base_in_float16_is_refused() -> None:
    with pytest.raises(RllrError, match="float16, in which small gradients are silently zero"):
        build_one_base(tiny_model("llama").half(), settings("llama"), {}, None)


def test_dropout_is_off_in_every_pass(tmp_path: Path) -> None:
    roles = one_base("bloom", tmp_path)
    batch = _batch(roles)
    assert torch.equal(roles.policy_states(batch), roles.policy_states(batch))
    assert torch.equal(roles.token_values(batch), roles.token_values(batch))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_saved_policy_loads_with_plain_peft(arch: str, tmp_path: Path) -> None:
    roles = one_base(arch, tmp_path / "rm")
    roles.save_policy(tmp_path / "policy")
    assert {path.name for path in (tmp_path / "policy").iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    again = PeftModel.from_pretrained(tiny_model(arch), str(tmp_path / "policy")).eval()
    ids = torch.tensor([prompts(1)[0].ids])
    roles.activate(POLICY)
    expected = roles.model(input_ids=ids).logits
    assert torch.equal(again(input_ids=ids).logits, expected)
    config = json.loads((tmp_path / "policy" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None and config["inference_mode"] is True


def test_building_depends_on_the_seed_alone(tmp_path: Path) -> None:
    def first_matrix(seed: int) -> torch.Tensor:
        chosen = settings("llama", seed=seed)
        roles = build_one_base(base.pop(), chosen, {"rm": tmp_path}, "rm")
        return roles.parameters(POLICY)[0].detach()

    save_reward_model("llama", tiny_model("llama"), tmp_path)
    base = [tiny_model("llama") for _ in range(3)]
    before = torch.random.get_rng_state()
    one = first_matrix(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(one, first_matrix(1)) and not torch.equal(one, first_matrix(2))


def test_a_reward_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    def build(folder: Path, value_from: str | None = None, name: str = "rm") -> None:
        build_one_base(tiny_model("llama"), settings("llama"), {name: folder}, value_from)

    good, wide, other = tmp_path / "good", tmp_path / "wide", tmp_path / "other"
    save_reward_model("llama", tiny_model("llama"), good)
    save_reward_model("llama", tiny_model("llama", hidden=2 * HIDDEN), wide)
    save_reward_model("bloom", tiny_model("bloom"), other)
    for folder, message in (
        (tmp_path / "none", r"adapter_config\.json: no such file"),
        (wide, "does not fit the base model"),
        (other, "does not fit the base model"),
    ):
        with pytest.raises(RllrError, match=message):
            build(folder)
    with pytest.raises(RllrError, match=r"'label'.*are: rm"):
        build(good, value_from="label")
    wrong = replace(settings("llama"), target_modules=("query_key_value",))
    with pytest.raises(RllrError, match="LlamaForCausalLM has no layer named query_key_value"):
        build_one_base(tiny_model("llama"), wrong, {}, None)
    with pytest.raises(RllrError, match="letters, digits"):
        build(good, name="r.m")
    state = load_file(good / "adapter_model.safetensors")
    save_file(
        {key: value for key, value in state.items() if "score" not in key},
        good / "adapter_model.safetensors",
    )
    with pytest.raises(RllrError, match="no scalar head"):
        build(good)


def test_two_reward_models_keep_apart(tmp_path: Path) -> None:
    base = tiny_model("glm")
    scorers = [save_reward_model("glm", base, tmp_path / str(k), seed=k) for k in (1, 2)]
    rewards = {"first": tmp_path / "1", "second": tmp_path / "2"}
    roles = build_one_base(tiny_model("glm"), settings("glm"), rewards, "second")
    move(roles.model, f"lora_B.{POLICY}")
    batch = _batch(roles)
    for name, scorer in zip(rewards, scorers, strict=True):
        expected = [scorer(input_ids=_alone(batch, row)).logits[0, 0] for row in range(5)]
        assert torch.allclose(roles.score(name, batch), torch.stack(expected), atol=1e-5)
