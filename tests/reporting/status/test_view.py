"""What stands in the terminal, which run is taken, and watching."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from tiny_project import TinyRun

from rllr.config.load import CONFIG_DIR
from rllr.files import write_json
from rllr.reporting.status.cells import Looker
from rllr.reporting.status.place import locate
from rllr.reporting.status.state import STATES
from rllr.reporting.status.view import View

if TYPE_CHECKING:
    from conftest import Asked

ROOT = CONFIG_DIR.parent


def test_an_empty_run_is_missing_and_fits_80_columns(asked: Asked, empty: TinyRun) -> None:
    code, out, _ = asked("--config", empty.config)
    assert code == 1
    assert f"snakemake -c2 --configfile {empty.config}" in out
    grid = out.split("\n\n")[1:4]
    assert max(len(line.rstrip()) for part in grid for line in part.splitlines()) <= 80
    assert "missing" in grid[1] and "\N{MIDDLE DOT} missing" in out


def test_words_give_way_to_symbols_where_there_is_little_room(asked: Asked, empty: TinyRun) -> None:
    status = Looker(locate(None, empty.config)).look()
    for width, shown in ((8, "\N{MIDDLE DOT}"), (24, "\N{MIDDLE DOT}"), (60, "missing")):
        console = Console(width=width, force_terminal=False)
        View(console).show(status)
        lines = asked.capsys.readouterr().out.splitlines()
        (row,) = [x for x in lines if "sft_label" in x]
        assert row.split() == ["sft_label", shown, shown]
        assert ["mr", "stsb"] in [line.split() for line in lines]
        assert ["stage", *STATES, "of"] in [line.split() for line in lines]


def test_the_only_run_and_its_newest_configuration_are_taken(
    asked: Asked, empty: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(empty.root)
    assert "there is none yet" in asked()[2]
    for age, seeds in ((20, [0, 1]), (10, [5])):
        path = Path(f"results/unit/config/{age}.json")
        write_json(path, empty.but(seeds=seeds).project.dump())
        os.utime(path, (time.time() - age, time.time() - age))
    code, out, _ = asked("--json")
    assert code == 1 and json.loads(out)["config"] == "results/unit/config/10.json"
    write_json(Path("results/two/config/a.json"), empty.project.dump())
    code, _, err = asked()
    assert code == 2 and "there are results/two, results/unit" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["."], ".: holds no config/*.json"),
        (["--watch", "0"], "--watch: 0 is no time to wait"),
        (["--watch", "inf"], "--watch: inf is no time to wait"),
        (["--watch", "1", "--json"], "--json: prints once"),
        (["--config", "none.yaml"], "none.yaml: cannot be read"),
    ],
)
def test_mistakes(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = asked(*words)
    assert code == 2 and message in err


def test_watching_ends_by_ctrl_c_and_loads_no_torch(empty: TinyRun) -> None:
    program = (
        "import sys; from rllr.cli import main\n"
        f"status = main(['status', '--config', {str(empty.config)!r}, '--watch', '0.2'])\n"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)), status)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout and process.stderr
    seen = 0
    while seen < 2:
        line = process.stdout.readline()
        assert line
        seen += b"Ctrl-C ends" in line
    process.send_signal(signal.SIGINT)
    assert process.stdout.read().decode().splitlines()[-1] == "[] 130"
    assert process.stderr.read() == b""
    process.wait()
