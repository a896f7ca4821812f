"""How hard the generated tasks are: SFT's score on the *validation* split, against the trivial one.

This is what the generator's difficulty was set from; no test split and no RL result is read.

    targets=$(python -m benchmarks.difficulty --config config/tiny.yaml --targets) &&
        snakemake -c2 $targets && python -m benchmarks.difficulty --config config/tiny.yaml
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from rllr.config import Project, load_file
from rllr.data.examples import read_examples
from rllr.evaluation.generate import generate_ids
from rllr.evaluation.metrics import evaluate
from rllr.evaluation.score import constant_prediction
from rllr.job import Job
from rllr.layout import MANIFEST
from rllr.models.load import load_policy, prepare_process
from rllr.tasks.response import parse_response


def main() -> None:
    """Print a table of models against tasks, in points."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--models", nargs="*", help="default: all of the run")
    parser.add_argument("--targets", action="store_true", help="print what Snakemake must make")
    options = parser.parse_args()
    project = load_file(options.config)
    models = options.models or project.config.models
    jobs = [Job(project, model, "mixture", project.config.seeds[0]) for model in models]
    if options.targets:
        print(*(job.trained("sft") / MANIFEST for job in jobs))
        return
    prepare_process(project.config.threads.inference)
    rows = {"trivial": {task: trivial(project, task) for task in project.config.tasks}}
    rows |= {
        job.model: {task: validate(job, task) for task in project.config.tasks} for job in jobs
    }
    table = pd.DataFrame(rows).T
    table["average"] = table.mean(axis=1)
    print(table.round(1).to_string())


def trivial(project: Project, task: str) -> float:
    """Points of the majority class (for a score: of its mean) on the validation split."""
    schema = project.tasks[task]
    gold = [row["label"] for row in examples(Job(project, "", "mixture", 0), task)]
    return 100 * float(
        evaluate(schema, gold, [constant_prediction(project, task)] * len(gold), 0)["value"]
    )


def validate(job: Job, task: str) -> float:
    """Points of greedy SFT predictions on the validation split."""
    schema, builder = job.project.tasks[task], job.builder
    rows = examples(job, task)
    generation = job.project.config.generation
    responses = generate_ids(
        load_policy(job.base, job.trained("sft")),
        [builder.prompt(schema, row).ids for row in rows],
        pad_id=builder.pad,
        eos_ids=builder.ends,
        max_new_tokens=generation.max_new_tokens,
        batch_size=generation.batch_size,
    )
    predicted = [parse_response(schema, builder.decode(ids[0])).label for ids in responses]
    return 100 * float(evaluate(schema, [row["label"] for row in rows], predicted, 0)["value"])


def examples(job: Job, task: str) -> list[dict[str, object]]:
    """The task's validation split."""
    path = job.layout.data(task) / "validation.jsonl"
    return read_examples(path, job.project.tasks[task])


if __name__ == "__main__":
    main()
