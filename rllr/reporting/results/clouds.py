"""A reward model's rewards of sampled responses beside their labels, as figures show them.

Rewards are in the reward model's own standard deviations from its own mean on the task: reward
models, and several seeds of one, can then be seen on one axis. What a task adds to all its
responses says nothing of their labels (the loss compares responses to one prompt alone), and tasks
that are done well would hide, or feign, a reward that follows the label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.mismatch import Scored

QUANTILES = 10
# Responses in a bin, at least: the share of fewer says little.
IN_A_BIN = 20


@dataclass(frozen=True)
class Cloud:
    """Standardised rewards, and whether the label is right; (responses,) each."""

    rewards: NDArray[np.float64]
    right: NDArray[np.bool_]


@dataclass(frozen=True)
class Bin:
    """Responses of similar reward: their mean reward, how many are right, how many there are."""

    reward: float
    right: int
    n: int


def clouds(analysis: Analysis) -> dict[str, dict[str, Cloud]]:
    """By model and reward model, all seeds and tasks together; models without any are absent."""
    found: dict[str, dict[str, Cloud]] = {}
    for model in analysis.run.grid.models:
        parts: dict[str, list[Cloud]] = {}
        for key, scored in analysis.mismatch.scored.items():
            if key.model == model.key and scored:
                parts.setdefault(key.stage, []).extend(map(_standardised, scored.values()))
        if parts:
            found[model.key] = {stage: _together(parts[stage]) for stage in sorted(parts)}
    return found


def _standardised(task: Scored) -> Cloud:
    spread = task.rewards.std() if np.ptp(task.rewards) > 0 else 1.0
    return Cloud((task.rewards - task.rewards.mean()) / spread, task.right)


def _together(parts: Sequence[Cloud]) -> Cloud:
    rewards = np.concatenate([part.rewards for part in parts])
    return Cloud(rewards, np.concatenate([part.right for part in parts]))


def calibrated(cloud: Cloud) -> list[Bin]:
    """Quantile bins of the reward from low to high: deciles, or fewer where responses are few.

    Equal rewards are in one bin.
    """
    count = min(QUANTILES, max(1, len(cloud.rewards) // IN_A_BIN))
    edges = np.quantile(cloud.rewards, np.arange(1, count) / count)
    place = np.searchsorted(edges, cloud.rewards, side="left")
    masks = [place == index for index in np.unique(place)]
    return [
        Bin(float(cloud.rewards[mask].mean()), int(cloud.right[mask].sum()), int(mask.sum()))
        for mask in masks
    ]
