from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_run import SyntheticRun, class_row, score_row

from rllr import cli
from rllr.reporting.compare.compare import compare_runs
from rllr.reporting.results.analysis import analyse
from rllr.reporting.results.collect import load_run
from rllr.reporting.tables.cells import MINUS, interval_text
from rllr.reporting.tables.table import MISSING, Table

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def other(small_run: SyntheticRun, tmp_path: Path) -> SyntheticRun:
    """A copy of the small run, to be changed: run B."""
    shutil.copytree(small_run.folder, tmp_path / "other")
    return SyntheticRun(tmp_path / "other")


def compared(first: SyntheticRun, second: SyntheticRun, by: str = "method") -> Table:
    return compare_runs(first.folder, second.folder, by)[1]


def settings(first: SyntheticRun, second: SyntheticRun) -> dict[str, list[str]]:
    table = compare_runs(first.folder, second.folder, "method")[0]
    return {row[1].text: [row[2].text, row[3].text] for group in table.groups for row in group}


def rows(table: Table) -> dict[tuple[str, str], list[str]]:
    return {
        (row[0].text, row[1].text): [cell.text.replace(MINUS, "-") for cell in row[2:]]
        for group in table.groups
        for row in group
    }


EVERYTHING = "All models and tasks"


def test_a_run_does_not_differ_from_itself(small_run: SyntheticRun, other: SyntheticRun) -> None:
    table = compared(small_run, other)
    found = rows(table)
    assert [method for _, method in found] == ["SFT (label only)", "SFT", "RLHF", "RLLR"]
    assert all(row[2:] == ["0.0 (2/4)", "[0.0, 0.0]", "1.000"] for row in found.values())
    assert any("8 cells are in both runs, 0 in A alone, 0 in B alone" in n for n in table.notes)
    assert any("8 have the same responses" in note for note in table.notes)
    assert not compare_runs(small_run.folder, other.folder, "method")[0].groups


def test_differences_by_hand_at_every_level(small_run: SyntheticRun, other: SyntheticRun) -> None:
    other.accuracy("llama", "rllr", 10)
    assert rows(compared(small_run, other))[EVERYTHING, "RLLR"][:3] == [
        "80.0",
        "90.0",
        "+10.0 (2/4)",
    ]
    found = rows(compared(small_run, other, "model"))
    assert found["Llama", "RLLR"][:3] == ["80.0", "100.0", "+20.0 (1/2)"]
    assert found["BLOOM", "RLLR"][2] == "0.0 (1/2)"
    assert rows(compared(small_run, other, "task"))["SST-2", "RLLR"][2] == "+10.0"
    assert rows(compared(small_run, other, "cell"))["Llama, SST-2", "RLLR"][2] == "+20.0"
    assert rows(compared(other, small_run))[EVERYTHING, "RLLR"][2] == "-10.0 (2/4)"


def test_intervals_are_paired_as_those_of_two_methods_of_a_run(
    run: SyntheticRun, tmp_path: Path
) -> None:
    """Two runs' answers of one method against one run with the same answers as two methods'."""
    other, one = SyntheticRun(tmp_path / "b"), SyntheticRun(tmp_path / "one")
    before = [class_row(i, i % 3 > 0) for i in range(30)]
    after = [class_row(i, i % 4 > 0) for i in range(30)]
    scores = [[score_row(i, i % 6, (i * shift) % 5) for i in range(20)] for shift in (1, 2)]
    for task, (mine, theirs) in {"sst2": (before, after), "stsb": tuple(scores)}.items():
        run.cell("llama", task, "rllr", mine)
        other.cell("llama", task, "rllr", theirs)
        one.cell("llama", task, "sft", mine)
        one.cell("llama", task, "rllr", theirs)
    analysis = analyse(load_run(one.folder))
    groups = [analysis.delta_group("llama", task, "rllr", "sft") for task in ("sst2", "stsb")]
    estimate = analysis.estimate(groups, 1)
    assert estimate is not None
    interval = interval_text(estimate.low, estimate.high).replace(MINUS, "-")
    assert rows(compared(run, other))[EVERYTHING, "RLLR"][3] == interval


def test_several_seeds_and_seeds_of_one_run_alone(run: SyntheticRun, tmp_path: Path) -> None:
    other = SyntheticRun(tmp_path / "other")
    for folder, seeds in ((run, (0, 1, 2)), (other, (1, 2, 3))):
        folder.grid(seeds=list(seeds))
        for seed in seeds:
            folder.accuracy("llama", "rllr", 6 + seed % 3, seed=seed)
    table = compared(run, other)
    (row,) = rows(table).values()
    assert row[2].startswith("0.0 ±0.0") and row[3] != MISSING
    assert "Only seeds that both have are compared: A has 0, 1, 2, B has 1, 2, 3." in table.notes
    other.accuracy("llama", "rllr", 9, seed=1)
    assert rows(compared(run, other))[EVERYTHING, "RLLR"][2].startswith("+10.0 ±14.1")


# --- what cannot be compared ---------------------------------------------------------------------


def test_other_examples_have_no_interval_and_are_named(
    small_run: SyntheticRun, other: SyntheticRun
) -> None:
    for model in ("llama", "bloom"):
        for method in ("sft_label", "sft", "rlhf", "rllr"):
            other.accuracy(model, method, 6, n=12)
    table = compared(small_run, other)
    assert rows(table)[EVERYTHING, "RLLR"][2:] == ["-30.0 (2/4)", MISSING, MISSING]
    assert "No interval where test examples or gold labels differ: SST-2." in table.notes


def test_a_run_without_predictions(small_run: SyntheticRun, other: SyntheticRun) -> None:
    for path in other.folder.rglob("predictions.jsonl"):
        path.unlink()
    table = compared(small_run, other)
    assert rows(table)[EVERYTHING, "RLLR"][2:] == ["0.0 (2/4)", MISSING, MISSING]
    assert any("no usable predictions: SST-2, STS-B" in note for note in table.notes)


def test_only_cells_that_both_have(small_run: SyntheticRun, other: SyntheticRun) -> None:
    shutil.rmtree(other.folder / "cells/llama/sst2/rllr")
    shutil.rmtree(other.folder / "cells/bloom/sst2/sft")
    other.accuracy("bloom", "zero_shot", 3)
    table = compared(small_run, other)
    assert rows(table)[EVERYTHING, "RLLR"][2] == "0.0 (1/4)"
    assert any("6 cells are in both runs, 2 in A alone, 1 in B alone" in n for n in table.notes)


def test_runs_with_nothing_in_common(run: SyntheticRun, tmp_path: Path) -> None:
    other = SyntheticRun(tmp_path / "other")
    run.accuracy("llama", "sft", 5)
    other.accuracy("bloom", "sft", 5)
    table = compared(run, other)
    assert not rows(table) and table.caption == "No cell of a trained method is in both runs."


def test_a_task_that_is_measured_differently(run: SyntheticRun, tmp_path: Path) -> None:
    other = SyntheticRun(tmp_path / "other")
    scores = [score_row(i, i % 3, i % 2) for i in range(6)]
    for folder in (run, other):
        folder.accuracy("llama", "sft", 5)
    run.cell("llama", "stsb", "sft", scores)
    other.cell("llama", "stsb", "sft", scores, metric="accuracy")
    table = compared(run, other, "task")
    assert [name for name, _ in rows(table)] == ["sst2"]
    assert "Left out, as measured differently: stsb." in table.notes


def test_flags_of_either_run_are_footnotes(small_run: SyntheticRun, other: SyntheticRun) -> None:
    other.cell("llama", "sst2", "rllr", [class_row(i, i < 5) for i in range(10)], flags=["odd"])
    table = compared(small_run, other)
    assert ("a", "Flagged by the scorer: odd.") in table.footnotes
    marked = [row[1].text for group in table.groups for row in group if row[1].marks]
    assert marked == ["RLLR"]


# --- settings ------------------------------------------------------------------------------------


def test_settings_that_differ(small_run: SyntheticRun, other: SyntheticRun) -> None:
    old = {"config": {"ppo": {"kl": 0.1, "steps": 60}, "seeds": [0], "odd": "\x1b[31mred"}}
    new = {"config": {"ppo": {"kl": 0.2, "steps": 60, "cap": None}, "seeds": [0, 1], "more": {}}}
    small_run.write("config/a.json", old)
    other.write("config/b.json", new)
    assert settings(small_run, other) == {
        "config.ppo.kl": ["0.1", "0.2"],
        "config.seeds": ["[0]", "[0, 1]"],
        "config.odd": ['"\\u001b[31mred"', MISSING],
    }


def test_what_manifests_record_differently(small_run: SyntheticRun, other: SyntheticRun) -> None:
    manifest = {
        "stage": "policy",
        "commit": "a" * 40,
        "code": {"sha256": "c" * 64},
        "packages": {"torch": "2.1", "peft": "1"},
        "device": "cpu",
        "inputs": {"results/x/data/sst2/rl.jsonl": "1" * 64, "results/x/model": "9"},
    }
    path = "trained/llama/rllr/mixture/seed0/manifest.json"
    small_run.write(path, manifest)
    packages = {"torch": "2.2", "peft": "1"}
    inputs = {"/scratch/y/data/sst2/rl.jsonl": "2" * 64, "/scratch/y/model": "8"}
    other.write(path, {**manifest, "packages": packages, "inputs": inputs, "commit": None})
    assert settings(small_run, other) == {
        "commit": ["a" * 12, MISSING],
        "data sst2/rl.jsonl": ["1" * 12, "2" * 12],
        "package torch": ["2.1", "2.2"],
    }


def test_settings_that_are_not_known_are_said_to_be(
    small_run: SyntheticRun, other: SyntheticRun
) -> None:
    other.write("config/b.json", "{broken")
    small_run.write("trained/llama/rllr/mixture/seed0/manifest.json", '["no", "mapping"]')
    table = compare_runs(small_run.folder, other.folder, "method")[0]
    assert "settings were not compared" in table.caption
    assert "No difference: made with." in table.caption and not table.groups


# --- the command ---------------------------------------------------------------------------------


def test_the_command_prints_or_writes(
    small_run: SyntheticRun,
    other: SyntheticRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other.accuracy("llama", "rllr", 10)
    other.write("cells/bloom/sst2/sft/seed0/metrics.json", "{broken")
    words = ["compare", str(small_run.folder), str(other.folder)]
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert "(B) minus" in out and "+10.0" in out and "test sampling only" in out
    assert f"{other.folder}: cells/bloom/sst2/sft/seed0/metrics.json: left out" in err
    assert cli.main([*words, "--by", "cell", "--to", str(tmp_path / "c.md")]) == 0
    written = (tmp_path / "c.md").read_text()
    assert "| Llama, SST-2" in written and "+20.0" in written


def test_a_folder_that_is_no_run(
    small_run: SyntheticRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", str(small_run.folder), str(tmp_path / "none")]) == 2
    assert "none: no such folder of results" in capsys.readouterr().err


def test_no_torch_is_loaded(small_run: SyntheticRun, other: SyntheticRun, tmp_path: Path) -> None:
    code = (
        "import json, sys; from rllr import cli; "
        "assert not any(cli.main(words) for words in json.loads(sys.argv[1])); "
        "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)"
    )
    folder, cell = str(small_run.folder), "llama/sst2/rllr"
    calls = [
        ["compare", folder, str(other.folder)],
        ["archive", folder, "--to", str(tmp_path / "a.tar.gz")],
        ["show", "cell", cell, "--run", folder],
    ]
    command = [sys.executable, "-c", code, json.dumps(calls)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
