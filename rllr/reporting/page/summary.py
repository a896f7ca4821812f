"""Three sentences that say what a run found, from its numbers alone, whichever way they point."""

from __future__ import annotations

from rllr.reporting.results.analysis import Analysis, Estimate
from rllr.reporting.tables.cells import coverage, interval_text, points, unparsed_share
from rllr.reporting.tables.comparisons import METHOD, compared, delta_estimates
from rllr.reporting.tables.notes import GENERATED
from rllr.reporting.tables.scores import average_estimate


def sentences(analysis: Analysis) -> list[str]:
    """Which method is best on average, RLLR against the others, and what to distrust."""
    return [*_averages(analysis), *_comparisons(analysis), _distrust(analysis)]


def _models(analysis: Analysis) -> list[str]:
    return [model.key for model in analysis.run.grid.models]


def _averages(analysis: Analysis) -> list[str]:
    """The trained methods by their average, best first; no order where they cover other cells."""
    grid = analysis.run.grid
    averages = [
        (method.name, average)
        for method in grid.methods
        if (average := average_estimate(analysis, _models(analysis), method.key)) is not None
    ]
    if not averages:
        return ["No trained method has a cell in this run yet."]
    scope = f"{_count(len(grid.models), 'model')} and {_count(len(grid.tasks), 'task')}"
    start = f"On average over {scope}"
    if len({average.covered for _, average in averages}) > 1:
        shown = _listed([f"{name} {_with_coverage(average)}" for name, average in averages])
        return [f"{start} (points): {shown}; they cover different cells and cannot be ranked."]
    return [f"{start}, {_ranked(averages)}."]


def _ranked(averages: list[tuple[str, Estimate]]) -> str:
    """The best by what is shown (there may be several), and the others behind it."""
    ordered = sorted(averages, key=lambda item: -item[1].value)
    first = ordered[0][1]
    best = [name for name, one in ordered if points(one.value) == points(first.value)]
    rest = [f"{name} ({points(one.value)})" for name, one in ordered[len(best) :]]
    before = f", before {_listed(rest)}" if rest else ""
    verb = "is" if len(best) == 1 else "are"
    return f"{_listed(best)} {verb} best with {_with_coverage(first)} points{before}"


def _with_coverage(average: Estimate) -> str:
    return points(average.value) + coverage(len(average.covered), average.expected)


def _comparisons(analysis: Analysis) -> list[str]:
    """One sentence: RLLR's difference to each other method with its interval, and what follows."""
    overall = {
        analysis.run.grid.name(other): estimate
        for other in compared(analysis)
        if (estimate := delta_estimates(analysis, _models(analysis), other)[-1]) is not None
    }
    if not overall:
        return []
    mine = analysis.run.grid.name(METHOD)
    differences = _listed([_difference(name, one) for name, one in overall.items()])
    return [f"{mine} is {differences}: {_verdict(analysis, overall)}."]


def _difference(theirs: str, overall: Estimate) -> str:
    difference = points(abs(overall.value))
    side = "above" if overall.value > 0 else "below"
    text = f"{difference} points {side} {theirs}"
    if difference == "0.0":
        text = f"within 0.05 points of {theirs}"
    if len(overall.covered) < overall.expected:
        text += f" over {len(overall.covered)} of {overall.expected} cells"
    if overall.low is None or overall.high is None:
        return f"{text} (no interval: predictions or seeds are missing)"
    return f"{text} (95 % CI {interval_text(overall.low, overall.high)})"


def _verdict(analysis: Analysis, overall: dict[str, Estimate]) -> str:
    better = [name for name, one in overall.items() if (one.low or 0.0) > 0]
    worse = [name for name, one in overall.items() if (one.high or 0.0) < 0]
    rest = [name for name, one in overall.items() if one.interval and name not in (*better, *worse)]
    found = [f"better than {_listed(better)}"] if better else []
    found += [f"worse than {_listed(worse)}"] if worse else []
    shown = [f"it is {_listed(found)}{_reach(analysis)}"] if found else []
    shown += [f"this run shows no difference to {_listed(rest)}"] if rest else []
    shown = shown or ["whether that is more than chance is not known"]
    flagged = "; flagged cells are among those compared" if _any_flag(analysis) else ""
    return "; ".join(shown) + flagged


def _reach(analysis: Analysis) -> str:
    one_seed = len(analysis.run.grid.seeds) == 1
    return " on these test examples, though other seeds may differ" if one_seed else ""


def _any_flag(analysis: Analysis) -> bool:
    methods = {METHOD, *compared(analysis)}
    return any(flags for key, flags in analysis.flags.items() if key.method in methods)


def _distrust(analysis: Analysis) -> str:
    run = analysis.run
    expected = run.grid.expected()
    there = [key for key in expected if key in run.cells]
    flagged = sum(bool(analysis.flags[key]) for key in there)
    text = f"Of {_count(len(expected), 'cell')} of trained methods, {len(there)} are there"
    text += f" and {flagged} of those carry a flag"
    everything = analysis.estimate([{key.seed: {key: 1.0}} for key in there], seeds=1)
    if everything is not None:
        text += f"; {unparsed_share(everything)} % of their responses could not be parsed"
    generated = f"{GENERATED.rstrip('.')}. " if run.grid.generated else ""
    return f"{generated}{text}."


def _listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
