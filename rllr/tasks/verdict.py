"""When a stated label counts as right: one definition for rewards, pairs, samples and the report.

It imports no configuration, so that the report, which knows none, can use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rllr.tasks.labels import Label

# A score this near the gold one counts as right; the metric itself knows no such limit.
SCORE_TOLERANCE = 0.5
# So that 1.1 is half a point from 0.6, in floating point too.
ROUNDING = 1e-9


def is_right(stated: Label | None, gold: Label, *, score: bool) -> bool:
    """Whether a stated label is the gold one, or a stated score within `SCORE_TOLERANCE` of it.

    No readable label (None) is not right.
    """
    if stated is None or not score:
        return stated == gold
    return abs(float(stated) - float(gold)) <= SCORE_TOLERANCE + ROUNDING
