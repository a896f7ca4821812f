"""Looking at the cluster before anything is submitted: one message, not a hundred failed jobs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rllr.cluster.site import Site
from rllr.errors import RllrError

QUERY_SECONDS = 30
# The most that Snakemake lets pass between two looks at its jobs.
LOOKS_SECONDS = 180
SITE_FILE = "slurm/site.yaml"


@dataclass(frozen=True)
class Partition:
    """What a partition offers: run time in minutes (None: no limit), and its largest nodes."""

    minutes: int | None
    memory_mb: int
    cpus: int
    gres: frozenset[str]


def query(*command: str) -> str:
    """Output of one SLURM command; RllrError when it is missing, fails or does not answer."""
    if shutil.which(command[0]) is None:
        raise RllrError(f"{command[0]}: no such command; is this a host that submits SLURM jobs?")
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=QUERY_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise RllrError(f"{' '.join(command)}: no answer in {QUERY_SECONDS} s") from None
    if result.returncode:
        raise RllrError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


def partitions() -> dict[str, Partition]:
    """All partitions by name; the default one also under the empty name."""
    found: dict[str, Partition] = {}
    for line in query("sinfo", "-h", "-o", "%P|%l|%m|%c|%G").splitlines():
        name, limit, memory, cpus, gres = line.split("|")
        offer = Partition(_minutes(limit), _number(memory), _number(cpus), _gres(gres))
        for key in (name.rstrip("*"), *([""] if name.endswith("*") else [])):
            found[key] = _larger(found[key], offer) if key in found else offer
    return found


def _number(text: str) -> int:
    return int(text.rstrip("+"))


def _gres(text: str) -> frozenset[str]:
    """Generic resources without their counts, such as gpu and gpu:h100."""
    names = re.sub(r"\(.*?\)", "", text).split(",")
    kinds = {":".join(name.split(":")[:-1]) for name in names if ":" in name}
    return frozenset(kinds | {kind.split(":")[0] for kind in kinds})


def _larger(one: Partition, other: Partition) -> Partition:
    """The most that two groups of a partition's nodes offer; the run time is the partition's."""
    return Partition(
        one.minutes,
        max(one.memory_mb, other.memory_mb),
        max(one.cpus, other.cpus),
        one.gres | other.gres,
    )


def _minutes(limit: str) -> int | None:
    """SLURM's [days-]hours:minutes:seconds in minutes; None without a limit."""
    if limit in ("infinite", "UNLIMITED", "n/a"):
        return None
    days, _, clock = limit.rpartition("-")
    parts = [0, 0, *map(int, clock.split(":"))]
    return int(days or 0) * 1440 + parts[-3] * 60 + parts[-2]


def check_site(site: Site, wanted: Iterable[Mapping[str, Any]], status_command: str) -> None:
    """RllrError that lists everything missing: folders, partitions, the account, resources.

    `wanted` are the jobs' SLURM resources, `status_command` what Snakemake asks for their states.
    """
    offers = partitions()
    faults = [
        *_folder_faults(site),
        *_partition_faults(site, offers),
        *_account_faults(site),
        *_status_faults(status_command),
    ]
    faults += [] if faults else _resource_faults(wanted, offers)
    if faults:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        raise RllrError(f"nothing was submitted; the cluster does not fit {SITE_FILE}:{listed}")


def check_image(image: Path) -> None:
    """RllrError unless there is such an image, a file or an unpacked one."""
    if not image.exists():
        raise RllrError(
            f"image: no file {image}; build it (`make container`, `make container-cpu`), copy it "
            f"there, or name another in {SITE_FILE}"
        )


def _folder_faults(site: Site) -> list[str]:
    names = {"scratch": site.path("scratch"), "hf_cache": site.path("hf_cache")}
    return [
        f"{name}: no folder {path}; create it, or name another"
        for name, path in names.items()
        # A variable that only a node knows is looked at there.
        if path and "$" not in str(path) and not path.is_dir()
    ]


def _partition_faults(site: Site, offers: Mapping[str, Partition]) -> list[str]:
    faults = []
    for kind in ("cpu", "gpu"):
        name = getattr(site.partitions, kind)
        if name is not None and name not in offers:
            there = ", ".join(sorted(filter(None, offers)))
            faults.append(f"partitions.{kind}: no partition {name!r}; there are {there}")
        elif name is None and "" not in offers:
            faults.append(f"partitions.{kind}: not set, and the cluster has no default partition")
    return faults


def _account_faults(site: Site) -> list[str]:
    """The account, where the cluster keeps a list of them."""
    if site.account is None or shutil.which("sacctmgr") is None:
        return []
    try:
        names = query("sacctmgr", "-n", "-P", "list", "account", "format=account").split()
    except RllrError:
        return []
    if not names or site.account in names:
        return []
    return [f"account: the cluster knows no account {site.account!r}"]


def _status_faults(status_command: str) -> list[str]:
    """Whether squeue still knows a finished job when Snakemake looks, up to 180 s later."""
    found = re.search(r"MinJobAge\s*=\s*(\d+)", query("scontrol", "show", "config"))
    if status_command != "squeue" or found is None or int(found[1]) >= LOOKS_SECONDS:
        return []
    return [
        f"the cluster forgets a finished job after {found[1]} s (MinJobAge); Snakemake looks up "
        f"to {LOOKS_SECONDS} s apart: set `slurm-status-command: sacct` in slurm/config.yaml, if "
        "the cluster has an accounting database"
    ]


def _resource_faults(
    wanted: Iterable[Mapping[str, Any]], offers: Mapping[str, Partition]
) -> list[str]:
    """What no node of a partition could ever give."""
    faults: dict[str, None] = {}
    for job in wanted:
        name = job.get("slurm_partition", "")
        offer, gres = offers[name], job.get("gres", "gpu" if job.get("gpu") else "")
        asked = {"mem_mb": offer.memory_mb, "cpus_per_task": offer.cpus}
        for key, most in asked.items():
            if job[key] > most:
                faults[f"{key} {job[key]}: partition {name!r} has at most {most}"] = None
        model = job.get("gpu_model")
        kind = f"gpu:{model}" if model else re.sub(r":\d+$", "", gres)
        if kind and kind not in offer.gres:
            there = ", ".join(sorted(offer.gres)) or "none"
            faults[f"{kind}: partition {name!r} has no such GPU (there: {there})"] = None
    return list(faults)
