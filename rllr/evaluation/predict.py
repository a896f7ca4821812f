"""The prediction stage: greedy decoding of every evaluated task's test split with one model.

The model is loaded once. A task whose predictions were made from the same inputs is left alone.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from rllr import slices
from rllr.artefact import artefact
from rllr.data.examples import read_examples
from rllr.evaluation.generate import generate_ids
from rllr.files import read_json, sha256, write_jsonl
from rllr.job import Job
from rllr.layout import ADAPTER, FULL_MODEL, PREDICTIONS, PREDICTIONS_MANIFEST, TOKENIZER
from rllr.tasks.question import question_text
from rllr.tasks.response import parse_response


class Predictor:
    """Decodes with one trained model, loaded when the first task needs it."""

    def __init__(self, job: Job, method: str) -> None:
        self.job = job
        self.method = method

    @cached_property
    def model(self) -> Any:
        """The policy; adapters are merged but for a policy's in bf16."""
        from rllr.models.load import load_trained, prepare_process, require_device

        prepare_process(self.job.project.config.threads.inference)
        require_device(self.job.config.device)
        return load_trained(self.job, self.method, self.job.config.device)

    @cached_property
    def inputs(self) -> list[Path]:
        """Every file of weights that the predictions depend on."""
        method = self.job.project.methods[self.method]
        stages = [name for name in (method.start, self.method) if name != "base"]
        folders = [] if method.algorithm == "none" else [self.job.trained(name) for name in stages]
        found = [
            path for f in folders for name in (ADAPTER, FULL_MODEL) if (path := f / name).exists()
        ]
        base = sorted(self.job.base.glob("*.safetensors"))
        return [*base, self.job.base / TOKENIZER, *found]

    @cached_property
    def hashes(self) -> list[str]:
        """Their hashes."""
        return [sha256(path) for path in self.inputs]

    def predict_task(self, task: str) -> bool:
        """Write a task's predictions unless they are there; returns whether it decoded."""
        test = self.job.layout.data(task) / "test.jsonl"
        project, model = self.job.project, self.job.model
        inputs = slices.input_hash(project, model, task, self.hashes, sha256(test))
        cell = self.job.layout.cell(model, task, self.method, self.job.seed)
        if _up_to_date(cell, inputs):
            return False
        path = cell / PREDICTIONS_MANIFEST
        settings = {"model": model, "method": self.method, "task": task}
        files = [*self.inputs, test]
        with artefact(path, "predict", settings, seed=self.job.seed, inputs=files) as notes:
            notes |= {"input_hash": inputs, **self._decode(task, test, cell / PREDICTIONS)}
        return True

    def _decode(self, task: str, test: Path, to: Path) -> dict[str, Any]:
        schema, builder = self.job.project.tasks[task], self.job.builder
        examples = read_examples(test, schema)
        prompts = [builder.prompt(schema, example) for example in examples]
        generation = self.job.project.config.generation
        responses = generate_ids(
            self.model,
            [prompt.ids for prompt in prompts],
            pad_id=builder.pad,
            eos_ids=builder.ends,
            max_new_tokens=generation.max_new_tokens,
            batch_size=generation.batch_size,
        )
        texts = [builder.decode(ids[0]) for ids in responses]
        write_jsonl(to, [_row(schema, e, t) for e, t in zip(examples, texts, strict=True)])
        return {
            "prompts_cut": sum(prompt.cut for prompt in prompts),
            "responses_cut": sum(ids[0][-1] not in builder.ends for ids in responses),
            "tokens": sum(len(ids[0]) for ids in responses),
            "sha256": sha256(to),
        }


def _row(schema: Any, example: dict[str, Any], response: str) -> dict[str, Any]:
    label = parse_response(schema, response).label
    return {
        "id": example["id"],
        "prompt": question_text(schema, example),
        "response": response,
        "prediction": label,
        "label": example["label"],
        "parsed": label is not None,
    }


def _up_to_date(cell: Path, inputs: str) -> bool:
    """Whether the predictions come from the same inputs; if so, they are marked as current."""
    predictions, manifest = cell / PREDICTIONS, cell / PREDICTIONS_MANIFEST
    if not (predictions.exists() and manifest.exists()):
        return False
    noted = read_json(manifest)
    if noted.get("input_hash") != inputs or noted.get("sha256") != sha256(predictions):
        return False
    _freshen(predictions, manifest)
    return True


def _freshen(*paths: Path) -> None:
    """Renew modification times: an input was rebuilt with the same content."""
    for path in paths:
        os.utime(path)


def predict(job: Job, method: str) -> None:
    """Predict every evaluated task of the job's unit."""
    predictor = Predictor(job, method)
    for task in job.project.eval_tasks(job.unit):
        done = predictor.predict_task(task)
        print(f"{task}: {'predicted' if done else 'unchanged'}", flush=True)
