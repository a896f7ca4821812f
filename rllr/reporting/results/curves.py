"""What the policies' training logs say, step by step."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rllr import files
from rllr.errors import RllrError
from rllr.reporting.results.collect import Run, announce

FIELDS = ("reward", "kl")


@dataclass(frozen=True)
class Curve:
    """Mean over a policy's units and seeds at each step; all of shape (steps,)."""

    steps: NDArray[np.float64]
    reward: NDArray[np.float64]
    kl: NDArray[np.float64]


def load_curve(run: Run, model: str, method: str) -> Curve | None:
    """The training curve of one policy from its `log.jsonl` files; None if there is nothing."""
    by_step: dict[float, list[tuple[float, float]]] = defaultdict(list)
    for path in sorted(run.folder.glob(f"trained/{model}/{method}/*/seed*/log.jsonl")):
        try:
            for row in files.read_jsonl(path):
                if all(_is_number(row.get(name)) for name in ("step", *FIELDS)):
                    by_step[row["step"]].append((row["reward"], row["kl"]))
        except RllrError as error:
            announce([f"{str(error).replace(f'{run.folder}/', '')}; its curve stops there"])
    if not by_step:
        return None
    steps = sorted(by_step)
    means = np.array([np.mean(by_step[step], axis=0) for step in steps])
    return Curve(np.array(steps), means[:, 0], means[:, 1])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def rolling_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over a centred window of a tenth of the steps, shorter at the ends; same shape."""
    window = max(1, len(values) // 10) | 1
    kernel = np.ones(min(window, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
