"""The scoring stage: from predictions to each cell's metrics.json, and the trivial baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rllr import slices
from rllr.artefact import artefact
from rllr.config.load import BASELINE, Project
from rllr.config.schema import ScoreLabels
from rllr.data.examples import read_examples
from rllr.evaluation.metrics import evaluate
from rllr.files import digest, read_json, read_jsonl, write_json, write_jsonl
from rllr.job import Job
from rllr.layout import METRICS, PREDICTIONS, PREDICTIONS_MANIFEST, Layout
from rllr.tasks.labels import Label, label_text
from rllr.tasks.question import question_text


def score(job: Job, method: str) -> None:
    """Write metrics.json of every cell of one trained model."""
    for task in job.project.eval_tasks(job.unit):
        folder = job.layout.cell(job.model, task, method, job.seed)
        manifest = read_json(folder / PREDICTIONS_MANIFEST)
        counts = {name: manifest[name] for name in ("prompts_cut", "responses_cut")}
        cell = {"model": job.model, "task": task, "method": method, "seed": job.seed}
        _write_metrics(job.project, folder, {**cell, "scope": job.project.config.scope}, counts)


def _write_metrics(
    project: Project, folder: Path, cell: Mapping[str, Any], counts: Mapping[str, int]
) -> None:
    rows = read_jsonl(folder / PREDICTIONS)
    gold: Sequence[Label] = [row["label"] for row in rows]
    predicted: Sequence[Label | None] = [row["prediction"] for row in rows]
    task = cell["task"]
    # One bootstrap seed per task: the same resamples for every cell of it.
    result = evaluate(project.tasks[task], gold, predicted, int(digest(task)[:8], 16))
    unparsed = sum(not row["parsed"] for row in rows)
    write_json(folder / METRICS, {**cell, **result, "unparsed": unparsed, **counts})


def write_baseline(project: Project, task: str) -> None:
    """The majority class of the SFT split (for scores its mean), predicted for every test row."""
    layout = Layout(project)
    folder, settings = layout.baseline(task), slices.score(project, [task])
    inputs = [layout.data(task) / "test.jsonl", _sft_split(project, task)]
    manifest = folder / PREDICTIONS_MANIFEST
    with artefact(manifest, "baseline", settings, seed=0, inputs=inputs):
        _write_constant(project, task, folder)


def _write_constant(project: Project, task: str, folder: Path) -> None:
    schema, label = project.tasks[task], constant_prediction(project, task)
    rows = [
        {
            "id": example["id"],
            "prompt": question_text(schema, example),
            "response": label_text(schema, label),
            "prediction": label,
            "label": example["label"],
            "parsed": True,
        }
        for example in read_examples(Layout(project).data(task) / "test.jsonl", schema)
    ]
    write_jsonl(folder / PREDICTIONS, rows)
    cell = {"model": BASELINE, "task": task, "method": "majority", "seed": 0}
    counts = {"prompts_cut": 0, "responses_cut": 0}
    _write_metrics(project, folder, {**cell, "scope": project.config.scope}, counts)


def constant_prediction(project: Project, task: str) -> Label:
    """The trivial predictor: the majority class of the SFT split, for scores its mean.

    A further test set has that of the task which models are trained on.
    """
    schema = project.tasks[project.tasks[task].test_of or task]
    labels = [row["label"] for row in read_examples(_sft_split(project, task), schema)]
    if isinstance(schema.labels, ScoreLabels):
        return round(sum(labels) / len(labels), schema.labels.decimals)
    counts = Counter(labels)
    values: list[Label] = list(schema.labels.values)
    return max(values, key=lambda label: counts[label])


def _sft_split(project: Project, task: str) -> Path:
    return Layout(project).data(project.tasks[task].test_of or task) / "sft.jsonl"
