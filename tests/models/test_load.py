from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tiny_project import LLAMA, TinyRun, write_model

from rllr import stages
from rllr.errors import RllrError
from rllr.layout import ADAPTER, FULL_MODEL
from rllr.models.load import (
    _why_no_gpu,
    load_policy,
    load_scorer,
    prepare_process,
    require_device,
)

IDS = torch.tensor([[5, 6, 7, 8, 300, 301], [9, 10, 11, 12, 13, 14]])


@pytest.fixture(scope="module")
def adapted(tuned: TinyRun) -> Path:
    """An SFT adapter (LoRA) of another seed beside the full SFT model."""
    job = tuned.but(training={"sft": {"tuning": "lora"}}).job(seed=7)
    stages.sft(job, "sft")
    return job.trained("sft")


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(IDS).logits


def test_merging_an_adapter_changes_nothing_but_the_form(tuned: TinyRun, adapted: Path) -> None:
    base = tuned.layout.base(LLAMA)
    assert (adapted / ADAPTER).exists() and not (adapted / FULL_MODEL).exists()
    merged = load_policy(base, adapted)
    beside = PeftModel.from_pretrained(load_policy(base), str(adapted)).eval()
    torch.testing.assert_close(logits(merged), logits(beside), rtol=1e-5, atol=1e-5)
    assert not isinstance(merged, PeftModel)
    assert (logits(merged) - logits(load_policy(base))).abs().max() > 1e-3


def test_a_full_model_replaces_the_base(tuned: TinyRun) -> None:
    base, trained = tuned.layout.base(LLAMA), tuned.job().trained("sft")
    difference = logits(load_policy(base, trained)) - logits(load_policy(base))
    assert difference.abs().max() > 1e-3
    assert not load_policy(base, trained).training


def test_a_scorer_shares_the_policys_decoder(tuned: TinyRun) -> None:
    policy = load_policy(tuned.layout.base(LLAMA))
    scorer = load_scorer(policy, pad_id=0)
    assert scorer.score.weight.shape == (1, policy.config.hidden_size)
    assert scorer.config.pad_token_id == 0
    with torch.inference_mode():
        states = [model.base_model(IDS).last_hidden_state for model in (policy, scorer)]
    assert torch.equal(*states)


def test_missing_folders_are_named(tuned: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(RllrError, match="no model here; was the stage that makes it run"):
        load_policy(tmp_path)
    with pytest.raises(RllrError, match=f"neither {FULL_MODEL} nor {ADAPTER}; was the stage pru"):
        load_policy(tuned.layout.base(LLAMA), tmp_path)


def test_a_process_is_set_up_offline_with_its_own_thread_count() -> None:
    prepare_process(2)
    assert torch.get_num_threads() == 2
    prepare_process(1)
    assert torch.get_num_threads() == 1
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert torch.are_deterministic_algorithms_enabled()


def test_thread_counts_reach_libraries_that_read_them_when_loaded() -> None:
    """In a process whose environment says nothing, as in a container."""
    script = (
        "from rllr.models.load import prepare_process; prepare_process(2); import os, torch;"
        "print(torch.get_num_threads(), *(os.environ[f'{k}_NUM_THREADS'] for k in ('OMP', 'MKL')))"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["2", "2", "2"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")
def test_a_job_on_a_gpu_that_is_not_there_ends_with_the_cause(
    tuned: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every stage that computes, before anything else is done."""
    for name in ("CUDA_VISIBLE_DEVICES", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    run = tuned.copy(tmp_path / "copy")
    write_model(run.root, LLAMA, LLAMA, device="cuda")
    job = run.job()
    compute = [stages.sft, stages.sample, stages.predict]
    for stage in [partial(each, job, "sft") for each in compute]:
        with pytest.raises(RllrError, match=r"says device: cuda, but torch .* sees no GPU: "):
            stage()
    with pytest.raises(RllrError, match="sees no GPU"):
        stages.base(run.project, LLAMA)
    require_device("cpu")


@pytest.mark.parametrize(
    "version, granted, cause",
    [
        (None, "0", r"built for CPUs \(torch\.version\.cuda is None\), as in the CPU image"),
        ("13.0", "", r"no GPU was granted to this job \(CUDA_VISIBLE_DEVICES names none\)"),
        ("13.0", "0", r"without --nv, or the driver is older than CUDA 13\.0"),
    ],
)
def test_why_there_is_no_gpu(
    version: str | None, granted: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", granted)
    assert re.search(cause, _why_no_gpu(version))
