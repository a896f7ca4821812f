"""Costs by hand: per stage, and per method with all that it rests on."""

from __future__ import annotations

import csv
import io

import pytest
from synthetic_run import SyntheticRun

from rllr.reporting.results.collect import load_run
from rllr.reporting.tables.build import build_tables
from rllr.reporting.tables.cost import amount
from rllr.reporting.tables.render import to_csv
from rllr.reporting.tables.table import MISSING, Table


def rows(table: Table) -> dict[tuple[str, str], list[str]]:
    """(model, stage or method) -> shown texts: wall time, GPU hours, memories, steps, tokens."""
    lines = [row for group in table.groups for row in group]
    return {(row[0].text, row[1].text): [cell.text for cell in row[2:]] for row in lines}


def records(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def trained(run: SyntheticRun, stage: str, kind: str, seconds: float, **changes: object) -> None:
    """A trained stage of llama; a megabyte-sized peak, ten steps and a million tokens."""
    seed = changes.pop("seed", 0)
    numbers = {"peak_rss_mib": 1024, "steps": 10, "tokens": 1_000_000}
    folder = f"trained/llama/{stage}/mixture/seed{seed}"
    run.manifest(folder, kind, seconds, **(numbers | changes))


@pytest.fixture
def costed(small_run: SyntheticRun) -> SyntheticRun:
    """Llama with every stage of three methods; BLOOM without any manifest."""
    start = {"settings": {"reward_model": {"start": "sft"}}}
    trained(small_run, "sft", "sft", 60)
    trained(small_run, "rllr_rm", "reward", 120, pairs="label_sensitive", **start)
    trained(small_run, "rlhf_rm", "reward", 120, pairs="rationale_sensitive", **start)
    trained(small_run, "rllr", "policy", 240, start="sft", reward_models=["rllr_rm"])
    trained(small_run, "rlhf", "policy", 240, start="sft", reward_models=["rlhf_rm", None])
    small_run.manifest("samples/llama/sft/mixture/seed0", "sample", 30, tokens=500_000)
    small_run.manifest("pairs/rationale_sensitive/llama/sft/mixture/seed0", "judge", 6)
    return small_run


def test_a_method_costs_all_that_it_rests_on(costed: SyntheticRun) -> None:
    table = build_tables(load_run(costed.folder))["method_cost"]
    found = rows(table)
    assert table.columns[2] == "Wall time (min)"
    assert [found["Llama", name][0] for name in ("SFT", "RLLR", "RLHF")] == ["1.00", "7.00", "7.60"]
    assert found["Llama", "RLLR"][1:] == [MISSING, "1.00", MISSING, "30", "3.00"]
    assert found["Llama", "RLHF"][4:] == ["30", "3.50"]  # sampled tokens are paid for too


def test_missing_manifests_are_dashes_and_counted(costed: SyntheticRun) -> None:
    table = build_tables(load_run(costed.folder))["method_cost"]
    assert rows(table)["BLOOM", "RLLR"] == [MISSING] * 6
    assert rows(table)["Llama", "SFT (label only)"] == [MISSING] * 6
    assert "5 of 8 rows lack a manifest of some artefact: a dash." in table.notes


def test_one_lost_manifest_leaves_no_method_that_rests_on_it(costed: SyntheticRun) -> None:
    (costed.folder / "trained/llama/sft/mixture/seed0/manifest.json").unlink()
    found = rows(build_tables(load_run(costed.folder))["method_cost"])
    assert found["Llama", "RLLR"][0] == found["Llama", "SFT"][0] == MISSING


def test_tokens_that_one_stage_did_not_record_are_no_smaller_sum(costed: SyntheticRun) -> None:
    trained(costed, "sft", "sft", 60, tokens=None)
    found = rows(build_tables(load_run(costed.folder))["method_cost"])
    assert found["Llama", "RLLR"][4:] == ["30", MISSING]


def test_killed_attempts_and_gpus_are_paid_for(costed: SyntheticRun) -> None:
    gpu = {"gpus": 2, "peak_gpu_mib": 20480, "total_seconds": 7200, "attempts": 3}
    trained(costed, "sft", "sft", 60, **gpu)
    table = build_tables(load_run(costed.folder))["cost"]
    assert table.columns[2] == "Wall time (min)"
    assert rows(table)["Llama", "SFT"][:4] == ["120", "4.00", "1.00", "20.0"]
    record = next(row for row in records(table) if row["stage"] == "sft" and row["kind"] == "sft")
    assert (record["attempts"], record["gpu_hours"], record["gpus"]) == ("3", "4.0", "2")


def test_long_stages_are_shown_in_hours(costed: SyntheticRun) -> None:
    trained(costed, "sft", "sft", 36_000)
    table = build_tables(load_run(costed.folder))["cost"]
    assert table.columns[2] == "Wall time (h)" and rows(table)["Llama", "SFT"][0] == "10.0"


def test_seeds_are_averaged_and_units_added(costed: SyntheticRun) -> None:
    costed.grid(seeds=[0, 1, 2])
    trained(costed, "sft", "sft", 120, seed=1)
    table = build_tables(load_run(costed.folder))["cost"]
    assert rows(table)["Llama", "SFT"][0] == "1.50 (2/3)"
    costed.grid(scope="per_task")
    for unit in ("sst2", "stsb"):
        costed.manifest(f"trained/llama/sft/{unit}/seed0", "sft", 30)
    assert rows(build_tables(load_run(costed.folder))["cost"])["Llama", "SFT"][0] == "1.00"


def test_base_models_and_predictions_have_rows(costed: SyntheticRun) -> None:
    costed.grid(bases={"llama": "../models/llama@1", "bloom": "../models/bloom@1"})
    costed.manifest("../models/llama@1", "base", 600)
    for method in ("sft_label", "sft", "rlhf", "rllr"):
        for task in ("sst2", "stsb"):
            costed.manifest(f"cells/llama/{task}/{method}/seed0", "predict", 6, tokens=1000)
    found = rows(build_tables(load_run(costed.folder))["cost"])
    assert found["Llama", "Base model"][0] == "10.0" and found["BLOOM", "Base model"][0] == MISSING
    assert found["Llama", "Prediction, all methods"][0] == "0.800"


def test_a_broken_manifest_is_named(costed: SyntheticRun) -> None:
    costed.write("trained/llama/sft/mixture/seed0/manifest.json", '{"stage": "sft"}')
    costed.write("trained/llama/rllr/mixture/seed0/manifest.json", "{")
    warnings = load_run(costed.folder).warnings
    assert any("sft/mixture/seed0/manifest.json: not a manifest: wall_" in one for one in warnings)
    assert any("rllr/mixture/seed0/manifest.json: not valid JSON" in one for one in warnings)


def test_without_manifests_there_is_no_row_and_a_reason(small_run: SyntheticRun) -> None:
    found = build_tables(load_run(small_run.folder))
    assert found["cost"].groups == found["method_cost"].groups == ()
    assert "no manifests" in found["cost"].caption


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0071, "0.007"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234")]
)
def test_amounts_have_about_three_digits(value: float, shown: str) -> None:
    assert amount(value) == shown
