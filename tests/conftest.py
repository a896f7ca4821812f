"""Shared fixtures: one tiny run per session, each built on the one before, only when asked for.

Tests that change files take a copy (`TinyRun.copy`).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_project import MODELS, TinyRun, make_run, prepare, write_samples

from rllr import stages
from rllr.config.load import Project, load


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that two workers end at about the same time."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)


@pytest.fixture(scope="session")
def preset() -> Project:
    """The default run with its eight tasks, five models and all methods; nothing is built."""
    return load({"extends": "tiny"})


@pytest.fixture
def run(tmp_path: Path) -> TinyRun:
    """A fresh tiny project without results."""
    return make_run(tmp_path / "project")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """Data, rationales and label-sensitive pairs of two tasks."""
    made = make_run(tmp_path_factory.mktemp("unit"))
    prepare(made)
    return made


@pytest.fixture(scope="session")
def based(prepared: TinyRun) -> TinyRun:
    """`prepared` with the Llama base model."""
    stages.base(prepared.project, prepared.project.config.models[0])
    return prepared


@pytest.fixture(scope="session")
def five(based: TinyRun) -> TinyRun:
    """`based` with all five base models."""
    run = based.but(models=list(MODELS))
    for model in MODELS[1:]:
        stages.base(run.project, model)
    return run


@pytest.fixture(scope="session")
def tuned(based: TinyRun) -> TinyRun:
    """`based` with SFT (all parameters) of seed 0."""
    stages.sft(based.job(), "sft")
    return based


@pytest.fixture(scope="session")
def rewarded(tuned: TinyRun) -> TinyRun:
    """`tuned` with judged pairs and both reward models of seed 0."""
    job = tuned.job()
    write_samples(job)
    stages.judge(job, "sft")
    for name in tuned.project.config.reward_models:
        stages.reward(job, name)
    return tuned
