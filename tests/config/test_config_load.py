"""Reading, extending, overriding, and every mistake that a user can make in a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_project import LLAMA, write_model

from rllr.config.load import (
    CONFIG_DIR,
    GENERATED_TASKS,
    Project,
    load,
    load_file,
    merge,
    read_yaml,
)
from rllr.data.generated.tasks import GRAMMARS
from rllr.errors import RllrError
from rllr.files import read_json, write_json


def tiny(**changes: Any) -> Project:
    return load({"extends": "tiny", **changes})


def put(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value))
    return path


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, nearest, allowed",
    [
        ({"modles": []}, "'models'", "models_dir"),
        ({"models": ["lama2-tiny"]}, "'llama2-tiny'", "bloom-tiny"),
        ({"tasks": ["mnil"]}, "'mnli'", "appreviews"),
        ({"train_tasks": ["sst"]}, "'sst2'", "agnews"),
        ({"methods": ["rllrr"]}, "'rllr'", "sft_label"),
        ({"context_methods": ["zeroshot"]}, "'zero_shot'", "rlhf"),
        ({"data": {"nois": 0.1}}, "'noise'", "difficulty"),
        ({"data": {"sizes": {"tset": 3}}}, "'test'", "validation"),
        ({"training": {"ppo": {"stesp": 3}}}, "'steps'", "learning_rate"),
        ({"pairs": {"prompt": 3}}, "'prompts'", "wrong_labels"),
        ({"stages": {"rlrr_mixed": {"tau": 1}}}, "'rllr_mixed'", "pretrain"),
        ({"stages": {"rllr": {"top_kk": 3}}}, "'top_k'", "kl_coef"),
        ({"reward_models": {"rllr_rm": {"pair": "x"}}}, "'pairs'", "start"),
        ({"extends": "tinny"}, "'tiny'", "tiny"),
    ],
)
def test_a_misspelt_name_is_met_with_the_nearest_and_what_is_allowed(
    change: dict[str, Any], nearest: str, allowed: str
) -> None:
    with pytest.raises(RllrError) as caught:
        load({"extends": "tiny", **change})
    message = str(caught.value)
    assert f"did you mean {nearest}?" in message
    assert allowed in message.partition("(allowed: ")[2]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"models": []}, r"models: .*at least 1"),
        ({"models": ["llama2-tiny", "llama2-tiny"]}, "names something twice"),
        ({"seeds": [-1]}, r"seeds\.0: .*\(found -1\)"),
        ({"scope": "mixed"}, r"scope: .*'mixture' or 'per_task' \(found 'mixed'\)"),
        ({"run": "../up"}, r"run: .*\(found '../up'\)"),
        ({"data": {"noise": 0.9}}, r"data\.noise: .*0\.5 \(found 0\.9\)"),
        ({"data": {"source": "locl"}}, r"data: .*'generated', 'local'"),
        ({"data": {"source": "local"}}, r"data\.path: missing"),
        (
            {"data": {"source": "local", "path": "x", "rm_share": 0.7, "rl_share": 0.3}},
            "must leave something",
        ),
        ({"threads": {"training": 0}}, r"threads\.training: .*greater than 0 \(found 0\)"),
        ({"stages": {"rllr": {"top_p": 2}}}, r"stage 'rllr' for model .*top_p: .*\(found 2\)"),
    ],
)
def test_a_bad_value_is_named_with_its_key_and_what_is_allowed(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(RllrError, match=message):
        load({"extends": "tiny", **change})


def test_several_mistakes_come_in_one_message() -> None:
    with pytest.raises(RllrError) as caught:
        tiny(modles=["x"], seeds=[-1])
    assert "modles" in str(caught.value) and "seeds.0" in str(caught.value)


def test_a_reward_term_must_name_a_reward_model(tmp_path: Path) -> None:
    method = read_yaml(CONFIG_DIR / "methods/rllr.yaml")
    put(tmp_path / "methods/mine.yaml", {**method, "rewards": [{"model": "rlr_rm"}]})
    with pytest.raises(RllrError) as caught:
        load({"extends": "tiny", "methods": ["mine"]}, tmp_path)
    assert "methods/mine: rewards: 'rlr_rm' names no reward model" in str(caught.value)
    assert "did you mean 'rllr_rm'?" in str(caught.value)


def test_policy_and_reward_model_start_from_the_same_sft(tmp_path: Path) -> None:
    changed = {"reward_models": {"rllr_rm": {"pairs": "label_sensitive", "start": "sft_label"}}}
    with pytest.raises(RllrError, match="starts from 'sft', but reward model 'rllr_rm' starts"):
        tiny(**changed)
    put(
        tmp_path / "methods/odd.yaml",
        {**read_yaml(CONFIG_DIR / "methods/rllr.yaml"), "start": "rlhf"},
    )
    models = {"rllr_rm": {"pairs": "label_sensitive", "start": "rlhf"}}
    with pytest.raises(RllrError, match="must be a method of algorithm sft"):
        load({"extends": "tiny", "methods": ["odd"], "reward_models": models}, tmp_path)


def test_tau_is_asked_for_where_a_reward_is_capped_at_it() -> None:
    raw = read_yaml(CONFIG_DIR / "tiny.yaml")
    raw["stages"].pop("rllr_mixed")
    with pytest.raises(RllrError, match="tau is not set for model 'llama2-tiny'"):
        load(raw)
    load({**raw, "methods": ["sft", "rlhf", "rllr"]})


def test_tuning_is_one_for_the_whole_run() -> None:
    with pytest.raises(RllrError, match="tuning is one for the whole run"):
        tiny(training={"sft": {"tuning": "full"}}, stages={"sft": {"tuning": "lora"}})


@pytest.mark.parametrize(
    "content, message",
    [
        ("models: [a\n", "not valid YAML"),
        ("- a\n- b\n", "expected a mapping of keys, found list"),
        ("", "expected a mapping of keys, found NoneType"),
        ("extends: [tiny]\n", "is no preset"),
        ("extends: nowhere.yaml\n", r"nowhere\.yaml: cannot be read"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(RllrError, match=message):
        load_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RllrError, match=r"none\.yaml: cannot be read"):
        load_file(tmp_path / "none.yaml")


# --- extends -------------------------------------------------------------------------------------


def test_extending_by_path_through_several_files(tmp_path: Path) -> None:
    put(tmp_path / "base.yaml", {"extends": "tiny", "seeds": [1], "tasks": ["mr"]})
    path = put(tmp_path / "deep/mine.yaml", {"extends": "../base.yaml", "tasks": ["qqp"]})
    config = load_file(path).config
    assert (config.seeds, config.tasks) == ([1], ["qqp"])
    assert config.generation == tiny().config.generation


def test_files_that_extend_each_other(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", {"extends": "b.yaml"})
    put(tmp_path / "b.yaml", {"extends": "a.yaml"})
    put(tmp_path / "self.yaml", {"extends": "self.yaml"})
    for name in ("a.yaml", "self.yaml"):
        with pytest.raises(RllrError, match="extends itself"):
            load_file(tmp_path / name)


def test_switching_the_data_source_drops_the_keys_of_the_old_one() -> None:
    config = tiny(data={"source": "local", "path": "mine"}).config
    assert config.data.source == "local"
    # Sizes of generated data are not limits that the user set for local data.
    assert config.data.sizes.sft is None
    changed = tiny(data={"noise": 0.2}).config.data
    assert changed.noise == 0.2 and changed.sizes == tiny().config.data.sizes


def test_merging_keeps_siblings_and_replaces_lists() -> None:
    old = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    assert merge(old, {"a": {"y": [3]}}) == {"a": {"x": 1, "y": [3]}, "b": 1}
    assert old == {"a": {"x": 1, "y": [1, 2]}, "b": 1}


def test_definitions_beside_the_file_come_first(tmp_path: Path) -> None:
    task = read_yaml(CONFIG_DIR / "tasks/mr.yaml")
    put(tmp_path / "tasks/mr.yaml", {**task, "instruction": "Mine?"})
    put(tmp_path / "tasks/new.yaml", task)
    raw = {"extends": "tiny", "tasks": ["mr", "new", "sst2"]}
    path = put(tmp_path / "mine.yaml", {**raw, "data": {"source": "local", "path": "x"}})
    tasks = load_file(path).tasks
    assert tasks["mr"].instruction == "Mine?"
    assert list(tasks) == ["mr", "new", "sst2"]


# --- settings ------------------------------------------------------------------------------------


def test_the_runs_settings_of_a_stage_beat_the_models_and_those_the_kinds(tmp_path: Path) -> None:
    write_model(tmp_path, "mine", LLAMA, stages={"rllr": {"kl_coef": 0.5, "gamma": 0.8}})
    raw = {
        "extends": "tiny",
        "models": ["mine", LLAMA],
        "training": {"ppo": {"kl_coef": 0.1, "gamma": 0.9, "top_k": 7}},
        "stages": {"rllr": {"kl_coef": 0.3, "top_k": 9}},
    }
    project = load(raw, tmp_path)
    found = {
        (model, method): project.rl(model, method)
        for model in project.models
        for method in ("rllr", "rlhf")
    }
    assert {key: (s.kl_coef, s.top_k, s.gamma) for key, s in found.items()} == {
        ("mine", "rllr"): (0.3, 9, 0.8),
        (LLAMA, "rllr"): (0.3, 9, 0.9),
        ("mine", "rlhf"): (0.1, 7, 0.9),
        (LLAMA, "rlhf"): (0.1, 7, 0.9),
    }


def test_a_run_can_set_a_stage_of_one_model(tmp_path: Path) -> None:
    write_model(tmp_path, "mine", LLAMA, stages={"rllr": {"kl_coef": 0.5}})
    raw = {"extends": "tiny", "models": ["mine", LLAMA]}
    stages = {"rllr": {"kl_coef": 0.3, "top_k": 9}, "mine/rllr": {"kl_coef": 0.2}}
    project = load({**raw, "stages": stages}, tmp_path)
    found = [project.rl(model, "rllr") for model in ("mine", LLAMA)]
    assert [(s.kl_coef, s.top_k) for s in found] == [(0.2, 9), (0.3, 9)]
    with pytest.raises(RllrError, match="'mime/rllr' names no model of this run; did you mean 'm"):
        load({**raw, "stages": {"mime/rllr": {"kl_coef": 0.2}}}, tmp_path)
    with pytest.raises(RllrError, match="unknown stage 'rlr'; did you mean 'rllr'"):
        load({**raw, "stages": {"mine/rlr": {"kl_coef": 0.2}}}, tmp_path)


def test_a_models_own_mistakes_are_found_at_once(tmp_path: Path) -> None:
    write_model(tmp_path, "mine", LLAMA, stages={"rllr": {"kl_cof": 0.5}})
    with pytest.raises(RllrError, match="did you mean 'kl_coef'"):
        load({"extends": "tiny", "models": ["mine"]}, tmp_path)
    write_model(tmp_path, "mine", LLAMA, stages={"rlllr": {"kl_coef": 0.5}})
    with pytest.raises(RllrError, match="models/mine: stages: unknown stage 'rlllr'"):
        load({"extends": "tiny", "models": ["mine"]}, tmp_path)


def test_methods_bring_what_they_start_from() -> None:
    project = tiny(methods=["rllr"], context_methods=[])
    assert set(project.methods) == {"rllr", "sft"}


# --- dump and hash -------------------------------------------------------------------------------


def test_a_dumped_project_reads_back_as_itself(tmp_path: Path) -> None:
    write_model(tmp_path, "mine", LLAMA, stages={"sft": {"epochs": 2}})
    raw = {"extends": "tiny", "models": ["mine"], "stages": {"rllr_mixed": {"tau": 1.5}}}
    project = load(raw, tmp_path)
    write_json(tmp_path / "project.json", project.dump())
    read = Project.parse(read_json(tmp_path / "project.json"))
    assert read == project and read.hash == project.hash
    for stage in ("sft", "sft_label"):
        assert read.sft("mine", stage) == project.sft("mine", stage)
    assert read.rl("mine", "rllr_mixed") == project.rl("mine", "rllr_mixed")


def test_the_hash_follows_the_content_alone(tmp_path: Path) -> None:
    raw = {"extends": "tiny", "seeds": [1], "tasks": ["mr"]}
    shuffled = dict(reversed(raw.items()))
    assert load(raw).hash == load(shuffled).hash == load(raw, tmp_path).hash
    assert load(raw).hash != load({**raw, "tasks": ["sst2"]}).hash


def test_the_generator_has_a_grammar_for_what_configuration_says_it_has() -> None:
    assert set(GENERATED_TASKS) == set(GRAMMARS)


def test_a_task_without_generated_data_is_named_before_anything_runs(tmp_path: Path) -> None:
    task = read_yaml(CONFIG_DIR / "tasks/mr.yaml")
    put(tmp_path / "tasks/mine.yaml", task)
    with pytest.raises(
        RllrError, match=r"no generated data for mine; set data \(or task_data\) to \{source: local"
    ):
        load({"extends": "tiny", "tasks": ["mr", "mine"]}, tmp_path)


def test_a_misspelt_lora_target_is_named_although_others_fit(tmp_path: Path) -> None:
    model = read_yaml(CONFIG_DIR / "models/bloom-tiny.yaml")
    put(tmp_path / "models/mine.yaml", {**model, "lora_targets": ["dense", "q_proj"]})
    with pytest.raises(RllrError, match="lora_targets: bloom has no q_proj; it has query_key"):
        load({"extends": "tiny", "models": ["mine"]}, tmp_path)
