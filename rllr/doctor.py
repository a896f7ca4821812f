"""What a run needs and this machine has: one finding a line, before hours are spent.

`missing` stands for what the run cannot do without, `warning` for what it may need elsewhere or
later. No check loads torch, and none prints the token.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from rllr import hub
from rllr.cluster.check import account_faults, check_image, folder_faults, partitions, query
from rllr.cluster.container import find_image
from rllr.cluster.site import Site, load_modules, load_site
from rllr.config.load import CONFIG_DIR, Project
from rllr.data.local import faults
from rllr.disk import existing, models_need, results_need
from rllr.errors import RllrError
from rllr.models.progress import human
from rllr.refusals import UnreachableError
from rllr.remote import Remote, to_fetch
from rllr.repository import TOKEN, Repository, token
from rllr.teacher.ready import asked

ROOT = CONFIG_DIR.parent
PYTHON = (3, 11)
# The oldest driver that CUDA 13 runs on, which the GPU image's torch is built for.
DRIVER = 580

State = Literal["ok", "missing", "warning"]


@dataclass(frozen=True)
class Finding:
    """The state of one thing that a run needs, and where it is not ok what to do."""

    state: State
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.state:<8} {self.what}: {self.text}"


@dataclass(frozen=True)
class Patient:
    """What is examined: a run on a site."""

    project: Project
    site: Site

    @cached_property
    def to_fetch(self) -> list[Remote]:
        """Models and data sets from the hub that are not there yet."""
        return to_fetch(self.project)

    @property
    def cuda(self) -> bool:
        """Whether a model of the run says device: cuda."""
        return any(model.device == "cuda" for model in self.project.models.values())


def examine(project: Project) -> Iterator[Finding]:
    """Findings one by one, as they are made; RllrError for a bad site file or module command."""
    site = load_site(ROOT / "slurm/site.yaml")
    load_modules(site.modules)
    patient = Patient(project, site)
    for check in CHECKS:
        yield from check(patient)


# --- what is fetched -----------------------------------------------------------------------------


def _python(patient: Patient) -> Iterator[Finding]:
    wanted = ".".join(map(str, PYTHON))
    old = sys.version_info < PYTHON
    text = f"{platform.python_version()}{f' is too old; {wanted} or later is needed' * old}"
    yield Finding("missing" if old else "ok", "python", text)


def _pins(patient: Patient) -> Iterator[Finding]:
    unpinned = [remote.name for remote in patient.to_fetch if remote.revision is None]
    if not unpinned:
        yield Finding("ok", "pins", "all that is to be fetched is pinned to a commit")
    elif patient.project.config.allow_unpinned:
        yield Finding("warning", "pins", f"not pinned, as allowed: {', '.join(unpinned)}")
    else:
        hint = "`python -m rllr pin --config CONFIG` pins them"
        yield Finding("missing", "pins", f"no commit for {', '.join(unpinned)}; {hint}")


def _token(patient: Patient) -> Iterator[Finding]:
    gated = [remote.name for remote in patient.to_fetch if remote.gated]
    if token():
        yield Finding("ok", "token", f"{TOKEN} is set")
    elif gated:
        text = f"{', '.join(gated)} is gated: set {TOKEN} in the environment (docs/models.md)"
        yield Finding("missing", "token", text)
    else:
        yield Finding("ok", "token", "none, and none is needed: no model to fetch is gated")


def _hub(patient: Patient) -> Iterator[Finding]:
    """Whether each model and data set to fetch is there, at its commit, and may be read."""
    if not patient.to_fetch:
        yield Finding("ok", "hub", "nothing is left to fetch")
    asked: dict[tuple[Repository, str | None], list[str]] = {}
    for remote in patient.to_fetch:
        asked.setdefault((remote.repository, remote.revision), []).append(remote.name)
    for (repository, revision), names in asked.items():
        what = f"hub, {', '.join(names)}"
        try:
            hub.listing(repository, revision)
            hub.check_access(repository)
        except UnreachableError as error:
            yield Finding("missing", "hub", str(error))
            return
        except RllrError as error:
            yield Finding("missing", what, str(error))
        else:
            yield Finding("ok", what, f"{repository} can be fetched")


def _data(patient: Patient) -> Iterator[Finding]:
    """Where each task's data come from, and what the first rows of local files say."""
    project = patient.project
    found = dict(faults(project))
    for task, text in found.items():
        yield Finding("missing", f"data, {task}", text)
    by_source: dict[str, list[str]] = {}
    for task in project.data_tasks:
        by_source.setdefault(project.data(task).source, []).append(task)
    if not found:
        listed = "; ".join(f"source {name}: {', '.join(t)}" for name, t in by_source.items())
        yield Finding("ok", "data", listed)


def _asked(patient: Patient) -> Iterator[Finding]:
    for who, fault, name in asked(patient.project, online=True):
        yield Finding("missing" if fault else "ok", who, fault or f"asks {name}")


# --- where it runs -------------------------------------------------------------------------------


def _containers(patient: Patient) -> Iterator[Finding]:
    if shutil.which("apptainer") is None:
        text = "not here; only `--sdm apptainer` and the SLURM profile need it (site: modules)"
        yield Finding("warning", "apptainer", text)
        return
    image = find_image(patient.site.path("image"), ROOT / "containers")
    try:
        yield Finding("ok", "apptainer", query("apptainer", "--version").strip())
        check_image(image, patient.cuda)
    except RllrError as error:
        # A workstation may do without, and so may tiny models beside a cluster.
        state: State = "missing" if _has_slurm() and patient.cuda else "warning"
        yield Finding(state, "image", str(error).removeprefix("image: "))
        return
    digest = image.with_name(f"{image.name}.sha256")
    recorded = f"digest in {digest.name}" if digest.exists() else f"no {digest.name} beside it"
    yield Finding("ok" if digest.exists() else "warning", "image", f"{image}, {recorded}")


def _has_slurm() -> bool:
    return shutil.which("sbatch") is not None


def _slurm(patient: Patient) -> Iterator[Finding]:
    if not _has_slurm():
        text = "not here; only `--profile slurm` needs it"
        yield Finding("warning", "slurm", text)
        return
    try:
        offers = partitions()
        faults = account_faults(patient.site, offers)
    except RllrError as error:
        offers, faults = {}, [str(error)]
    for fault in faults:
        # Tiny models run here as well.
        yield Finding("missing" if patient.cuda else "warning", "slurm", fault)
    if not faults:
        yield Finding("ok", "slurm", f"partitions {', '.join(filter(None, offers))}")


def _folders(patient: Patient) -> Iterator[Finding]:
    faults = folder_faults(patient.site)
    for fault in faults:
        yield Finding("missing", "folders", fault)
    if not faults:
        cache = patient.site.path("hf_cache")
        yield Finding("ok", "folders", f"scratch {patient.site.path('scratch')}, hf_cache {cache}")


def _gpu(patient: Patient) -> Iterator[Finding]:
    if not patient.cuda:
        yield Finding("ok", "gpu", "none is needed: every model says device: cpu")
        return
    cards = _cards()
    if not cards:
        text = "nvidia-smi sees none here"
        if _has_slurm():
            yield Finding("warning", "gpu", f"{text}; jobs get theirs from SLURM")
        else:
            why = "models of this run say device: cuda; install the driver, or run elsewhere"
            yield Finding("missing", "gpu", f"{text}, and {why}")
    for name, driver, memory in cards:
        major = driver.partition(".")[0]
        old = major.isdigit() and int(major) < DRIVER
        hint = f"; the GPU image needs {DRIVER} or later" if old else ""
        text = f"{name}, {memory}, driver {driver}{hint}"
        yield Finding("warning" if old else "ok", "gpu", text)


def _cards() -> list[list[str]]:
    """Name, driver and memory of each GPU; none where there is no driver."""
    fields = "--query-gpu=name,driver_version,memory.total"
    command = ["nvidia-smi", fields, "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.strip().split(", ") for line in done.stdout.splitlines()]
    return [row for row in rows if len(row) == 3]


# --- disk ----------------------------------------------------------------------------------------


def _disk(patient: Patient) -> Iterator[Finding]:
    """Room for models and results; both together where they share a disk."""
    config = patient.project.config
    places = {"models_dir": Path(config.models_dir), "results_dir": Path(config.results_dir)}
    models = [remote.name for remote in patient.to_fetch if remote.kind == "models"]
    needs = {
        "models_dir": models_need(patient.project, models),
        "results_dir": results_need(patient.project),
    }
    by_disk: dict[int, list[str]] = {}
    for name, path in places.items():
        by_disk.setdefault(existing(path).stat().st_dev, []).append(name)
    for names in by_disk.values():
        need = sum(needs[name] for name in names)
        free = shutil.disk_usage(existing(places[names[0]])).free
        text = f"about {human(need)} needed, {human(free)} free (quotas are not seen)"
        hint = "" if free >= need else "; make room, or name a folder on a larger disk"
        state: State = "ok" if free >= need else "missing"
        yield Finding(state, f"disk of {' and '.join(names)}", text + hint)


CHECKS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    *(_python, _pins, _token, _hub, _data, _asked, _containers, _slurm, _folders, _gpu, _disk),
)
