"""One job's identity: a model, a training unit and a seed, and where its inputs lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rllr.config.load import Project
from rllr.config.schema import ModelConfig
from rllr.layout import Layout

if TYPE_CHECKING:
    from rllr.models.prompts import PromptBuilder


def gold_pairs(job: Job, method: str) -> list[Path]:
    """Folders of the pairs that a method's tau is a quantile of; none where tau is a number."""
    capped = any(term.cap == "tau" for term in job.project.methods[method].rewards)
    automatic = capped and job.project.rl(job.model, method).tau == "auto"
    tasks = job.project.unit_tasks(job.unit) if automatic else []
    return [job.layout.label_pairs(task) for task in tasks]


@dataclass(frozen=True)
class Job:
    """What every model stage is told; paths follow from it."""

    project: Project
    model: str
    unit: str
    seed: int

    @cached_property
    def layout(self) -> Layout:
        """Paths of the run."""
        return Layout(self.project)

    @property
    def config(self) -> ModelConfig:
        """The model's declaration."""
        return self.project.models[self.model]

    @property
    def base(self) -> Path:
        """The base model's folder."""
        return self.layout.base(self.model)

    @property
    def data(self) -> dict[str, Path]:
        """Data folders of the unit's training tasks."""
        return {task: self.layout.data(task) for task in self.project.unit_tasks(self.unit)}

    @property
    def rationales(self) -> dict[str, Path]:
        """Rationale folders of the unit's training tasks."""
        return {task: self.layout.rationales(task) for task in self.project.unit_tasks(self.unit)}

    @cached_property
    def builder(self) -> PromptBuilder:
        """The model's prompt builder."""
        from rllr.models.prompts import PromptBuilder

        return PromptBuilder(
            self.config, self.base, self.project.config.generation.max_prompt_tokens
        )

    def trained(self, stage: str) -> Path:
        """Folder of a stage trained for this model, unit and seed."""
        return self.layout.trained(self.model, stage, self.unit, self.seed)

    def predicting(self, method: str) -> Path:
        """Folder of attempts at predicting, whose results lie in the cells."""
        return self.layout.run / "predicting" / self.model / method / self.unit / f"seed{self.seed}"

    def samples(self, start: str) -> Path:
        """Folder of responses sampled from `start`."""
        return self.layout.samples(self.model, start, self.unit, self.seed)

    def rationale_pairs(self, start: str) -> Path:
        """Folder of judged pairs of responses sampled from `start`."""
        return self.layout.rationale_pairs(self.model, start, self.unit, self.seed)

    @property
    def judged(self) -> Path:
        """Folder of comparisons of methods' test responses."""
        return self.layout.judged(self.model, self.unit, self.seed)

    def pair_folders(self, start: str) -> dict[str, list[Path]]:
        """Folders of both kinds of pairs, for reward models that start from `start`."""
        label = [self.layout.label_pairs(task) for task in self.project.unit_tasks(self.unit)]
        return {"label_sensitive": label, "rationale_sensitive": [self.rationale_pairs(start)]}
