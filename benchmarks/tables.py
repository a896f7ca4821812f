"""Time and memory of all tables of a large run, on made-up predictions.

    python -m benchmarks.tables --folder F      5 models x 8 tasks x 8 methods x 5 seeds, 1,000 rows

Writes the run below F (a quarter of a gigabyte) unless it is there, then makes its tables in a
process of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

MODELS = ("llama2", "chatglm3", "mistral", "baichuan2", "bloom")
TASKS = ("mr", "appreviews", "sst2", "mrpc", "qqp", "stsb", "mnli", "agnews")
METHODS = ("sft_label", "sft", "rlhf", "rllr", "rllr_mixed", "rlvr", "rllr_rloo", "rllr_grpo")
ROOT = Path(__file__).resolve().parents[1]


def write_run(folder: Path, seeds: int, rows: int) -> None:
    """Write `grid.json` and every cell with its predictions."""
    grid = {
        "run": folder.name,
        "models": [{"key": key, "name": key} for key in MODELS],
        "tasks": [{"key": key, "name": key, "metric": _metric(key)} for key in TASKS],
        "methods": [{"key": key, "name": key} for key in METHODS],
        "seeds": list(range(seeds)),
    }
    for task in TASKS:
        gold = _gold(task, rows)
        for model in MODELS:
            for method in METHODS:
                for seed in range(seeds):
                    _write_cell(folder, (model, task, method, seed), gold)
    (folder / "grid.json").write_text(json.dumps(grid))


def _metric(task: str) -> str:
    return "pearson" if task == "stsb" else "accuracy"


def _gold(task: str, rows: int) -> list[str] | list[float]:
    chance = random.Random(task)
    if task == "stsb":
        return [round(chance.uniform(0, 5), 1) for _ in range(rows)]
    return [chance.choice(("yes", "no")) for _ in range(rows)]


def _write_cell(folder: Path, key: tuple[str, str, str, int], gold: list) -> None:
    model, task, method, seed = key
    chance = random.Random("/".join(map(str, key)))
    found = [_answer(chance, label) for label in gold]
    lines = [
        json.dumps(
            {
                "id": f"{task}-{index}",
                "prompt": "A text of usual length, which stands here for all of them.",
                "response": f"Because of a word or two in it. Answer: {answer}",
                "prediction": answer,
                "label": label,
                "parsed": True,
            }
        )
        for index, (label, answer) in enumerate(zip(gold, found, strict=True))
    ]
    cell = folder.joinpath("cells", model, task, method, f"seed{seed}")
    cell.mkdir(parents=True)
    (cell / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    named = dict(zip(("model", "task", "method", "seed"), key, strict=True))
    metrics = {**named, "metric": _metric(task), "value": _value(gold, found), "n": len(gold)}
    (cell / "metrics.json").write_text(json.dumps({**metrics, "unparsed": 0}))


def _answer(chance: random.Random, label: str | float) -> str | float:
    if isinstance(label, float):
        return round(min(5.0, max(0.0, label + chance.gauss(0, 1))), 1)
    return label if chance.random() < 0.8 else "maybe"


def _value(gold: list, found: list) -> float:
    import numpy as np

    if isinstance(gold[0], float):
        return float(np.corrcoef(gold, found)[0, 1])
    return sum(a == b for a, b in zip(gold, found, strict=True)) / len(gold)


def main() -> None:
    """Write the run where it is not there, make its tables, say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1000)
    options = parser.parse_args()
    run = options.folder / f"tables-{options.seeds}-{options.rows}"
    if not (run / "grid.json").exists():
        write_run(run, options.seeds, options.rows)
    started = time.monotonic()
    command = [sys.executable, "-m", "rllr", "tables", str(run), "--to", str(run / "tables")]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ, stdout=subprocess.DEVNULL)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    cells = len(list(run.rglob("metrics.json")))
    print(f"{cells} cells: {time.monotonic() - started:.1f} s, peak {peak} MiB")


if __name__ == "__main__":
    main()
