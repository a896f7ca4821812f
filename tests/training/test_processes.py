"""Training in two processes, started as `gpus: 2` has them started: by `accelerate launch`."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_process import LONG, signal_after, start
from tiny_project import LLAMA, TinyRun, write_model

from rllr import stages
from rllr.errors import RllrError
from rllr.files import read_json, read_jsonl, write_jsonl
from rllr.layout import CHECKPOINTS, MANIFEST, SUMMARY
from rllr.training.common import LOG
from rllr.training.ppo.rollout import draw_index
from rllr.training.processes import is_launched
from rllr.training.shared import WholeBatches
from rllr.training.world import World

# Batches of 12 do not divide the 80 rows and 40 pairs: each epoch's last batch is a smaller one.
TRAINING: dict[str, Any] = {
    "sft": {"batch_size": 12, "epochs": 2.5, "checkpoint_every": 100},
    "reward": {"batch_size": 12, "epochs": 3, "lora_dropout": 0.0},
    "ppo": {"batch_size": 8, "mini_batch_size": 4, "steps": 4, "learning_rate": 1e-3},
}
# Where a quantity is 0 but for rounding. KL is a sum over tokens of differences of logarithms.
ABSOLUTE = {"kl": 1e-5}
LOSSES = {
    "sft": ["loss", "grad_norm", "train_loss", "eval_loss"],
    "reward": ["loss", "grad_norm", "train_loss"],
    "policy": [
        *("policy_loss", "value_loss", "policy_grad_norm", "value_grad_norm", "kl", "entropy"),
        *("reward", "reward_std", "score", "response_length", "explained_variance", "ratio"),
    ],
}


def on_two(run: TinyRun) -> TinyRun:
    write_model(run.root, LLAMA, LLAMA, gpus=2)
    return run


@pytest.mark.parametrize(
    "stage, name, micro",
    [
        pytest.param("sft", "sft", None, marks=pytest.mark.slow),
        ("sft", "sft", 3),
        ("reward", "rllr_rm", 3),
        ("policy", "rllr", 3),
    ],
)
def test_two_processes_have_the_losses_of_one(
    rewarded: TinyRun, tmp_path: Path, stage: str, name: str, micro: int | None
) -> None:
    """And the weights, up to the rounding of steps; `micro` cuts shares into uneven parts too."""
    changes = {kind: {**TRAINING[kind], "micro_batch_size": micro} for kind in TRAINING}
    for kind in ("sft", "reward"):
        changes[kind]["group_by_length"] = micro is not None
    one, two = (rewarded.copy(tmp_path / place, training=changes) for place in ("one", "two"))
    logs = []
    for run in (one, on_two(two)):
        shutil.rmtree(run.job().trained(name), ignore_errors=True)
        getattr(stages, stage)(run.job(), name)
        logs.append(read_jsonl(run.job().trained(name) / LOG))
    assert len(logs[0]) == len(logs[1]) and not is_launched()
    compared = 0
    for alone, both in zip(*logs, strict=True):
        for key in {"step", *LOSSES[stage]} & set(alone):
            assert both[key] == pytest.approx(alone[key], rel=1e-5, abs=ABSOLUTE.get(key, 1e-6)), (
                key
            )
            compared += 1
    assert compared > len(LOSSES[stage])
    summaries = [read_json(run.job().trained(name) / SUMMARY) for run in (one, two)]
    assert [summary["processes"] for summary in summaries] == [1, 2]
    assert read_json(two.job().trained(name) / MANIFEST)["processes"] == 2
    assert not (two.job().trained(name) / CHECKPOINTS).exists()


@pytest.mark.slow
def test_two_processes_stop_together_and_go_on_to_the_same_bytes(
    based: TinyRun, tmp_path: Path
) -> None:
    """In a later epoch, with dropout; none is left behind when the stage itself is killed."""
    training = {"sft": {**LONG["sft"], "epochs": 12.5, "tuning": "lora"}}
    whole, broken = (on_two(based.copy(tmp_path / place, training=training)) for place in "ab")
    stages.sft(whole.job(), "sft")
    job, folder = broken.job(), broken.job().trained("sft")
    shutil.rmtree(folder, ignore_errors=True)

    status, output = signal_after(start(broken, "sft", "sft"), job, "sft", 2, signal.SIGTERM)
    assert status == 75, output
    assert "signal SIGTERM; run again, it goes on from there" in output
    (stopped,) = (int(path.name.split("-")[1]) for path in folder.glob("checkpoints/checkpoint-*"))
    assert stopped > 10 and f"stopped after step {stopped} of 125" in output

    process = start(broken, "sft", "sft")
    status, output = signal_after(process, job, "sft", stopped + 3, signal.SIGKILL)
    assert status == -signal.SIGKILL and f"going on after step {stopped} of 125" in output
    assert not (folder / MANIFEST).exists()

    stages.sft(job, "sft")
    weights = [run.job().trained("sft") / "adapter_model.safetensors" for run in (whole, broken)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_mistake_found_by_the_processes_is_one_message(rewarded: TinyRun, tmp_path: Path) -> None:
    run = on_two(rewarded.copy(tmp_path / "copy"))
    write_jsonl(run.job().rationale_pairs("sft") / "train.jsonl", [])
    with pytest.raises(RllrError, match="no rationale_sensitive pairs to train on"):
        stages.reward(run.job(), "rlhf_rm")


# --- parts ---------------------------------------------------------------------------------------


def test_the_order_is_that_of_one_process_filled_up_with_blanks() -> None:
    from accelerate.data_loader import SeedableRandomSampler

    alone = SeedableRandomSampler(range(10), data_seed=3)
    sampler = WholeBatches(SeedableRandomSampler(range(10), data_seed=3), 4)
    for epoch in (0, 1, 5):
        sampler.random.set_epoch(epoch)
        alone.set_epoch(epoch)
        assert list(sampler) == [*alone, 10, 10]
    assert len(sampler) == 12 and len(WholeBatches(alone, 5)) == 10


def test_processes_draw_what_one_draws() -> None:
    weights = torch.rand(6, 9, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        whole = draw_index(weights, torch.Generator().manual_seed(2))
        parts = [
            draw_index(part, torch.Generator().manual_seed(2), World(rank, 3))
            for rank, part in enumerate(weights.split(2))
        ]
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"training": {"sft": {"batch_size": 9}}}, r"'sft_label' of .*batch_size is 9; it must be"),
        (
            {"training": {"reward": {"batch_size": 12, "micro_batch_size": 4}}},
            r"'r\w+_rm' of .*a multiple of gpus x micro_batch_size \(2 x 4\)",
        ),
        ({"training": {"ppo": {"batch_size": 9}}}, r"'rlhf' of .* gpus x micro_batch_size \(2 x 1"),
        (
            {
                "methods": ["sft", "rllr_rloo"],
                "training": {"rloo": {"batch_size": 8, "steps": 2, "learning_rate": 1e-3}},
            },
            r"'rllr_rloo' of model .*: algorithm rloo trains in one process.*gpus: 2",
        ),
    ],
)
def test_batches_that_cannot_be_shared_out_are_refused(
    run: TinyRun, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RllrError, match=message):
        _ = on_two(run).but(**changes).project
