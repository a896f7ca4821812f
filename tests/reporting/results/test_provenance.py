"""Cells that were made otherwise than most are marked, and the footnote says in what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from synthetic_run import SyntheticRun
from tiny_project import LLAMA, TASKS, TinyRun

from rllr import artefact, cli, stages
from rllr.files import read_json, write_json
from rllr.layout import MANIFEST
from rllr.reporting.results.checks import meaning
from rllr.reporting.results.collect import load_run
from rllr.reporting.results.grid import CellKey
from rllr.reporting.results.manifests import first_difference
from rllr.reporting.tables.build import build_tables

RUN = "synthetic"
MODULES = ["rllr", "rllr.training"]


def manifest(stage: str, inputs: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    inputs = {f"results/{RUN}/{path}": sha for path, sha in (inputs or {}).items()}
    facts = {"stage": stage, "settings": {"rate": 1}, "inputs": inputs, "commit": "c" * 40}
    code = {"modules": MODULES, "sha256": "a" * 64}
    packages = {"torch": "2.1"} if stage != "data" else {}
    return {
        **facts,
        "code": code,
        "packages": packages,
        "device": "cpu",
        "wall_seconds": 1.0,
        **changes,
    }


class Traced:
    """A synthetic run with a manifest for each cell of sst2, two models, two methods."""

    def __init__(self, run: SyntheticRun) -> None:
        self.run = run
        run.grid(methods=[{"key": key, "name": key} for key in ("sft", "rllr")])
        run.write("data/sst2/manifest.json", manifest("data"))
        for model in ("llama", "bloom"):
            run.healthy_stages(model)
            self.stage(model, "sft", "sft", {"data/sst2/manifest.json": "d"})
            self.stage(model, "rllr", "policy", {f"{self.trained(model, 'sft')}/{MANIFEST}": "s"})
            for method in ("sft", "rllr"):
                run.accuracy(model, method, 6)
                self.predicted(model, method)

    def trained(self, model: str, stage: str, seed: int = 0) -> str:
        return f"trained/{model}/{stage}/mixture/seed{seed}"

    def stage(
        self, model: str, stage: str, kind: str, inputs: dict[str, str], **changes: Any
    ) -> None:
        seed = changes.pop("seed_", 0)
        path = f"{self.trained(model, stage, seed)}/{MANIFEST}"
        self.run.write(path, manifest(kind, inputs, **changes))

    def predicted(self, model: str, method: str, test: str = "t", **changes: Any) -> None:
        seed = changes.pop("seed_", 0)
        weights = f"{self.trained(model, method, seed)}/adapter_model.safetensors"
        inputs = {weights: f"{model}/{method}/{seed}", "data/sst2/test.jsonl": test}
        path = f"cells/{model}/sst2/{method}/seed{seed}/predictions.{MANIFEST}"
        self.run.write(path, manifest("predict", inputs, **changes))

    def marked(self) -> dict[str, list[str]]:
        """Cell -> what is said of it."""
        found = load_run(self.run.folder).provenance.deviations
        return {
            f"{key.model}/{key.method}/{key.seed}": [f"{one.kind}: {one.facts}" for one in ones]
            for key, ones in found.items()
            if ones
        }


@pytest.fixture
def traced(run: SyntheticRun) -> Traced:
    return Traced(run)


OTHER = {"commit": "e" * 40, "code": {"modules": MODULES, "sha256": "b" * 64}}


def test_nothing_is_marked_where_all_is_the_same(traced: Traced) -> None:
    assert traced.marked() == {}
    assert load_run(traced.run.folder).provenance.note() == ""


def test_another_commit_with_the_same_code_is_no_mark(traced: Traced) -> None:
    traced.predicted("llama", "rllr", commit="e" * 40)
    assert traced.marked() == {}


def test_other_code_is_marked_with_both_commits(traced: Traced) -> None:
    traced.predicted("llama", "rllr", **OTHER)
    said = "other_code: predict: commit eeeeeee (most: commit ccccccc)"
    assert traced.marked() == {"llama/rllr/0": [said]}
    tables = build_tables(load_run(traced.run.folder))
    assert [note for note in tables["main"].footnotes if "eeeeeee" in note[1]] == [
        (
            "a",
            "It rests on a stage that ran other code than most of its kind: predict: commit "
            "eeeeeee (most: commit ccccccc).",
        )
    ]


def test_local_changes_at_one_commit_are_told_by_their_hash(traced: Traced) -> None:
    traced.predicted("llama", "rllr", code=OTHER["code"])
    (said,) = traced.marked()["llama/rllr/0"]
    assert said == "other_code: predict: commit ccccccc, sources bbbbbbbb (most: aaaaaaaa)"


def test_other_code_of_a_stage_marks_all_that_rests_on_it(traced: Traced) -> None:
    traced.stage("bloom", "sft", "sft", {"data/sst2/manifest.json": "d"}, **OTHER)
    assert set(traced.marked()) in (
        {"bloom/sft/0", "bloom/rllr/0"},
        {"llama/sft/0", "llama/rllr/0"},
    )


@pytest.mark.parametrize(("commit", "marked"), [("c" * 40, False), ("e" * 40, True)])
def test_of_other_modules_the_commit_decides(traced: Traced, commit: str, marked: bool) -> None:
    code = {"modules": [*MODULES, "rllr.more"], "sha256": "b" * 64}
    traced.predicted("llama", "rllr", commit=commit, code=code)
    assert bool(traced.marked()) is marked


def test_another_test_split_is_marked(traced: Traced) -> None:
    traced.predicted("bloom", "sft", test="other")
    said = "other_data: data/sst2/test.jsonl other (most: t)"
    assert traced.marked() == {"bloom/sft/0": [said]}


def test_another_training_of_the_start_is_marked(traced: Traced) -> None:
    weights = f"{traced.trained('llama', 'sft')}/model.safetensors"
    for method, sha in (("sft", "new"), ("rllr", "old"), ("rlhf", "new")):
        traced.run.accuracy("llama", method, 6)
        inputs = {weights: sha, "data/sst2/test.jsonl": "t"}
        path = f"cells/llama/sst2/{method}/seed0/predictions.{MANIFEST}"
        traced.run.write(path, manifest("predict", inputs))
    traced.run.grid()
    said = "other_training: trained/llama/sft/mixture/seed0/model.safetensors old (most: new)"
    assert traced.marked() == {"llama/rllr/0": [said]}


def test_seeds_with_other_settings_and_what_the_configuration_expects(traced: Traced) -> None:
    traced.run.grid(seeds=[0, 1, 2])
    for seed in (1, 2):
        rate = {"settings": {"rate": 1 + seed // 2}, "seed_": seed}
        traced.stage("llama", "sft", "sft", {"data/sst2/manifest.json": "d"}, **rate)
        traced.run.accuracy("llama", "sft", 6, seed=seed)
        traced.predicted("llama", "sft", seed_=seed)
    said = "other_settings: trained/llama/sft/mixture: rate: 2, most 1"
    assert traced.marked() == {"llama/sft/2": [said]}
    traced.run.grid(seeds=[0, 1, 2], expected_settings={"data/sst2": "0" * 12})
    said = "not those of the configuration that the tables were made with"
    assert traced.marked()["bloom/rllr/0"] == [f"other_settings: data/sst2: {said}"]


def test_other_versions_and_devices_are_marked(traced: Traced) -> None:
    traced.predicted("llama", "sft", packages={"torch": "2.2"}, device="NVIDIA H100")
    assert traced.marked()["llama/sft/0"] == [
        "other_versions: torch 2.2 (most: 2.1)",
        "other_device: predict: NVIDIA H100 (most: cpu)",
    ]


def test_missing_and_corrupt_manifests_are_counted_and_named(traced: Traced) -> None:
    place = f"cells/llama/sst2/rllr/seed0/predictions.{MANIFEST}"
    (traced.run.folder / place).write_text('{"stage": 1}')
    run = load_run(traced.run.folder)
    assert run.provenance.unknown == {CellKey("llama", "sst2", "rllr", 0)}
    wanted = f"{place}: left out: not a manifest: stage: "
    assert any(warning.startswith(wanted) for warning in run.warnings)
    (traced.run.folder / place).unlink()
    note = load_run(traced.run.folder).provenance.note()
    assert note.startswith("One cell has no manifest: which code")
    for path in traced.run.folder.rglob(f"*{MANIFEST}"):
        path.unlink()
    run = load_run(traced.run.folder)
    (said,) = [n for n in build_tables(run)["main"].notes if "manifest" in n]
    assert said.startswith("There are no manifests: which code, data and settings")
    assert traced.marked() == {}


def test_a_foreign_manifest_leads_nowhere_else(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    write_json(tmp_path / "outside" / MANIFEST, manifest("sft", **OTHER))
    for inputs in ({"../outside/x": "1"}, {"data/../../outside/x": "1"}):
        path = f"cells/llama/sst2/rllr/seed0/predictions.{MANIFEST}"
        traced.run.write(path, manifest("predict", inputs))
        assert traced.marked() == {}


def test_facts_in_a_code_follow_its_meaning() -> None:
    assert meaning("other_data: x (most: y)").endswith(" than most: x (most: y).")
    assert meaning("odd: x") == "Flagged by the scorer: odd: x."


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b: 1, now 2"),
        ({"a": 1}, {}, "a: 1, now none"),
        ({"t": [["mr", {"x": 1}]]}, {"t": [["mr", {"x": 2}]]}, "t.mr.x: 1, now 2"),
        ({"t": [["mr", 1]]}, {"t": [["mr", 1], ["qqp", 1]]}, "t: 1 entries, now 2"),
        ({"t": [1, 2]}, {"t": [1, 3]}, "t.1: 2, now 3"),
        ({"t": "x" * 50}, {"t": "y"}, f"t: {'x' * 37}..., now y"),
        ({"t": [1]}, {"t": [1]}, ""),
    ],
)
def test_the_first_setting_that_differs(before: Any, now: Any, said: str) -> None:
    assert first_difference(before, now) == said


def test_real_stages_at_another_commit(
    tuned: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same sources at two commits are the same code; changed sources are not."""
    run = tuned.copy(tmp_path / "copy", methods=["sft"], context_methods=[])
    for task in run.project.tasks:
        stages.baseline(run.project, task)
    stages.predict(run.job(), "sft")
    stages.score(run.job(), "sft")
    manifests = [run.layout.cell(LLAMA, t, "sft", 0) / f"predictions.{MANIFEST}" for t in TASKS]
    for path in manifests:  # now this process has loaded all that it ever will
        path.unlink()
    stages.predict(run.job(), "sft")
    noted = read_json(manifests[0])
    manifests[0].unlink()
    monkeypatch.setenv("RLLR_COMMIT", "f" * 40)
    artefact.commit.cache_clear()
    stages.predict(run.job(), "sft")
    artefact.commit.cache_clear()
    again = read_json(manifests[0])
    assert again["commit"] == "f" * 40 != noted["commit"]
    assert cli.main(["tables", str(run.layout.run), "--config", str(run.config)]) == 0
    found = load_run(run.layout.run)
    assert set().union(*found.provenance.deviations.values()) == set()
    assert found.grid.expected_settings[f"trained/{LLAMA}/sft/mixture"]
    again["code"]["sha256"] = "0" * 64
    write_json(manifests[0], again)
    marked = {k for k, ones in load_run(run.layout.run).provenance.deviations.items() if ones}
    assert len(marked) == 1
