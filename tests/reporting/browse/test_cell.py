from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic_run import SyntheticRun, class_row, score_row

from rllr import cli


class Show:
    """Calls `show cell` on a run; returns what it printed, or its error message."""

    def __init__(self, run: SyntheticRun, capsys: pytest.CaptureFixture[str]) -> None:
        self.run, self.capsys = run, capsys

    def __call__(self, name: str, *words: str) -> str:
        run = [] if "/cells/" in name else ["--run", str(self.run.folder)]
        status = cli.main(["show", "cell", name, *run, *words])
        out, err = self.capsys.readouterr()
        assert (status == 0) == bool(out)
        return out if status == 0 else err


@pytest.fixture
def show(
    small_run: SyntheticRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Show:
    monkeypatch.setenv("COLUMNS", "200")
    return Show(small_run, capsys)


def rows(*right: bool | None) -> list[dict[str, object]]:
    """Class rows; None is a response without a label."""
    found = [class_row(index, bool(one)) for index, one in enumerate(right)]
    for row, one in zip(found, right, strict=True):
        if one is None:
            row |= {"prediction": None, "response": f"No idea about {row['id']}"}
    return found


def test_numbers_flags_files_and_responses(show: Show) -> None:
    flags = ["odd"]
    show.run.cell("llama", "sst2", "rllr", rows(True, True, False, None), flags=flags, seed=0)
    show.run.summary("llama", "rllr_rm", {"kind": "unknown"})
    out = show("llama/sst2/rllr")
    assert "RLLR of Llama on SST-2, seed 0" in out
    (line,) = [line for line in out.splitlines() if line.startswith("accuracy, seed 0")]
    assert line.split()[3:] == ["50.0", "\N{EN DASH}", "1", "(25.0", "%)"]
    assert "macro_f1" in out and "4 test examples" in out
    assert "! odd: Flagged by the scorer: odd." in out
    assert "! unchecked_stage:" in out and "llama/rllr_rm/mixture/seed0: no usable" in out
    path = show.run.folder / "cells/llama/sst2/rllr/seed0"
    assert f"{path}/metrics.json\n" in out and f"{path}/predictions.manifest.json (not" in out
    assert f"rm -r {path}\n  snakemake -c2 {path}/metrics.json" in out
    for heading in ("right: 2 of 2", "wrong: 1 of 1", "unparseable: 1 of 1"):
        assert f"{heading} responses" in out
    assert "no label: No idea about sst2-3" in out and "gold positive" in out


def test_responses_are_chosen_by_outcome_count_and_seed(show: Show) -> None:
    show.run.cell("llama", "sst2", "rllr", rows(*[True] * 30, *[False] * 30))
    words = ("--outcome", "wrong", "--count", "4", "--seed")
    first, again, other = (show("llama/sst2/rllr", *words, seed) for seed in ("0", "0", "1"))
    assert first == again != other
    assert "wrong: 4 of 30" in first and "right: " not in first and first.count("gold ") == 4


def test_all_seeds_are_listed_and_one_may_be_named(show: Show) -> None:
    show.run.grid(seeds=[0, 1])
    show.run.accuracy("llama", "rllr", 9, seed=1)
    out = show("llama/sst2/rllr/seed1")
    assert "SST-2, seed 1" in out and "accuracy, seed 0  80.0" in out
    assert "accuracy, seed 1  90.0" in out


def test_what_changed_from_another_method(show: Show) -> None:
    show.run.cell("llama", "sst2", "sft", rows(True, True, False, None, False))
    show.run.cell("llama", "sst2", "rllr", rows(True, False, True, True, None))
    out = show("llama/sst2/rllr", "--against", "sft", "--count", "9")
    table = [line.split() for line in out.splitlines() if line.startswith("SFT ")]
    assert [row[2:] for row in table if row[1] in ("right", "wrong", "unparsed")] == [
        ["1", "1", "0"],
        ["1", "0", "1"],
        ["1", "0", "0"],
    ]
    assert "1 of 5 responses are the same" in out
    gained, lost = out.split("right now: ")[1].split("unparseable now: ")
    assert gained.startswith("2 of 2") and "sst2-2" in gained and "sst2-3" in gained
    assert lost.startswith("1 of 1") and "sst2-1" in lost and "sst2-4" not in lost
    assert "no label: No idea about sst2-3" in gained and "positive: Answer: positive" in gained


def test_only_shared_examples_are_compared(show: Show) -> None:
    show.run.cell("llama", "sst2", "sft", rows(True, True, True)[:2])
    show.run.cell("llama", "sst2", "rllr", rows(True, False, True))
    assert "2 shared test examples" in show("llama/sst2/rllr", "--against", "sft")


def test_scores_are_right_within_half_a_point(show: Show) -> None:
    show.run.cell("llama", "stsb", "sft", [score_row(0, 2.0, 2.4), score_row(1, 3.0, 4.0)])
    out = show("llama/stsb/sft")
    assert "right: 1 of 1" in out and "wrong: 1 of 1" in out
    assert "A score within 0.5 of the gold one is shown as right." in out


def test_a_path_names_run_and_cell(show: Show) -> None:
    path = show.run.folder / "cells/llama/sst2/rllr/seed0/metrics.json"
    assert "RLLR of Llama on SST-2, seed 0" in show(str(path))
    assert "RLLR of Llama on SST-2, seed 0" in show(str(path.parents[1]))


def test_no_text_is_obeyed(show: Show) -> None:
    odd = "[bold]x[/] \x1b[31mred \r\x07 \u202eevil"
    show.run.cell("llama", "sst2", "rllr", [class_row(0, True, response=odd, prompt=odd)])
    out = show("llama/sst2/rllr")
    assert not set("\x1b\r\x07\u202e") & set(out)
    assert out.count("[bold]x[/] \\x1b[31mred \\r\\x07 \\u202eevil") == 2


def test_metrics_without_predictions(show: Show) -> None:
    (show.run.folder / "cells/llama/sst2/rllr/seed0/predictions.jsonl").unlink()
    out = show("llama/sst2/rllr")
    assert "80.0" in out and "No usable predictions" in out
    assert "without it nothing can be compared" in show("llama/sst2/sft", "--against", "rllr")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lama/sst2/rllr", "no model 'lama' in this run; did you mean 'llama'?"),
        ("llama/sst/rllr", "no task 'sst' in this run; did you mean 'sst2'?"),
        ("llama/sst2/rlr", "no method 'rlr' in this run; did you mean 'rllr'?"),
        ("_baseline/sst2/rllr", "no method 'rllr' in this run (allowed: majority)"),
        ("llama/sst2", "a cell is MODEL/TASK/METHOD"),
        ("llama/sst2/rllr/0", "a cell is MODEL/TASK/METHOD"),
        ("llama/sst2/rllr/seed7", "no seed 7 of it in this run (seeds: 0)"),
    ],
)
def test_wrong_names(show: Show, name: str, message: str) -> None:
    assert message in show(name)


def test_a_missing_cell_says_what_makes_it_and_a_spoilt_one_why(show: Show) -> None:
    path = show.run.folder / "cells/llama/sst2/rllr/seed0/metrics.json"
    path.write_text(json.dumps({"value": 3}))
    said = show("llama/sst2/rllr")
    assert "left out: not a metrics file" in said and f"`snakemake -c2 {path}` makes it" in said
    path.unlink()
    said = show("llama/sst2/rllr")
    assert "not there yet" in said and f"`snakemake -c2 {path}` makes it" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cell"], "show cell: name one"),
        (["cell", "a/b/c", "--task", "mr"], "--task: not an option of a cell"),
        (["cell", "a/b/c", "--against", "sft", "--outcome", "right"], "--outcome: not an option"),
        (["cell", "a/b/c", "--count", "-1"], "--count: -1 is less than none"),
        (["cell", "x/cells/a/b/c", "--run", "x"], "names its run's folder itself"),
        (["data", "a/b/c", "--task", "mr"], "a/b/c: not an option of data; `show cell` has it"),
        (["data", "--task", "mr", "--outcome", "right"], "--outcome: not an option of data"),
    ],
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_folder_of_the_only_run_needs_no_option(
    small_run: SyntheticRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").mkdir()
    small_run.folder.rename(tmp_path / "results/one")
    (tmp_path / "results/one/data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["show", "cell", "llama/sst2/rllr"]) == 0


def test_its_interval_is_that_of_the_tables(show: Show) -> None:
    show.run.accuracy("llama", "sft", 6, ci_low=0.1, ci_high=0.2)
    assert "60.0  [30.0, 90.0]" in show("llama/sst2/sft")
    (show.run.folder / "cells/llama/sst2/sft/seed0/predictions.jsonl").unlink()
    assert "60.0  [10.0, 20.0]" in show("llama/sst2/sft")
