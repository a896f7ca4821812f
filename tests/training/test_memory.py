"""What bounds memory or saves padding changes no loss."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_project import LLAMA, TinyRun, write_model

from rllr import stages
from rllr.config.load import load
from rllr.files import read_jsonl
from rllr.training.common import LOG, common_arguments
from rllr.training.shared import SortedBatches, WholeBatches

LOSSES = ("loss", "grad_norm", "train_loss", "eval_loss")
PLAIN: dict[str, dict[str, Any]] = {
    "sft": {"tuning": "lora", "batch_size": 12, "epochs": 2, "lora_dropout": 0.0},
    "reward": {"batch_size": 12, "epochs": 2, "lora_dropout": 0.0},
}


def losses(run: TinyRun, to: Path, stage: str, name: str, **changes: Any) -> list[dict[str, float]]:
    training = {kind: {**PLAIN[kind], **changes} for kind in PLAIN}
    # A reward model here starts from the full SFT that is there already.
    training["sft"]["tuning"] = "lora" if stage == "sft" else "full"
    copy = run.copy(to, training=training)
    write_model(copy.root, LLAMA, LLAMA, gpus=changes.pop("gpus", 1))
    shutil.rmtree(copy.job().trained(name), ignore_errors=True)
    getattr(stages, stage)(copy.job(), name)
    return read_jsonl(copy.job().trained(name) / LOG)


@pytest.mark.parametrize("stage, name", [("sft", "sft"), ("reward", "rllr_rm")])
def test_losses_are_those_of_the_plain_run(
    rewarded: TinyRun, tmp_path: Path, stage: str, name: str
) -> None:
    """Of the same micro-batch size, as held-out losses are means over evaluated batches."""
    plain = losses(rewarded, tmp_path / "plain", stage, name, micro_batch_size=3)
    for change in ("gradient_checkpointing", "group_by_length"):
        changes = {change: True, "micro_batch_size": 3}
        found = losses(rewarded, tmp_path / change, stage, name, **changes)
        assert len(found) == len(plain)
        for row, wanted in zip(found, plain, strict=True):
            for key in set(LOSSES) & set(wanted):
                assert row[key] == pytest.approx(wanted[key], rel=1e-4), (change, key)


def test_batches_keep_their_rows_and_are_sorted() -> None:
    from accelerate.data_loader import SeedableRandomSampler

    lengths = [row * 7 % 11 for row in range(22)]
    order, random = SortedBatches(lengths, 8, seed=1), SeedableRandomSampler(lengths, data_seed=1)
    seen = []
    for epoch in (0, 3):
        order.random.set_epoch(epoch)
        random.set_epoch(epoch)
        found, drawn = list(order), list(random)
        for start in (0, 8, 16):
            batch = found[start : start + 8]
            assert set(batch) == set(drawn[start : start + 8])
            assert [lengths[row] for row in batch] == sorted(lengths[i] for i in batch)[::-1]
        seen.append(found)
    assert seen[0] != seen[1] and sorted(seen[0]) == list(range(22)) and len(order) == 22
    assert list(WholeBatches(order, 8))[22:] == [22, 22]


@pytest.mark.parametrize("processes", [1, 2, 4, 8])
@pytest.mark.parametrize("stage, batch", [("sft", 128), ("rllr_rm", 64)])
def test_published_batches_hold_on_any_number_of_gpus(
    tmp_path: Path, processes: int, stage: str, batch: int
) -> None:
    paper = load({"extends": "paper"})
    settings = paper.sft if stage == "sft" else paper.reward
    for name, model in paper.models.items():
        found = common_arguments(settings(name, stage), 0, tmp_path, model, processes)
        micro = found["per_device_train_batch_size"]
        assert micro * found["gradient_accumulation_steps"] * processes == batch
        assert found["bf16"] and micro == settings(name, stage).micro_batch_size
