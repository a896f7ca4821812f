"""The CPU image as it was built: what it holds, and how rules run in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGE = Path(os.environ.get("RLLR_TEST_IMAGE", ROOT / "containers/rllr-cpu.sif"))
APART = ["--containall", "--no-home", "--net", "--network", "none"]

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not shutil.which("apptainer"), reason="apptainer is not installed"),
    pytest.mark.skipif(not IMAGE.exists(), reason=f"no image {IMAGE}: make container-cpu"),
]

TWO_PROCESSES = """
import torch, torch.distributed as dist
dist.init_process_group("gloo")
total = torch.tensor([dist.get_rank() + 1.0])
dist.all_reduce(total)
if dist.get_rank() == 0:
    print("sum", total.item(), "of", dist.get_world_size())
dist.destroy_process_group()
"""
# `torchrun --standalone` alone looks up the host's name, and hangs where there is no network.
START = "HF_HOME=/tmp ACCELERATE_USE_CPU=1 timeout 120"
LAUNCHERS = {
    "accelerate": "accelerate launch --multi_gpu --num_processes 2",
    "torchrun": "torchrun --standalone --local-addr 127.0.0.1 --nproc-per-node 2",
}


def apptainer(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apptainer", command, *arguments], capture_output=True, text=True, check=False
    )


def inside(*command: str, code: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command apart from the machine and the network, the code bound read-only."""
    bound = ["--bind", f"{code}:{code}:ro", "--pwd", str(code)]
    return apptainer("exec", *APART, *bound, IMAGE, *command)


def labels() -> dict[str, str]:
    lines = apptainer("inspect", "--labels", IMAGE).stdout.splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def test_its_own_test_passes() -> None:
    done = apptainer("test", IMAGE)
    assert done.returncode == 0, done.stderr
    assert "built for CPU" in done.stdout
    assert "CUDA is seen: no" in done.stdout


def test_labels_say_what_it_is() -> None:
    found = labels()
    names = ("version", "commit", "code", "definition", "lock", "python", "torch", "trl", "peft")
    assert found["rllr.flavour"] == "cpu"
    assert all(found.get(f"rllr.{name}", "unknown") != "unknown" for name in names)


def test_it_runs_the_command_line_of_the_working_copy() -> None:
    bound = ["--bind", f"{ROOT}:{ROOT}:ro", "--pwd", str(ROOT)]
    done = apptainer("run", *APART, *bound, IMAGE, "--version")
    assert done.stdout.startswith("rllr "), done.stderr


def test_torch_works_without_network_and_home() -> None:
    program = "import torch, rllr; print(torch.ones(2, 2).matmul(torch.ones(2, 2)).sum().item())"
    done = inside("python", "-c", program)
    assert done.stdout == "8.0\n", done.stderr


def test_there_is_no_network() -> None:
    done = inside("bash", "-c", "tail -n +3 /proc/net/dev | cut -d : -f 1")
    assert done.stdout.split() == ["lo"], done.stderr


def test_the_code_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    for command in ("echo after > file", "touch new", "rm -f file"):
        done = inside("bash", "-c", command, code=tmp_path)
        assert done.returncode != 0
        assert "Read-only file system" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "before"


@pytest.mark.parametrize("launcher", LAUNCHERS.values(), ids=LAUNCHERS)
def test_two_processes_talk_without_network(launcher: str, tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(TWO_PROCESSES)
    done = inside("bash", "-c", f"{START} {launcher} two.py", code=tmp_path)
    assert done.stdout == "sum 3.0 of 2\n", done.stderr


def test_the_image_is_of_this_definition_and_is_not_built_again() -> None:
    # Should it be out of date, the build finds no base and stops at once.
    nowhere = {"BOOTSTRAP": "localimage", "FROM": "/nowhere"}
    done = subprocess.run(
        ["bash", ROOT / "containers/build.sh", "cpu", IMAGE],
        env=os.environ | nowhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is up to date" in done.stdout, f"make container-cpu\n{done.stderr}"
