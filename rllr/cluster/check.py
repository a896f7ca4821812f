"""Looking at the cluster before anything is submitted: one message, not a hundred failed jobs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from getpass import getuser
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
    gres: Mapping[str, int]


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
    for line in query("sinfo", "-h", "-e", "-o", "%P|%l|%m|%c|%G").splitlines():
        name, limit, memory, cpus, gres = line.split("|")
        offer = Partition(_minutes(limit), int(memory), int(cpus), _gres(gres))
        for key in (name.rstrip("*"), *([""] if name.endswith("*") else [])):
            found[key] = _larger(found[key], offer) if key in found else offer
    return found


def _gres(text: str) -> dict[str, int]:
    """Generic resources of a node and how many, such as gpu and gpu:h100."""
    found: dict[str, int] = {}
    for name, count in re.findall(r"([^,()]+):(\d+)", re.sub(r"\(.*?\)", "", text)):
        for kind in {name, name.split(":")[0]}:
            found[kind] = found.get(kind, 0) + int(count)
    return found


def _larger(one: Partition, other: Partition) -> Partition:
    """The most that two groups of a partition's nodes offer; the run time is the partition's."""
    return Partition(
        one.minutes,
        max(one.memory_mb, other.memory_mb),
        max(one.cpus, other.cpus),
        {k: max(one.gres.get(k, 0), other.gres.get(k, 0)) for k in {*one.gres, *other.gres}},
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
        *folder_faults(site),
        *account_faults(site, offers),
        *_status_faults(status_command),
    ]
    jobs = list(wanted)
    faults += [] if faults else _resource_faults(jobs, offers)
    faults += [] if faults else _submission_faults(jobs)
    if faults:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        raise RllrError(f"nothing was submitted; the cluster does not fit {SITE_FILE}:{listed}")


def account_faults(site: Site, offers: Mapping[str, Partition]) -> list[str]:
    """What the site file says of whom and where jobs run, and the cluster does not know."""
    return [*_partition_faults(site, offers), *_account_faults(site)]


def check_image(image: Path, cuda: bool) -> None:
    """RllrError unless there is such an image, a file or an unpacked one, for GPUs if `cuda`."""
    if not image.exists():
        raise RllrError(
            f"image: no file {image}; build it (`make container`, `make container-cpu`), copy it "
            f"there, or name another in {SITE_FILE}"
        )
    labels = query("apptainer", "inspect", "--labels", str(image)) if cuda else ""
    if "rllr.flavour: cpu" in labels:
        raise RllrError(
            f"image: {image} is the CPU image, and models of this run say device: cuda; build the "
            "GPU image (`make container`)"
        )


def folder_faults(site: Site) -> list[str]:
    """Folders that the site file names and that are not there."""
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
        unknown = [part for part in (name or "").split(",") if part and part not in offers]
        if unknown:
            there = ", ".join(sorted(filter(None, offers)))
            faults.append(f"partitions.{kind}: no partition {unknown[0]!r}; there are {there}")
        elif name is None and "" not in offers:
            faults.append(f"partitions.{kind}: not set, and the cluster has no default partition")
    return faults


def _account_faults(site: Site) -> list[str]:
    """Whether the account is one of the user's, where the cluster keeps a list of them."""
    if site.account is None or shutil.which("sacctmgr") is None:
        return []
    listing = ("sacctmgr", "-n", "-P", "list", "assoc", f"user={getuser()}", "format=account")
    try:
        names = set(query(*listing).split())
    except RllrError:  # no accounting database
        return []
    if not names or site.account.lower() in names:
        return []
    return [f"account: {site.account!r} is none of yours ({', '.join(sorted(names))})"]


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
        if name not in offers:  # several, of which SLURM takes the one that fits
            continue
        offer, kind, count = offers[name], *_gpus(job)
        asked = {"mem_mb": offer.memory_mb, "cpus_per_task": offer.cpus}
        for key, most in asked.items():
            if job[key] > most:
                faults[f"{key} {job[key]}: partition {name!r} has at most {most}"] = None
        if count > offer.gres.get(kind, 0):
            there = ", ".join(f"{k}:{n}" for k, n in sorted(offer.gres.items())) or "none"
            faults[f"{kind}:{count}: no node of partition {name!r} has that (most: {there})"] = None
    return list(faults)


def _gpus(job: Mapping[str, Any]) -> tuple[str, int]:
    """Kind and number of the GPUs that a job asks for, in either style."""
    if job.get("gres"):
        kind, _, count = str(job["gres"]).rpartition(":")
        return kind, int(count)
    model = job.get("gpu_model")
    return f"gpu:{model}" if model else "gpu", int(job.get("gpu") or 0)


def _submission_faults(wanted: Iterable[Mapping[str, Any]]) -> list[str]:
    """What SLURM itself says to such jobs (account, QOS, limits), each kind of request once."""
    options = {
        "slurm_account": "-A",
        "slurm_partition": "-p",
        "qos": "-q",
        "mem_mb": "--mem",
        "cpus_per_task": "-c",
        "runtime": "-t",
        "gpu": "--gpus",
        "gres": "--gres",
        "nodes": "-N",
    }
    requests = {
        tuple(
            f"{flag}={job[key]}" if flag[:2] == "--" else f"{flag}{job[key]}"
            for key, flag in options.items()
            if job.get(key) is not None
        )
        for job in wanted
    }
    faults: dict[str, None] = {}
    for request in sorted(requests):
        try:
            query("sbatch", "--test-only", *request, "--wrap", "true")
        except RllrError as error:
            faults[str(error)] = None
    return list(faults)
