"""The sentences around tables and figures: what the numbers are and what they do not cover."""

from __future__ import annotations

from collections.abc import Mapping

from rllr.paper import GAINS
from rllr.reporting.results.analysis import Analysis, Estimate
from rllr.reporting.statistics.bootstrap import RESAMPLES

GENERATED = (
    "Tiny models on generated data: these numbers show that the pipeline works, not how well the "
    "methods do on real tasks."
)
SFT = {"sft", "sft_label"}
MARKS = (
    "A letter beside a name goes for every number of its row. A mean or a difference carries it "
    "where at least one cell behind it does."
)


def scale_note(analysis: Analysis) -> str:
    """What a point is, and what an unparseable response is taken for."""
    tasks = analysis.run.grid.test_tasks
    correlated = [task.name for task in tasks if task.metric == "pearson"]
    if not correlated:
        return "Accuracy in points; unparseable responses count as wrong."
    middle = "as the middle of the range"
    if len(correlated) == len(tasks):
        return f"Pearson correlation in points; unparseable responses count {middle}."
    return (
        f"Accuracy in points (Pearson correlation on {', '.join(correlated)}); unparseable "
        f"responses count as wrong (there {middle})."
    )


def seeds_note(analysis: Analysis) -> str:
    """How seeds enter the numbers."""
    seeds = len(analysis.run.grid.seeds)
    if seeds == 1:
        return "One seed."
    return f"Mean over {seeds} seeds, ± standard deviation over seeds."


def examples_note(analysis: Analysis) -> str:
    """How many test examples a score rests on: one number where the tasks do not differ."""
    sizes = {
        task.name: max(found)
        for task in analysis.run.grid.tasks
        if (found := [cell.n for key, cell in analysis.run.cells.items() if key.task == task.key])
    }
    if len(set(sizes.values())) == 1:
        return f"{next(iter(sizes.values()))} test examples per task."
    named = ", ".join(f"{name} {size}" for name, size in sizes.items())
    return f"Test examples: {named}." if named else ""


def interval_note(analysis: Analysis) -> str:
    """What the intervals are, and what they do not cover."""
    if len(analysis.run.grid.seeds) == 1:
        return (
            f"95 % CI: percentile bootstrap ({RESAMPLES} resamples of each task's test examples, "
            "jointly over models and methods); it covers test sampling only, another seed may "
            "differ by more."
        )
    return (
        "95 % CI: Student's t with the variances over seeds and over test examples, each counted "
        "jointly over what shares them; for these models and tasks. No interval where one seed "
        "alone is there."
    )


def score_notes(analysis: Analysis, *, marked: bool) -> tuple[str, ...]:
    """`run_notes`, and why numbers of which all cells are there may have no interval."""
    return (*_prediction_notes(analysis), *run_notes(analysis, marked=marked))


def _prediction_notes(analysis: Analysis) -> tuple[str, ...]:
    run = analysis.run
    unread = sum(key not in analysis.predictions for key in run.cells)
    if not unread:
        return ()
    return (
        f"{unread} of {len(run.cells)} cells have no usable predictions: what rests on them has no "
        "interval and no test.",
    )


def tests_note() -> str:
    """What a difference's p-value is."""
    return (
        "p: two-sided, corrected by Holm for the differences of one comparison at one level "
        "(overall, per model, per task, per cell); * below 0.05. The CSV has p-values of all "
        "differences, and of each seed's cells by McNemar's exact test (a permutation test for "
        "correlations)."
    )


def paper_note(analysis: Analysis, overall: Mapping[str, Estimate | None]) -> str:
    """The paper's gains beside this run's, by the method compared with; only on its own ground."""
    if not analysis.run.grid.paper:
        return ""
    parts = []
    for other, estimate in overall.items():
        verdict = "this run has no interval for it"
        if estimate and len(estimate.covered) < estimate.expected:
            verdict = "this run is not complete"
        elif estimate and estimate.interval:
            low, high = 100 * estimate.interval.low, 100 * estimate.interval.high
            inside = "contains" if low <= GAINS[other] <= high else "does not contain"
            verdict = f"this run's interval {inside} it"
        parts.append(f"+{GAINS[other]} points over {analysis.run.grid.name(other)} ({verdict})")
    unknown = " (which of the two SFT variants is not known)" if len(SFT & set(overall)) > 1 else ""
    return f"The paper reports {', '.join(parts)}{unknown}."


def run_notes(analysis: Analysis, *, marked: bool = False) -> tuple[str, ...]:
    """What a reader of any of the run's tables must know: generated data, holes, lost files.

    `marked`: the table has footnotes, whose letters need a word.
    """
    run = analysis.run
    expected = run.grid.expected()
    there = sum(key in run.cells for key in expected)
    notes = [GENERATED] if run.grid.generated else []
    if marked:
        notes.append(MARKS)
    if there < len(expected):
        notes.append(
            f"{there} of {len(expected)} cells of trained methods are there. A dash is a missing "
            "cell; (7/8) after a number means that it covers 7 of 8 cells."
        )
    if run.left_out:
        files = "file was" if run.left_out == 1 else "files were"
        notes.append(f"{run.left_out} unusable metrics {files} left out.")
    if provenance := run.provenance.note():
        notes.append(provenance)
    if not run.stages:
        notes.append("No training summaries were found: whether stages did something is unchecked.")
    return tuple(notes)
