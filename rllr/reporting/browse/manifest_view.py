"""What the manifests of data, rationales and judged pairs say, as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MANY_LABELS = 10
Noted = Mapping[str, Any]


def source_name(noted: Noted) -> str:
    """Where a task's data come from."""
    data = noted["settings"]["data"]
    return str(data["source"]) if isinstance(data, dict) else str(data)


def distribution(counts: Mapping[str, int]) -> str:
    """Labels with counts and shares; scores by their integer part."""
    grouped = dict(counts)
    if len(counts) > MANY_LABELS:
        grouped = {}
        for label, count in counts.items():
            name = label.partition(".")[0]
            grouped[name] = grouped.get(name, 0) + count
    total = sum(grouped.values())
    shares = (f"{name}: {count} ({count / total:.0%})" for name, count in grouped.items())
    return ", ".join(shares) or "no labels"


def left_out(noted: Noted, task: str) -> Iterator[str]:
    """What of a source is not in the splits, and why; nothing where that is nothing."""
    overlaps = noted.get("overlaps", {})
    groups = {
        "repeated texts": noted.get("duplicates_removed", {}),
        "repeated texts with another label": noted.get("conflicting_labels", {}),
    }
    groups |= {f"overlaps {key}": overlaps.get(key, {}) for key in ("within", "across")}
    groups["evaluated on"] = overlaps.get("dropped", {})
    released = noted.get("release", {})
    groups["pairs whose labels are in conflict"] = released.get("contradictory_pairs", {})
    for what, counts in groups.items():
        found = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
        if found:
            yield f"left out, {what}: {found}"
    for name, account in released.get("files", {}).items():
        own = account["tasks"].get(task, 0)
        yield f"{name}: {own} rows of this task, {account['unmapped']} of no task or unreadable"


def asked(facts: Noted | str) -> Iterator[str]:
    """Who wrote, or judged, with its counts; then why answers were refused."""
    if isinstance(facts, str):  # an earlier version's
        facts = {"backend": facts}
    yield ", ".join(f"{key} {_short(value)}" for key, value in facts.items() if _is_single(value))
    refused = facts.get("refused")
    if refused:
        yield "refused: " + ", ".join(f"{why} {count}" for why, count in refused.items())


def _is_single(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != 0


def _short(value: str | float) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
