"""The jobs that `snakemake` would run from nothing: found from the targets back to the data.

What the workflow's rules say in terms of files is said here in terms of jobs, so that a plan needs
no Snakemake; a test compares the two.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rllr.config.load import Project
from rllr.config.schema import HubSource
from rllr.job import Job, gold_pairs
from rllr.layout import base_revision
from rllr.teacher.compared import method_pairs

ONCE = ("tables", "figures", "report")
# Rules whose jobs take seconds and no GPU.
LIGHT = (
    "data",
    "rationales",
    "label_pairs",
    "baseline",
    "judge",
    "score",
    "score_untrained",
    "judge_test",
    *ONCE,
)


@dataclass(frozen=True)
class Planned:
    """One job of a rule; `name` is a method's, a reward model's or, where no model is, a task's."""

    rule: str
    name: str = ""
    model: str = ""
    unit: str = ""
    seed: int = 0


class Jobs:
    """All jobs of a run, each once, in the order in which they are first needed."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.found: dict[Planned, None] = {}
        config = project.config
        for task in project.test_tasks:
            self._add("baseline", task)
            self._add("data", task)
        for model in config.models:
            self._base(model)
            for method in config.methods:
                for seed in config.seeds:
                    self._cells(model, method, seed)
            for method in config.context_methods:
                self._cells(model, method, config.seeds[0])
            self._comparisons(model)
        for rule in ONCE:
            self._add(rule)

    def _add(self, rule: str, name: str = "", *place: str | int) -> bool:
        """Whether the job is new."""
        job = Planned(rule, name, *place)  # type: ignore[arg-type]
        new = job not in self.found
        self.found[job] = None
        return new

    def _base(self, model: str) -> None:
        if isinstance(self.project.models[model].source, HubSource):
            self._add("fetch_model", base_revision(self.project, model), model)
        elif self._add("base_model", base_revision(self.project, model), model):
            for task in self.project.train_tasks:
                self._rationales(task)

    def _cells(self, model: str, method: str, seed: int) -> None:
        """Everything that a method's cells of one model rest on."""
        if self.project.methods[method].algorithm == "none":
            for rule in ("predict_untrained", "score_untrained"):
                self._add(rule, method, model, "", seed)
            return
        for unit in self.project.units:
            for rule in ("predict", "score"):
                self._add(rule, method, model, unit, seed)
            self._trained(model, method, unit, seed)

    def _comparisons(self, model: str) -> None:
        for unit in self.project.units if method_pairs(self.project) else []:
            for seed in self.project.config.seeds:
                self._add("judge_test", "", model, unit, seed)

    def _trained(self, model: str, stage: str, unit: str, seed: int) -> None:
        method = self.project.methods.get(stage)
        if method is None:
            self._reward(model, stage, unit, seed)
        elif method.algorithm == "sft":
            self._sft(model, stage, unit, seed)
        elif self._add("policy", stage, model, unit, seed):
            for upstream in (method.start, *method.reward_models):
                self._trained(model, upstream, unit, seed)
            self._data(unit)
            if gold_pairs(Job(self.project, model, unit, seed), stage):
                self._label_pairs(unit)

    def _sft(self, model: str, method: str, unit: str, seed: int) -> None:
        if self._add("sft", method, model, unit, seed):
            self._data(unit)
            if self.project.methods[method].response == "rationale":
                for task in self.project.unit_tasks(unit):
                    self._rationales(task)

    def _reward(self, model: str, name: str, unit: str, seed: int) -> None:
        """With both kinds of pairs: it is measured on the one that it is not trained on too."""
        start = self.project.config.reward_models[name].start
        if self._add("reward_model", name, model, unit, seed):
            self._trained(model, start, unit, seed)
            self._add("sample", start, model, unit, seed)
            self._add("judge", start, model, unit, seed)
            self._data(unit)
            self._label_pairs(unit)

    def _data(self, unit: str) -> None:
        for task in self.project.unit_tasks(unit):
            self._add("data", task)

    def _rationales(self, task: str) -> None:
        self._add("data", task)
        self._add("rationales", task)

    def _label_pairs(self, unit: str) -> None:
        for task in self.project.unit_tasks(unit):
            self._rationales(task)
            self._add("label_pairs", task)


def jobs(project: Project) -> list[Planned]:
    """Every job of the run."""
    return list(Jobs(project).found)


def counts(project: Project) -> dict[str, int]:
    """Jobs per rule."""
    return dict(Counter(job.rule for job in jobs(project)))
