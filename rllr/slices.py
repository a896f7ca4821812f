"""The part of the configuration that each stage depends on.

The workflow passes a slice's hash as a rule parameter: editing one setting reruns the stages that
read it, and no others. Manifests record the slice itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rllr.config.asking import JudgeConfig, TeacherConfig
from rllr.config.load import Project
from rllr.config.schema import ScoreLabels
from rllr.files import digest
from rllr.layout import base_slice, data_slice, related_tasks, teacher_slice
from rllr.paper import is_papers
from rllr.teacher.compared import compared_tasks, method_pairs

Slice = dict[str, Any]
TEXT = {"instruction", "input", "labels"}
# What no result shows: how often a killed run could be gone on with.
UNSEEN = {"checkpoint_every"}


def data(project: Project, task: str) -> Slice:
    """The data stage of a task."""
    return {
        **data_slice(project, task),
        "related": [[name, data_slice(project, name)] for name in related_tasks(project, task)],
    }


def rationales(project: Project, task: str) -> Slice:
    """The teacher stage of a task."""
    wrong = project.config.pairs.wrong_labels
    return {
        **teacher_slice(project),
        "wrong_labels": wrong,
        "task": _task(project, task, _shown(project.config.teacher)),
    }


def label_pairs(project: Project, task: str) -> Slice:
    """Label-sensitive pairs of a task."""
    return {"task": _task(project, task, {"labels"})}


def base(project: Project, model: str) -> Slice:
    """A base model."""
    return base_slice(project, model)


def sft(project: Project, model: str, method: str, unit: str) -> Slice:
    """A supervised stage."""
    response = project.methods[method].response
    return {
        **_model(project, model, project.unit_tasks(unit)),
        "settings": project.sft(model, method).model_dump(exclude=UNSEEN),
        "response": response,
        "threads": project.config.threads.training,
    }


def sample(project: Project, model: str, unit: str) -> Slice:
    """Sampling of responses for the judge."""
    keys = {"prompts", "heldout_prompts", "samples_per_prompt", "temperature"}
    return {
        **_model(project, model, project.unit_tasks(unit)),
        "pairs": project.config.pairs.model_dump(include=keys),
        # Sampled tokens depend on which prompts share a batch; greedy ones do not.
        "batch_size": project.config.pairs.batch_size or project.config.generation.batch_size,
        "threads": project.config.threads.inference,
    }


def judge(project: Project, unit: str) -> Slice:
    """Judging of sampled responses."""
    return {
        **_judge(project, project.unit_tasks(unit)),
        "pairs_per_prompt": project.config.pairs.pairs_per_prompt,
    }


def judge_test(project: Project, unit: str) -> Slice:
    """Comparison of methods' test responses."""
    judge = project.config.judge
    found = _judge(project, compared_tasks(project, unit))
    found["judge"].pop("both_ways", None)  # every comparison is made in both orders here
    drawn = {"test_prompts": judge.test_prompts, "seed": judge.seed}
    return {**found, **drawn, "comparisons": method_pairs(project)}


def _judge(project: Project, tasks: Iterable[str]) -> Slice:
    """Who judges, and what of the tasks is seen."""
    judge = project.config.judge
    return {
        "judge": judge.seen() if judge.asks else {"backend": judge.backend},
        "prompt": project.prompts.get(judge.prompt) if judge.asks else None,
        "tasks": {task: _task(project, task, _shown(judge)) for task in tasks},
    }


def reward(project: Project, model: str, name: str, unit: str) -> Slice:
    """A reward model."""
    return {
        **_model(project, model, project.unit_tasks(unit)),
        "settings": project.reward(model, name).model_dump(exclude=UNSEEN),
        "reward_model": project.config.reward_models[name].model_dump(),
        "threads": project.config.threads.training,
    }


def policy(project: Project, model: str, method: str, unit: str) -> Slice:
    """A method that trains on rewards."""
    settings = project.rl(model, method)
    return {
        **_model(project, model, project.unit_tasks(unit)),
        "settings": settings.model_dump(exclude=UNSEEN),
        "method": project.methods[method].model_dump(exclude={"name"}),
        "threads": project.config.threads.training,
    }


def predict(project: Project, model: str, tasks: Iterable[str]) -> Slice:
    """Prediction with a trained model."""
    return {**_model(project, model, tasks), "threads": project.config.threads.inference}


def input_hash(project: Project, model: str, task: str, weights: Sequence[str], test: str) -> str:
    """Hash of all that a cell's predictions depend on, from the hashes of files.

    `weights` are those of the base model, its tokenizer and the adapters, `test` the test split's.
    """
    prompt = [segment.model_dump() for segment in project.models[model].prompt]
    generation = project.config.generation.model_dump(exclude={"batch_size"})
    made = digest([weights, prompt, generation, project.models[model].precision])
    return digest([made, test, project.tasks[task].model_dump()])


def score(project: Project, tasks: Iterable[str]) -> Slice:
    """Scoring of predictions."""
    return {"tasks": {task: _task(project, task, {"labels", "metric", "f1_of"}) for task in tasks}}


def grid(project: Project) -> Slice:
    """What tables, figures and report are laid out by."""
    config = project.config
    groups: dict[str, Any] = {"models": project.models, "tasks": project.tasks}
    named: dict[str, list[dict[str, Any]]] = {
        kind: [{"key": key, "name": groups[kind][key].name} for key in getattr(config, kind)]
        for kind in groups
    }
    named["context_tasks"] = [
        {"key": key, "name": project.tasks[key].name} for key in config.context_tasks
    ]
    for row in named["models"]:
        row.update(project.models[row["key"]].model_dump(include={"family", "size"}))
    for row in [*named["tasks"], *named["context_tasks"]]:
        task = project.tasks[row["key"]]
        row["metric"] = task.metric
        if isinstance(task.labels, ScoreLabels):
            row["score_range"] = [task.labels.minimum, task.labels.maximum]
    methods = {
        kind: [{"key": key, "name": project.methods[key].name} for key in getattr(config, kind)]
        for kind in ("methods", "context_methods")
    }
    facts: Slice = {"run": config.run, "seeds": config.seeds, "scope": config.scope}
    generated = any(project.data(task).source == "generated" for task in project.data_tasks)
    origins = {"teacher": _who(config.teacher), "judge": _who(config.judge)}
    facts |= {"generated": generated, "paper": is_papers(project)}
    facts["comparisons"] = method_pairs(project)
    return {**facts, **named, **methods, "origins": {"data": _sources(project), **origins}}


def _sources(project: Project) -> str:
    """`local: mr, mnli; hub: sst2`."""
    found: dict[str, list[str]] = {}
    for task in project.data_tasks:
        found.setdefault(project.data(task).source, []).append(task)
    return "; ".join(f"{source}: {', '.join(tasks)}" for source, tasks in found.items())


def _who(asked: TeacherConfig | JudgeConfig) -> str:
    return f"{asked.backend}, {asked.model}" if asked.asks else asked.backend


def _shown(asked: TeacherConfig | JudgeConfig) -> set[str]:
    """What of a task a teacher or a judge sees: a language model its instruction too."""
    return TEXT if asked.asks else {"input", "labels"}


def _task(project: Project, task: str, keys: set[str]) -> Slice:
    return project.tasks[task].model_dump(include=keys)


def _model(project: Project, model: str, tasks: Iterable[str]) -> Slice:
    """What prompts and adapters of a model are made from."""
    return {
        "prompt": [
            segment.model_dump(exclude_none=True) for segment in project.models[model].prompt
        ],
        "lora_targets": project.models[model].lora_targets,
        "precision": project.models[model].precision,
        "generation": project.config.generation.model_dump(exclude={"batch_size"}),
        # Pairs, not a mapping: their order is the order of the rows.
        "tasks": [[task, _task(project, task, TEXT)] for task in tasks],
    }
