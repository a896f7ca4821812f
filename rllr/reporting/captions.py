"""What each figure and table shows, in words that hold for any run.

Figures carry these under them in the report; `snakemake --report` shows them beside tables too,
whose own captions speak of the run at hand.
"""

from __future__ import annotations

FIGURE_CAPTIONS = {
    "scores": "Average over tasks of each trained method, per model, with 95 % interval for test "
    "sampling. A hollow marker does not cover all its cells.",
    "delta": "RLLR minus each other method, in points, averaged over tasks, with 95 % interval for "
    "test sampling. A hollow marker does not cover all its cells.",
    "reward_curves": "Reward and KL divergence from the starting model at each training step "
    "(faint), and their rolling mean. Methods are rewarded by different models: compare the shape "
    "of reward curves, not their height.",
}
TABLE_CAPTIONS = {
    "headline": "Scores of SFT, RLHF and RLLR on each task, in points, and their average.",
    "main": "Scores of all methods of the run on each task, in points, with the majority class and "
    "the untrained model as context.",
    "delta": "RLLR minus each method that it is compared with, in points, with 95 % intervals.",
    "reward_models": "Share of held-out pairs of both kinds that each reward model ranks as "
    "they should be.",
}
