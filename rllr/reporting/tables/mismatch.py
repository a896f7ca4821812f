"""Does what is preferred follow the label? The judge, and each reward model on sampled responses.

Judge and reward models are asked the same: of a right and a wrong response to one prompt, which do
they prefer? A reward's correlation with a right label and its AUC stand beside it; see
`statistics.association` for the formulas.
"""

from __future__ import annotations

import statistics as stdlib
from collections.abc import Iterator, Mapping

from rllr.config.schema import MIXTURE
from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.associations import Association, associations, scored_of
from rllr.reporting.results.checks import reward_model_codes
from rllr.reporting.results.mismatch import ALL
from rllr.reporting.statistics.association import Measure
from rllr.reporting.tables.cells import coverage, interval_text, points, to_points
from rllr.reporting.tables.judge_rows import JUDGE, judge_rows
from rllr.reporting.tables.notes import run_notes, seeds_note
from rllr.reporting.tables.reward_models import KIND_NAMES, summaries_of
from rllr.reporting.tables.table import MISSING, Footnotes, Record, Row, Table, TableCell

COLUMNS = (
    *("Model", "Ranked by", "Basis", "Same label (%)", "Correlation (points)"),
    *("AUC (%)", "Right above wrong (%)", "Pairs"),
)
CAPTION = (
    "Basis: whose responses the judge ranks, and what pairs a reward model is trained on. Same "
    "label: share of the judge's training pairs whose two responses state the same label. "
    "Correlation (point-biserial) and AUC (chance: 50) of the reward with a right label: over "
    "held-out responses sampled from the model that training starts from, per task, then averaged "
    "over tasks. Right above wrong: of the pairs of a right and a wrong response to one prompt, "
    "the share in which the right one is preferred (chance: 50; a tie counts half); their number "
    "is beside it. A score is right within half a point."
)
INTERVAL = "95 % CI: percentile bootstrap over prompts; it does not cover another seed"
NOTHING = "Neither judged pairs nor reward models in this run: no reward to hold against labels."
NO_SAMPLES = (
    "No responses were scored by {}: none were sampled, as pairs came with the data, or its "
    "sample_rewards.jsonl is missing or unusable."
)
SOME_TASKS = (
    "(7/8): 7 of 8 tasks, over all seeds, have both right and wrong responses; of the judge, 7 of "
    "8 trainings, over all seeds, have its pairs."
)
MEASURES = ("correlation", "auc", "right_above_wrong")
# By seed, then by task (or `ALL`).
Seeds = Mapping[int, Mapping[str, Association]]


def mismatch_table(analysis: Analysis) -> Table:
    """The `mismatch` table; without judged pairs and reward models it has no rows."""
    footnotes, models = Footnotes(), [model.key for model in analysis.run.grid.models]
    groups = [
        (*judge_rows(analysis, model), *_reward_rows(analysis, model, footnotes))
        for model in models
    ]
    shown = [group for group in groups if group]
    return Table(
        name="mismatch",
        title="Reward against label",
        caption=_caption(analysis) if shown else NOTHING,
        columns=COLUMNS,
        groups=tuple(shown),
        labels=3,
        footnotes=footnotes.texts(),
        notes=(
            *run_notes(analysis, marked=bool(footnotes.codes)),
            *_further_notes(analysis, shown),
        ),
    )


def _caption(analysis: Analysis) -> str:
    several = len(analysis.run.grid.seeds) > 1
    interval = f"{INTERVAL} (each seed's is in the CSV)." if several else f"{INTERVAL}."
    return f"{CAPTION} {seeds_note(analysis)} {interval}"


def _reward_rows(analysis: Analysis, model: str, footnotes: Footnotes) -> Iterator[Row]:
    run = analysis.run
    summaries = summaries_of(run, model)
    scored = {key for key in analysis.mismatch.scored if key.model == model}
    for stage in sorted({key.stage for key in (*summaries, *scored)}):
        mine = {key: one for key, one in summaries.items() if key.stage == stage}
        kinds = dict.fromkeys(KIND_NAMES[one.pairs].lower() for one in mine.values())
        codes = reward_model_codes(run, mine)
        head = (
            TableCell(run.grid.name(model)),
            TableCell(stage, marks=footnotes.letters(codes)),
            TableCell(f"{next(iter(kinds))} pairs" if kinds else MISSING),
        )
        found = {
            seed: associations(by_task)
            for seed, by_task in sorted(scored_of(analysis.mismatch, model, stage).items())
        }
        yield (*head, TableCell(""), *_numbers(analysis, model, stage, found))


def _numbers(analysis: Analysis, model: str, stage: str, found: Seeds) -> Iterator[TableCell]:
    """A cell for each measure, then the number of pairs."""
    over_all = [by[ALL] for by in found.values() if by]
    there, expected = sum(one.tasks for one in over_all), _expected(analysis)
    identity = {"model": model, "ranked_by": stage}
    for name in MEASURES:
        text = _text([getattr(one, name) for one in over_all])
        if text != MISSING:
            text += coverage(there, expected)
        yield TableCell(text, records=tuple(_records(identity, name, found)))
    yield TableCell(str(sum(one.pairs for one in over_all)) if over_all else MISSING)


def _expected(analysis: Analysis) -> int:
    """Tasks whose responses reward models score, times seeds."""
    grid = analysis.run.grid
    tasks = {task for by_task in analysis.mismatch.scored.values() for task in by_task}
    if grid.scope != MIXTURE:
        tasks |= {task.key for task in grid.tasks}
    return len(tasks) * len(grid.seeds)


def _text(measures: list[Measure]) -> str:
    """One seed's number with its interval, else the mean with its spread."""
    values = [one.value for one in measures if one.value is not None]
    if not values:
        return MISSING
    if len(values) == 1:
        (one,) = (one for one in measures if one.value is not None)
        return f"{points(values[0])} {interval_text(one.low, one.high)}"
    return f"{points(stdlib.mean(values))} ±{points(stdlib.stdev(values))}"


def _records(identity: Record, name: str, found: Seeds) -> Iterator[Record]:
    """The CSV rows of a number: each seed's, on each task and over all."""
    for seed, by_task in found.items():
        for task, one in by_task.items():
            value: Measure = getattr(one, name)
            yield {
                **identity,
                "pairs_of": "heldout",
                "task": task,
                "seed": seed,
                "measure": name,
                "points": to_points(value.value),
                "ci_low_points": to_points(value.low),
                "ci_high_points": to_points(value.high),
                "n": one.pairs if name == "right_above_wrong" else one.responses,
                "right": one.right,
                "unparsed": one.responses - one.parsed,
            }


def _further_notes(analysis: Analysis, groups: list[tuple[Row, ...]]) -> Iterator[str]:
    """Which reward models have scored nothing, and what a coverage counts."""
    rows = [row for group in groups for row in group if row[1].text != JUDGE]
    silent = [f"{row[1].text} of {row[0].text}" for row in rows if row[-1].text == MISSING]
    if silent:
        yield NO_SAMPLES.format(", ".join(silent))
    if any("/" in cell.text for group in groups for row in group for cell in row[3:-1]):
        yield SOME_TASKS
