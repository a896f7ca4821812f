"""How a reward model's rewards go with right labels, on each task and over all of them.

Over tasks, correlation and AUC are means of the tasks' own (tasks differ in how well a model does
and in how high it is rewarded, which is no merit of the reward); pairs of one prompt are pooled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rllr.reporting.results.mismatch import ALL, Mismatch, Scored
from rllr.reporting.statistics.association import (
    Floats,
    Measure,
    aucs,
    contests,
    correlations,
    measure,
    prompt_weights,
    shares,
    within,
)


@dataclass(frozen=True)
class Association:
    """Of one reward model and seed with right labels, on a task or over all.

    `pairs` are (right, wrong) ones of one prompt, `right` and `parsed` are counted among
    `responses`; `tasks` have right and wrong responses, so that there is a correlation.
    """

    correlation: Measure
    auc: Measure
    right_above_wrong: Measure
    pairs: int
    responses: int
    right: int
    parsed: int
    tasks: int


@dataclass(frozen=True)
class _Draws:
    """The parts of an association in each draw, (1 + resamples,), the value itself first."""

    correlation: Floats
    auc: Floats
    wins: Floats
    pairs: Floats


def scored_of(mismatch: Mismatch, model: str, stage: str) -> dict[int, dict[str, Scored]]:
    """A reward model's scored responses by seed and task, of all its units."""
    found: dict[int, dict[str, Scored]] = {}
    for key, scored in mismatch.scored.items():
        if (key.model, key.stage) == (model, stage):
            found.setdefault(key.seed, {}).update(scored)
    return found


def associations(scored: Mapping[str, Scored]) -> dict[str, Association]:
    """By task, and `ALL`; empty where no responses were scored."""
    if not scored:
        return {}
    draws = {task: _draws(task, one) for task, one in scored.items()}
    over_all = _Draws(
        _mean([one.correlation for one in draws.values()]),
        _mean([one.auc for one in draws.values()]),
        np.sum([one.wins for one in draws.values()], axis=0),
        np.sum([one.pairs for one in draws.values()], axis=0),
    )
    tasks = sum(bool(np.isfinite(one.auc[0])) for one in draws.values())
    by_task = {task: _association(draws[task], [one]) for task, one in scored.items()}
    return {ALL: _association(over_all, list(scored.values()), tasks), **by_task}


def _draws(task: str, one: Scored) -> _Draws:
    weights = prompt_weights(int(one.prompts.max()) + 1, task)
    given = one.prompts, one.rewards, one.right
    wins, pairs = contests(*given)
    won, of = within(wins, pairs, weights)
    return _Draws(correlations(*given, weights), aucs(wins, pairs, weights), won, of)


def _mean(rows: Sequence[Floats]) -> Floats:
    """The mean in each draw over the tasks that have a number there, (draws,)."""
    there = np.isfinite(rows)
    return shares(np.where(there, rows, 0.0).sum(axis=0), there.sum(axis=0))


def _association(draws: _Draws, scored: Sequence[Scored], tasks: int = 1) -> Association:
    return Association(
        correlation=measure(draws.correlation),
        auc=measure(draws.auc),
        right_above_wrong=measure(shares(draws.wins, draws.pairs)),
        pairs=int(draws.pairs[0]),
        responses=sum(len(one.right) for one in scored),
        right=sum(int(one.right.sum()) for one in scored),
        parsed=sum(int(one.parsed.sum()) for one in scored),
        tasks=tasks,
    )
