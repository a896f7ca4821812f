"""The fault matrix: whatever ends a training stage, it ends in the same bits as undisturbed.

One fault per training stage and test; stages upstream are taken from an undisturbed run. `make
test-faults` runs all and writes docs/faults.md (FAULTS_TABLE names the file).
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rllr.attempts import newest_checkpoint
from tests.cluster.conftest import on_cluster
from tests.workflow.conftest import Workspace, write_workspace

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("cluster")]

# Stages of some fifteen seconds, with a checkpoint every second or so.
SHORT: dict[str, Any] = {
    "run": "faults",
    "models": ["llama2-tiny"],
    "data": {"sizes": {"sft": 400, "rm": 400, "rl": 60, "validation": 24, "test": 24}},
    "pairs": {"prompts": 24, "heldout_prompts": 12},
    "training": {
        "pretrain": {"documents": 400, "epochs": 1, "batch_size": 8},
        "sft": {"epochs": 3, "batch_size": 8, "checkpoint_every": 20},
        "reward": {"epochs": 3, "batch_size": 8, "checkpoint_every": 20},
        "ppo": {"steps": 50, "batch_size": 32, "evaluation_prompts": 16, "checkpoint_every": 3},
    },
}
# Stages that do not fit into SLURM's shortest limit, a minute.
STEPS = {"sft": {"epochs": 28}, "reward": {"epochs": 28}, "ppo": {"steps": 300}}
LONG = {
    **SHORT,
    "run": "long",
    "training": {k: {**v, **STEPS.get(k, {})} for k, v in SHORT["training"].items()},
}
# Whole batches at once: a step needs far more than the program had before it. (Where memory grows
# slowly towards the limit, the kernel takes back the program's own pages for minutes before it
# kills anything.)
WHOLE = {
    "sft": {"epochs": 4, "batch_size": 700, "checkpoint_every": 1},
    "reward": {"epochs": 4, "batch_size": 700, "checkpoint_every": 1},
    "ppo": {"steps": 3, "batch_size": 700, "checkpoint_every": 1},
}
LARGE = {
    **SHORT,
    "run": "large",
    "data": {"sizes": {**SHORT["data"]["sizes"], "rl": 400}},
    "training": {k: {**v, **WHOLE.get(k, {})} for k, v in SHORT["training"].items()},
}
RUNS = {"faults": SHORT, "long": LONG, "large": LARGE}
ROW = "| {} | {} | {:.0f} s |"


@dataclass(frozen=True)
class Stage:
    """A training stage, its command and the cells that rest on it."""

    command: str
    name: str
    cells: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        return f"trained/llama2-tiny/{self.name}/mixture/seed0"

    def targets(self, run: str) -> list[str]:
        cells = [f"cells/llama2-tiny/{cell}/{self.name}/seed0/metrics.json" for cell in self.cells]
        return [f"results/{run}/{path}" for path in (f"{self.folder}/manifest.json", *cells)]


STAGES = {
    "SFT": Stage("sft", "sft", ("mr", "mnli")),
    "reward model": Stage("reward", "rllr_rm"),
    "PPO": Stage("policy", "rllr", ("mr", "mnli")),
}


class Disturbed:
    """A run of one stage on the cluster, and ways to disturb it."""

    def __init__(self, workspace: Workspace, stage: Stage) -> None:
        self.workspace, self.stage = workspace, stage
        self.folder = workspace.path(stage.folder)
        self.said = ""

    def start(self) -> subprocess.Popen[str]:
        return self.workspace.start(*self.stage.targets(self.workspace.run))

    def finish(self, process: subprocess.Popen[str]) -> None:
        text, _ = process.communicate(timeout=900)
        self.said += text
        assert process.returncode == 0, text[-8000:]

    def wait_for_checkpoint(self) -> None:
        """Until the stage has something to lose."""
        first = newest_checkpoint(self.folder)
        _until(lambda: newest_checkpoint(self.folder) not in ("", first), "no checkpoint")

    def job(self) -> str:
        """SLURM's number of the training job."""
        queue = _run("squeue", "-h", "--me", "-t", "running", "-o", "%A %Z %k")
        rule = {"reward": "reward_model"}.get(self.stage.command, self.stage.command)
        jobs = [line.split() for line in queue.splitlines()]
        here = str(self.workspace.folder)
        (number,) = [n for n, folder, name in jobs if folder == here and f"rule_{rule}_" in name]
        return number

    def logged(self, text: str) -> bool:
        """Whether a program of the run has said this."""
        logs = self.workspace.path("logs").rglob("*.log")
        return any(text in path.read_text() for path in logs)

    @property
    def submissions(self) -> int:
        """Jobs that Snakemake submitted for the stage itself."""
        rule = {"reward": "reward_model"}.get(self.stage.command, self.stage.command)
        return len(re.findall(rf"has been submitted .*slurm-logs/rule_{rule}/", self.said))


def _until(condition: Callable[[], bool], what: str, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# --- the faults ----------------------------------------------------------------------------------


def kill_the_program(run: Disturbed) -> None:
    """`kill -9` of the training process."""
    process = run.start()
    run.wait_for_checkpoint()
    pattern = f"^[^ ]*python -m rllr {run.stage.command} "
    pids = [int(line) for line in _run("pgrep", "-f", pattern).split()]
    own = [pid for pid in pids if os.readlink(f"/proc/{pid}/cwd") == str(run.workspace.folder)]
    os.kill(max(own, key=_memory), signal.SIGKILL)
    run.finish(process)


def _memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


def run_out_of_memory(run: Disturbed) -> None:
    """A first request that is too small: the kernel kills the program, memory grows."""
    run.finish(run.start())


def reach_the_time_limit(run: Disturbed) -> None:
    """A limit that the stage does not fit in: it stops by itself and goes on in another job."""
    run.finish(run.start())
    assert run.logged("stopped after step")


def lower_the_time_limit(run: Disturbed) -> None:
    """A limit that nobody could foresee: SLURM ends the job."""
    process = run.start()
    run.wait_for_checkpoint()
    _run("scontrol", "update", f"jobid={run.job()}", "timelimit=1")
    run.finish(process)


def cancel(run: Disturbed) -> None:
    process = run.start()
    run.wait_for_checkpoint()
    _run("scancel", run.job())
    run.finish(process)


def requeue(run: Disturbed) -> None:
    process = run.start()
    run.wait_for_checkpoint()
    _run("scontrol", "requeue", run.job())
    run.finish(process)
    assert run.logged("attempt 2 (SLURM job")


def restart_slurmd(run: Disturbed) -> None:
    process = run.start()
    run.wait_for_checkpoint()
    pid = int(Path("/run/slurm/slurmd.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    _until(lambda: not Path(f"/proc/{pid}").exists(), "slurmd goes on")
    _run("slurmd")
    run.finish(process)


def kill_snakemake(run: Disturbed) -> None:
    """Killed and started again while its job goes on: the job is waited for, not repeated."""
    process = run.start()
    run.wait_for_checkpoint()
    process.kill()
    text, _ = process.communicate()
    run.said += text
    run.workspace.snakemake("--unlock")
    run.finish(run.start())
    assert run.submissions == 1


FAULTS: dict[str, Callable[[Disturbed], None]] = {
    "kill -9 of the program": kill_the_program,
    "out of memory": run_out_of_memory,
    "time limit": reach_the_time_limit,
    "time limit, lowered while running": lower_the_time_limit,
    "scancel": cancel,
    "scontrol requeue": requeue,
    "slurmd restarted": restart_slurmd,
    "Snakemake killed and started again": kill_snakemake,
}
RUN_OF = {
    "out of memory": "large",
    "time limit": "long",
    "time limit, lowered while running": "long",
}
# Too little by far; where it is nearly enough the kernel kills nothing for a long time.
LITTLE_MB = {"SFT": 800, "reward model": 800, "PPO": 650}
# How many jobs a stage takes at least, where a fault means more than one submission.
RESUBMITTED = {*FAULTS} - {
    "scontrol requeue",
    "slurmd restarted",
    "Snakemake killed and started again",
}


@pytest.fixture(scope="module")
def undisturbed(
    cluster: None, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict[str, object]], Workspace]:
    """The same run on this host, from nothing to its cells; made once per configuration."""

    @cache
    def make(run: str) -> Workspace:
        made = write_workspace(tmp_path_factory.mktemp(run), RUNS[run])
        made.snakemake(*[path for stage in STAGES.values() for path in stage.targets(run)])
        return made

    return lambda config: make(str(config["run"]))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_end_is_that_of_an_undisturbed_run(
    fault: str,
    stage: str,
    undisturbed: Callable[[dict[str, object]], Workspace],
    tmp_path: Path,
) -> None:
    disturb = FAULTS[fault]
    resources = {"mem_mb": LITTLE_MB[stage]} if fault == "out of memory" else {}
    resources |= {"runtime": 1} if fault == "time limit" else {}
    declared, config = STAGES[stage], RUNS[RUN_OF.get(fault, "faults")]
    source = undisturbed(config)
    workspace = copy_without(source, declared, tmp_path, config, resources)
    run = Disturbed(workspace, declared)
    started = time.monotonic()
    disturb(run)
    seconds = time.monotonic() - started
    assert outcome(workspace, declared) == outcome(source, declared)
    assert not (run.folder / "checkpoints").exists()
    assert run.submissions > 1 or fault not in RESUBMITTED
    if path := os.environ.get("FAULTS_TABLE"):
        row = ROW.format(fault, stage, seconds)
        write_row(Path(path), (fault, stage), row)


def copy_without(
    source: Workspace,
    stage: Stage,
    folder: Path,
    config: dict[str, object],
    resources: dict[str, int],
) -> Workspace:
    """A copy of the undisturbed run, to go on on the cluster, that lacks one stage."""
    site = {"resources": {stage.command: {"mem_mb": 2000, "runtime": 10} | resources}}
    workspace = on_cluster(folder, config, **site)
    for name in ("results", ".snakemake"):
        shutil.copytree(source.folder / name, folder / name, symlinks=True)
    shutil.rmtree(workspace.path(stage.folder))
    for task in stage.cells:
        shutil.rmtree(workspace.path("cells/llama2-tiny", task, stage.name))
    return workspace


def outcome(workspace: Workspace, stage: Stage) -> dict[str, bytes]:
    """What a stage is for: weights, summary, and the cells that rest on it."""
    cells = [workspace.path("cells/llama2-tiny", task, stage.name, "seed0") for task in stage.cells]
    files = [
        path
        for folder in (workspace.path(stage.folder), *cells)
        for pattern in ("*.safetensors", "summary.json", "metrics.json", "predictions.jsonl")
        for path in folder.glob(pattern)
    ]
    assert len(files) == 2 + 2 * len(cells)
    return {str(path.relative_to(workspace.path())): path.read_bytes() for path in files}


HEAD = """# Faults

Written by `make test-faults`: each fault is put on one training stage while it runs, on a real
SLURM and in the real CPU image; then weights, summary, predictions and metrics are compared, byte
for byte, with those of an undisturbed run. A row is here only if they were equal.

| fault | stage | wall time |
| --- | --- | ---: |
"""


def write_row(path: Path, key: tuple[str, str], row: str) -> None:
    """Add what was seen to the table; other rows stay, of other sessions too."""
    rows: dict[tuple[str, str], str] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        cells = tuple(cell.strip() for cell in line.split("|")[1:3])
        if len(cells) == 2 and cells[0] in FAULTS:
            rows[cells[0], cells[1]] = line
    rows[key] = row
    ordered = [rows[key] for key in itertools.product(FAULTS, STAGES) if key in rows]
    path.write_text(HEAD + "".join(f"{row}\n" for row in ordered), encoding="utf-8")
