"""Made-up experiments whose true difference is known: run noise, shared SFT noise, hard examples.

A method is right on an example where a latent score is above 0. The score of method k, model m,
seed s, task t and example i adds up from

- how hard the example is, for all, and how much harder for this model and method (examples are
  sampled: other ones would differ);
- what the seed's SFT is worth (shared by all methods of the seed, over all tasks);
- what the method's own training run is worth, over all tasks and on this one (seeds are sampled);
- the noise of a single answer, a part of it shared by the methods of a seed.

The two methods are exchangeable, so their true difference is 0.
"""

from __future__ import annotations

import numpy as np

from rllr.reporting.statistics.bootstrap import Floats
from rllr.reporting.statistics.components import Block


def right_answers(
    random: np.random.Generator, shape: tuple[int, int, int, int], run_noise: float
) -> tuple[Floats, Floats]:
    """Two methods' answers, 1 where right, each (models, seeds, tasks, examples) = `shape`."""
    models, seeds, tasks, n = shape
    shared = random.normal(0, 1.5, (1, 1, tasks, n)) + random.normal(0, 0.5, (models, 1, tasks, n))
    shared = shared + random.normal(0, 0.2, (models, seeds, 1, 1)) + random.normal(0, 0.7, shape)
    return _method(random, shared, run_noise), _method(random, shared, run_noise)


def _method(random: np.random.Generator, shared: Floats, run_noise: float) -> Floats:
    models, seeds, tasks, n = shared.shape
    run = random.normal(0, run_noise, (models, seeds, 1, 1))
    run = run + random.normal(0, run_noise, (models, seeds, tasks, 1))
    own = random.normal(0, 0.3, (models, 1, tasks, n)) + random.normal(0, 0.7, shared.shape)
    return (1.0 + shared + run + own > 0).astype(np.float64)


def blocks(values: Floats) -> list[Block]:
    """(models, seeds, tasks, examples) as blocks whose seeds a model's tasks share."""
    models, seeds, tasks, _ = values.shape
    return [
        Block(f"model{m}", f"task{t}", tuple(range(seeds)), values[m, :, t])
        for m in range(models)
        for t in range(tasks)
    ]
