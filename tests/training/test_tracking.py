from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tiny_project import TinyRun

from rllr.errors import RllrError
from rllr.files import read_jsonl
from rllr.training.common import LOG
from rllr.training.tracking import StepLog, trackers

METRICS = {"reward": 0.5, "kl": 0.1}


def test_each_step_is_a_row_and_a_line_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = StepLog(tmp_path)
    for step in range(1, 13):
        log(step, 12, METRICS)
    log.close()
    rows = read_jsonl(tmp_path / LOG)
    assert [row["step"] for row in rows] == list(range(1, 13)) and rows[0]["kl"] == 0.1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "step 10/12 reward 0.500 KL 0.100",
        "step 12/12 reward 0.500 KL 0.100",
    ]
    assert lines[-1].endswith("0 s left")


def test_steps_that_are_done_again_are_logged_once(tmp_path: Path) -> None:
    first = StepLog(tmp_path)
    for step in range(1, 6):
        first(step, 6, METRICS)
    second = StepLog(tmp_path)
    for step in (4, 5, 6):
        second(step, 6, {"reward": 9.0, "kl": 0.0})
    rows = read_jsonl(tmp_path / LOG)
    assert [(row["step"], row["reward"]) for row in rows] == [
        *((step, 0.5) for step in (1, 2, 3)),
        *((step, 9.0) for step in (4, 5, 6)),
    ]


def test_a_new_run_starts_a_new_log(tmp_path: Path) -> None:
    StepLog(tmp_path)(1, 2, METRICS)
    StepLog(tmp_path)(1, 2, {"reward": 9.0, "kl": 0.0})
    assert [row["reward"] for row in read_jsonl(tmp_path / LOG)] == [9.0]


def test_tensorboard_shows_every_metric_of_every_step(run: TinyRun) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    job = run.but(trackers=["tensorboard"]).job()
    (track,) = trackers(job, "rllr")
    for step in (1, 2):
        track(step, {"reward": step / 2, "kl": 0.25})
    track(0, None)
    found = EventAccumulator(str(job.trained("rllr") / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in found.Scalars("reward")] == [(1, 0.5), (2, 1.0)]
    assert len(found.Scalars("kl")) == 2


def test_a_tracker_that_is_not_installed_is_named(
    run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(RllrError, match="wandb is not installed; install it"):
        trackers(run.but(trackers=["wandb"]).job(), "rllr")


def test_a_run_may_have_no_tracker(run: TinyRun) -> None:
    assert trackers(run.but(trackers=[]).job(), "rllr") == []
