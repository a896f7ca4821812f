"""What the `rationales` table says of itself: who judged, how it is counted, or why it is empty."""

from __future__ import annotations

from collections import defaultdict

from rllr.reporting.results.collect import Run
from rllr.reporting.statistics.bootstrap import RESAMPLES

WHAT = (
    "How the judge ranks two methods' responses to the same test examples, in percent of n "
    "comparisons (none: no verdict). Win rate: won, and half of tied, of those with a verdict; "
    "there: where both responses state the same label, so that the rationale alone differs."
)
ORDERS = (
    "Each comparison is made in both orders: won (lost) if it is so in both, tied if the verdict "
    "changes with the order (Zheng et al. 2023). Responses of the same text are tied without "
    "asking. Bias: of the others with a verdict, those in which one position won in both orders."
)
LEXICAL = (
    "The lexical judge scores each response by itself: it has no position bias by construction."
)
ONE_SEED = (
    f"One seed. 95 % CI: percentile bootstrap ({RESAMPLES} resamples of each task's test examples, "
    "jointly over models); it covers test sampling only, another seed may differ by more."
)
SEVERAL = (
    "Comparisons of {} seeds together, ± standard deviation over seeds; 95 % intervals, for seeds "
    "and test examples, are in the CSV."
)
NOTHING = "No comparisons of rationales under the judge: "


def caption(run: Run) -> str:
    """The caption of a run's table."""
    if not run.judged and not run.grid.comparisons:
        return NOTHING + _why_nothing(run)
    if not run.judged:
        return f"{WHAT} None is there: the stage judge_test has not run, or is named as unusable."
    seeds = len(run.grid.seeds)
    return " ".join([WHAT, ORDERS, _judges(run), SEVERAL.format(seeds) if seeds > 1 else ONE_SEED])


def _why_nothing(run: Run) -> str:
    if run.grid.comparisons is None:
        return "this folder holds none (judged/MODEL/UNIT/seedK/comparisons.jsonl)."
    return "judge.test_prompts is 0, or fewer than two of the run's methods write rationales."


def _judges(run: Run) -> str:
    """Who judged; where several did, whose responses each."""
    models: dict[str, list[str]] = defaultdict(list)
    for key, judged in run.judged.items():
        if run.grid.name(key.model) not in models[judged.judge]:
            models[judged.judge].append(run.grid.name(key.model))
    if len(models) > 1:
        found = "; ".join(f"{judge} ({', '.join(of)})" for judge, of in models.items())
        return f"Judges differ, so compare no rows of different ones: {found}."
    (judge,) = models
    return f"Judge: {judge}. {LEXICAL}" if judge == "lexical" else f"Judge: {judge}."
