"""A few sentences that say what a run found, from its numbers alone, whichever way they point."""

from __future__ import annotations

from rllr.reporting.results.analysis import Analysis, Estimate
from rllr.reporting.tables.cells import coverage, interval_text, points, unparsed_share
from rllr.reporting.tables.comparisons import METHOD, compared, delta_estimates
from rllr.reporting.tables.notes import GENERATED
from rllr.reporting.tables.scores import average_estimate


def sentences(analysis: Analysis) -> list[str]:
    """The summary of a run: each method's average, RLLR against the others, what to distrust."""
    notes = [GENERATED] if analysis.run.grid.generated else []
    return [*notes, *_averages(analysis), *_comparisons(analysis), *_distrust(analysis)]


def _models(analysis: Analysis) -> list[str]:
    return [model.key for model in analysis.run.grid.models]


def _averages(analysis: Analysis) -> list[str]:
    grid = analysis.run.grid
    found = []
    for method in grid.methods:
        average = average_estimate(analysis, _models(analysis), method.key)
        if average is not None:
            cells = coverage(len(average.covered), average.expected)
            found.append(f"{method.name} {points(average.value)}{cells}")
    if not found:
        return ["No trained method has a cell in this run yet."]
    scope = f"{_count(len(grid.models), 'model')} and {_count(len(grid.tasks), 'task')}"
    return [f"Average in points over {scope}: {', '.join(found)}."]


def _comparisons(analysis: Analysis) -> list[str]:
    found = []
    for other in compared(analysis):
        overall = delta_estimates(analysis, _models(analysis), other)[-1]
        if overall is not None:
            found.append(_comparison(analysis, other, overall))
    return found


def _comparison(analysis: Analysis, other: str, overall: Estimate) -> str:
    mine, theirs = analysis.run.grid.name(METHOD), analysis.run.grid.name(other)
    difference = points(abs(overall.value))
    side = "above" if overall.value > 0 else "below"
    start = f"{mine} is {difference} points {side} {theirs}"
    if difference == "0.0":
        start = f"{mine} and {theirs} do not differ in the first decimal"
    cells = f"over {_count(len(overall.covered), 'shared cell')}"
    cells += ", flagged ones among them" if overall.codes else ""
    if overall.low is None or overall.high is None:
        return f"{start}, {cells}; there is no interval, because predictions are missing."
    interval = interval_text(overall.low, overall.high)
    return f"{start}, {cells} (95 % CI {interval}): {_verdict(overall, mine, theirs)}"


def _verdict(overall: Estimate, mine: str, theirs: str) -> str:
    low, high = overall.low or 0.0, overall.high or 0.0
    if low > 0:
        return f"on these test examples {mine} is better, though other seeds may differ."
    if high < 0:
        return f"on these test examples {theirs} is better, though other seeds may differ."
    return f"the interval contains 0, so this run does not show that {mine} beats {theirs}."


def _distrust(analysis: Analysis) -> list[str]:
    run = analysis.run
    expected = run.grid.expected()
    there = [key for key in expected if key in run.cells]
    flagged = sum(bool(analysis.flags[key]) for key in there)
    text = f"Of {_count(len(expected), 'cell')} of trained methods, {len(there)} are there"
    text += f" and {flagged} of those carry a flag"
    everything = analysis.estimate([{key.seed: {key: 1.0}} for key in there], seeds=1)
    if everything is not None:
        text += f"; {unparsed_share(everything)} % of their responses could not be parsed"
    return [f"{text}."]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
