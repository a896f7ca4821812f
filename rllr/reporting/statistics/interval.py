"""What is known of the uncertainty of a shown number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """95 % interval, standard error and two-sided p-value of the number being 0.

    `df` are the degrees of freedom of Student's t; None where the interval is not one of t.
    """

    low: float
    high: float
    se: float
    p: float
    df: float | None = None
