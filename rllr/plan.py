"""`python -m rllr plan`: jobs, GPU memory, disk and GPU hours of a run, before it is started.

Estimates from the configuration alone; nothing is loaded. What they rest on is printed below them.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from rllr import plan_memory, plan_time
from rllr.config.load import Project
from rllr.plan_asking import asked
from rllr.plan_assumptions import GB, NOTES
from rllr.plan_jobs import LIGHT, Planned, jobs

# The order in which a model's stages are shown.
RULES = (
    *("fetch_model", "base_model", "sft", "sample", "judge", "reward_model", "policy"),
    *("predict", "score", "predict_untrained", "score_untrained", "judge_test"),
    *("data", "rationales", "label_pairs", "baseline", "tables", "figures", "report"),
)
NO_MODEL = "no model"
HEADINGS = ("model", "stage", "jobs", "GPUs", "GPU memory", "disk", "GPU hours")
TRAINING = ("sft", "reward_model", "policy")
STORED = ("fetch_model", "base_model")


@dataclass
class Line:
    """One stage of one model: jobs, the largest memory of a GPU and sums of the rest."""

    model: str
    stage: str
    jobs: int = 0
    gpus: int = 0
    memory: float = 0.0
    disk: float = 0.0
    hours: float = 0.0

    def cells(self) -> list[str]:
        """As printed; what needs no GPU has neither memory nor hours."""
        on_gpu = [f"{self.memory / GB:.0f} GB", f"{self.hours:.1f}"] if self.gpus else ["-", "-"]
        disk = f"{self.disk / GB:.2f} GB" if self.disk else "-"
        gpus = str(self.gpus) if self.gpus else "-"
        return [self.model, self.stage, str(self.jobs), gpus, on_gpu[0], disk, on_gpu[1]]


def lines(project: Project) -> list[Line]:
    """One line per model and stage, in the order of the run, then the stages of no model."""
    found: dict[tuple[str, str], Line] = {}
    names = [*project.models, ""]
    for job in sorted(jobs(project), key=lambda j: (names.index(j.model), RULES.index(j.rule))):
        stage = job.name if job.rule in TRAINING else job.rule
        line = found.setdefault((job.model, stage), Line(job.model or NO_MODEL, stage))
        line.jobs += 1
        if job.rule not in LIGHT:
            _estimate(project, job, line)
    return list(found.values())


def _estimate(project: Project, job: Planned, line: Line) -> None:
    memory = plan_memory.Memory(project, job.model)
    line.disk += memory.disk(job)
    config = project.models[job.model]
    if job.rule in STORED or config.device != "cuda":
        return
    line.gpus = config.gpus if job.rule in TRAINING else 1
    line.memory = max(line.memory, memory.of(job))
    line.hours += plan_time.Time(project, job.model).hours(job)


def describe(project: Project, *, formulas: bool = False) -> str:
    """The whole plan as text."""
    found = lines(project)
    rows = [list(HEADINGS), *(line.cells() for line in found), _total(found)]
    parts = [f"Run {project.config.run!r}, from nothing:", "", _table(rows), "", _per_model(found)]
    parts += asked(project)
    parts += ["", "Estimates, not measurements. They assume:", NOTES]
    if formulas:
        parts += ["", _doc(plan_memory), "", _doc(plan_time)]
    else:
        parts += ["", "--formulas shows how each number is made."]
    return "\n".join(parts)


def _doc(module: object) -> str:
    return inspect.getdoc(module) or ""


def _total(found: Iterable[Line]) -> list[str]:
    found = list(found)
    total = Line("total", "", sum(line.jobs for line in found), max(line.gpus for line in found))
    total.memory = max(line.memory for line in found)
    total.disk = sum(line.disk for line in found)
    total.hours = sum(line.hours for line in found)
    return total.cells()


def _per_model(found: Iterable[Line]) -> str:
    """GPU hours by model, where there are any."""
    hours: dict[str, float] = defaultdict(float)
    for line in found:
        hours[line.model] += line.hours
    parts = [f"{model} {total:.0f}" for model, total in hours.items() if total]
    return "GPU hours by model: " + ", ".join(parts) if parts else "No stage needs a GPU."


def _table(rows: list[list[str]]) -> str:
    """Columns as wide as their longest cell; numbers to the right, a model named once."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    printed, last = [], ""
    for row in rows:
        shown = ["" if row[0] == last else row[0], *row[1:]]
        last = row[0]
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(shown, widths, strict=True))
        ]
        printed.append("  ".join(cells).rstrip())
    return "\n".join(printed)
