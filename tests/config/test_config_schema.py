"""The YAML files that come with the package, and the classes that judge them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rllr.config.json_schema import SCHEMAS, write_schemas
from rllr.config.load import CONFIG_DIR, load, read_yaml
from rllr.config.messages import validate
from rllr.config.schema import MethodConfig, ModelConfig, Segment, TaskConfig
from rllr.errors import RllrError

KINDS = {"models": ModelConfig, "tasks": TaskConfig, "methods": MethodConfig}
FILES = [(kind, path) for kind in KINDS for path in sorted((CONFIG_DIR / kind).glob("*.yaml"))]
TASK = {"name": "T", "instruction": "Which?", "input": "{text}", "metric": "accuracy"}
METHOD = {"name": "M", "start": "sft", "algorithm": "ppo", "rewards": [{"model": "rm"}]}


def test_the_schema_files_are_what_the_classes_generate(tmp_path: Path) -> None:
    written = write_schemas(tmp_path)
    kept = CONFIG_DIR / "schema"
    assert {path.name for path in kept.iterdir()} == {path.name for path in written}
    for path in written:
        assert (kept / path.name).read_text() == path.read_text(), "run `python -m rllr schema`"


@pytest.mark.parametrize("kind, path", FILES, ids=lambda value: getattr(value, "stem", value))
def test_every_definition_is_valid(kind: str, path: Path) -> None:
    validate(KINDS[kind], read_yaml(path), str(path))


def test_every_preset_is_valid_and_complete() -> None:
    presets = sorted(CONFIG_DIR.glob("*.yaml"))
    assert "tiny" in {path.stem for path in presets}
    for path in presets:
        assert load({"extends": path.stem}).config.run


def test_the_embedded_default_is_the_grid_that_was_promised() -> None:
    project = load({"extends": "tiny"})
    assert {model.architecture for model in project.models.values()} == {
        "llama",
        "glm",
        "mistral",
        "bloom",
    }
    assert len(project.models) == 5
    assert len(project.tasks) == 8
    wanted = ["sft_label", "sft", "rlhf", "rllr", "rllr_mixed"]
    assert project.config.methods == wanted
    assert project.config.context_methods == ["zero_shot"]


def labels(*values: Any, kind: str = "class") -> dict[str, Any]:
    return {"kind": kind, "values": list(values)}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": labels("a")}, "labels.values: .*at least 2"),
        ({"labels": labels(True, False)}, "quotes"),
        ({"labels": labels("Yes", "yes")}, "two labels read the same"),
        ({"labels": labels("a", "b", kind="klass")}, "labels: .*'class', 'score'"),
        ({"labels": labels("a", "b"), "metric": "pearson"}, "metric pearson goes with"),
        ({"labels": {"kind": "score", "minimum": 0, "maximum": 1}}, "metric pearson goes with"),
        ({"labels": labels("a", "b"), "f1_of": "c"}, "f1_of 'c' is none of the task's labels"),
        ({"labels": labels("a", "b"), "input": "{text_a}"}, "input must hold"),
        ({"labels": labels("a", "b"), "input": "{text} {text_a} {text_b}"}, "input must hold"),
        ({}, "labels: missing"),
        ({"labels": {"values": ["a", "b"]}}, "labels: key 'kind' is missing"),
    ],
)
def test_a_bad_task_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RllrError, match=message):
        validate(TaskConfig, {**TASK, **change}, "tasks/mine.yaml")


def test_yes_and_no_are_labels_when_quoted() -> None:
    task = validate(TaskConfig, {**TASK, "labels": labels("yes", "no"), "f1_of": "yes"}, "t")
    assert task.labels.values == ["yes", "no"]
    assert task.fields == ("text",)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rewards": []}, "each of which needs at least one"),
        ({"start": "base"}, "not from base"),
        ({"algorithm": "sft"}, "rewards go with ppo, rloo, grpo"),
        ({"algorithm": "none", "rewards": []}, "starts from base"),
        ({"value_from": "other"}, "'other' is not one of the rewards"),
        ({"algorithm": "pppo"}, "algorithm: .*'none', 'sft', 'ppo', 'rloo' or 'grpo'.*'pppo'"),
        ({"algorithm": "grpo", "value_from": "rm"}, "grpo has no value model"),
        ({"rewards": [{"model": "rm"}, {"model": "rm"}]}, "names something twice"),
        ({"rewards": [{"model": "rm", "function": "length"}]}, "one of model: NAME, function"),
        ({"rewards": [{"function": "lenght"}]}, "'lenght'"),
        ({"rewards": [{"modle": "rm"}]}, "unknown key 'rewards.0.modle'; did you mean 'model'"),
    ],
)
def test_a_bad_method_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RllrError, match=message):
        validate(MethodConfig, {**METHOD, **change}, "methods/mine.yaml")


def test_a_prompt_holds_one_question_and_each_segment_is_one_thing() -> None:
    raw = read_yaml(CONFIG_DIR / "models/llama2-tiny.yaml")
    for prompt in ([], [{"text": "x"}], [{"question": True}, {"question": True}]):
        with pytest.raises(RllrError, match="exactly one segment"):
            validate(ModelConfig, {**raw, "prompt": prompt}, "models/mine.yaml")
    for segment in ({}, {"text": "a", "token": "<s>"}):
        with pytest.raises(RllrError, match="one of token"):
            validate(Segment, segment, "segment")


def test_every_kind_of_file_has_a_schema() -> None:
    assert set(SCHEMAS) == {"run", "model", "task", "method"}
