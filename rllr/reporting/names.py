"""What a run's tables and figures are called, for rules that name their files."""

from __future__ import annotations

TABLES = ("headline", "main", "delta", "reward_models", "scale", "cost", "method_cost", "health")
FIGURES = ("scores", "delta", "reward_curves", "heatmap", "cost")
TABLE_FORMATS = ("md", "csv", "tex", "html")
FIGURE_FORMATS = ("svg", "png")
