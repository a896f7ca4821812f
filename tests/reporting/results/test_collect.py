from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic_run import SyntheticRun, class_row, reward_summary, score_row

from rllr.errors import RllrError
from rllr.reporting.results.collect import load_run
from rllr.reporting.results.grid import CellKey
from rllr.reporting.tables.build import build_tables

GOOD = "cells/llama/sst2/sft/seed0/metrics.json"


def test_reads_cells_stages_and_grid(small_run: SyntheticRun) -> None:
    run = load_run(small_run.folder)
    assert len(run.cells) == 8
    assert run.cells[CellKey("llama", "sst2", "rllr", 0)].value == 0.8
    assert len(run.stages) == 12
    assert run.grid.name("llama") == "Llama"
    assert run.warnings == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{broken", "not valid JSON"),
        ("[1, 2]", "expected a JSON object"),
        ('{"loss": 3}', "model: Field required"),
        ({"value": "high"}, "value"),
        ({"value": float("nan")}, "value"),
        ({"value": 71.0}, "value"),
        ({"model": "gpt"}, "it says it is gpt/sst2/sft/0"),
        ({"unparsed": 11}, "11 of 10 responses unparsed"),
        ({"metric": "pearson"}, "its metric is pearson"),
    ],
)
def test_bad_metrics_file_is_named_and_left_out(
    small_run: SyntheticRun, content: str | dict[str, object], reason: str
) -> None:
    if isinstance(content, dict):
        content = json.dumps({**json.loads((small_run.folder / GOOD).read_text()), **content})
    small_run.write(GOOD, content)
    run = load_run(small_run.folder)
    assert len(run.cells) == 7
    assert run.left_out == 1
    assert run.warnings[0].startswith(f"{GOOD}: left out: ")
    assert reason in run.warnings[0]


def test_metrics_file_in_a_strange_place_is_foreign(small_run: SyntheticRun) -> None:
    small_run.write("cells/llama/sst2/metrics.json", "{}")
    run = load_run(small_run.folder)
    assert len(run.cells) == 8
    assert "foreign" in run.warnings[0]


def test_unusable_summary_is_named(small_run: SyntheticRun) -> None:
    small_run.write("trained/llama/sft/mixture/seed0/summary.json", {"kind": "sft"})
    run = load_run(small_run.folder)
    assert len(run.stages) == 11
    assert "validation_loss_before" in run.warnings[0]


def test_cells_outside_the_grid_are_left_out_and_counted(small_run: SyntheticRun) -> None:
    small_run.accuracy("gpt", "sft", 5)
    small_run.accuracy("llama", "dpo", 5)
    small_run.accuracy("llama", "sft", 5, seed=7)
    run = load_run(small_run.folder)
    assert len(run.cells) == 8
    assert run.left_out == 0
    assert run.warnings == ["3 cells lie outside the run's grid and are not in the tables"]


def test_grid_is_inferred_in_the_known_order(run: SyntheticRun) -> None:
    for method in ("rllr", "dpo", "sft", "zero_shot", "rlhf", "sft_label"):
        run.accuracy("llama", method, 5)
    run.cell("_baseline", "sst2", "majority", [class_row(i, True) for i in range(4)])
    run.cell("llama", "stsb", "sft", [score_row(i, i, i) for i in range(4)], seed=3)
    grid = load_run(run.folder).grid
    assert [method.key for method in grid.methods] == ["sft_label", "sft", "rlhf", "rllr", "dpo"]
    assert [method.key for method in grid.context_methods] == ["zero_shot"]
    assert [(task.key, task.metric) for task in grid.tasks] == [
        ("sst2", "accuracy"),
        ("stsb", "pearson"),
    ]
    assert (grid.run, grid.seeds, grid.paper) == ("synthetic", (0, 3), False)


def test_units_are_inferred_from_what_cells_say(run: SyntheticRun) -> None:
    run.accuracy("llama", "sft", 5, scope="per_task")
    run.summary("llama", "rllr_rm", reward_summary("label_sensitive", 80), unit="sst2")
    found = load_run(run.folder)
    assert found.grid.scope == "per_task"
    assert len(build_tables(found)["reward_models"].groups) == 1
    run.accuracy("llama", "rllr", 5)
    assert load_run(run.folder).grid.scope == "mixture"


def test_malformed_grid_is_an_error_that_names_the_key(small_run: SyntheticRun) -> None:
    small_run.grid(seeds="zero")
    with pytest.raises(RllrError, match=r"grid\.json.*seeds"):
        load_run(small_run.folder)


def test_a_folder_without_cells_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RllrError, match="no usable cell"):
        load_run(tmp_path)
