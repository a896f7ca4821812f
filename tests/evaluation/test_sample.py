from __future__ import annotations

from collections import Counter
from pathlib import Path

from tiny_project import TASKS, TinyRun

from rllr import stages
from rllr.files import read_jsonl
from rllr.job import Job
from rllr.layout import SAMPLES

QUICK = {"max_new_tokens": 6}


def test_prompts_come_from_the_splits_that_pairs_may_use(tuned: TinyRun, tmp_path: Path) -> None:
    run = tuned.copy(tmp_path / "copy", generation=QUICK)
    stages.sample(run.job(), "sft")
    rows = read_jsonl(run.job().samples("sft") / SAMPLES)
    pairs = run.project.config.pairs
    wanted = {"train": pairs.prompts, "heldout": pairs.heldout_prompts}
    assert Counter((row["task"], row["split"]) for row in rows) == {
        (task, split): count for task in TASKS for split, count in wanted.items()
    }
    assert {len(row["responses"]) for row in rows} == {pairs.samples_per_prompt}
    for task in TASKS:
        for split, source in {"train": "rm", "heldout": "validation"}.items():
            examples = read_jsonl(run.layout.data(task) / f"{source}.jsonl")
            found = [r["example"] for r in rows if (r["task"], r["split"]) == (task, split)]
            assert all(example in examples for example in found)


def test_the_seed_decides_what_is_sampled(tuned: TinyRun, tmp_path: Path) -> None:
    run = tuned.copy(tmp_path / "copy", generation=QUICK)
    job = run.job()
    path = job.samples("sft") / SAMPLES
    written = []
    for _ in range(2):
        stages.sample(job, "sft")
        written.append(path.read_bytes())
    assert written[0] == written[1]
    other = seeded(run, 1)
    stages.sample(other, "sft")
    assert (other.samples("sft") / SAMPLES).read_bytes() != written[0]


def seeded(run: TinyRun, seed: int) -> Job:
    """A job of another seed that starts from the same trained model."""
    job = run.job(seed=seed)
    job.trained("sft").symlink_to(run.job().trained("sft"))
    return job
