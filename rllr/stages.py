"""The stages that rules call: each runs one function and ends with a manifest.

Heavy imports happen inside, so that a stage loads what it uses and nothing more.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllr import interruption, slices
from rllr.artefact import artefact, training_code
from rllr.attempts import time_spent
from rllr.config.load import Project
from rllr.config.schema import LABEL_SENSITIVE, RATIONALE_SENSITIVE
from rllr.files import digest, sha256
from rllr.heartbeat import sole_writer
from rllr.job import Job, gold_pairs
from rllr.layout import CHECKPOINTS, MANIFEST, SAMPLES, Layout, clear_weights

if TYPE_CHECKING:
    from rllr.training.world import World

    # Takes the run's identity and its processes; returns the summary, or {} in all but the first.
    Train = Callable[[str, World], dict[str, Any]]


def data(project: Project, task: str) -> None:
    """Make one task's splits; a second process for the same task waits for the first."""
    from rllr.data.prepare import check_source, prepare
    from rllr.data.sources import source_files

    check_source(project, task)
    folder = Layout(project).data(task)
    seed = project.data(task).seed
    inputs = source_files(project, task)
    settings = slices.data(project, task)
    with (
        sole_writer(folder),
        artefact(folder / MANIFEST, "data", settings, seed=seed, inputs=inputs) as notes,
    ):
        notes.update(prepare(project, task, folder))


def rationales(project: Project, task: str) -> None:
    """Write one task's rationales."""
    from rllr.teacher.rationales import WITH_WRONG, write_rationales

    layout = Layout(project)
    source, folder = layout.data(task), layout.rationales(task)
    inputs = [source / f"{split}.jsonl" for split in WITH_WRONG]
    seed, settings = project.config.teacher.seed, slices.rationales(project, task)
    with (  # a language model may write for hours
        sole_writer(folder),
        artefact(folder / MANIFEST, "rationales", settings, seed=seed, inputs=inputs) as notes,
    ):
        notes.update(write_rationales(project, task, source, folder))


def label_pairs(project: Project, task: str) -> None:
    """Make one task's label-sensitive pairs."""
    from rllr.data.pairs import PAIR_SPLITS, write_label_pairs
    from rllr.data.released import released_files

    layout = Layout(project)
    source, written, folder = layout.data(task), layout.rationales(task), layout.label_pairs(task)
    inputs = [root / f"{s}.jsonl" for root in (source, written) for s in PAIR_SPLITS.values()]
    inputs += released_files(project, task, source, LABEL_SENSITIVE)
    with artefact(
        folder / MANIFEST, "label_pairs", slices.label_pairs(project, task), seed=0, inputs=inputs
    ) as notes:
        notes.update(write_label_pairs(project, task, source, written, folder))


def baseline(project: Project, task: str) -> None:
    """Score the trivial predictor of one task."""
    from rllr.evaluation.score import write_baseline

    write_baseline(project, task)


def base(project: Project, model: str) -> None:
    """Build one base model, or fetch it."""
    from rllr.models.base import check_source, make_base

    check_source(project, model)
    folder = Layout(project).base(model)
    inputs = _start_base(project, model)
    with artefact(
        folder / MANIFEST, "base", slices.base(project, model), seed=0, inputs=inputs
    ) as notes:
        notes.update(make_base(project, model))


def _start_base(project: Project, model: str) -> list[Path]:
    """Prepare the process for a tiny model's pretraining; the run's files that it reads.

    Fetching needs the network and no GPU.
    """
    config = project.models[model]
    if config.source.kind == "hub":
        return []
    _start(project, config.device)
    from rllr.models.tiny import TRAINING_SPLITS

    layout, tasks = Layout(project), project.train_tasks
    inputs = [layout.data(task) / f"{split}.jsonl" for task in tasks for split in TRAINING_SPLITS]
    return inputs + [layout.rationales(task) / "sft.jsonl" for task in tasks]


def sft(job: Job, method: str) -> None:
    """Train one supervised stage; a killed run goes on where it was."""
    folders = [job.base, *job.data.values()]
    if job.project.methods[method].response == "rationale":
        folders += job.rationales.values()

    def train(identity: str, world: World) -> dict[str, Any]:
        from rllr.training.sft import train_sft

        return train_sft(job, method, identity, world)

    settings = slices.sft(job.project, job.model, method, job.unit)
    _train(job, "sft", method, settings, map(_manifest, folders), train)


def sample(job: Job, start: str) -> None:
    """Sample responses for the judge."""
    _start(job.project, job.config.device, inference=True)
    from rllr.evaluation.sample import sample_responses

    settings = slices.sample(job.project, job.model, job.unit)
    inputs = [_manifest(job.trained(start))]
    folder = job.samples(start)
    with artefact(folder / MANIFEST, "sample", settings, seed=job.seed, inputs=inputs) as notes:
        notes.update(sample_responses(job, start))
        notes.update(time_spent(folder))


def judge(job: Job, start: str) -> None:
    """Rank sampled responses into rationale-sensitive pairs."""
    from rllr.data.pairs import write_rationale_pairs
    from rllr.data.released import released_files
    from rllr.teacher.choose import make_judges

    settings = slices.judge(job.project, job.unit)
    inputs = [job.samples(start) / SAMPLES]
    for task, data in job.data.items():
        inputs += released_files(job.project, task, data, RATIONALE_SENSITIVE)
    judges = make_judges(job.project, job.data)
    folder = job.rationale_pairs(start)
    with (
        sole_writer(folder),
        artefact(folder / MANIFEST, "judge", settings, seed=job.seed, inputs=inputs) as notes,
    ):
        notes.update(write_rationale_pairs(job.project, judges, inputs[0], folder, job.seed))


def reward(job: Job, name: str) -> None:
    """Train one reward model and score sampled responses; a killed run goes on where it was."""
    start = job.project.config.reward_models[name].start
    pairs = [folder for group in job.pair_folders(start).values() for folder in group]

    def train(identity: str, world: World) -> dict[str, Any]:
        from rllr.training.reward import train_reward

        return train_reward(job, name, identity, world)

    settings = slices.reward(job.project, job.model, name, job.unit)
    inputs = [*map(_manifest, [job.trained(start), *pairs]), job.samples(start) / SAMPLES]
    _train(job, "reward", name, settings, inputs, train)


def policy(job: Job, method: str) -> None:
    """Train one method on its rewards; a killed run goes on where it was."""
    declared = job.project.methods[method]
    stages = [job.trained(stage) for stage in (declared.start, *declared.reward_models)]

    def train(identity: str, world: World) -> dict[str, Any]:
        from rllr.training.policy import train_policy

        return train_policy(job, method, identity, world)

    settings = slices.policy(job.project, job.model, method, job.unit)
    folders = [*stages, *job.data.values(), *gold_pairs(job, method)]
    _train(job, "policy", method, settings, map(_manifest, folders), train)


def _train(
    job: Job, stage: str, name: str, settings: Any, files: Iterable[Path], train: Train
) -> None:
    """Train into the folder of `name` from other stages' `files`, in the model's processes.

    The first process writes; checkpoints stay until the stage is done. Raises
    InterruptedStageError where it was asked to stop, as RllrError without a manifest.
    """
    from rllr.training.processes import is_launched, launch

    interruption.watch()
    if job.config.gpus > 1 and not is_launched():
        launch(job, stage, name)
        return
    _start(job.project, job.config.device)
    from rllr.training.world import join_world

    world = join_world(job.config.gpus)
    inputs = list(files)
    hashes = [sha256(path) for path in inputs]
    identity = digest([settings, job.seed, hashes, training_code(), world.size])
    if world.rank:
        train(identity, world)
        return
    folder = job.trained(name)
    clear_weights(folder)
    with artefact(folder / MANIFEST, stage, settings, seed=job.seed, inputs=inputs) as notes:
        notes.update(train(identity, world))
        notes.update(time_spent(folder))
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def predict(job: Job, method: str) -> None:
    """Predict the test splits."""
    from rllr.evaluation.predict import predict as run

    run(job, method)


def score(job: Job, method: str) -> None:
    """Score predictions."""
    from rllr.evaluation.score import score as run

    run(job, method)


def judge_test(job: Job) -> None:
    """Compare the methods' rationales on test examples."""
    from rllr.teacher.choose import make_judges
    from rllr.teacher.compared import (
        compared_files,
        compared_tasks,
        require_pairs,
        write_comparisons,
    )

    require_pairs(job.project)
    settings = slices.judge_test(job.project, job.unit)
    inputs = compared_files(job)
    tasks = compared_tasks(job.project, job.unit)
    judges = make_judges(job.project, {task: job.layout.data(task) for task in tasks})
    folder = job.judged
    with (
        sole_writer(folder),
        artefact(folder / MANIFEST, "judge_test", settings, seed=job.seed, inputs=inputs) as notes,
    ):
        notes.update(write_comparisons(job, judges, folder))


def attempts_folder(job: Job, kind: str, name: str) -> Path | None:
    """Where attempts at a compute stage are recorded; None for a stage that takes seconds."""
    if kind in ("sft", "reward", "policy"):
        return job.trained(name)
    if kind == "sample":
        return job.samples(name)
    return job.predicting(name) if kind == "predict" else None


def settings_of(job: Job, kind: str, name: str) -> Any:
    """The settings that a supervised stage's manifest records; None where it writes none."""
    project, model, unit = job.project, job.model, job.unit
    if kind == "sample":
        return slices.sample(project, model, unit)
    by_name = {"sft": slices.sft, "reward": slices.reward, "policy": slices.policy}
    return by_name[kind](project, model, name, unit) if kind in by_name else None


def _manifest(folder: Path) -> Path:
    return folder / MANIFEST


def _start(project: Project, device: str, *, inference: bool = False) -> None:
    from rllr.models.load import prepare_process, require_device

    threads = project.config.threads
    prepare_process(threads.inference if inference else threads.training)
    require_device(device)
