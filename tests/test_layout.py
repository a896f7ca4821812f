from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rllr.config.load import CONFIG_DIR, load, read_yaml
from rllr.layout import Layout, base_revision, is_done

MODEL = "llama2-tiny"


def test_the_path_is_the_identity() -> None:
    layout = Layout(load({"extends": "tiny", "run": "mine", "results_dir": "out"}))
    found = {
        "cell": layout.cell("m", "t", "rllr", 2),
        "baseline": layout.baseline("t"),
        "trained": layout.trained("m", "sft", "mixture", 0),
        "data": layout.data("t"),
        "tables": layout.tables,
        "report": layout.report,
    }
    assert {name: str(path) for name, path in found.items()} == {
        "cell": "out/mine/cells/m/t/rllr/seed2",
        "baseline": "out/mine/cells/_baseline/t/majority/seed0",
        "trained": "out/mine/trained/m/sft/mixture/seed0",
        "data": "out/mine/data/t",
        "tables": "out/mine/tables",
        "report": "out/mine/report.html",
    }


@pytest.mark.parametrize(
    "change, same",
    [
        ({"methods": ["sft"]}, True),
        ({"results_dir": "elsewhere"}, True),
        ({"training": {"ppo": {"learning_rate": 1e-6}}}, True),
        ({"data": {"seed": 5}}, False),
        ({"run": "other"}, False),
        ({"stages": {"pretrain": {"documents": 5}}}, False),
        ({"train_tasks": ["mr"]}, False),
    ],
)
def test_a_base_model_is_shared_by_runs_that_agree_on_what_it_is_made_from(
    change: dict[str, object], same: bool
) -> None:
    old, new = load({"extends": "tiny"}), load({"extends": "tiny", **change})
    assert (base_revision(old, MODEL) == base_revision(new, MODEL)) is same


def test_each_model_has_its_own_revision() -> None:
    project = load({"extends": "tiny"})
    assert len({base_revision(project, model) for model in project.models}) == len(project.models)


def test_weights_are_named_after_the_tuning() -> None:
    full = Layout(load({"extends": "tiny", "training": {"sft": {"tuning": "full"}}}))
    lora = Layout(load({"extends": "tiny", "training": {"sft": {"tuning": "lora"}}}))
    assert full.weights(MODEL, "sft", "mixture", 0).name == "model.safetensors"
    assert lora.weights(MODEL, "sft", "mixture", 0).name == "adapter_model.safetensors"
    for layout in (full, lora):
        for stage in ("rllr", "rllr_rm"):
            assert layout.weights(MODEL, stage, "mixture", 0).name == "adapter_model.safetensors"


def test_units() -> None:
    mixture = load({"extends": "tiny"})
    single = load({"extends": "tiny", "scope": "per_task", "tasks": ["mr", "stsb"]})
    assert mixture.units == ["mixture"]
    assert single.units == ["mr", "stsb"]
    assert single.unit_tasks("mr") == single.eval_tasks("mr") == ["mr"]
    assert mixture.unit_tasks("mixture") == mixture.train_tasks


def test_evaluated_tasks_do_not_change_what_a_mixture_holds() -> None:
    raw = {"extends": "tiny", "train_tasks": ["mr", "sst2"]}
    one, two = load({**raw, "tasks": ["mr"]}), load({**raw, "tasks": ["mr", "agnews"]})
    assert one.unit_tasks("mixture") == two.unit_tasks("mixture") == ["mr", "sst2"]
    assert two.eval_tasks("mixture") == ["mr", "agnews"]
    assert set(two.data_tasks) == {"mr", "agnews", "sst2"}


def test_done_means_that_the_manifest_exists(tmp_path: Path) -> None:
    assert not is_done(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    assert is_done(tmp_path)


def test_the_resolved_configuration_is_named_after_its_content() -> None:
    names = {
        Layout(load({"extends": "tiny", **change})).config_file().name
        for change in ({}, {"seeds": [0]}, {"seeds": [1]}, {"threads": {"training": 2}})
    }
    # Saying what the preset says already changes nothing.
    assert len(names) == 3


@pytest.mark.parametrize(
    "revision, name", [(None, "unpinned"), ("0123456789abcdef" * 2 + "01234567", "0123456789ab")]
)
def test_a_hub_models_folder_is_named_after_its_commit(
    tmp_path: Path, revision: str | None, name: str
) -> None:
    raw = read_yaml(CONFIG_DIR / "models/llama2-7b.yaml")
    raw["source"]["revision"] = revision
    (tmp_path / "models").mkdir()
    (tmp_path / "models/llama2-7b.yaml").write_text(yaml.safe_dump(raw))
    paper = {"extends": "paper", "models": ["llama2-7b"]}
    found = Layout(load(paper, tmp_path)).base("llama2-7b")
    assert str(found) == f"results/models/llama2-7b@{name}"
    # Unlike a tiny model, it is the same for every run and its data.
    other = load({**paper, "run": "other", "tasks": ["mr"]}, tmp_path)
    assert Layout(other).base("llama2-7b") == found
