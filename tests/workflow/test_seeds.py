"""Seeds through real Snakemake: the same one gives the same bytes, another one other weights."""

from __future__ import annotations

import pytest

from tests.workflow.conftest import Workspace, write_workspace
from tests.workflow.test_grid import METHODS, trained

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One model of the grid once more, from nothing, with a second seed beside the first."""
    changes = {"models": ["llama2-tiny"], "seeds": [0, 1], "context_methods": []}
    workspace = write_workspace(tmp_path_factory.mktemp("again"), changes)
    workspace.snakemake("tables")
    return workspace


def test_the_same_seed_gives_the_same_bytes(finished: Workspace, again: Workspace) -> None:
    first, second = finished.metrics(), again.metrics()
    shared = [path for path in second if "seed0" in path]
    assert len(shared) == 2 * 2 * (len(METHODS)) + 2 * 2
    assert all(first[path] == second[path] for path in shared)


def test_another_seed_gives_other_weights_for_every_trained_stage(again: Workspace) -> None:
    for stage in [*METHODS, "rlhf_rm", "rllr_rm"]:
        folders = [trained(again, stage).parent / f"seed{seed}" for seed in (0, 1)]
        weights = [next(folder.glob("*.safetensors")).read_bytes() for folder in folders]
        assert weights[0] != weights[1], stage
