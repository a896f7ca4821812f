from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_run import SyntheticRun


@pytest.fixture
def run(tmp_path: Path) -> SyntheticRun:
    return SyntheticRun(tmp_path / "synthetic")


@pytest.fixture
def small_run(run: SyntheticRun) -> SyntheticRun:
    """Two models, sst2 only in the cells; healthy stages; rllr best, sft and rlhf tie on llama."""
    run.grid()
    for model in ("llama", "bloom"):
        run.healthy_stages(model)
        for method, correct in (("sft_label", 5), ("sft", 6), ("rlhf", 6), ("rllr", 8)):
            run.accuracy(model, method, correct)
    return run
