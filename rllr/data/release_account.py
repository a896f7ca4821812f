"""What became of the rows of a file of the authors' release."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

LONGEST = 100
SHOWN = 5


class UnfitError(Exception):
    """A row that is not mapped: the reason, and what shows it, cut to a readable length."""

    def __init__(self, reason: str, shown: Any) -> None:
        super().__init__(reason)
        text = " ".join((shown if isinstance(shown, str) else repr(shown)).split())
        text = text.encode("utf-8", "replace").decode()
        self.key = (reason, text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")


@dataclass
class Account:
    """What became of a file's rows; outputs are read for one task's rows alone."""

    rows: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    unfit: Counter[tuple[str, str]] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """Rows in all, per task as the rules have it, and the unmapped ones by reason."""
        return {"rows": self.rows, "tasks": dict(sorted(self.tasks.items())), **self._unmapped()}

    def _unmapped(self) -> dict[str, Any]:
        reasons: dict[str, Any] = {}
        for (reason, shown), count in self.unfit.most_common():
            found = reasons.setdefault(reason, {"rows": 0, "most_frequent": {}})
            found["rows"] += count
            if len(found["most_frequent"]) < SHOWN:
                found["most_frequent"][shown] = count
        return {"unmapped": self.unfit.total(), "reasons": reasons}

    def lines(self, name: str) -> list[str]:
        """The same, for a log."""
        noted = self.as_json()
        tasks = ", ".join(f"{task} {count}" for task, count in noted["tasks"].items()) or "none"
        lines = [f"{name}: {self.rows} rows, of tasks: {tasks}; unmapped: {noted['unmapped']}"]
        for reason, found in noted["reasons"].items():
            lines.append(f"  {reason}: {found['rows']}")
            lines += [f"    {count} x {text}" for text, count in found["most_frequent"].items()]
        return lines
