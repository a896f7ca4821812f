"""What a run's tables and figures are called, for rules that name their files."""

from __future__ import annotations

TABLES = (
    "headline",
    "main",
    "delta",
    "reward_models",
    "mismatch",
    "rationales",
    "scale",
    "cost",
    "method_cost",
    "health",
)
FIGURES = ("scores", "delta", "heatmap", "reward_curves", "rewards", "calibration", "cost")
TABLE_FORMATS = ("md", "csv", "tex", "html")
FIGURE_FORMATS = ("svg", "png")
