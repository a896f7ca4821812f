from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
from synthetic_run import SyntheticRun

from rllr import cli
from rllr.config.load import CONFIG_DIR, load, load_file
from rllr.reporting import write_tables
from rllr.reporting.archive.archive import write_archive
from rllr.reporting.archive.scrub import scrub

CONFIG = {
    "config": {
        "results_dir": "/scratch/alice/results",
        "models_dir": "/scratch/alice/models/",
        "data": {"source": "hub"},
        "task_data": {"stsb": {"source": "local", "path": "/home/alice/own"}},
        "teacher": {"backend": "openai", "endpoint": "http://gpu07.inside:8000/v1"},
    },
    "models": {
        "llama": {"licence": "Community License", "source": {"kind": "hub", "repo": "meta/llama"}},
        "bloom": {"licence": None, "source": {"kind": "tiny"}},
    },
    "tasks": {
        "sst2": {"licence": "research | only", "hub": {"repo": "nyu/glue", "revision": "abc"}},
        "stsb": {"licence": "none"},
    },
}
TERMS = "LICENCES.md"
INPUTS = {
    "/scratch/alice/results/run/data/sst2/test.jsonl": "1",
    "/scratch/alice/models/llama@1/model.safetensors": "2",
    "/home/alice/own/stsb/test.jsonl": "3",
    "/home/alice/secret.jsonl": "4",
    "results/run/x": "5",
}


@pytest.fixture
def whole(small_run: SyntheticRun) -> SyntheticRun:
    """The small run with all that a finished run has, and what must not leave the machine."""
    small_run.grid(bases={"llama": "../../far/models/llama@1"})
    small_run.write("../../far/models/llama@1/manifest.json", {"stage": "base", "wall_seconds": 1})
    small_run.write("config/0123.json", CONFIG)
    stage = "trained/llama/rllr/mixture/seed0"
    small_run.write(f"{stage}/manifest.json", {"stage": "policy", "inputs": INPUTS})
    small_run.write(f"{stage}/log.jsonl", '{"step": 1, "reward": 1.0, "kl": 0.1}\n')
    unwanted = (
        "adapter_model.safetensors",
        "checkpoints/state.pt",
        "runs/events.out",
        "tokens.json",
    )
    for name in unwanted:
        small_run.write(f"{stage}/{name}", "unwanted")
    small_run.write("logs/policy/llama.log", "on gpu07: /home/alice")
    small_run.write("data/sst2/train.jsonl", "a text")
    write_tables(small_run.folder, small_run.folder / "tables")
    small_run.write("figures/delta.svg", "<svg/>")
    small_run.write("report.html", "<p>Answer: positive</p>")
    return small_run


def unpacked(path: Path, to: Path) -> Path:
    with tarfile.open(path) as archive:
        archive.extractall(to, filter="data")
    (top,) = to.iterdir()
    return top


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_in_it_and_its_sums(whole: SyntheticRun, tmp_path: Path) -> None:
    written = write_archive(whole.folder, tmp_path / "a.tar.gz")
    top = unpacked(tmp_path / "a.tar.gz", tmp_path / "out")
    there = names(top)
    assert top.name == "synthetic-archive" and written.count == len(there) - 5
    assert {"README.md", "LICENCES.md", "LICENSE", "CITATION.cff", "SHA256SUMS"} < there
    for name in ("tables/delta.tex", "figures/delta.svg", "report.html", "config/0123.json"):
        assert f"results/synthetic/{name}" in there
    assert "results/synthetic/trained/llama/rllr/mixture/seed0/log.jsonl" in there
    assert "results/models/llama@1/manifest.json" in there
    for name in there:
        assert not name.endswith((".safetensors", ".pt", ".log", "events.out", "train.jsonl"))
        content = (top / name).read_bytes()
        assert b"alice" not in content and b"gpu07" not in content and b"unwanted" not in content
    sums = (top / "SHA256SUMS").read_text().splitlines()
    assert len(sums) == len(there) - 1
    for line in sums:
        digest, name = line.split("  ")
        assert hashlib.sha256((top / name).read_bytes()).hexdigest() == digest


def test_the_same_run_gives_the_same_bytes(whole: SyntheticRun, tmp_path: Path) -> None:
    write_archive(whole.folder, tmp_path / "a.tar.gz")
    for path in sorted(whole.folder.rglob("*.json"), reverse=True):
        path.write_bytes(path.read_bytes())
    write_archive(whole.folder, tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


@pytest.mark.parametrize("texts", [True, False])
def test_tables_of_the_unpacked_folder_are_the_runs_own(
    whole: SyntheticRun, tmp_path: Path, texts: bool
) -> None:
    write_archive(whole.folder, tmp_path / "a.tar.gz", texts=texts)
    folder = unpacked(tmp_path / "a.tar.gz", tmp_path / "out") / "results/synthetic"
    paths = write_tables(folder, tmp_path / "again")
    assert paths
    for path in paths:
        assert path.read_bytes() == (whole.folder / "tables" / path.name).read_bytes()


def test_without_texts(whole: SyntheticRun, tmp_path: Path) -> None:
    written = write_archive(whole.folder, tmp_path / "a.tar.gz", texts=False)
    top = unpacked(tmp_path / "a.tar.gz", tmp_path / "out")
    path = top / "results/synthetic/cells/llama/sst2/rllr/seed0/predictions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 10 and all(row["response"].startswith("sha256:") for row in rows)
    assert {row["label"] for row in rows} == {"positive", "negative"}
    for name in names(top):
        content = (top / name).read_bytes()
        assert b"Answer:" not in content and b"Text 1" not in content
    assert "report.html: left out, as it quotes texts" in written.notes
    assert "holds no texts" in (top / "LICENCES.md").read_text() and not written.quoted


def test_licences_are_those_of_the_run(whole: SyntheticRun, tmp_path: Path) -> None:
    written = write_archive(whole.folder, tmp_path / "a.tar.gz")
    text = (unpacked(tmp_path / "a.tar.gz", tmp_path / "out") / "LICENCES.md").read_text()
    assert "| Llama | meta/llama at a revision that was not pinned | Community License |" in text
    assert "| BLOOM | trained from random weights by this software | none |" in text
    assert "| SST-2 | nyu/glue at abc | research \\| only |" in text
    assert "| STS-B | local files | those of whoever made them |" in text
    assert written.quoted == ["SST-2", "STS-B"]


def test_every_published_task_says_its_terms() -> None:
    project = load_file(CONFIG_DIR / "paper.yaml")
    assert all(project.tasks[task].licence for task in project.test_tasks)
    assert all(model.licence for model in project.models.values())


def test_nothing_of_generated_data_needs_leave(small_run: SyntheticRun, tmp_path: Path) -> None:
    small_run.write("config/1.json", load({"extends": "tiny"}).dump())
    small_run.write("config/2.json", {"config": None, "tasks": [], "models": "x"})
    assert write_archive(small_run.folder, tmp_path / "a.tar.gz").quoted == []


# --- incomplete runs -----------------------------------------------------------------------------


def test_what_is_missing_is_named_and_the_rest_is_kept(
    small_run: SyntheticRun, tmp_path: Path
) -> None:
    (small_run.folder / "cells/llama/sst2/sft/seed0/predictions.jsonl").unlink()
    (small_run.folder / "cells/llama/sst2/rlhf/seed0/predictions.jsonl").write_text("{broken")
    small_run.write("trained/llama/rllr/mixture/seed0/manifest.json", "{broken")
    small_run.write("config/1.json", "{broken")
    written = write_archive(small_run.folder, tmp_path / "a.tar.gz", texts=False)
    top = unpacked(tmp_path / "a.tar.gz", tmp_path / "out")
    said = " ".join(written.notes)
    assert said and all(f"- {note}\n" in (top / "README.md").read_text() for note in written.notes)
    for part in (
        "report.html",
        "tables/*",
        "figures/*",
        "1 predictions.jsonl of cells: cells/llama",
    ):
        assert part in said
    assert "8 cells: cells/llama/stsb/sft_label/seed0" in said
    for path in (
        "config/1.json",
        "rllr/mixture/seed0/manifest.json",
        "llama/sst2/rlhf/seed0/predictions",
    ):
        assert f"{path}" in said
        assert not any(path in name for name in names(top))
    assert "results/synthetic/cells/llama/sst2/rlhf/seed0/metrics.json" in names(top)


def test_tables_that_are_out_of_date_are_named(whole: SyntheticRun, tmp_path: Path) -> None:
    before = write_archive(whole.folder, tmp_path / "a.tar.gz").notes
    (whole.folder / "tables/main.md").write_text("another")
    after = write_archive(whole.folder, tmp_path / "b.tar.gz").notes
    (note,) = [note for note in after if note not in before]
    assert note.startswith("tables that this code would not make from these metrics: main.md;")


def test_a_file_that_is_a_link_out_of_the_run_is_left_out(
    whole: SyntheticRun, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("secret")
    (whole.folder / "tables/key.csv").symlink_to(tmp_path / "key")
    (whole.folder / "tables/again.csv").symlink_to("main.csv")
    written = write_archive(whole.folder, tmp_path / "a.tar.gz")
    there = names(unpacked(tmp_path / "a.tar.gz", tmp_path / "out"))
    assert "left out: tables/key.csv: a link out of the run" in written.notes
    assert "results/synthetic/tables/key.csv" not in there
    assert "results/synthetic/tables/again.csv" in there


def test_folders_on_another_disk_are_followed(whole: SyntheticRun, tmp_path: Path) -> None:
    seeds = {"samples/llama/sft/mixture": "samples", "judged/llama/mixture": "judged"}
    seeds["pairs/rationale_sensitive/llama/sft/mixture"] = "pairs"
    for folder in seeds:
        whole.write(f"{folder}/seed0/manifest.json", {"stage": "x"})
    for part in seeds.values():
        (whole.folder / part).rename(tmp_path / part)
        (whole.folder / part).symlink_to(tmp_path / part)
    write_archive(whole.folder, tmp_path / "a.tar.gz")
    there = names(unpacked(tmp_path / "a.tar.gz", tmp_path / "out"))
    for folder in seeds:
        assert f"results/synthetic/{folder}/seed0/manifest.json" in there


def test_texts_that_a_terminal_would_obey_or_no_file_can_hold(
    whole: SyntheticRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a\x1b[31mb\ud800c\u202ed"
    whole.grid(run=name, bases={}, tasks=[{"key": "sst2", "name": name, "metric": "accuracy"}])
    whole.write("config/0123.json", {**CONFIG, "run": name})
    whole.write("cells/llama/sst2/rllr/seed0/metrics.json", {"model": name})
    for options in ([], ["--without-texts"]):
        to = tmp_path / f"{len(options)}.tar.gz"
        assert cli.main(["archive", str(whole.folder), "--to", str(to), *options]) == 0
        top = unpacked(to, tmp_path / f"out{len(options)}")
        assert json.loads((top / "results/synthetic/config/0123.json").read_text())["run"] == name
        for shown in (*capsys.readouterr(), *((top / f).read_text() for f in ("README.md", TERMS))):
            assert "\x1b" not in shown and "\u202e" not in shown


# --- paths and hosts -----------------------------------------------------------------------------


def test_a_file_that_names_its_folder_is_named(whole: SyntheticRun, tmp_path: Path) -> None:
    assert not any(
        "names the folder" in n for n in write_archive(whole.folder, tmp_path / "a").notes
    )
    whole.write("report.html", f"made in {whole.folder}")
    notes = write_archive(whole.folder, tmp_path / "b").notes
    assert "results/synthetic/report.html: names the folder that the run lay in" in notes


def test_paths_and_hosts_are_told_without_their_machine() -> None:
    places = {"/scratch/alice/results": "results", "/scratch/alice": "top"}
    for text, told in {
        "/scratch/alice/results/run/a.json": "results/run/a.json",
        "/scratch/alice/results": "results",
        "/scratch/alice/resultsx": "top/resultsx",
        "/home/alice/own/mr/test.jsonl": "…/mr/test.jsonl",
        "/home/alice/a.jsonl": "…/a.jsonl",
        "/home/alice/my own/mr/test.jsonl": "…/mr/test.jsonl",
        "results/run/a.json": "results/run/a.json",
        "http://gpu07:8000/v1": "http://HOST/v1",
        "https://api.openai.com/v1": "https://api.openai.com/v1",
        "[INST] and/or [/INST]": "[INST] and/or [/INST]",
        "/INST": "/INST",
    }.items():
        assert scrub({text: [text, 1, None]}, places) == {told: [told, 1, None]}


# --- the command ---------------------------------------------------------------------------------


def test_the_command_writes_beside_the_run_and_never_over_a_file(
    whole: SyntheticRun, capsys: pytest.CaptureFixture[str]
) -> None:
    path = whole.folder.parent / "synthetic.tar.gz"
    assert cli.main(["archive", str(whole.folder)]) == 0
    out = capsys.readouterr().out
    assert f"{path}: " in out and " MB" in out
    assert "note: predictions quote test texts of SST-2, STS-B" in out
    before = path.read_bytes()
    assert cli.main(["archive", str(whole.folder), "--without-texts"]) == 2
    assert f"{path}: exists; remove it" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize("to", ["/proc/none/a.tar.gz", "file/a.tar.gz"])
def test_places_that_cannot_be_written(
    small_run: SyntheticRun, capsys: pytest.CaptureFixture[str], to: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["archive", str(small_run.folder), "--to", str(tmp_path / to)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_folder_without_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["archive", str(tmp_path), "--to", str(tmp_path / "a.tar.gz")]) == 2
    assert "no usable cell" in capsys.readouterr().err and not list(tmp_path.iterdir())
