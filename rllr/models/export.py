"""Writing a trained model as a folder that transformers and PEFT load without this project.

Merged, the folder is a whole model: the base, the supervised stage and, for a method on rewards,
its policy adapter, merged as for prediction. Adapter-only, it is what the last stage trained; the
adapter of a method on rewards fits a model that lies nowhere on disk (the base with the supervised
stage merged), which is therefore written too, as `start/`.

It runs on the CPU, and needs memory for one copy of the model: 2 bytes per parameter in bf16, 14 GB
for 7 billion; and as much disk. A policy merged whole is fp32, twice that: bf16 would round most of
what its adapter changes away. A supervised stage's adapter alone is copied, and needs neither.

An adapter names its base as PEFT looks for it: by its id on the hub; a base that was made or
converted here, and `start/`, by absolute path. Where a folder was moved, give PEFT the base.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rllr.config.schema import HubSource
from rllr.errors import RllrError
from rllr.files import read_json, write_json
from rllr.job import Job
from rllr.layout import ADAPTER, MANIFEST, TOKENIZER, TOKENIZER_CONFIG, is_done
from rllr.models.chat import save_chat_template

ADAPTER_CONFIG = "adapter_config.json"
START = "start"


def export(job: Job, method: str, to: Path, *, adapter_only: bool = False) -> None:
    """Write the model that `method` trained, its tokenizer and its chat template to `to`.

    The folder appears whole or not at all. Raises RllrError if it holds something already, if a
    stage is not done or its weights are gone, if there is no adapter, or if the disk is too small.
    """
    if job.config.architecture == "llama_alibi":
        raise RllrError(
            f"{job.model} is not exported: no class of transformers has its attention biases, and "
            "what loads the folder without rllr.models.alibi would know no positions"
        )
    _require_done(job, method)
    if adapter_only and not (job.trained(method) / ADAPTER).exists():
        raise RllrError(
            f"--adapter-only: {method} trained no adapter (all parameters, or nothing), or it was "
            "pruned; leave the option out for the whole model"
        )
    try:
        with _new_folder(to) as folder:
            if adapter_only:
                _write_adapter(job, method, folder, to)
            else:
                _write_merged(job, method, folder)
    except OSError as error:
        raise RllrError(f"--to {to}: cannot be written ({error.strerror or error})") from error


def _require_done(job: Job, method: str) -> None:
    declared = job.project.methods[method]
    stages = [] if declared.algorithm == "none" else [declared.start, method]
    folders = [job.base, *(job.trained(stage) for stage in stages if stage != "base")]
    for folder in folders:
        if not is_done(folder):
            raise RllrError(f"{folder}: not there, or not done; let the workflow make it first")


@contextmanager
def _new_folder(to: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `to`; it gets that name when the block ends without error."""
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise RllrError(f"--to {to}: there is something; name a new folder, or delete this one")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.") as temporary:
        folder = Path(temporary) / to.name  # made like any folder; the temporary one is private
        folder.mkdir()
        yield folder
        folder.rename(to)


def _require_space(job: Job, folder: Path) -> None:
    # Twice: a bf16 base becomes fp32 where a policy is merged.
    needed = 2 * sum(path.stat().st_size for path in job.base.glob("*.safetensors"))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RllrError(
            f"--to: its disk has {free / 2**30:.1f} GiB free, and the model takes "
            f"{needed / 2**30:.1f} GiB; free some, or name a folder elsewhere"
        )


def _write_merged(job: Job, method: str, folder: Path) -> None:
    from rllr.models.load import load_trained, prepare_process

    _require_space(job, folder)
    prepare_process(job.project.config.threads.inference)
    load_trained(job, method, whole=True).save_pretrained(str(folder))
    for weights in folder.glob("*.safetensors"):  # written readable by their owner alone
        weights.chmod((folder / "config.json").stat().st_mode)
    _write_tokenizer(job, folder)


def _write_adapter(job: Job, method: str, folder: Path, to: Path) -> None:
    source, declared = job.trained(method), job.project.methods[method]
    if declared.start == "base":
        base = _name_of_base(job)
    else:
        (folder / START).mkdir()
        _write_merged(job, declared.start, folder / START)
        base = {"base_model_name_or_path": str((to / START).resolve()), "revision": None}
    shutil.copyfile(source / ADAPTER, folder / ADAPTER)
    write_json(folder / ADAPTER_CONFIG, read_json(source / ADAPTER_CONFIG) | base)
    _write_tokenizer(job, folder)


def _name_of_base(job: Job) -> dict[str, Any]:
    """Where PEFT finds the base: on the hub, or, made or converted here, in its folder."""
    source = job.config.source
    if isinstance(source, HubSource) and source.layout == "native":
        fetched = read_json(job.base / MANIFEST)["fetched"]
        return {"base_model_name_or_path": source.repo, "revision": fetched["commit"]}
    return {"base_model_name_or_path": str(job.base.resolve()), "revision": None}


def _write_tokenizer(job: Job, folder: Path) -> None:
    shutil.copyfile(job.base / TOKENIZER, folder / TOKENIZER)
    # Its class: under a model's own name transformers 5 rebuilds parts of the tokenizer.
    plain = {"tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(folder / TOKENIZER_CONFIG, read_json(job.base / TOKENIZER_CONFIG) | plain)
    save_chat_template(job.config.prompt, folder)
