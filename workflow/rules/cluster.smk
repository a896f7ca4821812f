# Containers and clusters: what a job sees, what it asks for, and what happens before the first one.
import uuid

from snakemake.jobs import Job as SnakemakeJob
from snakemake.settings.types import DeploymentMethod

from rllr import attempts, stages
from rllr.artefact import commit
from rllr.cluster import container as apptainer
from rllr.cluster import leftover
from rllr.cluster.check import check_image, check_site, partitions
from rllr.cluster.job import job_facts
from rllr.cluster.resources import stage_resources, submission
from rllr.cluster.site import load_modules, load_site
from rllr.remote import remotes


def or_stop(function, *arguments, **named):
    """Call it; a mistake of the user's ends Snakemake with its one message."""
    try:
        return function(*arguments, **named)
    except RllrError as error:
        raise WorkflowError(str(error)) from None


SITE = or_stop(load_site, Path(workflow.basedir) / "slurm" / "site.yaml")
IMAGE = apptainer.find_image(SITE.path("image"), Path(workflow.basedir) / "containers")
ASKED = [PROJECT.config.teacher, PROJECT.config.judge]
CUDA = any(
    [model.device == "cuda" for model in PROJECT.models.values()]
    + [asked.backend == "local" and asked.device == "cuda" for asked in ASKED]
)
# Environment variables that hold keys, and whether anything needs the network.
KEYS = [asked.key for asked in ASKED if asked.backend == "openai"]
ONLINE = bool(KEYS or remotes(PROJECT))


def in_containers():
    settings = workflow.deployment_settings
    return (
        settings is not None
        and DeploymentMethod.APPTAINER in settings.deployment_method
    )


def on_slurm():
    """Whether jobs are submitted; known only after all rules are."""
    plugin = workflow.executor_plugin
    return plugin is not None and plugin.name.startswith("slurm")


def enter_containers():
    """Tell Apptainer, by its own environment variables, what all containers get to see."""
    if IMAGE.exists():
        digest_of_image = apptainer.image_digest(IMAGE, RUN / "image.json")
        os.environ.update(RLLR_IMAGE_DIGEST=digest_of_image)
    config = PROJECT.config
    settings = apptainer.environment(
        Path(workflow.basedir),
        map(Path, [config.results_dir, config.models_dir, config.answers_dir]),
        apptainer.scratch_folder(
            SITE.path("scratch"), on_node=not workflow.is_main_process
        ),
        SITE.path("hf_cache"),
        reads=read_folders(),
        gpu=CUDA,
        # Stages that need the network run on the submitting host.
        network=SITE.network == "host" or workflow.is_main_process,
        online=KEYS if workflow.is_main_process and ONLINE else None,
        facts={"RLLR_COMMIT": commit()},
    )
    apptainer.enter(settings, KEYS)


def read_folders():
    """What of the user's lies elsewhere: data, and models that write or judge rationales."""
    sources = map(PROJECT.data, TASKS)
    paths = [source.path for source in sources if source.source in ("local", "release")]
    paths += [asked.model for asked in ASKED if asked.backend == "local"]
    return list(map(Path, paths))


or_stop(load_modules, SITE.modules)
if SITE.modules:  # they may have set the search paths anew
    prepend("PATH", Path(sys.executable).parent)
    prepend("PYTHONPATH", workflow.basedir)
if workflow.is_main_process:
    # Jobs know by it which attempts at a stage belong to this start of the workflow.
    os.environ.update({attempts.INVOCATION: uuid.uuid4().hex[:12]})
else:
    os.environ.update(job_facts())
if in_containers():
    or_stop(enter_containers)


container: str(IMAGE)


# --- attempts: compute stages are tried again, and by whom ---------------------------------------

# A training stage that is longer than a job goes on in the next one; what cannot succeed gives up
# long before (rllr.attempts).
RETRIES = 50
UNBEGUN = {}
# Compute rules and the kind of stage that each runs.
KIND_OF = {
    "base_model": "base",
    "sft": "sft",
    "sample": "sample",
    "reward_model": "reward",
    "policy": "policy",
    "predict": "predict",
    "predict_untrained": "predict",
}


def attempts_folder(kind, wildcards):
    """Where a compute stage's record of attempts lies."""
    if kind == "base":
        return LAYOUT.base(wildcards.model)
    return stages.attempts_folder(job_of(wildcards), kind, stage_name(wildcards))


def stage_name(wildcards):
    """The stage's own name, by whichever wildcard its rule has for it."""
    names = ("sft_method", "reward", "rl_method", "start", "method")
    return next((wildcards.get(name) for name in names if wildcards.get(name)), "base")


def restarts(job):
    """Snakemake's number of retries, but none for a stage that has given up.

    Nor inside a cluster's job: the host that submitted it does, with more memory where it lacked.
    """
    if not workflow.is_main_process:
        return 0
    kind = KIND_OF.get(job.rule.name)
    folder = kind and attempts_folder(kind, job.wildcards)
    if folder and (
        attempts.hopeless(folder, os.environ[attempts.INVOCATION])
        or never_began(folder)
    ):
        return 0
    return job.rule.restart_times


def never_began(folder):
    """Whether two jobs in a row ended before their attempt began (refused by the cluster, or by a
    node without Apptainer): called once for each job that failed."""
    count = len(attempts.read_attempts(folder))
    before, failures = UNBEGUN.get(folder, (0, 0))
    UNBEGUN[folder] = (count, failures + 1 if count == before else 0)
    return UNBEGUN[folder][1] >= 2


# Snakemake asks a job how often it may be restarted; its rule alone cannot know.
SnakemakeJob.restart_times = property(restarts)


def register(job, external_jobid=None):
    """Mark the outputs of a job that begins, with the cluster's number of it."""
    workflow.persistence.started(job, external_jobid or os.environ.get("SLURM_JOB_ID"))


if not workflow.is_main_process:
    # The Snakemake inside a cluster's job marks the outputs anew, by default without the number.
    # A later run could not tell then whose they are (`take_over`).
    SnakemakeJob.register = register


# --- resources ----------------------------------------------------------------------------------

RESOURCES = (
    "slurm_account",
    "slurm_partition",
    "qos",
    "mem_mb",
    "runtime",
    "cpus_per_task",
    "gpu",
    "gpu_model",
    "gres",
    "nodes",
)
OFFERS = {}


def compute(kind):
    """Resources of a rule: functions of the job, as its model and its past attempts decide."""

    def one(key):
        return lambda wildcards: wanted(kind, wildcards).get(key)

    return {key: one(key) for key in RESOURCES}


def wanted(kind, wildcards):
    name = stage_name(wildcards)
    too_little = attempts.too_little_memory(attempts_folder(kind, wildcards))
    found = stage_resources(PROJECT, SITE, wildcards.model, kind, name, too_little)
    if on_slurm():
        return submission(SITE, found, offers())
    return {"mem_mb": found["grown_mb"]}


def offers():
    """What the cluster's partitions offer; looked at once, by the host that submits."""
    if workflow.is_main_process and not OFFERS:
        OFFERS.update(or_stop(partitions))
    return OFFERS


def cpus(kind):
    return lambda wildcards: wanted_cpus(kind, wildcards)


def wanted_cpus(kind, wildcards):
    name = stage_name(wildcards)
    return stage_resources(PROJECT, SITE, wildcards.model, kind, name)["cpus_per_task"]


# --- before the first job ------------------------------------------------------------------------


def prepare_run():
    """Check the cluster, and take over what an earlier, killed Snakemake left."""
    if in_containers():
        check_image(IMAGE, CUDA)
    if on_slurm():
        jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
        status = workflow.executor_settings.status_command
        check_site(SITE, [job.resources for job in jobs], status)
    if take_over():
        print("planning anew", flush=True)
        workflow.persistence.unlock()
        os.chdir(workflow.rundir)  # where the command was typed
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def take_over():
    """Settle an earlier run's jobs that write what this run wants; whether the plan has changed."""
    marks = leftover.read_marks()
    jobs = [
        job
        for job in workflow.dag.needrun_jobs()
        if any(str(path) in marks for path in job.output)
    ]
    numbers = {
        marks[str(path)].job
        for job in jobs
        for path in job.output
        if str(path) in marks
    }
    waited = leftover.settle(numbers - {None}, SITE.leftover_jobs)
    finished = [job for job in jobs if has_finished(job, marks)]
    for job in finished:
        workflow.async_run(workflow.persistence.finished(job))
        print(f"finished by an earlier run's job: {job}", flush=True)
    return waited or bool(finished)


def has_finished(job, marks):
    return leftover.is_finished(
        map(str, job.output), getattr(job.params, "slice", None), marks
    )


onstart:
    or_stop(prepare_run)
