"""Loading models: a base, with what a stage trained on it merged in.

Attention is torch's own (SDPA) where the architecture has it, eager for BLOOM, which refuses SDPA:
the library's default.

Merging rounds to the base's precision. In bf16 a change of less than about 1/500 of a weight is
lost: an SFT adapter's are larger, those of a policy trained on rewards are not. So policies are
never merged in bf16, see `with_adapter`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllr.errors import NodeError, RllrError
from rllr.files import read_json
from rllr.layout import ADAPTER, FULL_MODEL
from rllr.models.alibi import attention_arguments, require_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from rllr.job import Job


# Names of torch's types; none: as the files have it.
DTYPES = {"fp32": "float32", "bf16": "bfloat16", None: "auto"}

# From glibc's malloc.h.
M_MXFAST = 1
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


def prepare_process(threads: int) -> None:
    """Set this process's thread count and keep libraries off the network and off the terminal.

    Libraries read their thread counts when they are loaded, torch among them: call it before.
    """
    _keep_freed_memory()
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    import torch

    torch.set_num_threads(threads)
    # Not use_deterministic_algorithms: it does the same after importing a compiler for 1.6 s.
    torch.set_deterministic_debug_mode("warn")
    # It would fill every new tensor with NaN, a quarter of a tiny model's step; nothing here reads
    # memory that it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    from transformers.utils import logging

    logging.disable_progress_bar()


def require_device(device: str, who: str = "the model's file says device: cuda") -> None:
    """Make the job's GPU the present one where `device` is cuda; RllrError if torch sees none.

    `who` is what the message says of who asked for it.

    Of several GPUs a process uses one: its own, where a launcher started it, else the first. Left
    with all of them, the libraries' trainers would share each batch out over them without a word.
    """
    if device != "cuda":
        return
    if "LOCAL_RANK" not in os.environ:
        granted = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = granted.split(",")[0]
    import torch

    if not torch.cuda.is_available():
        raise NodeError(
            f"{who}, but torch {torch.__version__} sees no GPU: {_why_no_gpu(torch.version.cuda)}"
        )
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))


def _why_no_gpu(version: str | None) -> str:
    if version is None:
        return (
            "it is built for CPUs (torch.version.cuda is None), as in the CPU image; use the GPU "
            "image, or a model with device: cpu"
        )
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1", "NoDevFiles"):
        return (
            "no GPU was granted to this job (CUDA_VISIBLE_DEVICES names none); ask the cluster for "
            "one (slurm/site.yaml)"
        )
    return (
        f"either Apptainer was started without --nv, or the driver is older than CUDA {version}, "
        "which torch is built for (nvidia-smi shows what it supports), or the job was granted no "
        "GPU (nvidia-smi -L lists none)"
    )


def _keep_freed_memory() -> None:
    """Ask glibc to reuse freed blocks instead of handing each back to the system.

    A step on a CPU frees and allocates the same large tensors again and again; the page faults took
    more than half of a tiny model's training time. Blocks of some size still go back, and small
    ones do not settle in the gaps between large ones (nor in a cache of each thread, which
    workflow/rules/common.smk turns off), else a large model's step takes twice the memory. Who sets
    MALLOC_MMAP_THRESHOLD_ has chosen otherwise: more page faults for less memory.
    """
    if "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MXFAST, 0)
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)


def load_policy(
    base: Path,
    trained: Path | None = None,
    device: str = "cpu",
    precision: str | None = None,
) -> PreTrainedModel:
    """The base as a causal language model in eval mode on `device`, with `trained` merged into it.

    `trained` is a stage's folder: a full model replaces the base, an adapter is merged.
    `precision` is the weights' (fp32, bf16; none: as saved), the merged ones' too.
    Raises RllrError when the folder holds neither.
    """
    from transformers import AutoModelForCausalLM

    if trained is None or (trained / FULL_MODEL).exists():
        return _load(AutoModelForCausalLM, trained or base, precision).to(device).eval()
    _require_adapter(trained)
    from peft import PeftModel

    model = _load(AutoModelForCausalLM, base, precision).to(device)
    return PeftModel.from_pretrained(model, str(trained)).merge_and_unload().eval()


def load_trained(job: Job, method: str, device: str = "cpu", *, whole: bool = False) -> Any:
    """The model that a method trained, in its precision and in eval mode on `device`.

    A policy's adapter stays beside a bf16 model (see `with_adapter`), unless `whole` asks for one
    model, which is then fp32. Raises RllrError where weights are missing.
    """
    declared, precision = job.project.methods[method], job.config.precision
    if declared.algorithm == "none":
        return load_policy(job.base, None, device, precision)
    if declared.start == "base":
        return load_policy(job.base, job.trained(method), device, precision)
    folder = job.trained(method)
    if not (folder / ADAPTER).exists():
        raise RllrError(f"{folder}: no {ADAPTER}; was it pruned? Ask for it by name to retrain")
    start: Any = load_policy(job.base, job.trained(declared.start), device, precision)
    return with_adapter(start.float() if whole else start, folder)


def with_adapter(start: PreTrainedModel, folder: Path) -> Any:
    """`start` under the adapter in `folder`: merged in fp32, kept beside it in bf16 (see above)."""
    import torch
    from peft import PeftModel

    _require_adapter(folder)
    model = PeftModel.from_pretrained(start, str(folder))
    return (model if start.dtype == torch.bfloat16 else model.merge_and_unload()).eval()


def load_scorer(policy: PreTrainedModel, pad_id: int) -> PreTrainedModel:
    """A sequence classifier with one output on the policy's decoder; its head is fresh, in fp32."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from rllr.models.head import FloatHead

    config = AutoConfig.for_model(**{**policy.config.to_dict(), "num_labels": 1})
    config.pad_token_id = pad_id
    attention = attention_arguments(config.to_dict())
    with policy.device:  # a large model's first weights are drawn where that is quick
        scorer = AutoModelForSequenceClassification.from_config(
            config, dtype=policy.dtype, **attention
        )
    require_attention(scorer)
    getattr(scorer, scorer.base_model_prefix).load_state_dict(policy.base_model.state_dict())
    scorer.score = FloatHead.like(scorer.score)
    return scorer


def load_tokenizer(folder: Path) -> Any:
    """The model's tokenizer, in the form that the trainers of the libraries ask for."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)


def _load(auto: Any, folder: Path, precision: str | None) -> Any:
    if not (folder / "config.json").exists():
        raise RllrError(f"{folder}: no model here; was the stage that makes it run?")
    attention = attention_arguments(read_json(folder / "config.json"))
    offline = {"local_files_only": True, "trust_remote_code": False}
    model = auto.from_pretrained(str(folder), dtype=DTYPES[precision], **offline, **attention)
    require_attention(model)
    return model


def _require_adapter(folder: Path) -> None:
    if not (folder / ADAPTER).exists():
        raise RllrError(f"{folder}: neither {FULL_MODEL} nor {ADAPTER}; was the stage pruned?")
