"""The same seed gives the same bytes, another seed others, for each trained stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_project import TinyRun, files_of

from rllr import stages
from rllr.files import sha256
from rllr.job import Job
from rllr.layout import SUMMARY

STAGES: dict[str, Callable[[Job, str], None]] = {
    "sft": stages.sft,
    "sft_label": stages.sft,
    "rllr_rm": stages.reward,
    "rllr": stages.policy,
}


@pytest.fixture(scope="module")
def copy(rewarded: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A copy in which the stages of seed 1 stand for those of seed 0, so that one stage differs."""
    run = rewarded.copy(tmp_path_factory.mktemp("twins"))
    zero, one = run.job(seed=0), run.job(seed=1)
    for stage in ("sft", "rllr_rm"):
        one.trained(stage).symlink_to(zero.trained(stage))
    for made in ("rationale_pairs", "samples"):
        getattr(one, made)("sft").symlink_to(getattr(zero, made)("sft"))
    return run


def trained(job: Job, stage: str) -> str:
    """Train a stage anew; the hash of its weights."""
    folder = job.trained(stage)
    if folder.is_symlink():
        folder.unlink()
    STAGES[stage](job, stage)
    return sha256(job.layout.weights(job.model, stage, job.unit, job.seed))


@pytest.mark.parametrize("stage", reversed(STAGES))
def test_a_seed_decides_a_stages_weights_bit_for_bit(copy: TinyRun, stage: str) -> None:
    # From the last stage to the first, so that what a stage starts from is still shared.
    first, again = trained(copy.job(seed=0), stage), trained(copy.job(seed=0), stage)
    other = trained(copy.job(seed=1), stage)
    assert first == again != other


def test_a_seed_decides_an_sft_adapter_too(based: TinyRun, tmp_path: Path) -> None:
    run = based.copy(tmp_path / "copy", training={"sft": {"tuning": "lora"}})
    made = [trained(run.job(seed=seed), "sft") for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("stage", ["sft", "rllr_rm"])
def test_summaries_repeat_in_another_folder(rewarded: TinyRun, tmp_path: Path, stage: str) -> None:
    run = rewarded.copy(tmp_path / "copy")
    path = run.job().trained(stage) / SUMMARY
    before = path.read_text()
    path.unlink()
    trained(run.job(), stage)
    assert path.read_text() == before


def test_nothing_is_written_that_would_need_unpickling(copy: TinyRun) -> None:
    suffixes = {path.suffix for path in files_of(copy.root / "results")}
    assert suffixes == {".json", ".jsonl", ".jinja", ".safetensors"}
