"""What each figure and table shows, in words that hold for any run.

Figures carry these under them in the report; `snakemake --report` shows them beside tables too,
whose own captions speak of the run at hand.
"""

from __future__ import annotations

FIGURE_CAPTIONS = {
    "scores": "Average over tasks of each trained method, per model, with 95 % interval (with one "
    "seed: for test sampling only). A hollow marker does not cover all its cells.",
    "delta": "RLLR minus each other method, in points, averaged over tasks, with 95 % interval "
    "(with one seed: for test sampling only). A hollow marker does not cover all its cells.",
    "reward_curves": "Reward and KL divergence from the starting model (nats per response, "
    "estimated from the batch, so that it may be below 0) at each training step (faint), and their "
    "rolling mean. Methods are rewarded by different models: compare the shape "
    "of reward curves, not their height.",
    "rewards": "Rewards of held-out sampled responses with a right label (filled) and with a wrong "
    "or no readable one (outlined), of all tasks, each in standard deviations from the reward "
    "model's mean on its task (what lies beyond three is in the outermost bins); each of the two "
    "adds up to 100 %. A reward that follows the label tells them apart.",
    "calibration": "Share of right labels among held-out sampled responses of similar reward "
    "(tenths of them, from low to high, at their mean reward), with 95 % Wilson interval, which "
    "takes responses as independent and is somewhat too narrow. Dotted: over all responses, where "
    "a reward that knows nothing of the label stays.",
    "heatmap": "RLLR minus SFT in points, for each model and task, with the means of rows and "
    "columns. Only cells that both methods have count; (7/8): that many of them are there, a dash: "
    "none is. Blue: RLLR is better, orange: SFT is.",
    "cost": "Average over tasks against what a method took with all that it rests on (its start, "
    "its reward models, sampling and judging), mean over seeds, with 95 % interval. A hollow "
    "marker does not cover all its cells; a method of which a manifest is missing has none.",
}
TABLE_CAPTIONS = {
    "headline": "Scores of SFT, RLHF and RLLR on each task, in points, and their average.",
    "main": "Scores of all methods of the run on each task, in points, with the majority class and "
    "the untrained model as context.",
    "delta": "RLLR minus each method that it is compared with, in points, with 95 % intervals.",
    "reward_models": "Share of held-out pairs of both kinds that each reward model ranks as "
    "they should be.",
    "mismatch": "How often judged pairs differ in their rationale alone, and how far each reward "
    "model's rewards follow the label.",
    "scale": "The same methods across the model sizes of a family.",
    "rationales": "How often the judge prefers a method's rationale on test prompts, with ties and "
    "position bias.",
    "cost": "Time, memory, training steps and tokens of each stage, per model.",
    "method_cost": "What each method took with all that it rests on, per model.",
    "health": "What a reader needs to distrust a cell: unparseable and truncated responses, label "
    "distribution, KL divergence, skipped batches.",
}
