from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny_project import TASKS, TinyRun, files_of

from rllr import stages
from rllr.errors import RllrError
from rllr.files import read_json, read_jsonl, sha256, write_jsonl
from rllr.job import Job
from rllr.layout import MANIFEST, SAMPLE_REWARDS, SAMPLES, SUMMARY
from rllr.models.load import load_policy, load_scorer
from rllr.training.ppo.adapters import build_one_base
from rllr.training.ppo.batch import Batch
from rllr.training.reward import pair_accuracy, pair_rows, sample_rewards, score_ids
from rllr.training.scoring import ppo_settings


def scorer_of(job: Job, name: str) -> Any:
    """A trained reward model, loaded from disk as the library itself would."""
    start = load_policy(job.base, job.trained("sft"))
    fresh = load_scorer(start, job.builder.pad)
    return PeftModel.from_pretrained(fresh, str(job.trained(name))).eval()


def label_pairs(job: Job, name: str) -> list[dict[str, Any]]:
    paths = [job.layout.label_pairs(task) / f"{name}.jsonl" for task in TASKS]
    return [row for path in paths for row in read_jsonl(path)]


def test_both_sides_share_the_prompt_and_end_properly(tuned: TinyRun) -> None:
    job = tuned.job()
    pairs = label_pairs(job, "train")
    for row, pair in zip(pair_rows(job, pairs), pairs, strict=True):
        prompt = job.builder.prompt(job.project.tasks[pair["task"]], pair["example"]).ids
        for side in ("chosen", "rejected"):
            ids = row[f"{side}_ids"]
            assert ids[: len(prompt)] == prompt
            assert ids[-1] == job.builder.eos
            assert job.builder.decode(ids[len(prompt) :]) == pair[side].strip()


def test_stripped_and_unstripped_responses_are_the_same_row(tuned: TinyRun) -> None:
    job = tuned.job()
    (pair, *_) = label_pairs(job, "train")
    stripped = {**pair, "chosen": pair["chosen"].strip(), "rejected": f" {pair['rejected']} "}
    assert pair_rows(job, [pair]) == pair_rows(job, [stripped])


def test_a_separable_set_of_pairs_is_learned(rewarded: TinyRun, tmp_path: Path) -> None:
    """The chosen side always says one thing, the rejected side another."""
    run = rewarded.copy(tmp_path / "copy", stages={"rllr_rm": {"epochs": 8, "batch_size": 8}})
    job = run.job()
    texts = {"chosen": " yes indeed Answer: positive", "rejected": " hardly so Answer: negative"}
    for task in TASKS:
        for name in ("train", "heldout"):
            path = job.layout.label_pairs(task) / f"{name}.jsonl"
            write_jsonl(path, [{**pair, **texts} for pair in read_jsonl(path)])
    heldout = label_pairs(job, "heldout")
    stages.reward(job, "rllr_rm")
    summary = read_json(job.trained("rllr_rm") / SUMMARY)
    found = summary["accuracy"]["label_sensitive"]
    assert found["n"] == len(heldout) and found["correct"] / found["n"] > 0.95
    swapped = [{**p, "chosen": p["rejected"], "rejected": p["chosen"]} for p in heldout]
    backwards = pair_accuracy(scorer_of(job, "rllr_rm"), job, swapped)
    assert backwards["correct"] == found["n"] - found["correct"]


def test_the_summary_counts_pairs_of_both_kinds_per_task(rewarded: TinyRun) -> None:
    job = rewarded.job()
    for name, kind in (("rllr_rm", "label_sensitive"), ("rlhf_rm", "rationale_sensitive")):
        summary = read_json(job.trained(name) / SUMMARY)
        assert summary["pairs"] == kind
        assert summary["steps"] == -(-summary["train_pairs"] // 16)  # one epoch
        for found in summary["accuracy"].values():
            assert found["n"] == sum(task["n"] for task in found["by_task"].values()) > 0
            assert found["correct"] == sum(task["correct"] for task in found["by_task"].values())
            assert set(found["by_task"]) <= set(TASKS)


def test_the_summary_counts_the_tokens_of_both_sides(rewarded: TinyRun) -> None:
    job = rewarded.job()
    rows = pair_rows(job, label_pairs(job, "train"))
    tokens = sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows)
    assert read_json(job.trained("rllr_rm") / SUMMARY)["tokens"] == tokens


def test_the_summary_agrees_with_the_weights_on_disk(rewarded: TinyRun) -> None:
    job = rewarded.job()
    for name in ("rllr_rm", "rlhf_rm"):
        summary = read_json(job.trained(name) / SUMMARY)
        again = pair_accuracy(scorer_of(job, name), job, label_pairs(job, "heldout"))
        assert again == summary["accuracy"]["label_sensitive"]


def test_sampled_responses_are_scored_with_their_verdicts(rewarded: TinyRun) -> None:
    job = rewarded.job()
    rows = read_jsonl(job.trained("rllr_rm") / SAMPLE_REWARDS)
    held = [row for row in read_jsonl(job.samples("sft") / SAMPLES) if row["split"] == "heldout"]
    pairs = [{**row, "chosen": text, "rejected": text} for row in held for text in row["responses"]]
    assert [(r["task"], r["id"]) for r in rows] == [(p["task"], p["example"]["id"]) for p in pairs]
    ids = [pair["chosen_ids"] for pair in pair_rows(job, pairs)]
    wanted = score_ids(scorer_of(job, "rllr_rm"), ids, job.builder.pad)
    assert [row["reward"] for row in rows] == pytest.approx(wanted, abs=1e-5)
    # A stand-in for a sample holds the stated label's response first, then a wrong one's.
    assert [row["label_correct"] for row in rows] == [True, False] * len(held)
    assert all(row["parsed"] for row in rows)


def test_a_reward_model_names_the_samples_that_it_scored(rewarded: TinyRun) -> None:
    job = rewarded.job()
    path = job.samples("sft") / SAMPLES
    inputs = read_json(job.trained("rlhf_rm") / MANIFEST)["inputs"]
    assert inputs[str(path)] == sha256(path)


def test_without_samples_there_are_no_rewards_of_samples(rewarded: TinyRun, tmp_path: Path) -> None:
    job = rewarded.copy(tmp_path / "copy").job()
    write_jsonl(job.samples("sft") / SAMPLES, [])
    assert sample_rewards(scorer_of(job, "rllr_rm"), job, "sft") == []


def test_a_tie_counts_half(rewarded: TinyRun) -> None:
    job = rewarded.job()
    pairs = [{**pair, "rejected": pair["chosen"]} for pair in label_pairs(job, "heldout")]
    found = pair_accuracy(scorer_of(job, "rllr_rm"), job, pairs)
    assert found["correct"] == len(pairs) / 2
    assert pair_accuracy(scorer_of(job, "rllr_rm"), job, []) == {
        "correct": 0,
        "n": 0,
        "by_task": {},
    }


def test_padding_does_not_change_a_score(rewarded: TinyRun) -> None:
    job = rewarded.job()
    scorer = scorer_of(job, "rllr_rm")
    rows = [row["chosen_ids"] for row in pair_rows(job, label_pairs(job, "heldout"))]
    together = score_ids(scorer, rows, job.builder.pad)
    alone = score_ids(scorer, rows, job.builder.pad, batch=1)
    assert together == pytest.approx(alone, abs=1e-5)
    assert len({round(score, 4) for score in together}) > 1


def as_batch(job: Job, rows: Sequence[tuple[list[int], list[int]]]) -> Batch:
    """Prompts padded on the left, responses on the right, as PPO holds them."""
    left, right = max(len(p) for p, _ in rows), max(len(r) for _, r in rows)
    pad = job.builder.pad
    ids = [[pad] * (left - len(p)) + p + r + [pad] * (right - len(r)) for p, r in rows]
    seen = [
        [0] * (left - len(p)) + [1] * (len(p) + len(r)) + [0] * (right - len(r)) for p, r in rows
    ]
    mask = [[True] * len(r) + [False] * (right - len(r)) for _, r in rows]
    return Batch(torch.tensor(ids), torch.tensor(seen), torch.tensor(mask))


@pytest.mark.parametrize("name", ["rllr_rm", "rlhf_rm"])
def test_ppo_scores_with_the_same_reward_model(rewarded: TinyRun, name: str) -> None:
    job = rewarded.job()
    pairs = label_pairs(job, "heldout")
    whole = [row["chosen_ids"] for row in pair_rows(job, pairs)]
    prompts = [job.builder.prompt(job.project.tasks[p["task"]], p["example"]).ids for p in pairs]
    wanted = score_ids(scorer_of(job, name), whole, job.builder.pad)
    settings = ppo_settings(job, job.project.rl(job.model, "rllr"))
    start = load_policy(job.base, job.trained("sft"))
    roles = build_one_base(start, settings, {"rm": job.trained(name)}, "rm")
    rows = [(p, ids[len(p) :]) for p, ids in zip(prompts, whole, strict=True)]
    assert roles.score("rm", as_batch(job, rows)).tolist() == pytest.approx(wanted, abs=1e-5)


def test_no_pairs_is_a_clear_message(rewarded: TinyRun, tmp_path: Path) -> None:
    run = rewarded.copy(tmp_path / "copy")
    job = run.job()
    write_jsonl(job.rationale_pairs("sft") / "train.jsonl", [])
    with pytest.raises(RllrError, match="no rationale_sensitive pairs to train on"):
        stages.reward(job, "rlhf_rm")


def test_a_reward_model_is_an_adapter_in_safetensors(rewarded: TinyRun) -> None:
    for name in ("rllr_rm", "rlhf_rm"):
        found = files_of(rewarded.job().trained(name))
        assert {path.suffix for path in found} == {".json", ".jsonl", ".safetensors"}
