"""In which order tables and figures are shown, for the report and for `snakemake --report`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A heading with the tables and figures under it, by name."""

    heading: str
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()


SECTIONS = (
    Section("Headline", ("headline",)),
    Section("Differences", ("delta",), ("delta", "heatmap")),
    Section("All methods", ("main",), ("scores",)),
    Section("Model sizes", ("scale",)),
    Section("Reward models", ("reward_models", "mismatch"), ("rewards", "calibration")),
    Section("Rationales", ("rationales",)),
    Section("Training", (), ("reward_curves",)),
    Section("Cost", ("method_cost", "cost"), ("cost",)),
    Section("Health", ("health",)),
)


def heading_of(name: str, *, figure: bool) -> str:
    """The heading under which a table (or figure) is shown."""
    found = [s.heading for s in SECTIONS if name in (s.figures if figure else s.tables)]
    return found[0]
