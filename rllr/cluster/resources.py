"""What a job asks the cluster for, from its stage and the declared size of its model.

Rough on purpose, and rather too much than too little; `resources:` of the site file replaces
single values. Memory is the host's; a GPU job's weights pass through it once. Run times are what a
stage of the paper's set sizes may take on one H100-class GPU; a training stage that needs longer
goes on in another job, so that its run time only has to fit the partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rllr.cluster.check import Partition
from rllr.cluster.site import Override, Site
from rllr.config.load import Project
from rllr.config.schema import ModelConfig

# Billions of parameters that a tiny model counts as.
TINY = 0.01
MEMORY_MB = 3000
MEMORY_MB_PER_BILLION = 3500
MINUTES = 30
MINUTES_PER_BILLION = {
    "base": 10,
    "sft": 180,
    "sample": 30,
    "reward": 60,
    "policy": 180,
    "predict": 30,
}
TRAINING = ("sft", "reward", "policy")
CPUS_PER_GPU = 4
# A job that ran out of memory is given this times what it had when it is submitted again.
GROWTH = 1.5


def stage_resources(
    project: Project, site: Site, model: str, kind: str, name: str, too_little_mb: int = 0
) -> dict[str, Any]:
    """Memory (MB), run time (minutes), GPUs and CPUs of one stage of one model.

    `kind` is the stage's kind (sft, reward, …), `name` the stage's own (rlhf_rm, …); both may be
    named in the site file. `too_little_mb` is what it has run out of; `grown_mb` takes it into
    account.
    """
    config = project.models[model]
    size = config.size or TINY
    processes = config.gpus if kind in TRAINING else 1
    found = {
        "mem_mb": round(MEMORY_MB * processes + MEMORY_MB_PER_BILLION * size * processes),
        "runtime": round(MINUTES + MINUTES_PER_BILLION[kind] * size),
        "gpus": processes if config.device == "cuda" else 0,
        "cpus_per_task": _cpus(project, config, kind, processes),
    }
    for key in (kind, name, model, f"{model}/{kind}", f"{model}/{name}"):
        found |= site.resources.get(key, Override()).model_dump(exclude_none=True)
    return found | {"grown_mb": max(found["mem_mb"], round(GROWTH * too_little_mb))}


def _cpus(project: Project, config: ModelConfig, kind: str, processes: int) -> int:
    threads = project.config.threads
    each = threads.training if kind in ("base", *TRAINING) else threads.inference
    if config.device == "cuda":
        each = max(each, CPUS_PER_GPU)
    return each * processes


def submission(
    site: Site, wanted: dict[str, Any], offers: Mapping[str, Partition]
) -> dict[str, Any]:
    """The same as Snakemake's SLURM resources.

    Run time is capped at the partition's limit, and memory that has grown at its largest node's.
    """
    gpus = wanted["gpus"]
    kind = "gpu" if gpus else "cpu"
    partition = getattr(site.partitions, kind)
    offer = offers.get(partition or "")
    most = max(wanted["mem_mb"], offer.memory_mb) if offer else wanted["grown_mb"]
    found = {
        "slurm_account": site.account,
        "slurm_partition": partition,
        "qos": getattr(site.qos, kind),
        "mem_mb": min(wanted["grown_mb"], most),
        "runtime": min(wanted["runtime"], (offer and offer.minutes) or wanted["runtime"]),
        "cpus_per_task": wanted["cpus_per_task"],
        **(_gpu_request(site, gpus) if gpus else {}),
    }
    return {name: value for name, value in found.items() if value is not None}


def _gpu_request(site: Site, gpus: int) -> dict[str, Any]:
    """A job's GPUs, all on one node: its processes are started there."""
    if site.gpu_request == "gres":
        return {"gres": ":".join(filter(None, ["gpu", site.gpu_model, str(gpus)])), "nodes": 1}
    return {"gpu": gpus, "gpu_model": site.gpu_model, "nodes": 1}
