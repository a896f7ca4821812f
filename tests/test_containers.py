"""The image definition and its build script, as far as they can be checked without building."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTAINERS = ROOT / "containers"
DEFINITION = (CONTAINERS / "rllr.def").read_text()
TEXTS = [path for path in CONTAINERS.iterdir() if path.suffix in {".def", ".sh", ".md", ".lock"}]

OPTIONAL = {"wandb"}  # an account of the user's: an image that has it is the user's to make


def checked_modules() -> set[str]:
    """What the definition's %test imports."""
    [names] = re.findall(r'MODULES = """(.*?)"""', DEFINITION, re.DOTALL)
    return set(names.split())


def imported_modules() -> set[str]:
    """Top-level modules that rllr/ imports, its own and the standard library's left out."""
    found = set()
    for path in (ROOT / "rllr").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).split(".")[0])
    return found - set(sys.stdlib_module_names) - {"rllr"}


def pins() -> dict[str, str]:
    lines = (CONTAINERS / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_the_image_test_imports_all_that_the_code_imports() -> None:
    assert imported_modules() - OPTIONAL <= checked_modules()


def test_the_image_test_needs_no_snakemake() -> None:
    assert "snakemake" not in checked_modules()
    assert "snakemake" not in pins()


def test_the_lock_file_pins_all_that_the_image_test_imports() -> None:
    distributions = packages_distributions()
    named = {distributions[module][0].lower().replace("_", "-") for module in checked_modules()}
    assert named <= set(pins())


def test_no_pin_names_a_build_of_torch() -> None:
    assert re.fullmatch(r"[0-9.]+", pins()["torch"])


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_no_host_name_is_written_down(path: Path) -> None:
    hosts = r"://[\w.]|\b[\w-]+\.(?:com|org|net|io|dev|de|cn|edu)\b"
    assert not re.findall(hosts, path.read_text())


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Path]:
    """A copy of the build script, in a repository without an image."""
    shutil.copytree(CONTAINERS, tmp_path / "containers", ignore=shutil.ignore_patterns("*.sif*"))
    yield tmp_path / "containers/build.sh"
    assert not list(tmp_path.rglob("*.sif*"))


def call(build: Path, *arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", build, *arguments],
        env={**os.environ, "PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def tools(folder: Path, *without: str) -> Path:
    """A folder for PATH with the programs of this machine, except some."""
    folder.mkdir()
    for name in ("bash", "basename", "cut", "dirname", "realpath", "sha256sum"):
        if name not in without:
            (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def test_without_apptainer_one_line_says_so(build: Path, tmp_path: Path) -> None:
    out = tmp_path / "images/mine.sif"
    done = call(build, "cpu", str(out), path=tools(tmp_path / "bin"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"error: apptainer is not installed .* copy the image to .*\n", done.stderr)
    assert str(out) in done.stderr
    assert not out.parent.exists()


@pytest.mark.parametrize("arguments", [[], ["tpu"], ["--force"]])
def test_an_unknown_flavour_is_one_line(build: Path, arguments: list[str], tmp_path: Path) -> None:
    done = call(build, *arguments, path=tools(tmp_path / "bin"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: say which image: containers/build.sh gpu|cpu")
    assert done.stderr.count("\n") == 1
