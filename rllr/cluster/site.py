"""What one cluster is like: `slurm/site.yaml`, typed and validated."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Literal

from pydantic import Field

from rllr.config.load import read_yaml
from rllr.config.messages import validate
from rllr.config.schema import Positive, Strict
from rllr.errors import RllrError

# Where another file than slurm/site.yaml is named.
SITE = "RLLR_SITE"


class PerKind(Strict):
    """One value for CPU jobs, one for GPU jobs; null is the cluster's default."""

    cpu: str | None = None
    gpu: str | None = None


class Override(Strict):
    """Resources that replace what follows from a model's size."""

    runtime: Positive | None = Field(None, description="minutes")
    mem_mb: Positive | None = None
    cpus_per_task: Positive | None = None


class Site(Strict):
    """A cluster's settings; every key is explained in `slurm/site.yaml`."""

    account: str | None = None
    partitions: PerKind = PerKind()
    qos: PerKind = PerKind()
    gpu_request: Literal["gpu", "gres"] = "gpu"
    gpu_model: str | None = None
    image: str | None = None
    scratch: str = "/tmp"
    hf_cache: str | None = None
    network: Literal["none", "host"] = "none"
    modules: list[str] = Field(default=[])
    leftover_jobs: Literal["wait", "cancel"] = "wait"
    resources: dict[str, Override] = Field(
        default={}, description="by stage, by model, or by model/stage; the later wins"
    )

    def path(self, name: Literal["image", "scratch", "hf_cache"]) -> Path | None:
        """A path with its environment variables filled in."""
        value = getattr(self, name)
        return Path(os.path.expandvars(os.path.expanduser(value))) if value else None


def load_site(default: Path) -> Site:
    """Read the site file: the one that RLLR_SITE names, else `default`."""
    path = Path(os.environ.get(SITE) or default)
    if not path.exists():
        raise RllrError(
            f"{path}: no such file; it describes the cluster. Start from slurm/site.yaml, or name "
            f"another with the environment variable {SITE}"
        )
    return validate(Site, read_yaml(path), str(path))


def load_modules(lines: list[str]) -> None:
    """Take up the environment that the cluster's module commands make.

    Raises RllrError with their output when one fails.
    """
    if not lines:
        return
    command = " && ".join(lines)
    result = subprocess.run(
        ["bash", "-lc", f"{command} >&2 && printf '\\0' && env -0"],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RllrError(f"site: modules: {command!r} failed: {result.stderr.strip()}")
    for entry in result.stdout.split("\0")[1:]:  # what profile files print comes before
        name, found, value = entry.partition("=")
        if found and not name.startswith(("BASH_FUNC", "_")) and name != "SHLVL":
            os.environ[name] = value
