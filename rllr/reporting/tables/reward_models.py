"""Pair accuracy of each reward model on held-out pairs of both kinds, per model.

A label-sensitive pair differs in the label, a rationale-sensitive one was ranked by the judge.
Counts of a model's units (mixture, or one per task) are pooled. The Wilson interval treats pairs as
independent; pairs of one prompt are not, so it is too narrow.
"""

from __future__ import annotations

import statistics as stdlib
from collections.abc import Iterator, Mapping, Sequence

from rllr.config.schema import MIXTURE
from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.checks import reward_model_codes
from rllr.reporting.results.collect import Run
from rllr.reporting.results.grid import Grid
from rllr.reporting.results.summaries import (
    PAIR_KINDS,
    PairCount,
    PairKind,
    RewardSummary,
    StageKey,
)
from rllr.reporting.statistics.bootstrap import wilson_interval
from rllr.reporting.tables.cells import coverage, interval_text, points, to_points
from rllr.reporting.tables.notes import run_notes, seeds_note
from rllr.reporting.tables.table import MISSING, Footnotes, Record, Row, Table, TableCell

KIND_NAMES: dict[PairKind, str] = {
    "label_sensitive": "Label-sensitive",
    "rationale_sensitive": "Rationale-sensitive",
}
SOME = "(2/3): 2 of 3 reward models, of all seeds and training units, have held-out pairs."
Found = Mapping[StageKey, RewardSummary]


def reward_models_table(analysis: Analysis) -> Table:
    """The `reward_models` table; without reward models it has no rows."""
    grid, footnotes = analysis.run.grid, Footnotes()
    groups = tuple(tuple(_rows(analysis, model.key, footnotes)) for model in grid.models)
    pairs = [f"{name} pairs" for name in KIND_NAMES.values()]
    return Table(
        name="reward_models",
        title="Accuracy of the reward models",
        caption=_caption(analysis),
        columns=("Model", "Reward model", "Trained on", *pairs),
        groups=tuple(group for group in groups if group),
        labels=3,
        footnotes=footnotes.texts(),
        notes=(*run_notes(analysis, marked=bool(footnotes.codes)), *_coverage_note(groups)),
    )


def _coverage_note(groups: Sequence[Sequence[Row]]) -> tuple[str, ...]:
    shown = any("/" in cell.text for group in groups for row in group for cell in row[3:])
    return (SOME,) if shown else ()


def _caption(analysis: Analysis) -> str:
    what = (
        "Share of held-out pairs, in percent, in which the chosen response scores higher (chance: "
        "50), with 95 % Wilson interval"
    )
    where = " (each seed's is in the CSV)" if len(analysis.run.grid.seeds) > 1 else ""
    how = ", which takes pairs as independent and is too narrow, as several pairs share a prompt."
    return f"{what}{where}{how} {seeds_note(analysis)}"


def summaries_of(run: Run, model: str) -> dict[StageKey, RewardSummary]:
    """Summaries of a model's reward models, those of the run's seeds and scope."""
    return {
        key: summary
        for key, summary in run.stages.items()
        if isinstance(summary, RewardSummary)
        and key.model == model
        and key.seed in run.grid.seeds
        and (key.unit == MIXTURE) == (run.grid.scope == MIXTURE)
    }


def _rows(analysis: Analysis, model: str, footnotes: Footnotes) -> Iterator[Row]:
    mine = summaries_of(analysis.run, model)
    for stage in sorted({key.stage for key in mine}):
        found = {key: summary for key, summary in mine.items() if key.stage == stage}
        trained_on = next(iter(found.values())).pairs
        codes = reward_model_codes(analysis.run, found)
        head = (
            TableCell(analysis.run.grid.name(model)),
            TableCell(stage, marks=footnotes.letters(codes)),
            TableCell(f"{KIND_NAMES[trained_on].lower()} pairs"),
        )
        yield (*head, *(_cell(analysis.run.grid, model, stage, found, kind) for kind in PAIR_KINDS))


def _cell(grid: Grid, model: str, stage: str, found: Found, kind: PairKind) -> TableCell:
    """One accuracy: with its interval if there is one seed, else its mean ± sd over seeds.

    Where reward models of some seeds or units are missing, it says how many there are.
    """
    identity = {"model": model, "reward_model": stage, "pairs": kind}
    by_seed = {
        seed: _pool(
            summary.accuracy.get(kind) for key, summary in found.items() if key.seed == seed
        )
        for seed in sorted({key.seed for key in found})
    }
    counts = {seed: count for seed, count in by_seed.items() if count.n}
    records = tuple(
        _record(identity, seed, task, one)
        for seed, count in counts.items()
        for task, one in {"all": count, **count.by_task}.items()
        if one.n
    )
    text = _text(list(counts.values()))
    if counts:
        text += coverage(_scored(found, kind), grid.runs)
    return TableCell(text, records=records)


def _scored(found: Found, kind: PairKind) -> int:
    """How many reward models were scored on pairs of a kind."""
    counts = (summary.accuracy.get(kind) for summary in found.values())
    return sum(bool(count and count.n) for count in counts)


def _text(counts: list[PairCount]) -> str:
    shares = [count.correct / count.n for count in counts]
    if not shares:
        return MISSING
    if len(shares) == 1:
        interval = interval_text(*wilson_interval(counts[0].correct, counts[0].n))
        return f"{points(shares[0])} {interval}"
    return f"{points(stdlib.mean(shares))} ±{points(stdlib.stdev(shares))}"


def _pool(counts: Iterator[PairCount | None]) -> PairCount:
    """The counts of several units added up, per task too."""
    correct, n, by_task = 0, 0, dict[str, PairCount]()
    for count in counts:
        if count is None:
            continue
        correct, n = correct + count.correct, n + count.n
        for task, one in count.by_task.items():
            before = by_task.get(task, PairCount(0, 0))
            by_task[task] = PairCount(before.correct + one.correct, before.n + one.n)
    return PairCount(correct, n, by_task)


def _record(identity: dict[str, str], seed: int, task: str, count: PairCount) -> Record:
    low, high = wilson_interval(count.correct, count.n)
    return {
        **identity,
        "task": task,
        "seed": seed,
        "accuracy_points": to_points(count.correct / count.n),
        "ci_low_points": to_points(low),
        "ci_high_points": to_points(high),
        "correct": count.correct,
        "n": count.n,
    }
