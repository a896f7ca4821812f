"""Win rates of methods' rationales on test responses, under the judge.

Every number of a row is a share of all its comparisons together: those of its tasks, seeds and
models. Of a win rate, ties are half a win, and comparisons without a verdict are left out; the
share of these stands beside it. Beside the rate of all comparisons stands that of those in which
both responses state the same label: there, nothing but the rationale can be better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.encounters import LABELS, Labels, encounters, win_rate
from rllr.reporting.results.grid import Grid
from rllr.reporting.results.judged import Pair
from rllr.reporting.results.standings import Line, Standing, spread, standings
from rllr.reporting.statistics.win_rates import Ends
from rllr.reporting.tables.cells import coverage, interval_text, points, to_points
from rllr.reporting.tables.notes import run_notes
from rllr.reporting.tables.rationales_caption import caption
from rllr.reporting.tables.scores import model_blocks
from rllr.reporting.tables.table import MISSING, Record, Row, Table, TableCell

COUNTS = ("won", "tied", "lost", "no_verdict", "same_text")
COLUMNS = (
    *("Model", "Comparison", "Win rate", "% won", "% tied", "% lost", "% none", "% same text"),
    *("% same label", "Win rate there", "% bias", "n"),
)
Found = Mapping[Line, Standing]


def rationales_table(analysis: Analysis) -> Table:
    """The `rationales` table; without two methods that are compared it has no rows."""
    grid, blocks = analysis.run.grid, model_blocks(analysis.run.grid)
    met = encounters(analysis.run)
    found = {pair: standings(grid, met[pair], [models for _, models in blocks]) for pair in met}
    return Table(
        name="rationales",
        title="Rationales under the judge",
        caption=caption(analysis.run),
        columns=COLUMNS,
        groups=tuple(
            tuple(_row(grid, name, models, pair, found[pair]) for pair in found)
            for name, models in blocks
            if found
        ),
        notes=run_notes(analysis, marked=False),
    )


def _row(grid: Grid, name: str, models: tuple[str, ...], pair: Pair, found: Found) -> Row:
    counts = found[Line(models, "all", None)].counts
    rate, rate_there = (_rate_cell(grid, models, labels, pair, found) for labels in LABELS)
    same = found[Line(models, "same", None)].counts["comparisons"]
    compared = counts["comparisons"]
    return (
        TableCell(name),
        TableCell(f"{grid.name(pair[0])} vs {grid.name(pair[1])}"),
        rate,
        *(_share_cell(counts[count], compared) for count in COUNTS),
        _share_cell(same, compared),
        rate_there,
        _share_cell(_followed_place(counts), counts["asked"]),
        TableCell(str(compared)),
    )


def _share_cell(count: int, of: int) -> TableCell:
    return TableCell(points(count / of) if of else MISSING)


def _followed_place(counts: Counter[str]) -> int:
    """Comparisons in which the same place won in both orders."""
    return counts["first_place"] + counts["second_place"]


def _rate_cell(
    grid: Grid, models: tuple[str, ...], labels: Labels, pair: Pair, found: Found
) -> TableCell:
    """A win rate: with its interval if there is one seed, else with its spread over seeds."""
    line = Line(models, labels, None)
    one, sd = found[line], spread(found, line, grid.seeds)
    records = tuple(_records(models, labels, pair, found, grid.seeds))
    if one.rate is None:
        return TableCell(MISSING, detail="no comparison with a verdict", records=records)
    shown = interval_text(*one.ends)
    beside = shown if len(grid.seeds) == 1 else f"±{points(sd)}" if sd is not None else ""
    return TableCell(
        f"{points(one.rate)} {beside}".strip() + coverage(len(one.places), one.expected),
        detail=f"95 % CI {shown}; n = {one.counts['comparisons']}",
        records=records,
    )


def _records(
    models: tuple[str, ...], labels: Labels, pair: Pair, found: Found, seeds: Sequence[int]
) -> list[Record]:
    """All tasks and each; all seeds and, where there are several, each."""
    model = models[0] if len(models) == 1 else "all"
    identity = {"model": model, "method": pair[0], "against": pair[1], "labels": labels}
    records = []
    for seed in (None, *seeds) if len(seeds) > 1 else (None,):
        line = Line(models, labels, seed)
        one, sd = found[line], spread(found, line, seeds) if seed is None else None
        shown = seeds[0] if len(seeds) == 1 else "all" if seed is None else seed
        place = {**identity, "task": "all", "seed": shown}
        records.append(_record(place, one.counts, one.ends, sd))
        for task, (counts, ends) in one.tasks.items():
            records.append(_record({**place, "task": task}, counts, ends, None))
    return records


def _record(place: Record, counts: Counter[str], ends: Ends, sd: float | None) -> Record:
    asked = counts["asked"]
    bias = _followed_place(counts) / asked if asked else None
    names = (*COUNTS, "asked", "inconsistent", "first_place", "second_place")
    return {
        **place,
        "win_rate_points": to_points(win_rate(counts)),
        "ci_low_points": to_points(ends[0]),
        "ci_high_points": to_points(ends[1]),
        "sd_points": to_points(sd),
        "n": counts["comparisons"],
        **{name: counts[name] for name in names},
        "position_bias_percent": to_points(bias),
    }
