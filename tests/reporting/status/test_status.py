"""What is done, stale and missing, on real tiny stages that are then changed."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tiny_project import LLAMA, TinyRun

from rllr import cli, stages
from rllr.files import read_json, write_json
from rllr.layout import MANIFEST, METRICS
from rllr.prune import PRUNED

if TYPE_CHECKING:
    from conftest import Asked, Found


def states(found: Found, kind: str) -> set[str]:
    return {one["state"] for (other, _), one in found.items() if other == kind}


SFT = ("sft", f"{LLAMA}/sft/mixture/seed0")
CELL = ("cell", f"{LLAMA}/mr/sft/0")


def test_what_is_there_is_done_and_the_rest_is_missing(asked: Asked, spoilt: TinyRun) -> None:
    code, found = asked.json(spoilt)
    assert code == 1  # no tables yet
    assert {key[0] for key, one in found.items() if one["state"] != "done"} == {"report"}
    code, found = asked.json(spoilt.but(methods=["sft", "sft_label"]))
    assert found[CELL]["state"] == "done"
    assert found["cell", f"{LLAMA}/mr/sft_label/0"]["state"] == "missing"


def test_all_is_done_with_tables_figures_and_report(asked: Asked, spoilt: TinyRun) -> None:
    folder = str(spoilt.layout.run)
    for command in ("tables", "figures", "report"):
        assert cli.main([command, folder, "--config", str(spoilt.config)]) == 0
    spoilt.config.write_text(yaml.safe_dump(spoilt.raw))
    asked.capsys.readouterr()
    code, out, _ = asked("--config", spoilt.config)
    assert code == 0
    assert "All is done: " in out and "sft" in out
    assert re.search(r"^predict +2 +0 +0 +0 +0 +2$", out, re.MULTILINE)


def test_a_setting_makes_stale_what_reads_it_and_what_rests_on_it(
    asked: Asked, spoilt: TinyRun
) -> None:
    changed = {"training": {"sft": {"learning_rate": 1e-3}}}
    code, found = asked.json(spoilt.but(**changed))
    assert code == 1
    assert found[SFT]["state"] == "stale"
    assert found[SFT]["why"].endswith("(settings.learning_rate: 0.002, now 0.001)")
    assert found[CELL]["state"] == "stale" == found["predict", f"{LLAMA}/mr/sft/seed0"]["state"]
    assert states(found, "base") == states(found, "rationales") == {"done"}
    assert found["cell", "_baseline/mr/majority/0"]["state"] == "done"


@pytest.mark.parametrize(
    "change", [{"max_new_tokens": 40}, {"max_prompt_tokens": 159}], ids=lambda one: next(iter(one))
)
def test_predictions_alone_know_how_they_were_decoded(
    asked: Asked, spoilt: TinyRun, change: dict[str, Any]
) -> None:
    _, before = asked.json(spoilt)
    manifest = spoilt.layout.cell(LLAMA, "mr", "sft", 0) / "predictions.manifest.json"
    noted = read_json(manifest)
    write_json(manifest, {**noted, "input_hash": "0" * 64})
    _, after = asked.json(spoilt)
    changed = {key for key in before if before[key]["state"] != after[key]["state"]}
    assert changed == {CELL, ("predict", f"{LLAMA}/mr/sft/seed0")}
    write_json(manifest, noted)
    _, found = asked.json(spoilt.but(generation=change))
    assert states(found, "sft") == {"stale"}


def test_changed_data_make_stale_what_was_made_from_them(asked: Asked, spoilt: TinyRun) -> None:
    path = spoilt.layout.data("mr") / "test.jsonl"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[1:], rows[0]]) + "\n")
    _, found = asked.json(spoilt)
    assert found[CELL]["state"] == "stale"
    assert "made from another data/mr/test.jsonl" in found[CELL]["why"]
    assert found["cell", f"{LLAMA}/stsb/sft/0"]["state"] == "done"
    assert found["cell", "_baseline/mr/majority/0"]["state"] == "stale"


def test_a_file_that_was_only_touched_changes_nothing(asked: Asked, spoilt: TinyRun) -> None:
    later = time.time() + 60
    for path in spoilt.layout.run.rglob("*.jsonl"):
        os.utime(path, (later, later))
    _, found = asked.json(spoilt)
    assert found[CELL]["state"] == found[SFT]["state"] == "done"


def test_a_stage_that_was_made_anew_outdates_what_rests_on_it(
    asked: Asked, spoilt: TinyRun
) -> None:
    stages.rationales(spoilt.project, "mr")
    manifest = spoilt.layout.rationales("mr") / MANIFEST
    write_json(manifest, {**read_json(manifest), "wall_seconds": 17.5})
    _, found = asked.json(spoilt)
    assert found[SFT]["state"] == "stale"
    assert found[SFT]["why"] == "made from another rationales/mr/manifest.json"
    assert found["rationales", "mr"]["state"] == "done"


def test_deleted_corrupt_and_pruned_files(asked: Asked, spoilt: TinyRun) -> None:
    weights = spoilt.layout.weights(LLAMA, "sft", "mixture", 0)
    weights.unlink()
    code, found = asked.json(spoilt)
    assert found[SFT]["state"] == "missing" and str(weights) in found[SFT]["why"]
    assert found[CELL]["state"] == "stale"
    write_json(spoilt.layout.run / PRUNED, {"weights": [str(weights)]})
    assert asked.json(spoilt)[1][CELL]["state"] == "done"
    (spoilt.layout.cell(LLAMA, "mr", "sft", 0) / METRICS).write_text("{")
    code, found = asked.json(spoilt)
    assert code == 3 and found[CELL]["state"] == "failed" and "not valid JSON" in found[CELL]["why"]


def test_a_baselines_metrics_are_older_than_its_manifest(asked: Asked, spoilt: TinyRun) -> None:
    for task in spoilt.project.tasks:
        path = spoilt.layout.baseline(task) / METRICS
        os.utime(path, (path.stat().st_mtime - 2,) * 2)
    _, found = asked.json(spoilt)
    assert states(found, "cell") == {"done"}


@pytest.mark.parametrize("change", [None, {}, {"model": "another"}, {"value": "high"}])
def test_what_tables_leave_out_is_not_done(
    asked: Asked, spoilt: TinyRun, change: dict[str, str] | None
) -> None:
    path = spoilt.layout.cell(LLAMA, "mr", "sft", 0) / METRICS
    content = read_json(path)
    write_json(path, {**content, **change} if change else change)
    code, found = asked.json(spoilt)
    assert code == 3 and found[CELL]["state"] == "failed"
    assert "delete it, and it is made again" in found[CELL]["why"]
    (spoilt.layout.data("stsb") / MANIFEST).write_text("[]")
    _, found = asked.json(spoilt)
    assert found["data", "stsb"]["state"] == "failed"
    assert found["data", "stsb"]["why"].endswith("delete it, and it is made again")
    assert found["cell", f"{LLAMA}/stsb/sft/0"]["state"] == "failed"


def test_a_copy_of_a_run_without_its_base_models(
    asked: Asked, scored: TinyRun, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    shutil.copytree(scored.layout.run, folder)
    write_json(folder / "config/some.json", scored.project.dump())
    code, out, _ = asked(folder)
    assert code == 1 and "It lies elsewhere than its configuration says" in out
    assert "done 4 " in out


@pytest.mark.parametrize("content", ["null", "3", '[{"a": 1}]', '{"config": null}'])
def test_a_spoilt_configuration_is_named(asked: Asked, spoilt: TinyRun, content: str) -> None:
    folder = spoilt.layout.run / "config"
    folder.mkdir(exist_ok=True)
    (folder / "gone.json").symlink_to("nowhere")
    (folder / "1.json").write_text(content)
    code, _, err = asked(spoilt.layout.run)
    assert code == 2 and f"{folder / '1.json'}: not a resolved configuration" in err
