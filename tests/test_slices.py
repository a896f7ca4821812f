"""Editing a setting changes the slices of the stages that read it, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from rllr import slices
from rllr.config.load import load

MODEL, UNIT = "llama2-tiny", "mixture"


def all_slices(**changes: Any) -> dict[str, Any]:
    project = load({"extends": "tiny", **changes})
    return {
        "data": slices.data(project, "mr"),
        "rationales": slices.rationales(project, "mr"),
        "label_pairs": slices.label_pairs(project, "mr"),
        "base": slices.base(project, MODEL),
        "sft": slices.sft(project, MODEL, "sft", UNIT),
        "sample": slices.sample(project, MODEL, UNIT),
        "judge": slices.judge(project, UNIT),
        "judge_test": slices.judge_test(project, UNIT),
        "reward": slices.reward(project, MODEL, "rllr_rm", UNIT),
        "ppo": slices.policy(project, MODEL, "rllr", UNIT),
        "ppo_mixed": slices.policy(project, MODEL, "rllr_mixed", UNIT),
        "predict": slices.predict(project, MODEL, ["mr"]),
        "score": slices.score(project, ["mr"]),
        "grid": slices.grid(project),
    }


@pytest.mark.parametrize(
    "change, touched",
    [
        ({"training": {"ppo": {"gamma": 0.5}}}, {"ppo", "ppo_mixed"}),
        ({"stages": {"rllr_mixed": {"tau": 9.0}}}, {"ppo_mixed"}),
        ({"stages": {"rllr_rm": {"lora_rank": 3}}}, {"reward"}),
        ({"training": {"sft": {"lora_rank": 3}}}, {"sft"}),
        ({"pairs": {"samples_per_prompt": 3}}, {"sample"}),
        ({"pairs": {"pairs_per_prompt": 7}}, {"judge"}),
        ({"pairs": {"wrong_labels": "all"}}, {"rationales"}),
        ({"data": {"seed": 9}}, {"data", "base"}),
        ({"threads": {"training": 2}}, {"base", "sft", "reward", "ppo", "ppo_mixed"}),
        ({"threads": {"inference": 2}}, {"sample", "predict"}),
        ({"methods": ["sft", "rllr", "rllr_mixed"]}, {"judge_test", "grid"}),
        ({"judge": {"test_prompts": 7}}, {"judge_test"}),
        ({"judge": {"test_prompts": 0}}, {"judge_test", "grid"}),
        ({"models": [MODEL]}, {"grid"}),
        ({"results_dir": "elsewhere"}, set()),
        ({"training": {"sft": {"checkpoint_every": 7}, "reward": {"checkpoint_every": 7}}}, set()),
        ({"training": {"ppo": {"checkpoint_every": 7}}}, set()),
    ],
)
def test_a_change_touches_the_stages_that_read_it(
    change: dict[str, Any], touched: set[str]
) -> None:
    before, after = all_slices(), all_slices(**change)
    assert {name for name in before if before[name] != after[name]} == touched


def data_slices(**changes: Any) -> dict[str, Any]:
    project = load({"extends": "tiny", "train_tasks": ["mr", "mnli"], **changes})
    return {task: slices.data(project, task) for task in project.train_tasks}


def test_evaluating_more_tasks_leaves_generated_data_as_they_are() -> None:
    more = {"tasks": ["mr", "sst2", "mnli"]}
    assert data_slices(tasks=["mr", "mnli"]) == data_slices(**more)


def test_real_data_of_a_related_task_that_is_evaluated_too_are_looked_at() -> None:
    data = {"source": "local", "path": "data"}
    before = data_slices(tasks=["mr", "mnli"], data=data)
    after = data_slices(tasks=["sst2", "mr", "mnli"], context_tasks=["mnli_mm"], data=data)
    assert before["mr"]["related"] == [] == before["mnli"]["related"]
    assert [name for name, _ in after["mr"]["related"]] == ["sst2"]
    assert [name for name, _ in after["mnli"]["related"]] == ["mnli_mm"]
