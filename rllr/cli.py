"""The command line: `python -m rllr STAGE …`. Thin: it parses, loads the config and calls.

Exit status: 0 done, 2 a mistake that the user can mend (one message on stderr), 75 a stage that
was asked to stop, saved its state and goes on when it is run again, 130 interrupted by Ctrl-C, 1
anything else; of `status` 1 that a run is not done, 3 that something in it has failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllr import __version__, interruption
from rllr.commands import add_commands, add_show, add_status
from rllr.errors import NodeError, RllrError
from rllr.interruption import InterruptedStageError
from rllr.plain import plain
from rllr.result_commands import add_result_commands

if TYPE_CHECKING:
    from rllr.config.load import Project
    from rllr.job import Job

Command = Callable[..., int | None]

TASK_STAGES = {
    "data": "make one task's splits",
    "rationales": "write one task's rationales",
    "label-pairs": "make one task's label-sensitive pairs",
    "baseline": "score one task's trivial predictor",
}
# Stage: what its --stage names, and what it does.
MODEL_STAGES = {
    "sft": ("method", "train one supervised stage"),
    "sample": ("method", "sample responses of a trained model for the judge"),
    "judge": ("method", "rank sampled responses into rationale-sensitive pairs"),
    "reward": ("reward model", "train one reward model"),
    "policy": ("method", "train one method on its rewards"),
    "predict": ("method", "decode the test splits with one trained model"),
    "score": ("method", "score one trained model's predictions"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return _status(lambda: options.run(options))


def _status(work: Command) -> int:
    """Run `work`; its exit status, with one message where the user is meant to read one."""
    try:
        return work() or 0
    except RllrError as error:
        print(f"error: {plain(str(error))}", file=sys.stderr, flush=True)
        _say_end(f"{'node' if isinstance(error, NodeError) else 'mistake'}: {error}")
        return 2
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept", file=sys.stderr, flush=True)
        return 130
    except InterruptedStageError as error:
        print(error, file=sys.stderr, flush=True)
        _say_end(error.reason)
        return interruption.EXIT_STATUS


def _say_end(cause: str) -> None:
    """Leave word for the record of attempts, where there is one."""
    if "RLLR_END_FILE" in os.environ:
        from rllr.attempts import say_end

        say_end(cause)


def _supervised(folder: Path, work: Command, settings: Any) -> int:
    from rllr.attempts import supervise

    return supervise(folder, lambda: _status(work), settings)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="rllr",
        description="Benchmark of label-sensitive rewards: the stages that the workflow runs, "
        "and tools for finished runs.",
        epilog="Whole runs: `snakemake -c2`, or one result by naming its file.",
    )
    parser.add_argument("--version", action="version", version=f"rllr {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, text in TASK_STAGES.items():
        stage = _stage_parser(commands, name, text)
        stage.add_argument("--task", required=True)
        stage.set_defaults(run=_run_task_stage, stage_name=name.replace("-", "_"))
    base = _stage_parser(commands, "base", "build one base model")
    base.add_argument("--model", required=True)
    base.set_defaults(run=_run_base)
    for name, (what, text) in MODEL_STAGES.items():
        stage = _stage_parser(commands, name, text)
        _add_job(stage, what)
        stage.set_defaults(run=_run_model_stage, stage_name=name)
    text = "compare the methods' rationales on test examples under the judge"
    judge_test = _stage_parser(commands, "judge-test", text)
    _add_place(judge_test)
    judge_test.set_defaults(run=_run_judge_test)
    _add_tools(commands)
    return parser


def _stage_parser(
    commands: argparse._SubParsersAction, name: str, text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--config", type=Path, required=True, help="configuration of the run")
    return parser


def _add_job(stage: argparse.ArgumentParser, what: str) -> None:
    stage.add_argument("--stage", required=True, help=f"the {what}")
    _add_place(stage)


def _add_place(stage: argparse.ArgumentParser) -> None:
    stage.add_argument("--model", required=True)
    stage.add_argument("--unit", required=True, help="`mixture`, or the task trained on")
    stage.add_argument("--seed", type=int, required=True)


def _add_tools(commands: argparse._SubParsersAction) -> None:
    add_show(commands)
    add_status(commands)
    add_result_commands(commands, _project)
    check = _stage_parser(commands, "check", "validate a configuration file")
    check.set_defaults(run=_check)
    add_commands(partial(_stage_parser, commands), _project)
    plan = _stage_parser(commands, "plan", "estimate a run's jobs, GPU memory, disk and GPU hours")
    plan.add_argument("--formulas", action="store_true", help="show how each number is made")
    plan.set_defaults(run=_plan)
    prune = _stage_parser(
        commands, "prune", "delete checkpoints and finished weights; what needs them again retrains"
    )
    prune.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    prune.set_defaults(run=_prune)
    export = _stage_parser(
        commands, "export", "write a trained model as a folder that transformers and PEFT load"
    )
    _add_job(export, "method")
    export.add_argument("--to", type=Path, required=True, help="a new folder")
    export.add_argument(
        "--adapter-only", action="store_true", help="the adapter, and the merged model it needs"
    )
    export.set_defaults(run=_export, stage_name="export")
    schema = commands.add_parser("schema", help="write the JSON schemas of the configuration")
    schema.add_argument("--to", type=Path, default=Path("config/schema"))
    schema.set_defaults(run=_schema)


def _project(options: argparse.Namespace) -> Project:
    """A resolved configuration (JSON, written by the workflow) or a user's YAML file."""
    from rllr.config.load import Project, load_file
    from rllr.files import read_json

    path: Path = options.config
    return Project.parse(read_json(path)) if path.suffix == ".json" else load_file(path)


def _run_task_stage(options: argparse.Namespace) -> None:
    from rllr import stages

    project = _project(options)
    _check_name("task", options.task, project.tasks)
    getattr(stages, options.stage_name)(project, options.task)


def _run_base(options: argparse.Namespace) -> int:
    from rllr import slices, stages
    from rllr.layout import Layout
    from rllr.models.base import check_source

    project = _project(options)
    _check_name("model", options.model, project.models)
    check_source(project, options.model)
    folder = Layout(project).base(options.model)
    run = partial(stages.base, project, options.model)
    return _supervised(folder, run, slices.base(project, options.model))


def _run_model_stage(options: argparse.Namespace) -> int:
    from rllr import stages

    job = _job(options)
    run = partial(getattr(stages, options.stage_name), job, options.stage)
    folder = stages.attempts_folder(job, options.stage_name, options.stage)
    if folder is None:
        return _status(run)
    return _supervised(folder, run, stages.settings_of(job, options.stage_name, options.stage))


def _run_judge_test(options: argparse.Namespace) -> None:
    from rllr import stages

    stages.judge_test(_place(options))


def _job(options: argparse.Namespace) -> Job:
    """The job that a command names; every part of it is part of the run."""
    job = _place(options)
    _check_name("stage", options.stage, _trainable(job.project, options.stage_name))
    return job


def _place(options: argparse.Namespace) -> Job:
    """A model, unit and seed of the run."""
    from rllr.config.schema import MIXTURE
    from rllr.job import Job

    project = _project(options)
    _check_name("model", options.model, project.models)
    _check_name("unit", options.unit, [MIXTURE, *project.tasks])
    return Job(project, options.model, options.unit, options.seed)


def _trainable(project: Project, stage: str) -> list[str]:
    """What `--stage` may name: reward models, methods of one algorithm, or any method."""
    if stage == "reward":
        return list(project.config.reward_models)
    methods = project.methods.items()
    if stage == "policy":
        return [name for name, method in methods if method.is_rl]
    return [name for name, method in methods if stage != "sft" or method.algorithm == "sft"]


def _check_name(option: str, name: str, known: Iterable[str]) -> None:
    from rllr.config.messages import nearest

    names = sorted(known)
    if name not in names:
        raise RllrError(f"--{option}: {name!r} is not part of this run{nearest(name, names)}")


def _check(options: argparse.Namespace) -> None:
    from rllr.data.local import faults
    from rllr.teacher.prompts import check_prompts
    from rllr.teacher.ready import asked

    project = _project(options)
    check_prompts(project)
    config = project.config
    cells = len(config.models) * len(project.test_tasks) * len(config.methods) * len(config.seeds)
    found = [text for _, text in faults(project)]
    if found:
        others = f" (the data of {len(found) - 1} more tasks are wrong too)" if found[1:] else ""
        raise RllrError(found[0] + others)
    print(f"{options.config}: fine; run {config.run!r} has {cells} cells")
    for who, fault, _ in asked(project, online=False):
        if fault:
            print(f"{who} cannot be asked from here: {fault}")


def _plan(options: argparse.Namespace) -> None:
    from rllr.plan import describe

    print(describe(_project(options), formulas=options.formulas))


def _prune(options: argparse.Namespace) -> None:
    from rllr.prune import prune

    print(prune(_project(options), dry_run=options.dry_run))


def _export(options: argparse.Namespace) -> None:
    from rllr.models.export import export

    export(_job(options), options.stage, options.to, adapter_only=options.adapter_only)
    print(options.to)


def _schema(options: argparse.Namespace) -> None:
    from rllr.config.json_schema import write_schemas

    for path in write_schemas(options.to):
        print(path)
