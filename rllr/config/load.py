"""From YAML files to a validated `Project`; each mistake is one message naming key and value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rllr.config.data import Data, GeneratedData, HubData, ReleaseData, kept
from rllr.config.messages import S, nearest, validate
from rllr.config.schema import (
    MIXTURE,
    SPLITS,
    EpochSettings,
    GroupSettings,
    MethodConfig,
    ModelConfig,
    PretrainSettings,
    RewardSettings,
    RlSettings,
    RunConfig,
    SftSettings,
    Strict,
    TaskConfig,
    TinySource,
)
from rllr.errors import RllrError
from rllr.files import digest
from rllr.tasks.labels import legal_label

# What rllr.data.generated has grammars for; a test keeps the two equal.
GENERATED_TASKS = ("mr", "appreviews", "sst2", "mrpc", "qqp", "stsb", "mnli", "agnews")
CONFIG_DIR = Path(__file__).resolve().parents[2] / "config"
BASELINE = "_baseline"
PAPER_REWARD_MODELS = {"rlhf_rm", "rllr_rm"}


@dataclass(frozen=True)
class Project:
    """A run's configuration with every model, task and method that it names."""

    config: RunConfig
    models: dict[str, ModelConfig]
    tasks: dict[str, TaskConfig]
    methods: dict[str, MethodConfig]
    prompts: dict[str, str] = field(default_factory=dict)
    folders: tuple[Path, ...] = field(default=(CONFIG_DIR,), compare=False)

    @property
    def train_tasks(self) -> list[str]:
        """The tasks that a mixture (and a tiny base model's corpus) holds."""
        return self.config.train_tasks or self.config.tasks

    @property
    def data_tasks(self) -> list[str]:
        """All tasks whose data the run needs, evaluated ones first."""
        return list(dict.fromkeys([*self.test_tasks, *self.train_tasks]))

    @property
    def test_tasks(self) -> list[str]:
        """All tasks that models are evaluated on, those shown for context last."""
        return [*self.config.tasks, *self.config.context_tasks]

    def data(self, task: str) -> Data:
        """Where a task's examples come from."""
        return self.config.task_data.get(task, self.config.data)

    def unit_tasks(self, unit: str) -> list[str]:
        """The tasks that the models of one training unit are trained on."""
        return list(self.train_tasks) if unit == MIXTURE else [unit]

    def eval_tasks(self, unit: str) -> list[str]:
        """The tasks that the models of one training unit are evaluated on."""
        return self.test_tasks if unit == MIXTURE else [unit]

    @property
    def units(self) -> list[str]:
        """Training units: the mixture, or every task by itself."""
        return [MIXTURE] if self.config.scope == MIXTURE else list(self.config.tasks)

    def settings(self, model: str, stage: str, kind: str) -> Strict:
        """Settings of one stage: the kind's, the model's for the stage, the run's, for this model.

        Later ones win.
        """
        base = getattr(self.config.training, kind)
        if base is None:
            raise RllrError(f"stage {stage!r} needs settings: training.{kind} is missing")
        merged = base.model_dump(exclude_unset=True)
        merged |= self.models[model].stages.get(stage, {})
        merged |= self.config.stages.get(stage, {})
        merged |= self.config.stages.get(f"{model}/{stage}", {})
        where = f"settings of stage {stage!r} for model {model!r}"
        return validate(type(base), merged, where)

    def sft(self, model: str, stage: str) -> SftSettings:
        """Settings of a supervised stage."""
        return self.settings(model, stage, "sft")  # type: ignore[return-value]

    def reward(self, model: str, stage: str) -> RewardSettings:
        """Settings of a reward model."""
        return self.settings(model, stage, "reward")  # type: ignore[return-value]

    def rl(self, model: str, stage: str) -> RlSettings:
        """Settings of a method that trains on rewards."""
        kind = self.methods[stage].algorithm
        return self.settings(model, stage, kind)  # type: ignore[return-value]

    def pretrain(self, model: str) -> PretrainSettings:
        """Settings of a tiny base model's pretraining."""
        return self.settings(model, "pretrain", "pretrain")  # type: ignore[return-value]

    def dump(self) -> dict[str, Any]:
        """Everything, as JSON-serialisable data that `Project.parse` reads back."""
        return {
            "config": self.config.model_dump(exclude_unset=True),
            "models": {k: v.model_dump() for k, v in self.models.items()},
            "tasks": {k: v.model_dump() for k, v in self.tasks.items()},
            "methods": {k: v.model_dump() for k, v in self.methods.items()},
            "prompts": self.prompts,
        }

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Project:
        """Read back what `dump` wrote."""
        parts = ("config", "models", "tasks", "methods")
        if not isinstance(data, dict) or not all(isinstance(data.get(p), dict) for p in parts):
            raise RllrError("not a resolved configuration; name a run's YAML file instead")
        return cls(
            config=validate(RunConfig, data["config"], "configuration"),
            models={k: validate(ModelConfig, v, k) for k, v in data["models"].items()},
            tasks={k: validate(TaskConfig, v, k) for k, v in data["tasks"].items()},
            methods={k: validate(MethodConfig, v, k) for k, v in data["methods"].items()},
            prompts=dict(data.get("prompts", {})),
        )

    @property
    def hash(self) -> str:
        """Identifies the whole configuration."""
        return digest(self.dump())[:12]


# --- reading -------------------------------------------------------------------------------------


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; RllrError names the file, and the line of a syntax error."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RllrError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RllrError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(value, dict):
        raise RllrError(f"{path}: expected a mapping of keys, found {type(value).__name__}")
    return value


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`: mappings key by key, everything else replaced.

    A mapping that names another `source` or `kind` replaces the base's, whose keys would not fit;
    of real data, what all sources have (`sizes`, `overlap`, `seed`, shares) stays.
    """
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            result[key] = merge(_below(old, value), value)
        else:
            result[key] = value
    return result


def _below(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stays of a mapping below one that may name another kind or source."""
    if "kind" in new and new["kind"] != old.get("kind"):
        return {}
    return kept(old, new)


def presets() -> list[str]:
    """Names that `extends:` accepts without a path."""
    return sorted(path.stem for path in CONFIG_DIR.glob("*.yaml"))


def resolve_extends(
    raw: Mapping[str, Any], folder: Path, seen: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Replace `extends: NAME or PATH` by the file it names, merged below `raw`."""
    data = dict(raw)
    parent = data.pop("extends", None)
    if parent is None:
        return data
    path = _preset_path(str(parent), folder)
    if path in seen:
        raise RllrError(f"extends: {path} extends itself")
    return merge(resolve_extends(read_yaml(path), path.parent, (*seen, path)), data)


def _preset_path(name: str, folder: Path) -> Path:
    if name.endswith((".yaml", ".yml")):
        return (folder / name).resolve()
    path = CONFIG_DIR / f"{name}.yaml"
    if not path.exists():
        raise RllrError(f"extends: {name!r} is no preset{nearest(name, presets())}")
    return path


def load_file(path: Path) -> Project:
    """Load and validate a configuration file."""
    return load(read_yaml(path), path.resolve().parent)


def load(raw: Mapping[str, Any], folder: Path = CONFIG_DIR) -> Project:
    """Validate a raw configuration; definitions are looked for beside it, then in `config/`.

    Raises RllrError for an unknown key, model, task, method, reward model or a bad value.
    """
    config = validate(RunConfig, resolve_extends(raw, folder), "configuration")
    folders = tuple(dict.fromkeys([folder, CONFIG_DIR]))
    tasks = dict.fromkeys([*config.tasks, *(config.train_tasks or []), *config.context_tasks])
    project = Project(
        config=config,
        models=_definitions("models", ModelConfig, config.models, folders),
        tasks=_definitions("tasks", TaskConfig, tasks, folders),
        methods=_methods(config, folders),
        prompts={name: _prompt(name, folders) for name in _prompt_names(config)},
        folders=folders,
    )
    _cross_check(project)
    return project


def _definitions(
    kind: str, schema: type[S], names: Iterable[str], folders: tuple[Path, ...]
) -> dict[str, S]:
    return {name: _definition(kind, schema, name, folders) for name in names}


def _definition(kind: str, schema: type[S], name: str, folders: tuple[Path, ...]) -> S:
    for folder in folders:
        path = folder / kind / f"{name}.yaml"
        if path.exists():
            return validate(schema, read_yaml(path), str(path))
    known = sorted({path.stem for folder in folders for path in (folder / kind).glob("*.yaml")})
    places = " and ".join(str(folder / kind) for folder in folders)
    raise RllrError(
        f"{kind}: unknown {kind[:-1]} {name!r}{nearest(name, known)}; looked in {places}"
    )


def _prompt_names(config: RunConfig) -> list[str]:
    """What the run asks language models with."""
    teacher, judge = config.teacher, config.judge
    names = [*dict.fromkeys(teacher.prompts)] if teacher.asks else []
    return [*names, judge.prompt] if judge.asks else names


def _prompt(name: str, folders: tuple[Path, ...]) -> str:
    for folder in folders:
        path = folder / "prompts" / f"{name}.txt"
        if path.exists():
            return _text(path)
    known = sorted({path.stem for folder in folders for path in (folder / "prompts").glob("*.txt")})
    places = " and ".join(str(folder / "prompts") for folder in folders)
    raise RllrError(f"prompts: there is no {name}.txt{nearest(name, known)}; looked in {places}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RllrError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise RllrError(
            f"{path}: byte {error.start + 1} is not UTF-8; save the prompt in that encoding"
        ) from error


def _methods(config: RunConfig, folders: tuple[Path, ...]) -> dict[str, MethodConfig]:
    """The run's methods and those that they, or reward models, start from."""
    found: dict[str, MethodConfig] = {}
    queue = [*config.methods, *config.context_methods]
    while queue:
        name = queue.pop(0)
        if name in found or name == "base":
            continue
        found[name] = _definition("methods", MethodConfig, name, folders)
        used = [
            config.reward_models[model]
            for model in found[name].reward_models
            if model in config.reward_models
        ]
        queue += [found[name].start, *(reward.start for reward in used)]
    return found


def _cross_check(project: Project) -> None:
    _check_sources(project)
    _check_rewards(project)
    _check_stages(project)
    for model in project.models:
        if isinstance(project.models[model].source, TinySource):
            _check_pretrain(project, model)
        for name, method in project.methods.items():
            if method.algorithm != "none":
                settings = project.settings(model, name, method.algorithm)
                _check_tau(project, model, name, settings)
                _check_tuning(project, model, name, settings)
                _check_processes(project, model, name, settings)
        for reward in project.config.reward_models:
            _check_processes(project, model, reward, project.reward(model, reward))
    if (
        project.config.scope != MIXTURE
        and project.config.train_tasks is None
        and not project.config.tasks
    ):
        raise RllrError("scope per_task needs tasks")


def _check_sources(project: Project) -> None:
    config = project.config
    teacher, limit = config.teacher, config.generation.max_new_tokens
    if teacher.asks and teacher.max_new_tokens > limit:
        raise RllrError(
            f"teacher.max_new_tokens is {teacher.max_new_tokens}, generation.max_new_tokens "
            f"{limit}: models could not finish such responses, and SFT would refuse them after "
            "they were paid for; raise generation.max_new_tokens, or lower the teacher's"
        )
    for name in config.reward_models:
        if name in project.methods:
            raise RllrError(f"reward_models: {name!r} is also the name of a method; rename one")
    for name in config.task_data:
        if name not in project.data_tasks:
            known = project.data_tasks
            raise RllrError(f"task_data: {name!r} is no task of this run{nearest(name, known)}")
    _check_context_tasks(project)
    for task in project.data_tasks:
        _check_data(project, task)


def _check_data(project: Project, task: str) -> None:
    data = project.data(task)
    if isinstance(data, GeneratedData):
        _check_generated(data, task)
    elif project.config.teacher.backend == "generated":
        raise RllrError(
            "teacher.backend: 'generated' only knows generated data; use 'lexical' (or 'auto') "
            f"with data.source {data.source!r}"
        )
    if isinstance(data, HubData) and project.tasks[task].hub is None:
        raise RllrError(
            f"tasks/{task}: data.source is 'hub', but the task's file has no section `hub`; add it "
            "(config/README.md), or set task_data for this task"
        )
    if isinstance(data, ReleaseData):
        _check_release(data, project.tasks[task], task)


def _check_release(data: ReleaseData, declared: TaskConfig, task: str) -> None:
    if declared.test_of:
        raise RllrError(
            f"context_tasks: the release holds no further test sets; give {task!r} a source of its "
            f"own, for instance task_data: {{{task}: {{source: hub, sizes: {{}}}}}}"
        )
    if task not in data.rules:
        hint = nearest(task, sorted(data.rules))
        raise RllrError(f"data.rules: there is no rule for task {task!r}{hint}")
    found, needed = data.rules[task].groups, sorted(declared.fields)
    if found != needed:
        raise RllrError(
            f"data.rules.{task}: instruction and input together need the groups "
            f"{', '.join(f'(?P<{name}>…)' for name in needed)}, each once (found: "
            f"{', '.join(found) or 'none'}); where the texts stand in the instruction, say input: "
            '".*"'
        )
    for stated, label in (data.rules[task].labels or {}).items():
        try:
            legal_label(declared, label)
        except RllrError as error:
            raise RllrError(f"data.rules.{task}.labels.{stated}: {error}") from error


def _check_generated(data: GeneratedData, task: str) -> None:
    missing = [name for name in SPLITS if getattr(data.sizes, name) is None]
    if missing:
        raise RllrError(f"data.sizes: generated data needs a size for {', '.join(missing)}")
    if task not in GENERATED_TASKS:
        raise RllrError(
            f"tasks: there is no generated data for {task}; set data (or task_data) to {{source: "
            f"local, path: …}} (generated: {', '.join(GENERATED_TASKS)})"
        )


def _check_context_tasks(project: Project) -> None:
    """A context task is a further test set of a task that models are trained on."""
    config = project.config
    for name in project.data_tasks:
        parent = project.tasks[name].test_of
        if (name in config.context_tasks) != (parent is not None):
            raise RllrError(
                f"tasks/{name}: context_tasks are the tasks whose files say `test_of: TASK`, and "
                f"only these (this one says {parent})"
            )
        if parent and (config.scope != MIXTURE or parent not in project.train_tasks):
            raise RllrError(
                f"context_tasks: {name!r} needs scope mixture and {parent!r} among the tasks "
                "trained on"
            )


def _check_rewards(project: Project) -> None:
    for name, method in project.methods.items():
        for model in method.reward_models:
            models = project.config.reward_models
            if model not in models:
                hint = nearest(model, sorted(models))
                raise RllrError(f"methods/{name}: rewards: {model!r} names no reward model{hint}")
            start = models[model].start
            if start != method.start:
                raise RllrError(
                    f"methods/{name}: starts from {method.start!r}, but reward model {model!r} "
                    f"starts from {start!r}; policy and reward models share one base"
                )
        start_method = project.methods.get(method.start)
        if method.is_rl and start_method and start_method.algorithm != "sft":
            raise RllrError(
                f"methods/{name}: start {method.start!r} must be a method of algorithm sft"
            )


def _check_stages(project: Project) -> None:
    known = sorted({*project.methods, *project.config.reward_models, "pretrain"})
    places = {"configuration: stages": project.config.stages}
    places |= {f"models/{name}: stages": model.stages for name, model in project.models.items()}
    everywhere = {path.stem for f in project.folders for path in (f / "methods").glob("*.yaml")}
    everywhere |= PAPER_REWARD_MODELS  # a model's file has settings for them, a run perhaps not
    for where, stages in places.items():
        for name in stages:
            model, _, stage = name.rpartition("/")
            if model and model not in project.models:
                hint = nearest(model, sorted(project.models))
                raise RllrError(f"{where}: {name!r} names no model of this run{hint}")
            if stage not in known and stage not in everywhere:
                raise RllrError(f"{where}: unknown stage {stage!r}{nearest(stage, known)}")


def _check_pretrain(project: Project, model: str) -> None:
    if project.config.training.pretrain is None:
        raise RllrError(
            f"training.pretrain: missing; model {model!r} is tiny, so this run pretrains it: set "
            "documents, learning_rate, batch_size and epochs (for instance as config/tiny.yaml)"
        )
    project.pretrain(model)


def _check_tuning(project: Project, model: str, name: str, settings: Strict) -> None:
    """The weights file's name follows from it, and rules declare one name for all models."""
    tuning = project.config.training.sft.tuning
    if isinstance(settings, SftSettings) and settings.tuning != tuning:
        raise RllrError(
            f"stage {name!r} of model {model!r}: tuning is one for the whole run; "
            f"training.sft.tuning says {tuning!r}"
        )


def _check_processes(project: Project, model: str, name: str, settings: Strict) -> None:
    """Several processes share each batch out evenly, in whole micro-batches."""
    gpus = project.models[model].gpus
    where = f"stage {name!r} of model {model!r}"
    if gpus > 1 and isinstance(settings, GroupSettings):
        raise RllrError(
            f"{where}: algorithm {project.methods[name].algorithm} trains in one process, and the "
            f"model's file says gpus: {gpus}; take the method out, or set gpus: 1"
        )
    if gpus > 1 and isinstance(settings, (EpochSettings, RlSettings)):
        # PPO cuts each process's share into micro-batches whatever their number.
        micro = (isinstance(settings, EpochSettings) and settings.micro_batch_size) or 1
        if settings.batch_size % (gpus * micro):
            raise RllrError(
                f"{where}: batch_size is {settings.batch_size}; it must be a multiple of gpus x "
                f"micro_batch_size ({gpus} x {micro})"
            )


def _check_tau(project: Project, model: str, name: str, settings: Strict) -> None:
    needs = any(term.cap == "tau" for term in project.methods[name].rewards)
    if needs and isinstance(settings, RlSettings) and settings.tau is None:
        raise RllrError(
            f"methods/{name}: a reward is capped at tau, but tau is not set for model {model!r}; "
            f"set stages: {{{name}: {{tau: NUMBER or auto}}}} in the configuration or in the "
            "model's file"
        )
