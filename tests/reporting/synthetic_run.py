"""Synthetic run folders: made-up predictions whose numbers a test can compute by hand."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from scipy import stats

MODELS = (("llama", "Llama"), ("bloom", "BLOOM"))
TASKS = (("sst2", "SST-2", "accuracy"), ("stsb", "STS-B", "pearson"))
METHODS = (("sft_label", "SFT (label only)"), ("sft", "SFT"), ("rlhf", "RLHF"), ("rllr", "RLLR"))


class SyntheticRun:
    """Writes cells, summaries, logs and a grid in the layout that the reporting code reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, path: str, content: Any) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content if isinstance(content, str) else json.dumps(content))
        return target

    def grid(self, **changes: Any) -> None:
        grid = {
            "run": "synthetic",
            "models": [{"key": key, "name": name} for key, name in MODELS],
            "tasks": [{"key": k, "name": name, "metric": metric} for k, name, metric in TASKS],
            "methods": [{"key": key, "name": name} for key, name in METHODS],
            "context_methods": [{"key": "zero_shot", "name": "Zero-shot"}],
            "seeds": [0],
            "scope": "mixture",
            "paper": False,
            "generated": True,
            "commit": "abc1234",
        }
        self.write("grid.json", {**grid, **changes})

    def cell(
        self, model: str, task: str, method: str, rows: list[dict[str, Any]], **changes: Any
    ) -> None:
        """Write predictions and the metrics that follow from them; `changes` overrides metrics."""
        seed = changes.pop("seed", 0)
        metric = "pearson" if task == "stsb" else "accuracy"
        metrics = {
            "model": model,
            "task": task,
            "method": method,
            "seed": seed,
            "metric": metric,
            "value": value_of(metric, rows),
            "ci_low": None,
            "ci_high": None,
            "n": len(rows),
            "unparsed": sum(row["prediction"] is None for row in rows),
            "prompts_cut": 0,
            "responses_cut": 0,
            "extra": {"macro_f1": 0.5},
            "flags": [],
            "scope": "mixture",
            **changes,
        }
        folder = f"cells/{model}/{task}/{method}/seed{seed}"
        self.write(f"{folder}/metrics.json", metrics)
        self.write(f"{folder}/predictions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def accuracy(self, model: str, method: str, correct: int, n: int = 10, **changes: Any) -> None:
        """An sst2 cell with `correct` of `n` right; which ones depends on the method's name."""
        right = set(random.Random(f"{model}/{method}").sample(range(n), correct))
        self.cell(model, "sst2", method, [class_row(i, i in right) for i in range(n)], **changes)

    def summary(
        self, model: str, stage: str, content: dict[str, Any], unit: str = "mixture"
    ) -> None:
        self.write(f"trained/{model}/{stage}/{unit}/seed0/summary.json", content)

    def sampled(
        self,
        model: str,
        stage: str,
        rows: list[dict[str, Any]],
        unit: str = "mixture",
        seed: int = 0,
    ) -> None:
        """What a reward model scored; see `sampled_rows`."""
        text = "".join(json.dumps(row) + "\n" for row in rows)
        self.write(f"trained/{model}/{stage}/{unit}/seed{seed}/sample_rewards.jsonl", text)

    def ranked(
        self, model: str, manifest: dict[str, Any], unit: str = "mixture", seed: int = 0
    ) -> None:
        """What the judge made of responses of sft; see `judged_pairs`."""
        folder = f"pairs/rationale_sensitive/{model}/sft/{unit}/seed{seed}"
        self.write(f"{folder}/manifest.json", manifest)

    def judged(self, model: str, rows: list[dict[str, Any]], **changes: Any) -> Path:
        """Comparisons of a model's test responses, and their manifest; returns the folder.

        `changes` may hold `unit`, `seed` and the `judge` of the manifest's settings.
        """
        folder = f"judged/{model}/{changes.get('unit', 'mixture')}/seed{changes.get('seed', 0)}"
        text = "".join(json.dumps(row) + "\n" for row in rows)
        judge = changes.get("judge", {"backend": "lexical"})
        self.write(f"{folder}/manifest.json", {"settings": {"judge": judge}})
        return self.write(f"{folder}/comparisons.jsonl", text).parent

    def manifest(self, folder: str, stage: str, seconds: float, **changes: Any) -> None:
        """A manifest; of predictions where the folder is a cell's."""
        name = "predictions.manifest.json" if folder.startswith("cells/") else "manifest.json"
        content = {"stage": stage, "seed": 0, "wall_seconds": seconds, "gpus": 0, **changes}
        self.write(f"{folder}/{name}", content)

    def healthy_stages(self, model: str) -> None:
        """Summaries of an SFT stage, two reward models and two policies that all did something."""
        self.summary(model, "sft_label", sft_summary(2.0, 1.0))
        self.summary(model, "sft", sft_summary(2.0, 1.0))
        self.summary(model, "rlhf_rm", reward_summary("rationale_sensitive", 80))
        self.summary(model, "rllr_rm", reward_summary("label_sensitive", 80))
        self.summary(model, "rlhf", rl_summary(["rlhf_rm"], 0.5, 0.1))
        self.summary(model, "rllr", rl_summary(["rllr_rm"], 0.5, 0.1))


def compared_row(
    index: int, first: int | None, second: int | None, **changes: Any
) -> dict[str, Any]:
    """RLLR against SFT on an sst2 example; verdicts with RLLR shown first, and shown second."""
    row = {"task": "sst2", "id": f"sst2-{index}", "method": "rllr", "against": "sft"}
    verdicts = {"verdicts": [first, second], "same_text": False, "same_label": True}
    return {**row, **verdicts, **changes}


def class_row(index: int, right: bool, **changes: Any) -> dict[str, Any]:
    gold = "positive" if index % 2 else "negative"
    other = "negative" if index % 2 else "positive"
    prediction = gold if right else other
    row = {"id": f"sst2-{index}", "prompt": f"Text {index}", "label": gold, "parsed": True}
    return {**row, "prediction": prediction, "response": f"Answer: {prediction}", **changes}


def score_row(index: int, gold: float, prediction: float | None) -> dict[str, Any]:
    return {
        "id": f"stsb-{index}",
        "prompt": "First, second",
        "response": f"Answer: {prediction}",
        "prediction": prediction,
        "label": gold,
        "parsed": prediction is not None,
    }


def value_of(metric: str, rows: list[dict[str, Any]]) -> float:
    if metric == "accuracy":
        return sum(row["prediction"] == row["label"] for row in rows) / len(rows)
    scores = [2.5 if row["prediction"] is None else row["prediction"] for row in rows]
    if len(set(scores)) == 1:
        return 0.0
    return float(stats.pearsonr(scores, [row["label"] for row in rows])[0])


def sft_summary(before: float, after: float) -> dict[str, Any]:
    return {"kind": "sft", "validation_loss_before": before, "validation_loss_after": after}


def reward_summary(pairs: str, percent: int) -> dict[str, Any]:
    other = {"correct": 50, "n": 100, "by_task": {}}
    accuracy = {"label_sensitive": other, "rationale_sensitive": other}
    own = {"correct": percent, "n": 100, "by_task": {"sst2": {"correct": percent, "n": 100}}}
    return {"kind": "reward", "pairs": pairs, "accuracy": {**accuracy, pairs: own}}


def rl_summary(reward_models: list[str | None], gain: float, error: float) -> dict[str, Any]:
    return {
        "kind": "rl",
        "start": "sft",
        "reward_models": reward_models,
        "reward_before": {"mean": 0.0, "n": 50},
        "reward_after": {"mean": gain, "n": 50},
        "reward_gain": {"mean": gain, "se": error},
        "kl": {"final": 1.0},
        "skipped_batches": 0,
    }


def sampled_rows(task: str, rewards: dict[str, list[tuple[float, bool]]]) -> list[dict[str, Any]]:
    """Lines of sample_rewards.jsonl: by prompt, the reward of each response and whether right."""
    return [
        {"task": task, "id": prompt, "label_correct": right, "parsed": True, "reward": reward}
        for prompt, responses in rewards.items()
        for reward, right in responses
    ]


def judged_pairs(pairs: int, equal: float, split: int, right: float) -> dict[str, Any]:
    """A manifest of judged pairs of one task, both parts alike."""
    one = {
        "pairs": pairs,
        "equal_labels": equal,
        "one_label_right": split,
        "judge_prefers_right": right,
    }
    part = {**one, "by_task": {"sst2": {**one, "by_label": {}}}}
    return {"stage": "judge", "statistics": {"train": part, "heldout": part}}
