from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_project import TinyRun, write_samples

from rllr import cli, stages
from rllr.config.schema import SPLITS
from rllr.errors import RllrError
from rllr.files import read_json, read_jsonl, write_json, write_jsonl
from rllr.layout import MANIFEST
from rllr.plain import plain
from rllr.reporting.browse.examples import only_run
from rllr.reporting.browse.manifest_view import asked, distribution, left_out

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def shown(
    prepared: TinyRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Show:
    monkeypatch.setenv("COLUMNS", "80")
    return Show(prepared.layout.run, capsys)


class Show:
    """Calls `show`; returns status, output and the error message."""

    def __init__(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.run, self.capsys = run, capsys

    def __call__(self, view: str, *words: str, run: Path | None = None) -> tuple[int, str, str]:
        status = cli.main(["show", view, "--run", str(run or self.run), *words])
        out, err = self.capsys.readouterr()
        return status, out, err


def test_data_has_counts_labels_and_examples(shown: Show, prepared: TinyRun) -> None:
    status, out, _ = shown("data", "--task", "mr", "--split", "test", "--count", "2")
    assert status == 0
    noted = read_json(prepared.layout.data("mr") / MANIFEST)
    for name in SPLITS:
        (line,) = [line for line in out.splitlines() if line.startswith(f"{name} ")]
        assert line.split()[1] == str(noted["examples"][name])
        for label, count in noted["labels"][name].items():
            assert f"{label}: {count} (" in line
    rows = read_jsonl(prepared.layout.data("mr") / "test.jsonl")
    assert sum(row["id"] in out for row in rows) == 2
    assert "test: 2 of 12 rows" in out


def test_the_seed_chooses_the_examples(shown: Show) -> None:
    words = ("--task", "mr", "--count", "4", "--seed")
    first, again, other = (shown("data", *words, seed)[1] for seed in ("0", "0", "1"))
    assert first == again != other


def test_only_examples_with_a_label(shown: Show, prepared: TinyRun) -> None:
    _, out, _ = shown("data", "--task", "mr", "--label", "Positive", "--count", "99")
    rows = read_jsonl(prepared.layout.data("mr") / "sft.jsonl")
    for row in rows:
        assert (row["id"] in out) == (row["label"] == "positive")
    _, out, _ = shown("data", "--task", "stsb", "--label", "3", "--count", "99")
    rows = read_jsonl(prepared.layout.data("stsb") / "sft.jsonl")
    for row in rows:
        assert (row["id"] in out) == (3 <= row["label"] < 4)


def test_rationales_stand_beside_each_other(shown: Show, prepared: TinyRun) -> None:
    status, out, _ = shown("rationales", "--task", "mr", "--count", "99")
    assert status == 0 and "generated" in out
    lines = [line.rstrip() for line in out.splitlines()]
    for row in read_jsonl(prepared.layout.rationales("mr") / "rm.jsonl"):
        left, right = f"{row['label']}: {row['rationale']}", row["wrong"][0]
        beside = f"{right['label']}: {right['rationale']}"
        if max(len(left), len(beside)) < 36:
            assert any(line.startswith(left) and line.endswith(beside) for line in lines)


def test_label_sensitive_pairs_with_their_statistics(shown: Show, prepared: TinyRun) -> None:
    status, out, _ = shown("pairs", "--task", "mr", "--split", "heldout", "--count", "1")
    found = read_json(prepared.layout.label_pairs("mr") / MANIFEST)["statistics"]
    lines = [line.split() for line in out.splitlines()]
    for part in ("train", "heldout"):
        (row,) = [line for line in lines if line[:1] == [part] and line[-1] != "rows"]
        share = found[part]["chosen_is_longer"]
        assert row[1:5] == [str(found[part]["pairs"]), "0%", "100%", f"{share:.0%}"]
    assert status == 0 and out.count("Answer:") == 2
    assert {"negative", "positive"} <= {line[0] for line in lines if line}


def test_rationale_sensitive_pairs_of_each_model(
    shown: Show, prepared: TinyRun, tmp_path: Path
) -> None:
    run = prepared.copy(tmp_path / "copy")
    folder = run.layout.run
    shutil.rmtree(folder / "pairs" / "rationale_sensitive", ignore_errors=True)
    words = ("--task", "mr", "--kind", "rationale_sensitive")
    status, _, err = shown("pairs", *words, run=folder)
    assert status == 2 and "no such pairs yet" in err
    write_samples(run.job())
    stages.judge(run.job(), "sft")
    status, out, _ = shown("pairs", *words, run=folder)
    assert status == 0 and "rationale_sensitive pairs" in out and "chosen" in out
    status, _, err = shown("pairs", *words, "--model", "/other", run=folder)
    assert status == 2 and "--model: no model '/other' here" in err


def test_pairs_of_an_earlier_version_have_no_statistics(
    shown: Show, prepared: TinyRun, tmp_path: Path
) -> None:
    run = prepared.copy(tmp_path / "copy")
    path = run.layout.label_pairs("mr") / MANIFEST
    write_json(path, {key: v for key, v in read_json(path).items() if key != "statistics"})
    status, out, _ = shown("pairs", "--task", "mr", run=run.layout.run)
    assert status == 0 and "no statistics" in out and "Answer:" in out


def test_what_manifests_say_of_rows_and_models() -> None:
    noted = {
        "duplicates_removed": {"train": 3, "test": 0},
        "conflicting_labels": {"train": 0},
        "overlaps": {"rule": "drop", "within": {"train in test": 2}},
        "release": {"files": {"a.json": {"rows": 9, "tasks": {"mr": 4}, "unmapped": 5}}},
    }
    assert list(left_out(noted, "mr")) == [
        "left out, repeated texts: train 3",
        "left out, overlaps within: train in test 2",
        "a.json: 4 rows of this task, 5 of no task or unreadable",
    ]
    facts = {"backend": "openai", "model": "m", "failed": 0, "share": 0.5, "spent": {"tokens": 1}}
    assert list(asked({**facts, "refused": {"too short": 2}})) == [
        "backend openai, model m, share 0.50",
        "refused: too short 2",
    ]


def test_scores_are_counted_by_their_integer_part() -> None:
    scores = {f"{number / 10:.1f}": 1 for number in range(20)}
    assert distribution(scores) == "0: 10 (50%), 1: 10 (50%)"
    assert distribution({}) == "no labels"


# --- any text ------------------------------------------------------------------------------------


def test_texts_are_shown_as_they_are(shown: Show, prepared: TinyRun, tmp_path: Path) -> None:
    run = prepared.copy(tmp_path / "copy")
    odd = "[bold]no[/bold] :smile: \x1b[31mred\x1b[0m \r\x07 \u202eevil é 漢字 \u2028 [link=x]"
    rows = [{"id": "mr-[red]", "text": odd, "label": "positive"}]
    write_jsonl(run.layout.data("mr") / "sft.jsonl", rows)
    _, out, _ = shown("data", "--task", "mr", run=run.layout.run)
    shown_text = " ".join(out.split())
    assert (
        "[bold]no[/bold] :smile: \\x1b[31mred\\x1b[0m \\r\\x07 \\u202eevil é 漢字 \\u2028 [link=x]"
        in (shown_text)
    )
    assert "mr-[red]" in out
    assert not set("\x1b\r\x07\u202e\u2028") & set(out)


def test_plain() -> None:
    assert plain("a\nb\tc\x00\ud83d") == "a\nb\\tc\\x00\\ud83d"


def test_narrow_ascii_output_into_a_pipe(prepared: TinyRun) -> None:
    command = [sys.executable, "-m", "rllr", "show", "rationales", "--task", "mr"]
    environment = os.environ | {
        "COLUMNS": "40",
        "PYTHONIOENCODING": "ascii",
        "PYTHONPATH": str(ROOT),
    }
    found = subprocess.run(
        [*command, "--run", str(prepared.layout.run)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert found.stdout.isascii() and max(map(len, found.stdout.splitlines())) <= 40


def test_no_torch_is_loaded(prepared: TinyRun) -> None:
    code = (
        "import sys; from rllr import cli; cli.main(sys.argv[1:]); "
        "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)"
    )
    words = ["show", "pairs", "--task", "mr", "--run", str(prepared.layout.run)]
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, cwd=ROOT)


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data"], "name a task, for instance --task mnli"),
        (["data", "--task", "mrr"], "holds no task 'mrr'; did you mean 'mr'?"),
        (["data", "--task", "mr", "--split", "dev"], "no split 'dev' here (allowed: sft, rm"),
        (["pairs", "--task", "mr", "--split", "sft"], "no split 'sft' here (allowed: train"),
        (["data", "--task", "mr", "--label", "x"], "no row of sft has label 'x' (allowed: neg"),
        (["data", "--task", "mr", "--count", "-1"], "--count: -1 is less than none"),
        (["data", "--task", "mr", "--model", "x"], "--model: not an option of data"),
        (["data", "--task", "mr", "--table", "main"], "--table: not an option of data"),
    ],
)
def test_mistakes(shown: Show, words: list[str], message: str) -> None:
    status, _, err = shown(*words)
    assert status == 2 and message in err


def test_a_table_takes_no_options_of_examples(shown: Show) -> None:
    assert cli.main(["show", str(shown.run), "--task", "mr"]) == 2


def test_what_is_not_made_yet_says_how_to_make_it(
    shown: Show, prepared: TinyRun, tmp_path: Path
) -> None:
    run = prepared.copy(tmp_path / "copy")
    (run.layout.rationales("mr") / MANIFEST).unlink()
    _, _, err = shown("rationales", "--task", "mr", run=run.layout.run)
    assert "rationales/mr: not finished; `snakemake -c2 " in err
    _, _, err = shown("data", "--task", "mr", run=tmp_path / "none")
    assert "--run: no folder" in err


def test_a_manifest_of_another_version(shown: Show, prepared: TinyRun, tmp_path: Path) -> None:
    run = prepared.copy(tmp_path / "copy")
    path = run.layout.data("mr") / MANIFEST
    noted = read_json(path)
    del noted["examples"]
    write_json(path, noted)
    status, _, err = shown("data", "--task", "mr", run=run.layout.run)
    assert status == 2 and "manifest.json: holds no 'examples'; it is another version's" in err


def test_the_only_run_is_taken(
    prepared: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RllrError, match="there is none yet"):
        only_run()
    (tmp_path / "results/one/data").mkdir(parents=True)
    (tmp_path / "results/models").mkdir()
    assert only_run() == Path("results/one")
    (tmp_path / "results/two/data").mkdir(parents=True)
    with pytest.raises(RllrError, match="there are results/one, results/two"):
        only_run()
