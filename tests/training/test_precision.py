"""bf16: the base in it, what is trained in fp32, results near those in fp32."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_project import LLAMA, MODELS, TinyRun, write_model

from rllr import stages
from rllr.evaluation.predict import Predictor
from rllr.files import read_json, read_jsonl
from rllr.layout import ADAPTER, PREDICTIONS, SUMMARY
from rllr.models.load import load_policy, load_scorer
from rllr.training.common import LOG
from rllr.training.scoring import build_scorer, prompt_rows

BF16 = torch.bfloat16


def in_bf16(run: TinyRun) -> TinyRun:
    write_model(run.root, LLAMA, LLAMA, precision="bf16")
    return run


@pytest.fixture(scope="module")
def half(rewarded: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A LoRA SFT, a reward model on it and a policy, each trained in bf16."""
    changes: dict[str, Any] = {"sft": {"tuning": "lora", "lora_dropout": 0.0}}
    run = in_bf16(rewarded.copy(tmp_path_factory.mktemp("half"), training=changes))
    shutil.rmtree(run.layout.run / "trained")
    stages.sft(run.job(), "sft")
    stages.reward(run.job(), "rllr_rm")
    stages.policy(run.job(), "rllr")
    return run


@pytest.mark.parametrize("stage", ["sft", "rllr_rm", "rllr"])
def test_adapters_are_saved_in_fp32_and_losses_are_finite(half: TinyRun, stage: str) -> None:
    weights = load_file(half.job().trained(stage) / ADAPTER)
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    rows = read_jsonl(half.job().trained(stage) / LOG)
    assert rows and any("loss" in name for row in rows for name in row)
    # Not a multiple of what bf16 can hold: steps were taken in fp32.
    trained = next(t for n, t in weights.items() if "lora_B" in n)
    assert not torch.equal(trained.to(BF16).float(), trained)


def test_sft_in_bf16_loses_about_what_fp32_does(half: TinyRun, tmp_path: Path) -> None:
    whole = half.copy(tmp_path / "copy")
    write_model(whole.root, LLAMA, LLAMA)
    shutil.rmtree(whole.job().trained("sft"))
    stages.sft(whole.job(), "sft")
    found, wanted = (read_json(run.job().trained("sft") / SUMMARY) for run in (half, whole))
    for name in ("validation_loss_before", "validation_loss_after"):
        assert found[name] == pytest.approx(wanted[name], rel=0.01)
        assert found[name] != wanted[name]  # else nothing was in bf16


def test_bases_are_loaded_in_bf16_and_merging_keeps_it(half: TinyRun) -> None:
    job = half.job()
    base = load_policy(job.base, precision="bf16")
    merged = load_policy(job.base, job.trained("sft"), precision="bf16")
    whole = load_policy(job.base, job.trained("sft"))
    assert {p.dtype for p in base.parameters()} == {BF16} == {p.dtype for p in merged.parameters()}
    changed = [
        not torch.equal(*pair) for pair in zip(base.parameters(), merged.parameters(), strict=True)
    ]
    assert any(changed)
    for close, exact in zip(merged.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(close.float(), exact, rtol=2**-7, atol=1e-4)


def test_a_scorers_decoder_is_in_bf16_and_its_head_is_not(half: TinyRun) -> None:
    policy = load_policy(half.job().base, precision="bf16")
    scorer = load_scorer(policy, pad_id=0)
    assert scorer.score.weight.dtype == torch.float32 and scorer.dtype == BF16
    with torch.inference_mode(), torch.autocast("cpu", BF16):
        states = policy.base_model(torch.tensor([[5, 6, 7]])).last_hidden_state
        scores = scorer(torch.tensor([[5, 6, 7]])).logits
        assert scores.dtype == torch.float32
    wanted = states[:, -1].float() @ scorer.score.weight.T
    torch.testing.assert_close(scores, wanted, rtol=1e-6, atol=1e-6)


def test_ppo_has_one_base_in_bf16_and_measures_in_fp32(half: TinyRun) -> None:
    job = half.job()
    prompts = prompt_rows(job, "rl")
    scorer = build_scorer(job, "rllr", job.project.rl(job.model, "rllr"), prompts)
    one_base = scorer.one_base
    kinds = {"lora_" in name: set() for name, _ in one_base.model.named_parameters()}
    for name, parameter in one_base.model.named_parameters():
        kinds["lora_" in name].add(parameter.dtype)
    assert kinds == {True: {torch.float32}, False: {BF16}}
    assert {head.weight.dtype for head in one_base.heads.values()} == {torch.float32}
    states = torch.randn(3, one_base.config.hidden_size, dtype=BF16)
    assert one_base.logits(states).dtype == torch.float32
    row = read_jsonl(job.trained("rllr") / LOG)[0]
    # The policy starts as the reference, and rollout and update see the same weights.
    assert row["kl"] == pytest.approx(0.0, abs=0.3) and row["ratio"] == pytest.approx(1.0, abs=0.02)


def test_a_policy_is_not_merged_in_bf16(half: TinyRun) -> None:
    """Its changes are smaller than what a weight in bf16 can take up."""
    job = half.job()
    policy = Predictor(job, "rllr").model
    start = load_policy(job.base, job.trained("sft"), precision="bf16")
    names = {name for name, _ in policy.named_parameters() if "lora_B" in name}
    assert names and {policy.get_parameter(name).dtype for name in names} == {torch.float32}
    assert start.dtype == BF16
    stages.predict(job, "rllr")
    cell = job.layout.cell(job.model, "mr", "rllr", 0)
    assert len(read_jsonl(cell / PREDICTIONS)) == half.project.config.data.sizes.test


@pytest.mark.parametrize("model", MODELS)
def test_attention_is_sdpa_but_for_bloom(five: TinyRun, model: str) -> None:
    found = load_policy(five.layout.base(model), precision="bf16").config._attn_implementation
    assert found == ("eager" if model == "bloom-tiny" else "sdpa")
