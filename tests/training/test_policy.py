from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tiny_project import TASKS, TinyRun, files_of

from rllr import stages
from rllr.config.schema import PpoSettings
from rllr.files import read_json, read_jsonl
from rllr.layout import ADAPTER, SUMMARY
from rllr.models.load import load_policy, load_scorer
from rllr.training.common import LOG
from rllr.training.ppo.randomness import prompt_order
from rllr.training.reward import pair_rows, score_ids
from rllr.training.scoring import build_scorer, ppo_settings, prompt_rows

MIXED = {"rllr_mixed": {"tau": 0.25, "steps": 2}}


@pytest.fixture(scope="module")
def mixed(rewarded: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A copy with a policy trained on both rewards."""
    run = rewarded.copy(tmp_path_factory.mktemp("mixed"), stages=MIXED)
    stages.policy(run.job(), "rllr_mixed")
    return run


def test_every_setting_reaches_the_trainer(tuned: TinyRun) -> None:
    values = {
        "learning_rate": 1e-4,
        "value_learning_rate": 2e-4,
        "gradient_checkpointing": True,
        "batch_size": 12,
        "mini_batch_size": 6,
        "micro_batch_size": 3,
        "steps": 5,
        "ppo_epochs": 2,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 11,
        "kl_coef": 0.3,
        "kl_target": 5.0,
        "kl_horizon": 99.0,
        "gamma": 0.99,
        "clip_ratio": 0.11,
        "clip_value": 0.12,
        "value_weight": 0.13,
        "max_grad_norm": 0.14,
        "ratio_guard": 7.0,
        "lora_rank": 3,
        "lora_alpha": 5,
    }
    config = PpoSettings(**values, gae_lambda=0.8)
    job = tuned.job(seed=6)
    found = ppo_settings(job, config)
    assert {name: getattr(found, name) for name in values} == values
    assert (found.lam, found.seed) == (0.8, 6)
    assert found.target_modules == tuple(job.config.lora_targets)
    assert found.max_new_tokens == job.project.config.generation.max_new_tokens
    whole = config.model_copy(update={"micro_batch_size": None})
    assert ppo_settings(job, whole).micro_batch_size == 12


def test_the_mixed_reward_is_capped_at_tau(rewarded: TinyRun) -> None:
    job = rewarded.but(stages=MIXED).job()
    config = job.project.rl(job.model, "rllr_mixed")
    label, rationale = build_scorer(job, "rllr_mixed", config, prompt_rows(job, "rl")).terms
    assert (label.name, label.cap, label.weight) == ("rllr_rm", 0.25, 1)
    assert (rationale.name, rationale.cap) == ("rlhf_rm", None)
    assert label.adapter_path == job.trained("rllr_rm")


def test_tau_may_be_a_quantile_of_the_gold_responses_rewards(rewarded: TinyRun) -> None:
    """Against the reward model as transformers scores with it, outside of PPO."""
    auto = {"rllr_mixed": {"tau": "auto", "tau_quantile": 0.25}}
    job = rewarded.but(stages=auto).job()
    config, prompts = job.project.rl(job.model, "rllr_mixed"), prompt_rows(job, "rl")
    scorer = build_scorer(job, "rllr_mixed", config, prompts)
    pairs = [
        pair
        for task in TASKS
        for pair in read_jsonl(job.layout.label_pairs(task) / "heldout.jsonl")
    ]
    alone = load_scorer(load_policy(job.base, job.trained("sft")), job.builder.pad)
    alone = PeftModel.from_pretrained(alone, str(job.trained("rllr_rm")))
    chosen = [row["chosen_ids"] for row in pair_rows(job, pairs)]
    scores = torch.tensor(score_ids(alone, chosen, job.builder.pad))
    assert scorer.terms[0].cap == pytest.approx(float(scores.quantile(0.25)), abs=1e-5)


def test_prompts_keep_their_gold_labels_for_reward_functions(tuned: TinyRun) -> None:
    job = tuned.job()
    rows = prompt_rows(job, "rl")
    assert len(rows) == len(TASKS) * job.project.config.data.sizes.rl
    assert {row.gold.task.name for row in rows} == {job.project.tasks[t].name for t in TASKS}
    assert all(row.gold.label is not None for row in rows)
    assert rows == prompt_rows(job, "rl")
    few = prompt_rows(job, "validation", limit=5)
    assert len(few) == 5 and few == prompt_rows(job, "validation")[:5]
    instructions = {
        task: job.builder.encoder.encode(job.project.tasks[task].instruction)[:6] for task in TASKS
    }
    found = {
        task
        for row in few
        for task, start in instructions.items()
        if any(row.ids[i : i + len(start)] == start for i in range(len(row.ids)))
    }
    assert found == set(TASKS)


def test_a_run_writes_an_adapter_its_log_and_a_summary(mixed: TinyRun) -> None:
    job = mixed.job()
    folder = job.trained("rllr_mixed")
    assert (folder / ADAPTER).exists()
    assert {path.suffix for path in files_of(folder)} == {".json", ".jsonl", ".safetensors"}
    log = read_jsonl(folder / LOG)
    assert [row["step"] for row in log] == [1, 2]
    assert all(math.isfinite(value) for row in log for value in row.values())
    assert {"parsed", "label_accuracy", "score/rllr_rm", "reward/rlhf_rm"} <= set(log[0])
    summary = read_json(folder / SUMMARY)
    assert summary["caps"] == {"rllr_rm": 0.25}
    assert summary["kind"] == "rl" and summary["start"] == "sft" and summary["steps"] == 2
    assert summary["reward_models"] == ["rllr_rm", "rlhf_rm"]
    prompts = [len(row.ids) for row in prompt_rows(job, "rl")]
    seen = sum(prompts[row] for step in (0, 1) for row in prompt_order(len(prompts), 8, step, 0))
    assert summary["tokens"] == seen + summary["response_tokens"]


def test_the_gain_is_that_of_the_same_prompts(mixed: TinyRun) -> None:
    summary = read_json(mixed.job().trained("rllr_mixed") / SUMMARY)
    before, after = summary["reward_before"], summary["reward_after"]
    assert before["n"] == after["n"] == mixed.project.config.training.ppo.evaluation_prompts
    gain = summary["reward_gain"]
    assert gain["mean"] == pytest.approx(after["mean"] - before["mean"])
    assert gain["se"] >= 0


def test_the_first_step_starts_at_the_reference(mixed: TinyRun) -> None:
    """Policy and frozen start are the same before the first update: no divergence."""
    first, second = read_jsonl(mixed.job().trained("rllr_mixed") / LOG)
    assert first["kl"] == pytest.approx(0, abs=1e-5)
    assert abs(second["kl"]) > 1e-7


def test_the_start_and_the_reward_models_stay_as_they_were(
    rewarded: TinyRun, mixed: TinyRun
) -> None:
    for stage in ("sft", "rllr_rm", "rlhf_rm"):
        for path in files_of(rewarded.job().trained(stage)):
            copy = mixed.job().trained(stage) / path.relative_to(rewarded.job().trained(stage))
            assert copy.read_bytes() == path.read_bytes()


def test_other_tau_other_policy(mixed: TinyRun, tmp_path: Path) -> None:
    other = mixed.copy(tmp_path / "copy", stages={"rllr_mixed": {"tau": -50.0}})
    stages.policy(other.job(), "rllr_mixed")
    weights = [run.job().trained("rllr_mixed") / ADAPTER for run in (mixed, other)]
    assert weights[0].read_bytes() != weights[1].read_bytes()
