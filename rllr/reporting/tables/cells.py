"""From an estimate to a shown cell: points with one decimal, coverage, marks, CSV record."""

from __future__ import annotations

from collections.abc import Sequence

from rllr.reporting.results.analysis import Estimate
from rllr.reporting.statistics.interval import Interval
from rllr.reporting.tables.table import MISSING, Emphasis, Footnotes, Record

MINUS = "\N{MINUS SIGN}"


def points(value: float) -> str:
    """A fraction as points (x 100) with one decimal; never a negative zero."""
    return f"{_shown(value):.1f}".replace("-", MINUS)


def _shown(value: float) -> float:
    """Points as they are shown; equal averages alike, in whatever order they were summed up."""
    return round(round(100 * value, 9), 1) + 0.0


def signed(value: float) -> str:
    """A difference of fractions as points with its sign; a zero has none."""
    shown = points(value)
    return shown if shown.startswith(MINUS) or shown == "0.0" else f"+{shown}"


def interval_text(low: float | None, high: float | None) -> str:
    """`[69.0, 73.5]` in points, or a dash where there is no interval."""
    if low is None or high is None:
        return MISSING
    return f"[{points(low)}, {points(high)}]"


def estimate_text(estimate: Estimate | None, shown: str) -> str:
    """The shown value with its spread over seeds and, where incomplete, its coverage."""
    if estimate is None:
        return MISSING
    spread = f" ±{points(estimate.sd)}" if estimate.sd is not None else ""
    return f"{shown}{spread}{coverage(len(estimate.covered), estimate.expected)}"


def coverage(cells: int, expected: int) -> str:
    """` (7/8)` where an average does not cover all its cells, else nothing."""
    return f" ({cells}/{expected})" if cells < expected else ""


def describe(estimate: Estimate) -> str:
    """What a reader sees who asks for more about a number: interval, size, unparsed share."""
    parts = [f"95 % CI {interval_text(estimate.low, estimate.high)}"]
    parts.append(f"n = {estimate.n}, {unparsed_share(estimate)} % unparsed")
    return "; ".join(parts)


def unparsed_share(estimate: Estimate) -> str:
    """The share of unparseable responses in percent, one decimal."""
    return f"{100 * estimate.unparsed / estimate.n:.1f}"


def shared_codes(estimates: Sequence[Estimate | None]) -> tuple[str, ...]:
    """Flag codes that all of a row's cells carry (two cells at least): the row's name takes them.

    A letter on every number of a row is hard to read and says no more.
    """
    present = [estimate for estimate in estimates if estimate is not None]
    if len(present) < 2:
        return ()
    return tuple(
        code for code in present[0].codes if all(code in other.codes for other in present[1:])
    )


def marks(
    estimate: Estimate | None, row_codes: tuple[str, ...], footnotes: Footnotes
) -> tuple[str, ...]:
    """Footnote letters of a cell, without those that its row's name carries."""
    if estimate is None:
        return ()
    return footnotes.letters(tuple(code for code in estimate.codes if code not in row_codes))


def estimate_record(estimate: Estimate | None) -> Record:
    """The numbers of an estimate as CSV fields: points unrounded to 4 decimals, counts as found."""
    if estimate is None:
        return {"points": None, "cells": 0}
    return {
        "points": to_points(estimate.value),
        "ci_low_points": to_points(estimate.low),
        "ci_high_points": to_points(estimate.high),
        "sd_points": to_points(estimate.sd),
        **_spread_record(estimate.interval),
        "cells": len(estimate.covered),
        "cells_expected": estimate.expected,
        "n": estimate.n,
        "unparsed": estimate.unparsed,
        "unparsed_percent": round(100 * estimate.unparsed / estimate.n, 4),
        "flags": ";".join(estimate.codes),
    }


def _spread_record(interval: Interval | None) -> Record:
    """Standard error and, of Student's t, degrees of freedom."""
    if interval is None:
        return {}
    df = None if interval.df is None else round(interval.df, 2)
    return {"se_points": to_points(interval.se), "df": df}


def to_points(value: float | None) -> float | None:
    """A fraction as points with four decimals, for the CSV."""
    return None if value is None else round(100 * value, 4)


def emphasise(estimates: Sequence[Estimate | None]) -> list[Emphasis]:
    """`best`, `second` or nothing for each of a column's estimates; equal shown values share.

    Nothing stands out among fewer than two, nor where they do not cover the same cells.
    """
    present = [estimate for estimate in estimates if estimate is not None]
    comparable = len({estimate.covered for estimate in present}) == 1
    if len(present) < 2 or not comparable:
        return ["" for _ in estimates]
    shown = [None if one is None else _shown(one.value) for one in estimates]
    ranks = sorted({value for value in shown if value is not None}, reverse=True)
    names: dict[float | None, Emphasis] = {rank: "second" for rank in ranks[1:2]}
    names[ranks[0]] = "best"
    return [names.get(value, "") for value in shown]
