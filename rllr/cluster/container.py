"""What an Apptainer container gets to see: Apptainer's own environment variables, set for all jobs.

The container has a clean environment, no home folder and only these folders: the working directory
(Snakemake binds it), the code, read-only over it, the run's folders where they lie elsewhere, the
scratch folder, and, read-only, the Hugging Face cache and the kernel's accounts of memory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from rllr.errors import RllrError
from rllr.files import read_json, sha256, write_json

# Passed on where they are set: which GPUs, which job, and what chooses between time and memory.
PASSED = (
    "CUDA_VISIBLE_DEVICES",
    "GLIBC_TUNABLES",
    "MALLOC_MMAP_THRESHOLD_",
    "RLLR_DEADLINE",
    "RLLR_IMAGE_DIGEST",
    "RLLR_INVOCATION",
    "RLLR_MEMORY_MB",
    "SLURM_JOB_ID",
)
# What fetching needs besides; only for stages on the submitting host, never for a cluster's job.
ONLINE = (
    *("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)
CACHES = {
    "XDG_CACHE_HOME": "cache",
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "MPLCONFIGDIR": "matplotlib",
}
INSIDE = "APPTAINERENV_"
# Where they are bound: paths that hide no folder of a host.
SCRATCH = "/rllr-scratch"
CGROUPS = Path("/sys/fs/cgroup")
LABELS = ".singularity.d/labels.json"
HF_CACHE = "/rllr-hf"


def find_image(named: Path | None, folder: Path) -> Path:
    """The image that is named, else the GPU image in `folder`, else the CPU image there."""
    gpu, cpu = folder / "rllr.sif", folder / "rllr-cpu.sif"
    return named or (cpu if cpu.exists() and not gpu.exists() else gpu)


def image_digest(image: Path, record: Path) -> str:
    """SHA-256 of the image; `record` remembers it for as long as size and time stay the same."""
    try:
        found = image.stat()
    except OSError as error:
        raise RllrError(
            f"{image}: no such image ({error.strerror}); see containers/README.md"
        ) from None
    known = {"image": str(image), "size": found.st_size, "mtime_ns": found.st_mtime_ns}
    if record.exists():
        seen = read_json(record)
        if {key: seen.get(key) for key in known} == known:
            return str(seen["sha256"])
    # An unpacked image has no digest of its own; its labels name definition, lock file and commit.
    value = sha256(image / LABELS if image.is_dir() else image)
    write_json(record, {**known, "sha256": value})
    return value


def environment(
    code: Path,
    folders: Iterable[Path],
    scratch: Path,
    hf_cache: Path | None = None,
    *,
    reads: Iterable[Path] = (),
    gpu: bool = False,
    network: bool = True,
    online: Iterable[str] | None = None,
    facts: Mapping[str, str | None] | None = None,
) -> dict[str, str]:
    """Apptainer's settings as environment variables; makes the caches' folders in `scratch`.

    `code` is the folder that holds the package; `folders` are written by jobs, `reads` only read;
    `facts` are further variables for the programs inside. Without `network` there is only a
    loopback; `online` passes the user's access to the hub on, token included, and the variables
    that it names (keys of language models). Raises RllrError when scratch cannot be written.
    """
    package = code / "rllr"
    binds = [f"{package}:{package}:ro", f"{_make_scratch(scratch)}:{SCRATCH}"]
    if CGROUPS.is_dir():  # where an attempt reads whether it was killed for want of memory
        binds.append(f"{CGROUPS}:{CGROUPS}:ro")
    for path in _elsewhere(folders):
        path.mkdir(parents=True, exist_ok=True)
        binds.append(str(path))
    binds += [f"{path}:{path}:ro" for path in _elsewhere(reads) if path.exists()]
    access = {"HF_HUB_OFFLINE": "1"} if online is None else _set([*ONLINE, *online])
    inside: dict[str, str | None] = {
        "PYTHONPATH": str(code),
        "TMPDIR": SCRATCH,
        "OMP_NUM_THREADS": "1",
        **{name: f"{SCRATCH}/{folder}" for name, folder in CACHES.items()},
        **_set(PASSED),
        **access,
        **(facts or {}),
    }
    if hf_cache:
        binds.append(f"{hf_cache}:{HF_CACHE}:ro")
        inside["HF_HOME"] = HF_CACHE
    flags = {"APPTAINER_CONTAINALL": "1", "APPTAINER_BIND": ",".join(binds)}
    if gpu:
        flags["APPTAINER_NV"] = "1"
    if not network:
        flags |= {"APPTAINER_NET": "1", "APPTAINER_NETWORK": "none"}
    return flags | {f"{INSIDE}{name}": value for name, value in inside.items() if value is not None}


def scratch_folder(named: Path, *, on_node: bool) -> Path:
    """The site's scratch folder; one with a variable that nodes alone set is the system's here."""
    if "$" not in str(named):
        return named
    if on_node:
        raise RllrError(f"scratch: {named}: this node does not set that variable")
    return Path(tempfile.gettempdir())


def enter(settings: Mapping[str, str], keys: Iterable[str] = ()) -> None:
    """Put `environment`'s settings into this process, without what an outer job had passed on.

    `keys` names further variables that an outer one may have passed on.
    """
    for name in (*PASSED, *ONLINE, *keys):
        os.environ.pop(f"{INSIDE}{name}", None)
    os.environ.update(settings)


def _set(names: Iterable[str]) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in names}


def _elsewhere(paths: Iterable[Path]) -> list[Path]:
    """Those that do not lie in the working directory, which Snakemake binds; each once."""
    found = dict.fromkeys(path.resolve() for path in paths)
    return [path for path in found if not _is_below(path, Path.cwd())]


def _is_below(path: Path, folder: Path) -> bool:
    return folder.resolve() in (path, *path.parents)


def _make_scratch(scratch: Path) -> Path:
    """A folder of one's own in the scratch folder."""
    folder = scratch / f"rllr-{os.getuid()}"
    if folder.exists() and folder.stat().st_uid != os.getuid():
        raise RllrError(f"scratch: {folder} belongs to somebody else; name another folder")
    try:
        for name in ("", *CACHES.values()):
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RllrError(
            f"scratch: {folder} cannot be written ({error.strerror}); name another in "
            "slurm/site.yaml"
        ) from None
    return folder
