"""A stage broken off at any moment, in whatever way, ends in the bytes of an undisturbed one."""

from __future__ import annotations

import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_process import LONG, signal_after, start
from tiny_project import TinyRun

from rllr import stages
from rllr.files import read_json, read_jsonl
from rllr.job import Job
from rllr.layout import CHECKPOINTS, MANIFEST, SUMMARY
from rllr.training.common import LOG
from rllr.training.resume import _is_whole, last_checkpoint
from rllr.training.world import ALONE


def weights(job: Job, name: str) -> bytes:
    return job.layout.weights(job.model, name, job.unit, job.seed).read_bytes()


def steps(job: Job, name: str) -> list[int]:
    """Logged steps; the last has also the totals and the held-out loss."""
    return [row["step"] for row in read_jsonl(job.trained(name) / LOG)]


def newest(job: Job, name: str) -> int:
    """The newest checkpoint's step; for PPO, whose state is one file, as it says itself."""
    folder = job.trained(name) / CHECKPOINTS
    if (folder / "state.pt").exists():
        return int(torch.load(folder / "state.pt", weights_only=True)["done"])
    return max((int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*")), default=0)


SORTED = {"micro_batch_size": 4, "group_by_length": True}
CASES = {
    "sft-full": ("sft", "sft", {}),
    "sft-lora": ("sft", "sft", {"sft": {"tuning": "lora", **SORTED}}),
    "reward": ("reward", "rllr_rm", {}),
    "policy": ("policy", "rllr", {}),
}


# One at once, the others with the longer tests; test_ppo_resume.py breaks PPO off, too.
QUICK = [pytest.param(c, marks=[] if c == "sft-lora" else pytest.mark.slow) for c in CASES]


@pytest.mark.parametrize("case", QUICK)
def test_a_stage_broken_off_again_and_again_ends_in_the_same_bytes(
    rewarded: TinyRun, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its time limit, by SIGTERM and by SIGKILL; the last attempt is left alone."""
    stage, name, changes = CASES[case]
    training = {kind: {**LONG[kind], **changes.get(kind, {})} for kind in LONG}
    whole, broken = (rewarded.copy(tmp_path / place, training=training) for place in "ab")
    getattr(stages, stage)(whole.job(), name)
    job = broken.job()
    shutil.rmtree(job.trained(name), ignore_errors=True)

    process = start(broken, stage, name, RLLR_DEADLINE=str(time.time()))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 75, output
    assert "stopped after step 1 of " in output and "time limit; run again" in output
    assert newest(job, name) == 1

    status, output = signal_after(start(broken, stage, name), job, name, 2, signal.SIGTERM)
    assert status == 75 and "going on after step 1 of " in output, output
    assert "signal SIGTERM; run again, it goes on from there" in output
    stopped = newest(job, name)
    assert f"stopped after step {stopped} of " in output and stopped > 2
    assert not list(job.trained(name).glob("*.safetensors"))
    assert not any((job.trained(name) / part).exists() for part in (MANIFEST, SUMMARY))

    begun = start(broken, stage, name)
    status, output = signal_after(begun, job, name, stopped + 3, signal.SIGKILL)
    assert status == -signal.SIGKILL and f"going on after step {stopped} of " in output, output
    killed = newest(job, name)
    assert killed >= stopped and not (job.trained(name) / MANIFEST).exists()

    capsys.readouterr()
    getattr(stages, stage)(job, name)
    assert f"going on after step {killed} of " in capsys.readouterr().out
    assert weights(job, name) == weights(whole.job(), name)
    found, wanted = (read_json(j.trained(name) / SUMMARY) for j in (job, whole.job()))
    assert found == wanted
    assert not (job.trained(name) / CHECKPOINTS).exists()
    assert Counter(steps(job, name)) == Counter(steps(whole.job(), name))
    assert steps(job, name) == sorted(steps(job, name))


# --- which checkpoint is used --------------------------------------------------------------------


def put_checkpoint(folder: Path, step: int, processes: int = 1) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    ranks = [f"rng_state_{rank}.pth" for rank in range(processes)]
    for name in ("optimizer.pt", "scheduler.pt", *(ranks if processes > 1 else ["rng_state.pth"])):
        torch.save({"some": torch.arange(50)}, path / name)
    (path / "adapter_model.safetensors").write_bytes(b"weights")
    (path / "trainer_state.json").write_text('{"global_step": 1}')
    return path


FILES = ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]


@pytest.mark.parametrize("name", [*FILES, "adapter_model.safetensors"])
def test_a_checkpoint_that_lacks_a_file_is_removed(tmp_path: Path, name: str) -> None:
    last_checkpoint(tmp_path, "same", ALONE)
    whole, broken = put_checkpoint(tmp_path, 9), put_checkpoint(tmp_path, 10)
    (broken / name).unlink()
    assert last_checkpoint(tmp_path, "same", ALONE) == whole
    assert not broken.exists()


@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_whose_file_was_cut_short_is_removed(tmp_path: Path, name: str) -> None:
    last_checkpoint(tmp_path, "same", ALONE)
    whole, broken = put_checkpoint(tmp_path, 9), put_checkpoint(tmp_path, 10)
    (broken / name).write_bytes((broken / name).read_bytes()[:-5])
    assert last_checkpoint(tmp_path, "same", ALONE) == whole
    assert not broken.exists()


def test_every_process_has_its_random_state_in_a_checkpoint(tmp_path: Path) -> None:
    path = put_checkpoint(tmp_path, 4, processes=2)
    assert _is_whole(path, 2) and not _is_whole(path, 3) and not _is_whole(path, 1)
    cut = path / "rng_state_1.pth"  # another process's, which may be killed while it writes
    cut.write_bytes(cut.read_bytes()[:-5])
    assert not _is_whole(path, 2)


def test_only_this_runs_checkpoints_are_used_and_other_files_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last_checkpoint(tmp_path, "one", ALONE)
    path = put_checkpoint(tmp_path, 100)
    for name in ("attempts.json", "heartbeat"):
        (tmp_path / name).write_text("the supervisor's")
    assert last_checkpoint(tmp_path, "one", ALONE) == path
    assert last_checkpoint(tmp_path, "other", ALONE) is None
    assert "of a run of other settings, inputs or code; not used" in capsys.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} == {"attempts.json", "heartbeat", "identity.txt"}


def test_another_seed_or_setting_starts_over(rewarded: TinyRun, tmp_path: Path) -> None:
    training: dict[str, Any] = {"reward": LONG["reward"]}
    run = rewarded.copy(tmp_path / "copy", training=training)
    process = start(run, "reward", "rllr_rm", RLLR_DEADLINE=str(time.time()))
    process.communicate(timeout=120)
    assert process.returncode == 75 and newest(run.job(), "rllr_rm") == 1
    other = run.but(training={"reward": {"learning_rate": 1e-4}})
    stages.reward(other.job(), "rllr_rm")
    log = read_jsonl(run.job().trained("rllr_rm") / LOG)
    assert log[0]["step"] == 10 and not (run.job().trained("rllr_rm") / CHECKPOINTS).exists()
