"""The cut grid through real Snakemake: complete, idle when finished, repaired when damaged."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

import pytest

from rllr.reporting.captions import FIGURE_CAPTIONS, TABLE_CAPTIONS
from rllr.reporting.names import FIGURES, TABLES
from rllr.reporting.sections import heading_of
from tests.workflow.conftest import Workspace, read, write_workspace

METHODS = ["sft_label", "sft", "rlhf", "rllr", "rllr_mixed"]
REPORTING = {"tables": 1, "figures": 1, "report": 1, "all": 1}
# What follows from other predictions of one model.
JUDGED = {"judge_test": 1, **REPORTING}
CELL = ("cells", "llama2-tiny", "mnli", "rllr", "seed0")


def trained(workspace: Workspace, stage: str) -> Path:
    return workspace.path("trained", "llama2-tiny", stage, "mixture", "seed0")


def test_every_cell_table_figure_and_the_report_are_there(finished: Workspace) -> None:
    cells = {
        finished.path("cells", model, task, method, "seed0", "metrics.json")
        for model in ("llama2-tiny", "bloom-tiny")
        for task in ("mr", "mnli")
        for method in [*METHODS, "zero_shot"]
    }
    assert all(path.exists() for path in cells)
    for name in ("headline", "main", "delta", "reward_models", "mismatch", "rationales"):
        assert all(finished.path("tables", f"{name}.{e}").exists() for e in ("md", "csv", "tex"))
    for model in ("llama2-tiny", "bloom-tiny"):
        assert finished.path("judged", model, "mixture", "seed0", "comparisons.jsonl").exists()
    assert finished.path("report.html").stat().st_size > 10_000
    assert "Llama-2 (tiny)" in finished.path("tables", "main.md").read_text()


def test_every_artefact_is_safetensors_or_json(finished: Workspace) -> None:
    endings = {
        path.suffix
        for root in ("trained", "samples", "pairs", "data", "judged")
        for path in finished.path(root).rglob("*")
        if path.is_file()
    }
    assert endings <= {".json", ".jsonl", ".safetensors", ".md"}


def test_a_finished_run_has_nothing_to_do(finished: Workspace) -> None:
    assert finished.planned() == {}
    assert "Nothing to be done" in finished.snakemake().stderr + finished.snakemake().stdout


def test_snakemake_reports_tables_and_figures_by_section_with_captions(
    finished: Workspace, tmp_path: Path
) -> None:
    page = tmp_path / "snakemake.html"
    finished.snakemake("--report", str(page))
    text = page.read_text()
    captions = [TABLE_CAPTIONS[name] for name in TABLES]
    captions += [FIGURE_CAPTIONS[name] for name in FIGURES]
    for caption in captions:
        assert escape(caption, quote=False).partition("'")[0] in text
    for name in TABLES:
        assert f'"{heading_of(name, figure=False)}"' in text
    for name in FIGURES:
        assert f'"{heading_of(name, figure=True)}"' in text
    assert "Everything on one page" in text
    assert "reinforcement learning with label-sensitive rewards" in text


def test_manifests_record_where_a_result_came_from(finished: Workspace) -> None:
    manifest = read(trained(finished, "rllr") / "manifest.json")
    assert {"commit", "code", "settings", "seed", "inputs", "packages", "wall_seconds"} <= set(
        manifest
    )
    assert "rllr.training.ppo.core" in manifest["code"]["modules"]  # type: ignore[index]
    assert "torch" in manifest["packages"]  # type: ignore[operator]


def test_a_deleted_cell_is_scored_again_and_nothing_else(finished: Workspace) -> None:
    before = finished.metrics()
    finished.path(*CELL, "metrics.json").unlink()
    assert finished.planned() == {"score": 1, **REPORTING}
    finished.snakemake()
    assert finished.metrics() == before


@pytest.mark.slow
def test_a_deleted_prediction_is_made_again_and_the_models_others_kept(finished: Workspace) -> None:
    before = finished.metrics()
    cell = ("cells", "llama2-tiny", "mr", "rllr", "seed0")
    kept = finished.path(*cell, "predictions.manifest.json")
    made = kept.read_text()
    finished.path(*CELL, "predictions.jsonl").unlink()
    finished.path(*CELL, "metrics.json").unlink()
    assert finished.planned() == {"predict": 1, "score": 1, **JUDGED}
    finished.snakemake()
    assert finished.metrics() == before
    # Its time of making is in it: the other task was not decoded again.
    assert kept.read_text() == made


@pytest.mark.slow
def test_a_deleted_table_is_written_again(finished: Workspace) -> None:
    path = finished.path("tables", "main.md")
    text = path.read_text()
    path.unlink()
    assert finished.planned() == REPORTING
    finished.snakemake()
    assert path.read_text() == text


@pytest.mark.slow
def test_a_deleted_adapter_is_trained_again_bit_for_bit(finished: Workspace) -> None:
    before = finished.metrics()
    path = trained(finished, "rllr") / "adapter_model.safetensors"
    weights = path.read_bytes()
    path.unlink()
    assert finished.planned() == {"policy": 1, "predict": 1, "score": 1, **JUDGED}
    finished.snakemake()
    assert path.read_bytes() == weights
    assert finished.metrics() == before
    assert finished.planned() == {}


@pytest.mark.parametrize("name", ["manifest.json", "sample_rewards.jsonl"])
def test_a_deleted_file_rebuilds_its_stage_and_what_rests_on_it(
    finished: Workspace, name: str
) -> None:
    path = trained(finished, "rllr_rm") / name
    text = path.read_text()
    stamp = path.stat()
    path.unlink()
    planned = finished.planned()
    path.write_text(text)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    # rllr and rllr_mixed use this reward model; rlhf and the other model do not.
    assert planned == {"reward_model": 1, "policy": 2, "predict": 2, "score": 2, **JUDGED}
    assert finished.planned() == {}


def test_partial_tables_run_nothing_else_and_show_a_dash(finished: Workspace) -> None:
    path = finished.path(*CELL, "metrics.json")
    metrics, stamp = path.read_text(), path.stat()
    path.unlink()
    try:
        assert finished.planned("partial_tables") == {"partial_tables": 1}
        finished.snakemake("partial_tables")
        assert not path.exists()
        table = finished.path("tables", "partial", "main.md").read_text()
        assert "\u2013" in table and "(1/2)" in table
    finally:
        path.write_text(metrics)
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def test_one_cell_asks_only_for_what_it_needs(tmp_path: Path) -> None:
    workspace = write_workspace(tmp_path, {})
    target = "results/cut/cells/llama2-tiny/mnli/sft/seed0/metrics.json"
    planned = workspace.planned(target)
    assert planned == {
        "data": 2,
        "rationales": 2,
        "base_model": 1,
        "sft": 1,
        "predict": 1,
        "score": 1,
    }


def test_deleted_rationales_are_written_again_where_they_are_needed(tmp_path: Path) -> None:
    workspace = write_workspace(tmp_path, {})
    target = "results/cut/pairs/label_sensitive/mr/manifest.json"
    workspace.snakemake(target)
    workspace.path("rationales/mr/rm.jsonl").unlink()
    (workspace.folder / target).unlink()
    assert workspace.planned(target) == {"rationales": 1, "label_pairs": 1}


def test_evaluating_one_task_trains_on_the_same_mixture(
    tmp_path: Path, finished: Workspace
) -> None:
    """`tasks` cut to one, `train_tasks` unchanged: the trained models are the same ones."""
    from rllr.config import load_file
    from rllr.layout import base_revision

    both = load_file(finished.config)
    one = load_file(
        write_workspace(tmp_path, {"tasks": ["mr"], "train_tasks": ["mr", "mnli"]}).config
    )
    assert base_revision(one, "llama2-tiny") == base_revision(both, "llama2-tiny")


def test_z_pruning_frees_weights_and_retrains_nothing(finished: Workspace) -> None:
    """Last in this file: it deletes the weights that the tests above rely on."""
    from rllr.config import load_file
    from rllr.prune import prune

    project = load_file(finished.config)
    here = Path.cwd()
    os.chdir(finished.folder)
    try:
        message = prune(project)
    finally:
        os.chdir(here)
    assert "freed" in message
    assert not list(finished.path("trained").rglob("*.safetensors"))
    assert finished.planned() == {}
    metrics = finished.path(*CELL, "metrics.json")
    text = metrics.read_text()
    metrics.unlink()
    planned = finished.planned()
    metrics.write_text(text)
    assert planned == {"score": 1, **REPORTING}
