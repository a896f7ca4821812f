"""Reads training summaries: what each trained stage says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from rllr.errors import RllrError
from rllr.reporting.results.grid import first_problem
from rllr.reporting.results.reading import SEED, Count, Finite, read_object

PairKind = Literal["label_sensitive", "rationale_sensitive"]
PAIR_KINDS: tuple[PairKind, ...] = ("label_sensitive", "rationale_sensitive")


class StageKey(NamedTuple):
    """The identity of something trained; `unit` is `mixture` or a task."""

    model: str
    stage: str
    unit: str
    seed: int

    @property
    def path(self) -> Path:
        """The stage's folder, relative to the run's."""
        return Path("trained", self.model, self.stage, self.unit, f"seed{self.seed}")


@dataclass(frozen=True)
class PairCount:
    """How many held-out pairs a reward model ranked correctly, of how many."""

    correct: Count
    n: Count
    by_task: dict[str, PairCount] = field(default_factory=dict)


@dataclass(frozen=True)
class SftSummary:
    """Supervised fine-tuning: mean validation loss per response token (nats)."""

    kind: Literal["sft"]
    validation_loss_before: Finite
    validation_loss_after: Finite


@dataclass(frozen=True)
class RewardSummary:
    """A reward model, trained on `pairs` and scored on held-out pairs of each kind."""

    kind: Literal["reward"]
    pairs: PairKind
    accuracy: dict[PairKind, PairCount | None]


@dataclass(frozen=True)
class Gain:
    """Mean rise of the reward over held-out prompts, and its standard error."""

    mean: Finite
    se: Finite


@dataclass(frozen=True)
class Divergence:
    """KL divergence from the start at the last step, in nats per response."""

    final: Finite


@dataclass(frozen=True)
class RlSummary:
    """A policy: the method it starts from, its reward models, its reward on held-out prompts.

    A reward term that is a function has no model: None among `reward_models`.
    """

    kind: Literal["rl"]
    start: str | None
    reward_gain: Gain
    reward_models: tuple[str | None, ...] = ()
    skipped_batches: float = Field(0, ge=0)
    kl: Divergence | None = None


Summary = SftSummary | RewardSummary | RlSummary
_STAGE: TypeAdapter[Summary] = TypeAdapter(Annotated[Summary, Field(discriminator="kind")])


def read_summaries(run_dir: Path, warnings: list[str]) -> Iterator[tuple[StageKey, Summary]]:
    """Every usable `summary.json` of a run's trained stages; `warnings` names the others."""
    for path in sorted(run_dir.glob("trained/*/*/*/seed*/summary.json")):
        shown = path.relative_to(run_dir)
        _, model, stage, unit, seed, _ = shown.parts
        match = SEED.fullmatch(seed)
        try:
            if match is None:
                raise RllrError("foreign: its folder is not seed<k>")
            summary = _STAGE.validate_python(read_object(path))
            yield StageKey(model, stage, unit, int(match[1])), summary
        except RllrError as error:
            warnings.append(f"{shown}: left out: {error}")
        except ValidationError as error:
            warnings.append(f"{shown}: left out: {first_problem(error)}")
