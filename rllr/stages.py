"""The stages that rules call: each runs one function and ends with a manifest.

Heavy imports happen inside, so that a stage loads what it uses and nothing more.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rllr import slices
from rllr.artefact import artefact, training_code
from rllr.config.load import Project
from rllr.files import digest, sha256
from rllr.job import Job, gold_pairs
from rllr.layout import CHECKPOINTS, MANIFEST, SAMPLES, Layout, clear_weights


def data(project: Project, task: str) -> None:
    """Make one task's splits."""
    from rllr.data.prepare import check_source, prepare, source_files

    check_source(project, task)
    folder = Layout(project).data(task)
    seed = project.config.data.seed
    inputs = source_files(project, task)
    with artefact(
        folder / MANIFEST, "data", slices.data(project, task), seed=seed, inputs=inputs
    ) as notes:
        notes.update(prepare(project, task, folder))


def rationales(project: Project, task: str) -> None:
    """Write one task's rationales."""
    from rllr.teacher.rationales import WITH_WRONG, write_rationales

    layout = Layout(project)
    source, folder = layout.data(task), layout.rationales(task)
    inputs = [source / f"{split}.jsonl" for split in WITH_WRONG]
    seed = project.config.teacher.seed
    with artefact(
        folder / MANIFEST, "rationales", slices.rationales(project, task), seed=seed, inputs=inputs
    ) as notes:
        notes.update(write_rationales(project, task, source, folder))


def label_pairs(project: Project, task: str) -> None:
    """Make one task's label-sensitive pairs."""
    from rllr.data.pairs import PAIR_SPLITS, write_label_pairs

    layout = Layout(project)
    source, written, folder = layout.data(task), layout.rationales(task), layout.label_pairs(task)
    inputs = [root / f"{s}.jsonl" for root in (source, written) for s in PAIR_SPLITS.values()]
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
    from rllr.models.hub import check_fetchable

    check_fetchable(project, model)
    _start(project)
    from rllr.models.tiny import TRAINING_SPLITS, build_tiny

    layout = Layout(project)
    tasks = project.train_tasks
    inputs = [layout.data(task) / f"{split}.jsonl" for task in tasks for split in TRAINING_SPLITS]
    inputs += [layout.rationales(task) / "sft.jsonl" for task in tasks]
    with artefact(
        layout.base(model) / MANIFEST, "base", slices.base(project, model), seed=0, inputs=inputs
    ) as notes:
        notes.update(build_tiny(project, model))


def sft(job: Job, method: str) -> None:
    """Train one supervised stage."""
    _start(job.project)
    from rllr.training.sft import train_sft

    clear_weights(job.trained(method))
    settings = slices.sft(job.project, job.model, method, job.unit)
    folders = [job.base, *job.data.values()]
    if job.project.methods[method].response == "rationale":
        folders += job.rationales.values()
    inputs = [_manifest(folder) for folder in folders]
    with artefact(
        job.trained(method) / MANIFEST, "sft", settings, seed=job.seed, inputs=inputs
    ) as notes:
        notes.update(train_sft(job, method))


def sample(job: Job, start: str) -> None:
    """Sample responses for the judge."""
    _start(job.project, inference=True)
    from rllr.evaluation.sample import sample_responses

    settings = slices.sample(job.project, job.model, job.unit)
    inputs = [_manifest(job.trained(start))]
    with artefact(
        job.samples(start) / MANIFEST, "sample", settings, seed=job.seed, inputs=inputs
    ) as notes:
        notes.update(sample_responses(job, start))


def judge(job: Job, start: str) -> None:
    """Rank sampled responses into rationale-sensitive pairs."""
    from rllr.data.pairs import write_rationale_pairs
    from rllr.teacher.judge import RuleJudge

    settings = slices.judge(job.project, job.unit)
    samples = job.samples(start) / SAMPLES
    judges = {
        task: RuleJudge.from_training_data(job.project.tasks[task], data).score
        for task, data in job.data.items()
    }
    folder = job.rationale_pairs(start)
    with artefact(folder / MANIFEST, "judge", settings, seed=job.seed, inputs=[samples]) as notes:
        notes.update(write_rationale_pairs(job.project, judges, samples, folder, job.seed))


def reward(job: Job, name: str) -> None:
    """Train one reward model."""
    _start(job.project)
    from rllr.training.reward import train_reward

    clear_weights(job.trained(name))
    settings = slices.reward(job.project, job.model, name, job.unit)
    start = job.project.config.reward_models[name].start
    pairs = [folder for group in job.pair_folders(start).values() for folder in group]
    inputs = [_manifest(folder) for folder in [job.trained(start), *pairs]]
    with artefact(
        job.trained(name) / MANIFEST, "reward", settings, seed=job.seed, inputs=inputs
    ) as notes:
        notes.update(train_reward(job, name))


def policy(job: Job, method: str) -> None:
    """Train one method on its rewards; a killed run goes on where it was."""
    _start(job.project)
    from rllr.training.policy import help_train, train_policy
    from rllr.training.ppo.world import is_first, spread

    processes = getattr(job.project.rl(job.model, method), "processes", 1)
    spread(processes)
    folder = job.trained(method)
    settings = slices.policy(job.project, job.model, method, job.unit)
    declared = job.project.methods[method]
    stages = [declared.start, *declared.reward_models]
    inputs = [_manifest(job.trained(stage)) for stage in stages]
    inputs += [_manifest(path) for path in [*job.data.values(), *gold_pairs(job, method)]]
    identity = digest([settings, job.seed, [sha256(path) for path in inputs], training_code()])
    if not is_first(processes):
        help_train(job, method, identity)
        return
    clear_weights(folder)
    with artefact(folder / MANIFEST, "policy", settings, seed=job.seed, inputs=inputs) as notes:
        notes.update(train_policy(job, method, identity))
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def predict(job: Job, method: str) -> None:
    """Predict the test splits."""
    from rllr.evaluation.predict import predict as run

    run(job, method)


def score(job: Job, method: str) -> None:
    """Score predictions."""
    from rllr.evaluation.score import score as run

    run(job, method)


def attempts_folder(job: Job, kind: str, name: str) -> Path | None:
    """Where attempts at a compute stage are recorded; None for a stage that takes seconds."""
    if kind in ("sft", "reward", "policy"):
        return job.trained(name)
    if kind == "sample":
        return job.samples(name)
    return job.predicting(name) if kind == "predict" else None


def _manifest(folder: Path) -> Path:
    return folder / MANIFEST


def _start(project: Project, *, inference: bool = False) -> None:
    from rllr.models.load import prepare_process

    threads = project.config.threads
    prepare_process(threads.inference if inference else threads.training)
