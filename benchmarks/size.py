"""SFT, a reward model, prediction and a merge at a real model's shape, with random weights.

    python -m benchmarks.size --folder /tmp/size                              one GPU, Llama-2-7B
    python -m benchmarks.size --folder /tmp/size --shape tiny --device cpu    its code, anywhere

The project's own stages run on a folder of generated data; a long system text makes rows as long as
asked for. Reported per stage: tokens per second, the share of the matrix rate (a bf16 product,
measured in the same run) that its necessary operations reach (those of `rllr.plan_time`: two passes
for a LoRA step), and the peak of torch's allocator against the estimate of `rllr.plan_memory`.
The folder holds the weights (13.5 GB at 7B) until it is deleted.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.size_project import MODEL, TASKS, UNIT, prepare
from rllr import stages
from rllr.data.examples import read_examples
from rllr.files import read_jsonl
from rllr.job import Job
from rllr.layout import ADAPTER, FULL_MODEL
from rllr.models.load import load_policy, prepare_process
from rllr.plan_assumptions import GB, RUNTIME
from rllr.plan_jobs import Planned
from rllr.plan_memory import Memory
from rllr.plan_sizes import Rows
from rllr.plan_time import Time

Found = tuple[float, float, float, int]  # seconds, tokens, necessary operations, longest row


def main(arguments: list[str] | None = None) -> None:
    """Measure every stage; print a table and write it as JSON into the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--shape", default="llama2-7b", help="`tiny`, or a published model's key")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--prompt-tokens", type=int, default=640)
    parser.add_argument("--rows", type=int, default=128, help="examples per task")
    parser.add_argument("--micro", type=int, default=8, help="rows of a micro-batch")
    options = parser.parse_args(arguments)
    prepare_process(4 if options.device == "cuda" else 1)
    job = Job(prepare(options), MODEL, UNIT, 0)
    rate = matrix_rate(options.device)
    rows = [measure(job, rule, work) for rule, work in WORK.items()]
    result = {"matrix_tflops": rate / 1e12, "stages": [asdict(row) for row in rows]}
    result |= {"merge": merge(job), "packages": versions()}
    (options.folder / "size.json").write_text(json.dumps(result, indent=1))
    show(result, rate)


@dataclass(frozen=True)
class Measured:
    """One stage: its own time (without loading), what it needed, and torch's peak in bytes."""

    rule: str
    seconds: float
    tokens: float
    operations: float
    peak: float
    estimate: float


def matrix_rate(device: str) -> float:
    """Operations per second of a square bf16 product: the median of ten after two."""
    import torch

    size = 8192 if device == "cuda" else 512
    a, b = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    times = []
    for _ in range(12):
        started = now()
        torch.mm(a, b)
        times.append(now() - started)
    return 2 * size**3 / sorted(times[2:])[5]


def now() -> float:
    """Seconds, when the GPU has done all that it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(job: Job, rule: str, work: Callable[[Job], Found]) -> Measured:
    """Run one stage's work with a fresh count of memory (0 on a CPU)."""
    import torch

    on_gpu = job.config.device == "cuda"
    gc.collect()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    seconds, tokens, operations, longest = work(job)
    peak = torch.cuda.max_memory_allocated() if on_gpu else 0
    name = "rllr_rm" if rule == "reward_model" else "sft"
    memory = Memory(job.project, MODEL)
    memory.longest = longest  # what was there, not what may be
    estimate = memory.of(Planned(rule, name, MODEL, UNIT)) - RUNTIME
    return Measured(rule, seconds, tokens, operations, peak, estimate)


def sft(job: Job) -> Found:
    """The SFT stage; seconds are the trainer's."""
    from rllr.training.sft import sft_rows

    stages.sft(job, "sft")
    return _trained(job, "sft", [len(row["input_ids"]) for row in sft_rows(job, "sft", "sft")])


def reward(job: Job) -> Found:
    """The reward stage, with few sampled pairs to be measured on."""
    from rllr.training.reward import pair_rows

    stages.sample(job, "sft")
    stages.judge(job, "sft")
    stages.reward(job, "rllr_rm")
    paths = [job.layout.label_pairs(task) / "train.jsonl" for task in TASKS]
    pairs = [pair for path in paths for pair in read_jsonl(path)]
    lengths = [len(ids) for row in pair_rows(job, pairs) for ids in row.values()]
    return _trained(job, "rllr_rm", lengths)


def _trained(job: Job, stage: str, lengths: list[int]) -> Found:
    """A LoRA step is two passes, as each row is seen once."""
    log = read_jsonl(job.trained(stage) / "log.jsonl")
    seconds = next(row["train_runtime"] for row in log if "train_runtime" in row)
    passes = 2 * Time(job.project, MODEL).passing(_rows(lengths, 0))
    return seconds, sum(lengths), passes, max(lengths)


def _rows(lengths: list[int], response: int) -> Rows:
    return Rows(len(lengths), round(sum(lengths) / len(lengths)), response)


def predict(job: Job) -> Found:
    """Greedy decoding of the test split; random weights hardly ever end a response."""
    from rllr.evaluation.generate import generate_ids

    config, generation = job.config, job.project.config.generation
    model = load_policy(job.base, job.trained("sft"), config.device, config.precision)
    prompts = []
    for task in TASKS:
        schema = job.project.tasks[task]
        examples = read_examples(job.layout.data(task) / "test.jsonl", schema)
        prompts += [job.builder.prompt(schema, example).ids for example in examples]
    limits = {"max_new_tokens": generation.max_new_tokens, "batch_size": generation.batch_size}
    started = now()
    found = generate_ids(model, prompts, pad_id=job.builder.pad, eos_ids=job.builder.ends, **limits)
    seconds, made = now() - started, [len(ids[0]) for ids in found]
    rows = _rows(list(map(len, prompts)), round(sum(made) / len(made)))
    operations = Time(job.project, MODEL).passing(rows)
    return seconds, sum(made), operations, max(map(len, prompts)) + max(made)


WORK = {"sft": sft, "reward_model": reward, "predict": predict}


def merge(job: Job) -> dict[str, float]:
    """Seconds to merge an adapter, save and read again; the logits' change by merging in bf16."""
    import torch
    from peft import PeftModel

    config, trained = job.config, job.trained("sft")
    assert (trained / ADAPTER).exists()
    ids = torch.arange(5, 69, device=config.device)[None]
    with torch.inference_mode():
        base = load_policy(job.base, None, config.device, config.precision)
        beside = PeftModel.from_pretrained(base, str(trained)).eval()(ids).logits
        del base
        started = now()
        merged = load_policy(job.base, trained, config.device, config.precision)
        loaded = now()
        logits = merged(ids).logits
        with tempfile.TemporaryDirectory(dir=job.base.parent) as folder:
            merged.save_pretrained(folder)
            del merged
            assert (Path(folder) / FULL_MODEL).exists()
            again = load_policy(Path(folder), None, config.device, config.precision)
        reloaded = now()
        same = torch.equal(again(ids).logits, logits)
    change = (logits - beside).abs().max() / beside.abs().max()
    times = {"load_and_merge": loaded - started, "save_and_reload": reloaded - loaded}
    return {**times, "relative_change": change.item(), "reloads_equal": float(same)}


def versions() -> dict[str, str]:
    """What it ran on."""
    import peft
    import torch
    import transformers
    import trl

    found = {module.__name__: module.__version__ for module in (torch, transformers, peft, trl)}
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {**found, "gpu": gpu}


def show(result: dict[str, Any], rate: float) -> None:
    """A table for benchmarks/README.md."""
    print(f"bf16 matrix rate {rate / 1e12:.2f} TFLOP/s; {result['packages']}")
    print("| stage | tokens/s | share of the matrix rate | peak GB | plan GB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for row in result["stages"]:
        share = row["operations"] / row["seconds"] / rate
        sizes = f"{row['peak'] / GB:.2f} | {row['estimate'] / GB:.2f}"
        print(f"| {row['rule']} | {row['tokens'] / row['seconds']:.0f} | {share:.0%} | {sizes} |")
    print(f"merge: {result['merge']}")


if __name__ == "__main__":
    main()
