"""The command line: what it promises about messages, exit status, files and imports."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_project import LLAMA, TinyRun, files_of, local_rows, make_run, write_local, write_samples

from rllr.cli import main
from rllr.config.load import CONFIG_DIR, read_yaml
from rllr.layout import MANIFEST, METRICS, PREDICTIONS_MANIFEST
from rllr.teacher.compared import method_pairs

HEAVY = {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "pandas", "matplotlib"}
ROOT = CONFIG_DIR.parent
PLACE = ["--unit", "mixture", "--seed", "0"]


def rllr(*words: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m rllr …` as a user runs it."""
    command = [sys.executable, "-m", "rllr", *map(str, words)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=variables, check=False
    )


def local_config(run: TinyRun, folder: Path) -> Path:
    """A user's own configuration file: the preset with local data."""
    path = run.root / "mine.yaml"
    raw = {**run.raw, "tasks": ["mr"], "data": {"source": "local", "path": str(folder)}}
    path.write_text(yaml.safe_dump(raw))
    return path


def write_splits(folder: Path) -> Path:
    names = ("train", "validation", "test")
    return write_local(folder, "mr", {name: local_rows(name, 12) for name in names})


def assert_refused(done: subprocess.CompletedProcess[str], *wanted: str) -> None:
    """Status 2 and one message on stderr; lines on progress alone before it."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert all(line.startswith("data mr: ") for line in done.stdout.splitlines())
    for words in wanted:
        assert words in done.stderr


# --- mistakes, through a real process ------------------------------------------------------------


@pytest.mark.parametrize(
    "change, wanted",
    [
        ({"modles": ["x"]}, ("unknown key 'modles'", "did you mean 'models'?")),
        ({"models": ["bloom-tny"]}, ("unknown model 'bloom-tny'", "'bloom-tiny'", LLAMA)),
        ({"tasks": ["agnew"]}, ("unknown task 'agnew'", "'agnews'", "stsb")),
        ({"methods": ["rllr_mix"]}, ("unknown method 'rllr_mix'", "'rllr_mixed'", "sft_label")),
    ],
)
def test_a_misspelt_configuration(
    run: TinyRun, change: dict[str, Any], wanted: tuple[str, ...]
) -> None:
    run.config.write_text(yaml.safe_dump({**run.raw, **change}))
    before = files_of(run.root)
    assert_refused(rllr("data", "--config", run.config, "--task", "mr", cwd=run.root), *wanted)
    assert files_of(run.root) == before


def test_a_reward_term_that_names_no_reward_model(run: TinyRun) -> None:
    method = {**read_yaml(CONFIG_DIR / "methods/rllr.yaml"), "rewards": [{"model": "rllr-rm"}]}
    (run.root / "methods").mkdir()
    (run.root / "methods/mine.yaml").write_text(yaml.safe_dump(method))
    run.config.write_text(yaml.safe_dump({**run.raw, "methods": ["mine"]}))
    done = rllr("check", "--config", run.config)
    assert_refused(done, "methods/mine", "'rllr-rm' names no reward model", "'rllr_rm'", "rlhf_rm")


def spoil_json(folder: Path) -> None:
    path = folder / "mr" / "train.jsonl"
    lines = path.read_text().splitlines()
    lines[4] = lines[4][:-3]
    path.write_text("\n".join(lines))


def spoil_label(folder: Path) -> None:
    path = folder / "mr" / "test.jsonl"
    path.write_text(path.read_text().replace('"positive"', '"superb"', 1))


def spoil_id(folder: Path) -> None:
    path = folder / "mr" / "test.jsonl"
    path.write_text(path.read_text().replace('"test-3"', '"train-5"'))


def empty_split(folder: Path) -> None:
    (folder / "mr" / "validation.jsonl").write_text("")


def move_away(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


@pytest.mark.parametrize(
    "spoil, wanted",
    [
        (spoil_json, ("train.jsonl:5: not valid JSON",)),
        (spoil_label, ("test.jsonl:2: label 'superb' is none of 'negative', 'positive'",)),
        (spoil_id, ("test.jsonl:4: id 'train-5' is also that of ", "train.jsonl:6;")),
        (empty_split, ("validation.jsonl: the part has 0 usable examples",)),
        (move_away, ("data.path: no folder", "one folder per task")),
    ],
)
def test_bad_local_data(run: TinyRun, tmp_path: Path, spoil: Any, wanted: tuple[str, ...]) -> None:
    folder = write_splits(tmp_path / "mine")
    spoil(folder)
    config = local_config(run, folder)
    before = files_of(tmp_path)
    assert_refused(rllr("data", "--config", config, "--task", "mr", cwd=tmp_path), *wanted)
    assert files_of(tmp_path) == before


# --- mistakes, in this process -------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, message",
    [
        (["data", "--task", "mrr"], "--task: 'mrr' is not part of this run; did you mean 'mr'?"),
        (["base", "--model", "llama"], "--model: 'llama' is not part of this run"),
        (["sft", "--stage", "rllr"], "--stage: 'rllr' is not part of this run"),
        (["policy", "--stage", "rlr"], "did you mean 'rllr'? (allowed: rlhf, rllr, rllr_mixed)"),
        (["reward", "--stage", "rllr"], "(allowed: rlhf_rm, rllr_rm)"),
        (["predict", "--stage", "rllr_rm"], "did you mean"),
        (["judge-test", "--model", "gpt", *PLACE], "--model: 'gpt' is not part of this run"),
        (["sft", "--stage", "sft", "--unit", "mix"], "--unit: 'mix' is not part of this run"),
        (["sft", "--stage", "sft", "--model", "gpt"], "--model: 'gpt' is not part of this run"),
    ],
)
def test_a_name_that_the_run_does_not_have(
    run: TinyRun, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    stage = ["--unit", "mixture", "--seed", "0", "--model", LLAMA] if "--stage" in words else []
    # Of an option that is given twice the last one counts.
    arguments = [words[0], "--config", str(run.config), *stage, *words[1:]]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (run.root / "results").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["rationales", "--task", "mr"],
        ["label-pairs", "--task", "mr"],
        ["baseline", "--task", "mr"],
        ["judge", "--stage", "sft"],
        ["judge-test", "--model", LLAMA, *PLACE],
        ["score", "--stage", "sft"],
        ["prune"],
    ],
)
def test_a_stage_whose_inputs_are_missing(
    run: TinyRun, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    stage = ["--unit", "mixture", "--seed", "0", "--model", LLAMA] if "--stage" in words else []
    assert main([words[0], "--config", str(run.config), *stage, *words[1:]]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not files_of(run.root / "results")


def test_a_run_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: cannot be read" in capsys.readouterr().err


# --- what works ----------------------------------------------------------------------------------


def test_check_says_that_local_data_is_missing(
    run: TinyRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    data = {"source": "local", "path": str(tmp_path / "data")}
    config.write_text(yaml.safe_dump({"extends": "tiny", "tasks": ["mr"], "data": data}))
    assert main(["check", "--config", str(config)]) == 2
    said = capsys.readouterr().err
    assert f"data.path: no folder {tmp_path}/data/mr" in said


def test_check_finds_a_wrong_label_before_a_run(
    run: TinyRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_splits(tmp_path / "data")
    path = folder / "mr/test.jsonl"
    path.write_text(path.read_text().replace('"negative"', '"bad"', 1))
    assert main(["check", "--config", str(local_config(run, folder))]) == 2
    assert f"{path}:1: label 'bad' is none of 'negative', 'positive'" in capsys.readouterr().err


def test_check_counts_the_cells(run: TinyRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(run.config)]) == 0
    config = run.project.config
    cells = len(config.tasks) * len(config.methods)
    assert f"run 'unit' has {cells} cells" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["", "sk-0aB1"])
def test_check_notes_that_a_key_is_not_here(
    run: TinyRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    key: str,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    config = tmp_path / "mine.yaml"
    teacher = {"backend": "openai", "model": "m", "max_new_tokens": 24}
    config.write_text(yaml.safe_dump({"extends": "tiny", "teacher": teacher}))
    assert main(["check", "--config", str(config)]) == 0
    said = capsys.readouterr().out
    assert ("teacher cannot be asked from here" in said) is (not key)
    assert ("set OPENAI_API_KEY" in said) is (not key) and "sk-" not in said


def test_help_and_version() -> None:
    done = rllr("--help")
    assert done.returncode == 0
    for name in ("data", "sft", "reward", "policy", "predict", "tables", "prune", "schema"):
        assert name in done.stdout
    assert rllr("--version").stdout.startswith("rllr ")


def test_a_resolved_configuration_is_as_good_as_the_users_file(run: TinyRun) -> None:
    path = run.root / "resolved.json"
    path.write_text(json.dumps(run.project.dump()))
    assert main(["data", "--config", str(path), "--task", "mr"]) == 0
    resolved = (run.layout.data("mr") / "test.jsonl").read_bytes()
    assert main(["data", "--config", str(run.config), "--task", "mr"]) == 0
    assert (run.layout.data("mr") / "test.jsonl").read_bytes() == resolved


def test_schemas_go_where_they_are_asked_to(tmp_path: Path) -> None:
    assert main(["schema", "--to", str(tmp_path / "schema")]) == 0
    assert len(files_of(tmp_path)) == 4


# --- imports -------------------------------------------------------------------------------------


def imported_by(*calls: list[str]) -> set[str]:
    """Top-level packages that a fresh process has loaded after these commands."""
    code = f"""
import json, sys
from rllr.cli import main
for call in {calls!r}:
    assert main(call) == 0
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_output_that_does_not_fit_is_one_message() -> None:
    command = [sys.executable, "-m", "rllr", "check", "--config", "config/tiny.yaml"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, check=False, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "is full" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_line_itself_imports_next_to_nothing() -> None:
    assert not imported_by() & {*HEAVY, "numpy", "scipy", "pydantic", "yaml", "tokenizers"}


def test_text_stages_import_no_library_of_models(run: TinyRun) -> None:
    task = ["--config", str(run.config), "--task", "mr"]
    stages = ("data", "rationales", "label-pairs")
    loaded = imported_by(*([stage, *task] for stage in stages), ["check", *task[:2]])
    assert "pydantic" in loaded
    assert not loaded & {*HEAVY, "numpy", "scipy", "tokenizers"}


def test_judging_scoring_and_pruning_need_no_torch(prepared: TinyRun, tmp_path: Path) -> None:
    run = prepared.copy(tmp_path / "copy")
    write_samples(run.job())
    unread = {"prediction": None, "parsed": False}
    compared = {name for pair in method_pairs(run.project) for name in pair}
    for task, method in itertools.product(run.project.tasks, compared):
        folder = run.layout.cell(LLAMA, task, method, 0)
        rows = (run.layout.data(task) / "test.jsonl").read_text().splitlines()
        folder.mkdir(parents=True, exist_ok=True)
        predicted = [{**json.loads(row), "response": "", **unread} for row in rows]
        (folder / "predictions.jsonl").write_text("\n".join(map(json.dumps, predicted)))
        (folder / PREDICTIONS_MANIFEST).write_text('{"prompts_cut": 0, "responses_cut": 0}')
    config = ["--config", str(run.config)]
    place = [*config, "--model", LLAMA, "--unit", "mixture", "--seed", "0"]
    job = [*place, "--stage", "sft"]
    baseline = ["baseline", *config, "--task", "mr"]
    calls = (["judge", *job], ["score", *job], ["judge-test", *place], baseline)
    loaded = imported_by(*calls, ["prune", *config])
    assert not loaded & HEAVY
    assert (run.job().judged / MANIFEST).exists()
    assert (run.layout.cell(LLAMA, "mr", "sft", 0) / METRICS).exists()


def test_data_do_not_depend_on_the_hash_seed_of_the_process(tmp_path: Path) -> None:
    contents = []
    for seed in ("1", "2"):
        run = make_run(tmp_path / seed)
        for stage in ("data", "rationales", "label-pairs"):
            words = (stage, "--config", run.config, "--task", "stsb")
            assert rllr(*words, PYTHONHASHSEED=seed).returncode == 0
        files = sorted(p for p in files_of(run.layout.run) if p.suffix == ".jsonl")
        contents.append({p.relative_to(run.root): p.read_bytes() for p in files})
    assert contents[0] == contents[1] and len(contents[0]) > 8
