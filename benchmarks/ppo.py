"""Speed and memory of a PPO step, side by side with the last TRL that had PPO (1.12.0).

    python -m benchmarks.ppo --shape tiny large --trl-python PATH/TO/VENV/bin/python

The second environment has `pip install -r benchmarks/trl.txt`; without it, ours alone is measured.
Each row runs in a process of its own, one after the other. Random-weight Llama; batch 16, prompts
of 64 tokens, responses of exactly 64, micro-batch 8, one PPO epoch, one mini-batch, LoRA r 16 on q
and v, fp32, two threads, full-softmax sampling. Reported: samples per second (median step after the
first) and peak resident memory above that after imports. `trl_full` trains all of the value model
(TRL's default), `trl_lora` a LoRA on it, as ours. `ours_exact` is ours with the C library told to
hand every freed block back to the system, which costs page faults: its peak is the memory that the
step needs, the others' has the gaps that the allocator leaves. Each library runs as its users run
it: our rows with the allocator settings of our own jobs, TRL's with the C library's defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

THREADS, BATCH, MICRO, PROMPT, RESPONSE = 2, 16, 8, 64, 64
SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    | {"num_attention_heads": 8, "vocab_size": 900},
    "large": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12}
    | {"num_attention_heads": 12, "vocab_size": 32000},
}
ROWS = ("ours", "ours_exact", "trl_lora", "trl_full")
TARGETS = ["q_proj", "v_proj"]
PAD, EOS = 0, 2
OURS = {"GLIBC_TUNABLES": "glibc.malloc.tcache_max=0"}  # as workflow/rules/common.smk sets it
ENVIRONMENT = {"ours": OURS, "ours_exact": OURS | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}}


def main() -> None:
    """Run every row of every shape and print a table; or, with --row, one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--row", choices=ROWS, help="measure one row in this process; print JSON")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--trl-python", type=Path, help="Python of an environment with trl 1.12.0")
    options = parser.parse_args()
    if options.row:
        print(json.dumps(measure(options.row, options.shape[0], options.steps)))
        return
    rows = [row for row in options.rows if row.startswith("ours") or options.trl_python]
    for shape in options.shape:
        found = {row: _in_process(row, shape, options) for row in rows}
        _print(shape, found)


def _in_process(row: str, shape: str, options: argparse.Namespace) -> dict[str, Any]:
    ours = [sys.executable, "-m", "benchmarks.ppo"]
    command = ours if row.startswith("ours") else [str(options.trl_python), __file__]
    command += ["--row", row, "--shape", shape, "--steps", str(options.steps)]
    environment = os.environ | ENVIRONMENT.get(row, {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{row}: {done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _print(shape: str, found: dict[str, dict[str, Any]]) -> None:
    print(f"\n{shape}: {json.dumps(SHAPES[shape])}")
    ours = found["ours"]
    for row, result in found.items():
        rate = BATCH / result["step_seconds"]
        speed, memory = ours["step_seconds"] / result["step_seconds"], result["peak_mib"]
        print(
            f"{row:10s} {result['step_seconds']:8.2f} s/step {rate:7.2f} samples/s "
            f"({1 / speed:5.2f} x as long as ours) {memory:7.0f} MiB "
            f"(ours is {ours['peak_mib'] / memory:4.2f} x of it)"
        )
    print(json.dumps({name: value for name, value in ours.items() if name != "steps"}, indent=1))


def measure(row: str, shape: str, steps: int) -> dict[str, Any]:
    """One row in this process."""
    import torch

    torch.set_num_threads(THREADS)
    ours = row.startswith("ours")
    run = _prepare_ours(shape, steps) if ours else _prepare_trl(shape, steps, row)
    before = _resident_mib()
    seconds, more = run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    result = {"step_seconds": statistics.median(seconds[1:]), "peak_mib": peak, "steps": seconds}
    return {**result, **more}


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _config(shape: str) -> Any:
    from transformers import LlamaConfig

    how = {"pad_token_id": PAD, "eos_token_id": EOS, "bos_token_id": 1}
    return LlamaConfig(**SHAPES[shape], **how, max_position_embeddings=256, num_labels=1)


def _prompts(shape: str, count: int) -> list[list[int]]:
    import torch

    draw = torch.Generator().manual_seed(1)
    vocabulary = SHAPES[shape]["vocab_size"]
    return torch.randint(3, vocabulary, (count, PROMPT), generator=draw).tolist()


# --- ours ----------------------------------------------------------------------------------------


def _prepare_ours(shape: str, steps: int) -> Any:
    from rllr.models.load import prepare_process

    prepare_process(THREADS)
    import transformers

    from rllr.training.ppo.account import account
    from rllr.training.ppo.settings import PPOSettings, PromptRow, RewardTerm
    from rllr.training.ppo.trainer import train_ppo

    def run() -> tuple[list[float], dict[str, Any]]:
        history: list[dict[str, float]] = []
        settings = PPOSettings(
            tuple(TARGETS),
            batch_size=BATCH,
            micro_batch_size=MICRO,
            steps=steps,
            max_new_tokens=RESPONSE,
            top_k=0,
        )
        result = train_ppo(
            transformers.LlamaForCausalLM(_config(shape)),
            settings=settings,
            terms=[RewardTerm("rm", adapter_path=folder)],
            value_from="rm",
            prompts=[PromptRow(ids) for ids in _prompts(shape, 4 * BATCH)],
            decode=str,
            pad_id=PAD,
            eos_ids=[],  # responses of exactly the length limit
            on_step=lambda step, total, metrics: history.append(metrics),
        )
        parts = account(result.one_base, settings, PROMPT)
        flops, rate = _flops(shape), matrix_rate()
        phases = {
            name: statistics.median(row[f"seconds/{name}"] for row in history[1:])
            for name in ("rollout", "score", "train")
        }
        share = {name: flops[name] / phases[name] / rate for name in ("score", "train")}
        more = {"phases": phases, "gflop": {k: v / 1e9 for k, v in flops.items()}}
        more |= {"matrix_gflops": rate / 1e9, "share_of_matrix_rate": share}
        account_mib = {name: size / 2**20 for name, size in parts.items()}
        return [row["seconds"] for row in history], {**more, "account_mib": account_mib}

    folder = Path(tempfile.mkdtemp(prefix="ppo-benchmark-")) / "rm"
    subprocess.run(  # in another process: its memory is not the trainer's
        [sys.executable, "-c", _SAVE, __file__, shape, str(folder)], check=True
    )
    return run


_SAVE = """
import importlib.util, sys, pathlib
spec = importlib.util.spec_from_file_location("bench", sys.argv[1])
bench = importlib.util.module_from_spec(spec); spec.loader.exec_module(bench)
bench.save_reward(sys.argv[2], pathlib.Path(sys.argv[3]))
"""


def save_reward(shape: str, folder: Path) -> None:
    """Write a random reward adapter for a shape."""
    import peft
    import transformers

    config = peft.LoraConfig(r=16, target_modules=TARGETS, task_type="SEQ_CLS")
    scorer = transformers.LlamaForSequenceClassification(_config(shape))
    peft.get_peft_model(scorer, config).save_pretrained(str(folder))


def matrix_rate(size: int = 1536, repeats: int = 8) -> float:
    """Floating-point operations per second of this machine's fp32 matrix product, best of some."""
    import torch

    left, right = torch.randn(size, size), torch.randn(size, size)
    best = 0.0
    for _ in range(repeats):
        started = time.perf_counter()
        torch.mm(left, right)
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def _flops(shape: str) -> dict[str, float]:
    """Necessary operations of the phases that are matrix products, without LoRA's own (about 1 %).

    A product with W of n weights costs 2n per token forward, and as much backward to its input;
    frozen weights have no gradient of their own. Attention adds 4 L H per token and layer (L keys).
    The head is needed at response tokens only, and by the reference and the policy only.
    """
    s = SHAPES[shape]
    hidden, layers, length = s["hidden_size"], s["num_hidden_layers"], PROMPT + RESPONSE
    layer = 4 * hidden**2 + 3 * hidden * s["intermediate_size"]
    body = BATCH * length * layers * (2 * layer + 4 * length * hidden / 2)
    head = BATCH * RESPONSE * 2 * hidden * s["vocab_size"]
    return {"score": 3 * body + head, "train": 2 * (2 * body) + 2 * head}


# --- TRL -----------------------------------------------------------------------------------------


def _prepare_trl(shape: str, steps: int, row: str) -> Any:
    import peft
    import torch
    import transformers
    from datasets import Dataset
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    class Clock(transformers.TrainerCallback):
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.times.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.times.append(time.perf_counter())

    def run() -> tuple[list[float], dict[str, Any]]:
        lora = peft.LoraConfig(r=16, target_modules=TARGETS, task_type="CAUSAL_LM")
        policy = transformers.LlamaForCausalLM(_config(shape))
        value, reward = (
            transformers.LlamaForSequenceClassification(_config(shape)) for _ in range(2)
        )
        if row == "trl_lora":
            peft.inject_adapter_in_model(
                peft.LoraConfig(r=16, target_modules=TARGETS), value, adapter_name="value"
            )
            for name, parameter in value.named_parameters():
                parameter.requires_grad = "lora_" in name or name.startswith("score")
        prompts = _prompts(shape, BATCH * (steps + 1))
        clock = Clock()
        trainer = PPOTrainer(
            args=PPOConfig(
                output_dir=tempfile.mkdtemp(prefix="ppo-benchmark-"),
                per_device_train_batch_size=MICRO,
                gradient_accumulation_steps=BATCH // MICRO,
                local_rollout_forward_batch_size=MICRO,
                total_episodes=BATCH * steps,
                response_length=RESPONSE,
                num_ppo_epochs=1,
                num_mini_batches=1,
                temperature=1.0,
                num_sample_generations=0,
                save_strategy="no",
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                disable_tqdm=True,
            ),
            processing_class=_tokenizer(shape),
            model=policy,
            ref_model=None,
            reward_model=reward,
            value_model=value,
            train_dataset=Dataset.from_list([{"input_ids": ids} for ids in prompts]),
            eval_dataset=Dataset.from_list([{"input_ids": ids} for ids in prompts[:BATCH]]),
            peft_config=lora,
            callbacks=[clock],
        )
        torch.set_num_threads(THREADS)
        trainer.train()
        return [b - a for a, b in zip(clock.times, clock.times[1:], strict=False)], {}

    return run


def _tokenizer(shape: str) -> Any:
    """A tokenizer whose pad and end tokens are the model's; nothing is tokenised."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(SHAPES[shape]["vocab_size"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="w0", eos_token="w2", unk_token="w0"
    )


if __name__ == "__main__":
    main()
