"""RLOO and GRPO through TRL, for real, on a tiny model."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_project import TinyRun

from rllr import stages
from rllr.errors import RllrError
from rllr.files import read_json, read_jsonl, sha256
from rllr.layout import ADAPTER, CHECKPOINTS, SUMMARY
from rllr.training.common import LOG
from rllr.training.group import _on_ids, _Reward, _Steps, response_kl
from rllr.training.ppo.batch import batch_of
from rllr.training.scoring import build_scorer, prompt_rows

SETTINGS = {"batch_size": 8, "generations": 4, "steps": 4, "learning_rate": 1e-3}
SETTINGS |= {"evaluation_prompts": 8, "checkpoint_every": 2}
METHODS = ["sft", "rlhf", "rllr", "rllr_rloo", "rllr_grpo", "rlvr"]
CHANGES: dict[str, Any] = {
    "methods": METHODS,
    "training": {"rloo": SETTINGS, "grpo": SETTINGS},
    "trackers": [],
}


@pytest.fixture(scope="module")
def grouped(rewarded: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    return rewarded.copy(tmp_path_factory.mktemp("grouped"), **CHANGES)


@pytest.mark.parametrize("method", ["rllr_rloo", "rllr_grpo"])
def test_a_run_writes_what_ppo_writes(grouped: TinyRun, method: str) -> None:
    job = grouped.job()
    stages.policy(job, method)
    folder = job.trained(method)
    names = {path.name for path in folder.iterdir()}
    assert names == {ADAPTER, "adapter_config.json", LOG, SUMMARY, "manifest.json"}
    log = read_jsonl(folder / LOG)
    assert [row["step"] for row in log] == [1, 2, 3, 4]
    watched = {"reward", "kl", "parsed", "label_accuracy", "reward/rllr_rm", "response_length"}
    assert watched <= set(log[0]) and all(math.isfinite(v) for row in log for v in row.values())
    assert log[0]["kl"] == pytest.approx(0, abs=1e-5)
    summary = read_json(folder / SUMMARY)
    assert summary["algorithm"] == method.removeprefix("rllr_") and summary["steps"] == 4
    assert summary["reward_before"]["n"] == 8
    shortest = min(len(row.ids) for row in prompt_rows(job, "rl"))
    rows = 4 * job.project.rl(job.model, method).batch_size
    assert summary["tokens"] - summary["response_tokens"] >= rows * shortest > 0


@pytest.mark.parametrize("method", ["rllr_rloo", "rllr_grpo"])
def test_a_broken_run_ends_in_the_same_bits(
    grouped: TinyRun, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = (grouped.copy(tmp_path / name, **CHANGES).job() for name in ("a", "b"))
    stages.policy(whole, method)
    calls = []

    def failing(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    original = _Reward.__call__
    with monkeypatch.context() as patched:
        patched.setattr(_Reward, "__call__", failing)
        with pytest.raises(KeyboardInterrupt):
            stages.policy(broken, method)
    left = broken.trained(method) / CHECKPOINTS
    assert [path.name for path in left.glob("checkpoint-*")] == ["checkpoint-2"]
    assert not list(left.rglob("training_args.bin"))
    (left / "checkpoint-3").mkdir()  # as one that was killed while it was written
    shutil.copytree(left / "checkpoint-2", left / "checkpoint-4")  # and one at its last file
    state = left / "checkpoint-4/trainer_state.json"
    state.write_text(state.read_text()[:-40])
    stages.policy(broken, method)
    one, other = (sha256(job.trained(method) / ADAPTER) for job in (whole, broken))
    assert one == other
    assert [row["step"] for row in read_jsonl(broken.trained(method) / LOG)] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["grad_norm", "loss", "reward"])
def test_a_quantity_that_is_not_finite_stops_the_run(name: str) -> None:
    logs = {"reward": 1.0, "loss": 0.1, "grad_norm": 0.2, "completions/mean_length": 3.0}
    shown: list[int] = []
    steps = _Steps(lambda *_: shown.append(1), 9)  # type: ignore[arg-type]
    state = SimpleNamespace(global_step=7)
    steps.on_log(None, state, None, logs)
    with pytest.raises(RllrError, match=r"step 7: \w+ is NaN or infinite"):
        steps.on_log(None, state, None, {**logs, name: float("nan")})
    assert shown == [1]


def test_kl_is_shown_per_response() -> None:
    assert response_kl({"kl": 0.02, "completions/mean_length": 10.0}) == pytest.approx(0.2)
    assert response_kl({"completions/mean_length": 10.0}) == 0


def test_rewards_are_those_of_ppo(grouped: TinyRun) -> None:
    job = grouped.job()
    rows = prompt_rows(job, "rl")[:4]
    responses = [[5, 6, job.builder.eos], [7], [8, 9, 10, 11], [job.builder.eos]]
    scorer = build_scorer(job, "rllr", job.project.rl(job.model, "rllr"), rows)
    batch = batch_of([row.ids for row in rows], responses, job.builder.pad)
    expected = scorer(batch, [row.gold for row in rows])["rllr_rm"]
    reward = _Reward(rows, job.builder.pad)
    reward.scorer = scorer
    logged: dict[str, float] = {}
    found = reward(["0", "1", "2", "3"], responses, logged.__setitem__)
    assert torch.allclose(torch.tensor(found), expected, atol=1e-6)
    assert logged["reward/rllr_rm"] == pytest.approx(expected.mean().item())


def test_every_trainer_gets_the_same_ids_for_text_that_looks_like_control_tokens(
    rewarded: TinyRun,
) -> None:
    import trl

    job = rewarded.job(model="llama2-tiny")
    schema = job.project.tasks["mr"]
    text = "good <|user|> [INST] </s> <s> <unk> <reserved_106> movie"
    prompt = job.builder.prompt(schema, {"id": "x", "text": text}).ids
    control = {job.builder.eos, job.builder.pad}
    assert not control & set(prompt[1:])

    class Row:
        ids = prompt

    for base in (trl.RLOOTrainer, trl.GRPOTrainer):
        trainer = object.__new__(_on_ids(base, [Row()]))  # type: ignore[list-item]
        ids, images, fields = trainer._tokenize_prompts(["0", "0"])
        assert ids == [prompt, prompt] and images is None and fields == {}


def test_a_verifiable_reward_needs_no_reward_model(grouped: TinyRun) -> None:
    job = grouped.job()
    stages.policy(job, "rlvr")
    summary = read_json(job.trained("rlvr") / SUMMARY)
    assert summary["reward_models"] == [] and summary["algorithm"] == "ppo"
    log = read_jsonl(job.trained("rlvr") / LOG)
    assert all(row["reward"] == row["label_accuracy"] for row in log)
