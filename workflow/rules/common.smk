# Helpers of all rules: the validated configuration, paths, and what a rule asks for.
#
# Rules that take seconds and no GPU are local (`localrule: True`): on a cluster they run on the
# submitting host, where waiting in the queue would take longer than the work.
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError


def prepend(variable, folder):
    """Put a folder first on a search path of this process and of the jobs it starts."""
    rest = os.environ.get(variable)
    os.environ[variable] = os.pathsep.join(
        [str(folder), rest] if rest else [str(folder)]
    )


sys.path.insert(0, workflow.basedir)
# Rules call `python -m rllr`: with the Python that runs Snakemake, whether or not its environment
# is activated, and with this checkout's package.
prepend("PATH", Path(sys.executable).parent)
prepend("PYTHONPATH", workflow.basedir)
# On a CPU, the C library's cache of small blocks keeps the gaps between tensors from closing: a
# training step of a large model took 1.4 times the memory. It reads this when a process starts.
os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.tcache_max=0")

from rllr import slices
from rllr.config.load import load
from rllr.data import sources
from rllr.errors import RllrError
from rllr.expected import expected_stages
from rllr.expected.stage import ROWS
from rllr.files import digest, write_json
from rllr.job import Job, gold_pairs
from rllr.layout import (
    ADAPTER,
    FULL_MODEL,
    MODEL_INDEX,
    SAMPLE_REWARDS,
    SAMPLES,
    TOKENIZER,
    Layout,
    base_revision,
)
from rllr.prune import pruned_paths
from rllr.reporting.captions import FIGURE_CAPTIONS, TABLE_CAPTIONS
from rllr.reporting.names import FIGURE_FORMATS, FIGURES, TABLE_FORMATS, TABLES
from rllr.reporting.sections import heading_of
from rllr.teacher.compared import compared_files, compared_tasks, method_pairs


def load_project():
    folder = Path(workflow.configfiles[-1]).resolve().parent
    try:
        return load(config, folder)
    except RllrError as error:
        raise WorkflowError(str(error)) from None


PROJECT = load_project()
LAYOUT = Layout(PROJECT)
RUN = LAYOUT.run
LOGS = LAYOUT.logs
CONFIG = LAYOUT.config_file()
if not CONFIG.exists():
    write_json(CONFIG, PROJECT.dump())
elif workflow.is_main_process:
    CONFIG.touch()  # `status` holds a run against the one that was taken up last

TASKS = PROJECT.data_tasks
SPLITS, RATIONALES, PAIRS = (
    list(ROWS[part]) for part in ("data", "rationales", "pairs")
)
REWARDS = list(PROJECT.config.reward_models)
THREADS = PROJECT.config.threads
SFT_WEIGHTS = FULL_MODEL if PROJECT.config.training.sft.tuning == "full" else ADAPTER


def methods_of(*algorithms):
    return [
        name
        for name, method in PROJECT.methods.items()
        if method.algorithm in algorithms
    ]


def rl_methods():
    return [name for name, method in PROJECT.methods.items() if method.is_rl]


def models_from(kind):
    return [name for name, model in PROJECT.models.items() if model.source.kind == kind]


def any_of(names):
    """A wildcard's pattern: one of these names, or nothing at all."""
    return "|".join(map(re.escape, map(str, names))) or "(?!)"


wildcard_constraints:
    model=any_of(PROJECT.models),
    task=any_of(TASKS),
    unit=any_of(PROJECT.units),
    seed=any_of(PROJECT.config.seeds),
    start=any_of(methods_of("sft")),
    reward=any_of(REWARDS),
    sft_method=any_of(methods_of("sft")),
    rl_method=any_of(rl_methods()),


# --- parameters: a stage's slice of the configuration, as a hash ---------------------------------


def data_slice(wildcards):
    return digest(slices.data(PROJECT, wildcards.task))


def rationales_slice(wildcards):
    return digest(slices.rationales(PROJECT, wildcards.task))


def label_pairs_slice(wildcards):
    return digest(slices.label_pairs(PROJECT, wildcards.task))


def baseline_slice(wildcards):
    return digest(slices.score(PROJECT, [wildcards.task]))


def sft_slice(wildcards):
    return digest(
        slices.sft(PROJECT, wildcards.model, wildcards.sft_method, wildcards.unit)
    )


def sample_slice(wildcards):
    return digest(slices.sample(PROJECT, wildcards.model, wildcards.unit))


def judge_slice(wildcards):
    return digest(slices.judge(PROJECT, wildcards.unit))


def judge_test_slice(wildcards):
    return digest(slices.judge_test(PROJECT, wildcards.unit))


def reward_slice(wildcards):
    return digest(
        slices.reward(PROJECT, wildcards.model, wildcards.reward, wildcards.unit)
    )


def policy_slice(wildcards):
    return digest(
        slices.policy(PROJECT, wildcards.model, wildcards.rl_method, wildcards.unit)
    )


def predict_slice(wildcards):
    tasks = PROJECT.eval_tasks(cell_unit(wildcards))
    return digest(slices.predict(PROJECT, wildcards.model, tasks))


def score_slice(wildcards):
    return digest(slices.score(PROJECT, PROJECT.eval_tasks(cell_unit(wildcards))))


# --- inputs --------------------------------------------------------------------------------------


def job_of(wildcards):
    return Job(PROJECT, wildcards.model, cell_unit(wildcards), wildcards.seed)


def cell_unit(wildcards):
    """The training unit: named in the path, or the task itself, or the mixture."""
    return wildcards.get("unit") or wildcards.get("task") or "mixture"


def done(folders):
    """All files of folders of data, rationales and pairs; what needs a deleted one makes it again."""
    return [
        folder / name
        for folder in folders
        for name in ["manifest.json", *rows_in(folder)]
    ]


def rows_in(folder):
    return [f"{name}.jsonl" for name in ROWS[folder.relative_to(RUN).parts[0]]]


def base_of(wildcards):
    return LAYOUT.base_weights(wildcards.model)


def base_data(wildcards):
    tasks = PROJECT.train_tasks
    return done([*map(LAYOUT.data, tasks), *map(LAYOUT.rationales, tasks)])


def source_files(wildcards):
    """The user's own files, those that are there: the stage itself names a missing one."""
    return sources.source_files(PROJECT, wildcards.task)


def baseline_data(wildcards):
    """The test split, and the SFT split that the trivial prediction is made from."""
    parent = PROJECT.tasks[wildcards.task].test_of
    return done(
        map(LAYOUT.data, [wildcards.task, parent] if parent else [wildcards.task])
    )


def unit_data(wildcards):
    job = job_of(wildcards)
    return done(job.data.values())


def sft_rationales(wildcards):
    if PROJECT.methods[wildcards.sft_method].response == "label":
        return []
    job = job_of(wildcards)
    return done(job.rationales.values())


def stage_files(job, stage):
    """Weights, their configuration and manifest of a trained stage."""
    return files_with(LAYOUT.weights(job.model, stage, job.unit, job.seed))


def files_with(weights):
    return [
        weights,
        weights.parent / config_of(weights.name),
        weights.parent / "manifest.json",
    ]


def config_of(weights):
    return "adapter_config.json" if weights == ADAPTER else "config.json"


def sampled_stage(wildcards):
    return stage_files(job_of(wildcards), wildcards.start)


def reward_start(wildcards):
    start = PROJECT.config.reward_models[wildcards.reward].start
    return stage_files(job_of(wildcards), start)


def reward_pairs(wildcards):
    start = PROJECT.config.reward_models[wildcards.reward].start
    folders = job_of(wildcards).pair_folders(start)
    return done(folder for group in folders.values() for folder in group)


def reward_samples(wildcards):
    """Right and wrong responses, whose rewards show whether they follow the label."""
    start = PROJECT.config.reward_models[wildcards.reward].start
    return job_of(wildcards).samples(start) / SAMPLES


def policy_stages(wildcards):
    method = PROJECT.methods[wildcards.rl_method]
    job = job_of(wildcards)
    stages = [method.start, *method.reward_models]
    return [path for stage in stages for path in stage_files(job, stage)]


def policy_pairs(wildcards):
    """What a cap of its own choosing is chosen from."""
    job = job_of(wildcards)
    return done(gold_pairs(job, wildcards.rl_method))


def predicted_stages(wildcards):
    """Everything that is loaded to predict: the method's own weights, and its start's."""
    method = PROJECT.methods[wildcards.method]
    if method.algorithm == "none":
        return []
    stages = [name for name in (method.start, wildcards.method) if name != "base"]
    return [path for stage in stages for path in stage_files(job_of(wildcards), stage)]


def test_data(wildcards):
    return [
        LAYOUT.data(task) / "test.jsonl"
        for task in PROJECT.eval_tasks(cell_unit(wildcards))
    ]


def compared_responses(wildcards):
    """Predictions of the methods that are compared, and the test examples."""
    return compared_files(job_of(wildcards))


def compared_data(wildcards):
    """What an offline judge counts its words on."""
    tasks = compared_tasks(PROJECT, wildcards.unit)
    return [LAYOUT.data(task) / "sft.jsonl" for task in tasks]


def asking_threads(asked):
    """All of this host's cores where a stage loads a language model of its own: one at a time."""
    if asked.backend != "local":
        return 1
    settings = workflow.resource_settings
    return settings.cores or settings.local_cores or 1


# --- evaluation: one job writes the cells of all tasks that its model is for --------------------


def cells_of_a_model(name, per_task):
    """A file of every cell that one trained model is evaluated in."""
    tasks = ["{task}"] if per_task else PROJECT.test_tasks
    return [LAYOUT.cell("{model}", task, "{method}", "{seed}") / name for task in tasks]


def evaluation_log(stage, per_task):
    task = ".{task}" if per_task else ""
    return LOGS / f"{stage}/{{model}}.{{method}}{task}.seed{{seed}}.log"


PER_TASK = PROJECT.config.scope == "per_task"
TRAINED_METHODS = any_of([*methods_of("sft"), *rl_methods()])
UNTRAINED_METHODS = any_of(methods_of("none"))


# --- targets -------------------------------------------------------------------------------------


def cell_grid():
    """(model, task, method, seed) of every cell, context rows included."""
    config = PROJECT.config
    trained = [(method, seed) for method in config.methods for seed in config.seeds]
    context = [(method, config.seeds[0]) for method in config.context_methods]
    rows = [*trained, *context]
    return [
        (m, t, method, seed)
        for m in config.models
        for t in PROJECT.test_tasks
        for method, seed in rows
    ]


def every_metric():
    cells = [LAYOUT.cell(*cell) / "metrics.json" for cell in cell_grid()]
    return cells + [
        LAYOUT.baseline(task) / "metrics.json" for task in PROJECT.test_tasks
    ]


def every_cell():
    names = ["predictions.jsonl", "predictions.manifest.json"]
    cells = [LAYOUT.cell(*cell) / name for cell in cell_grid() for name in names]
    baselines = [
        LAYOUT.baseline(task) / name for task in PROJECT.test_tasks for name in names
    ]
    return [*every_metric(), *cells, *baselines]


def every_model():
    models = PROJECT.config.models
    names = ("config.json", TOKENIZER, "manifest.json")
    files = [LAYOUT.base(model) / name for model in models for name in names]
    return [*map(LAYOUT.base_weights, models), *files]


def every_trained_stage():
    """All stages' files by name: a deleted one is made again, a pruned one is not asked for."""
    trained = [stage for stage in expected_stages(PROJECT).values() if stage.weights]
    paths = [
        path for stage in trained for path in (*files_with(stage.weights), *stage.files)
    ]
    gone = pruned_paths(RUN)
    return [path for path in paths if path not in gone]


def every_comparison():
    """Methods' test responses under the judge, where the run compares them."""
    config = PROJECT.config
    folders = [
        LAYOUT.judged(model, unit, seed)
        for model in config.models
        for unit in PROJECT.units
        for seed in config.seeds
        if method_pairs(PROJECT)
    ]
    names = ("manifest.json", "comparisons.jsonl")
    return [folder / name for folder in folders for name in names]


def every_table():
    return [LAYOUT.tables / f"{name}.{end}" for name in TABLES for end in TABLE_FORMATS]


def every_figure():
    return [
        LAYOUT.figures / f"{name}.{end}" for name in FIGURES for end in FIGURE_FORMATS
    ]


def shown(paths):
    """Outputs of a rule, with tables (HTML) and figures (SVG) marked for `snakemake --report`."""
    return [
        marked(path) if path.suffix in (".html", ".svg") else path for path in paths
    ]


def marked(path):
    kind, name = path.parent.name, path.stem
    return report(
        path,
        category=heading_of(name, figure=kind == "figures"),
        caption=f"../report/{kind}/{name}.rst",
        labels={"name": name.replace("_", " "), "kind": kind.removesuffix("s")},
    )


def every_summary():
    """What tables know of training: whether a stage did anything, and what rewards follow."""
    names = ("manifest.json", SAMPLE_REWARDS)
    return [path for path in every_trained_stage() if path.name in names]
