from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rllr.config.load import load
from rllr.config.schema import SftSettings
from rllr.errors import RllrError
from rllr.files import read_jsonl
from rllr.training.common import LOG, CausalCollator, JsonlLog, common_arguments

STATE = SimpleNamespace(global_step=3, max_steps=5)
MODEL = load({"extends": "tiny"}).models["llama2-tiny"]


def settings(**changes: int) -> SftSettings:
    return SftSettings(learning_rate=1e-3, epochs=1, batch_size=12, **changes)


def test_padding_is_not_attended_to_and_not_learned() -> None:
    rows = [{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, {"input_ids": [8], "labels": [8]}]
    batch = CausalCollator(pad_id=0)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]


def test_without_labels_every_token_is_learned_even_one_equal_to_padding() -> None:
    batch = CausalCollator(pad_id=0)([{"input_ids": [5, 0]}, {"input_ids": [0]}])
    assert batch["labels"].tolist() == [[5, 0], [0, -100]]
    assert batch["labels"].dtype == torch.long


def test_the_batch_size_is_global(tmp_path: Path) -> None:
    arguments = common_arguments(settings(micro_batch_size=4), 7, tmp_path, MODEL)
    assert arguments["per_device_train_batch_size"] == 4
    assert arguments["gradient_accumulation_steps"] == 3
    assert arguments["seed"] == arguments["data_seed"] == 7
    assert common_arguments(settings(), 7, tmp_path, MODEL)["gradient_accumulation_steps"] == 1
    with pytest.raises(ValueError, match="must be a multiple of micro_batch_size"):
        settings(micro_batch_size=5)


def test_the_log_keeps_each_step_and_stops_at_a_loss_that_is_no_number(tmp_path: Path) -> None:
    log = JsonlLog(tmp_path)
    log.on_log(None, STATE, None, {"loss": 1.5})
    assert read_jsonl(tmp_path / LOG) == [{"step": 3, "loss": 1.5}]
    for bad in (float("nan"), float("inf")):
        with pytest.raises(RllrError, match="at step 3: training diverged"):
            log.on_log(None, STATE, None, {"loss": bad})
    assert len(read_jsonl(tmp_path / LOG)) == 1
    JsonlLog(tmp_path)
    assert read_jsonl(tmp_path / LOG) == []


def test_a_run_that_goes_on_keeps_the_rows_up_to_its_checkpoint(tmp_path: Path) -> None:
    """Also where a kill cut the last row short."""
    rows = '{"step": 0, "eval_loss": 2.0}\n{"step": 3, "loss": 1.5}\n{"step": 4, "loss": 1.4}\n{"st'
    (tmp_path / LOG).write_text(rows)
    log = JsonlLog(tmp_path, done=3)
    before, stopped = SimpleNamespace(global_step=0, max_steps=5), {"train_loss": 9.0}
    log.on_log(None, before, None, {"eval_loss": 2.0})  # measured and logged before
    log.on_log(None, SimpleNamespace(global_step=4, max_steps=5), None, {"loss": 1.3})
    log.on_log(None, SimpleNamespace(global_step=4, max_steps=5), None, stopped)
    found = [(row["step"], *list(row.values())[1:]) for row in read_jsonl(tmp_path / LOG)]
    assert found == [(0, 2.0), (3, 1.5), (4, 1.3)]
