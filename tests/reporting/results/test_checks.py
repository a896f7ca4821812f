from __future__ import annotations

from synthetic_run import (
    SyntheticRun,
    class_row,
    reward_summary,
    rl_summary,
    score_row,
    sft_summary,
)

from rllr.reporting.results.analysis import analyse
from rllr.reporting.results.collect import load_run
from rllr.reporting.results.grid import CellKey


def codes(run: SyntheticRun, model: str = "llama", task: str = "sst2") -> dict[str, set[str]]:
    """Method -> flag codes of one model's cells of one task."""
    flags = analyse(load_run(run.folder)).flags
    return {
        key.method: {flag.code for flag in found}
        for key, found in flags.items()
        if (key.model, key.task) == (model, task)
    }


def test_a_healthy_run_has_no_flags(small_run: SyntheticRun) -> None:
    assert set().union(*codes(small_run).values(), *codes(small_run, "bloom").values()) == set()


def test_sft_that_did_not_learn_flags_all_that_starts_from_it(small_run: SyntheticRun) -> None:
    small_run.summary("llama", "sft", sft_summary(1.0, 1.0))
    found = codes(small_run)
    assert found["sft_label"] == set()
    for method in ("sft", "rlhf", "rllr"):
        assert found[method] == {"sft_did_not_learn"}
    assert codes(small_run, "bloom")["sft"] == set()


def test_reward_model_is_weak_at_55_percent_and_fine_above(small_run: SyntheticRun) -> None:
    small_run.summary("llama", "rllr_rm", reward_summary("label_sensitive", 55))
    small_run.summary("llama", "rlhf_rm", reward_summary("rationale_sensitive", 56))
    found = codes(small_run)
    assert found["rllr"] == {"weak_reward_model"}
    assert found["rlhf"] == set()


def test_policy_needs_a_gain_of_more_than_two_standard_errors(small_run: SyntheticRun) -> None:
    small_run.summary("llama", "rllr", rl_summary(["rllr_rm"], 0.25, 0.125))
    small_run.summary("llama", "rlhf", rl_summary(["rlhf_rm"], 0.26, 0.125))
    found = codes(small_run)
    assert found["rllr"] == {"reward_did_not_rise"}
    assert found["rlhf"] == set()


def test_a_reward_function_has_no_model_to_check(small_run: SyntheticRun) -> None:
    small_run.summary("llama", "rllr", rl_summary([None, "rllr_rm"], 0.5, 0.1))
    small_run.summary("llama", "rllr_rm", reward_summary("label_sensitive", 40))
    assert codes(small_run)["rllr"] == {"weak_reward_model"}


def test_same_responses_as_the_start_mean_that_the_reward_did_not_rise(
    small_run: SyntheticRun,
) -> None:
    rows = [class_row(i, i < 6) for i in range(10)]
    small_run.cell("llama", "sst2", "sft", rows)
    small_run.cell("llama", "sst2", "rllr", rows)
    assert codes(small_run)["rllr"] == {"reward_did_not_rise", "same_predictions"}


def test_same_labels_with_other_responses_flag_only_the_cell(small_run: SyntheticRun) -> None:
    rows = [class_row(i, i < 6) for i in range(10)]
    other = [{**row, "response": f"Because. {row['response']}"} for row in rows]
    small_run.cell("llama", "sst2", "sft", rows)
    small_run.cell("llama", "sst2", "rllr", other)
    assert codes(small_run)["rllr"] == {"same_predictions"}


def test_a_missing_summary_is_unchecked_unless_the_run_has_none(small_run: SyntheticRun) -> None:
    (small_run.folder / "trained/llama/rllr_rm/mixture/seed0/summary.json").unlink()
    assert codes(small_run)["rllr"] == {"unchecked_stage"}
    assert codes(small_run)["rlhf"] == set()
    for path in small_run.folder.glob("trained/*/*/*/*/summary.json"):
        path.unlink()
    assert codes(small_run)["rllr"] == set()


def test_a_stage_of_per_task_scope_flags_its_own_task_only(run: SyntheticRun) -> None:
    run.grid()
    scores = [score_row(i, i, i + i % 2) for i in range(6)]
    run.cell("llama", "stsb", "sft", scores, scope="per_task")
    run.accuracy("llama", "sft", 6, scope="per_task")
    run.summary("llama", "sft", sft_summary(1.0, 2.0), unit="sst2")
    run.summary("llama", "sft", sft_summary(2.0, 1.0), unit="stsb")
    assert codes(run)["sft"] == {"sft_did_not_learn"}
    assert codes(run, task="stsb")["sft"] == set()


def test_constant_scores_are_flagged_whether_or_not_the_scorer_did(run: SyntheticRun) -> None:
    run.cell("llama", "stsb", "sft", [score_row(i, i, 2.0) for i in range(5)])
    run.cell(
        "llama",
        "stsb",
        "rlhf",
        [score_row(i, i, None) for i in range(5)],
        flags=["constant_prediction", "odd"],
    )
    found = codes(run, task="stsb")
    assert found == {"sft": {"constant_prediction"}, "rlhf": {"constant_prediction", "odd"}}


def test_predictions_that_disagree_with_the_metric_are_flagged(small_run: SyntheticRun) -> None:
    small_run.accuracy("llama", "rllr", 8, value=0.9)
    analysis = analyse(load_run(small_run.folder))
    key = CellKey("llama", "sst2", "rllr", 0)
    assert [flag.code for flag in analysis.flags[key]] == ["predictions_disagree"]
    assert key not in analysis.resamples


def test_other_test_examples_are_flagged(small_run: SyntheticRun) -> None:
    small_run.accuracy("llama", "rllr", 8, n=9)
    analysis = analyse(load_run(small_run.folder))
    key = CellKey("llama", "sst2", "rllr", 0)
    assert [flag.code for flag in analysis.flags[key]] == ["other_examples"]
    assert key not in analysis.resamples


def test_broken_predictions_are_named_and_the_cell_stays(small_run: SyntheticRun) -> None:
    path = "cells/llama/sst2/rllr/seed0/predictions.jsonl"
    small_run.write(path, '{"id": "a", "label": "x"}\n')
    analysis = analyse(load_run(small_run.folder))
    assert CellKey("llama", "sst2", "rllr", 0) in analysis.run.cells
    assert analysis.run.warnings[0].startswith(f"{path}:1: no field 'prediction'")
