"""What a configuration expects of its stages is what the stages themselves record."""

from __future__ import annotations

import pytest
from tiny_project import LLAMA, TinyRun

from rllr.config.load import Project, load
from rllr.expected import cells, expected_settings, expected_stages, run_place, without_seed
from rllr.files import digest, read_json


def test_real_stages_record_what_is_expected_of_them(tuned: TinyRun) -> None:
    run = tuned.project.config.run
    made = [one for one in expected_stages(tuned.project).values() if one.manifest.exists()]
    assert {one.kind for one in made} >= {"data", "rationales", "label_pairs", "base", "sft"}
    for stage in made:
        manifest = read_json(stage.manifest)
        assert manifest["stage"] == stage.kind
        assert digest(manifest["settings"]) == digest(stage.settings), stage.name
        folders = {run_place(path, run).rpartition("/")[0] for path in manifest["inputs"]}
        assert folders == {run_place(one.parent, run) for one in stage.behind}, stage.name
        assert all(path.exists() for path in stage.files), stage.name
        assert stage.weights is None or stage.weights.exists()


def test_each_stage_comes_after_those_it_is_made_from(preset: Project) -> None:
    seen = set()
    for manifest, stage in expected_stages(preset).items():
        assert set(stage.behind) <= seen
        seen.add(manifest)
    assert sum("/cells/" in str(path) for path in seen) == len(cells(preset)) + 8


def test_only_what_the_methods_need_is_expected() -> None:
    project = load({"extends": "tiny", "models": [LLAMA], "methods": ["sft_label"]})
    kinds = {stage.kind for stage in expected_stages(project).values()}
    assert kinds == {"data", "rationales", "base", "sft", "baseline", "predict"}


def test_stages_of_each_task_where_each_trains_its_own() -> None:
    project = load({"extends": "tiny", "tasks": ["mr", "mnli"], "scope": "per_task", "seeds": [3]})
    names = {stage.name for stage in expected_stages(project).values() if stage.kind == "policy"}
    assert f"{LLAMA}/rllr/mnli/seed3" in names
    logs = {s.log.name for s in expected_stages(project).values() if s.kind == "predict"}
    assert f"{LLAMA}.rllr.mnli.seed3.log" in logs
    assert f"{LLAMA}.zero_shot.seed3.log" in logs


def test_settings_are_told_apart_by_stage_and_not_by_seed() -> None:
    before = expected_settings(load({"extends": "tiny", "seeds": [0, 1]}))
    change = {"stages": {f"{LLAMA}/rllr": {"kl_coef": 0.3}}}
    after = expected_settings(load({"extends": "tiny", **change}))
    assert before.keys() == after.keys()
    different = [place for place in before if before[place] != after[place]]
    assert different == [f"trained/{LLAMA}/rllr/mixture"]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("results/tiny/data/mr/test.jsonl", "data/mr/test.jsonl"),
        ("/home/data/results/tiny/trained/m/sft/mixture/seed0", "trained/m/sft/mixture/seed0"),
        ("results/models/m@abc/manifest.json", "m@abc/manifest.json"),
        ("/my/data/mr/train.jsonl", "/my/data/mr/train.jsonl"),
        ("results/other/data/mr/test.jsonl", "results/other/data/mr/test.jsonl"),
    ],
)
def test_a_path_below_the_run_wherever_it_lay(path: str, place: str) -> None:
    assert run_place(path, "tiny") == place


def test_a_seed_is_cut_off_and_nothing_else() -> None:
    assert without_seed("trained/m/sft/mixture/seed12") == "trained/m/sft/mixture"
    assert without_seed("data/seeds") == "data/seeds"
