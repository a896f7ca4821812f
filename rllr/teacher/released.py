"""The teacher of released data: hands out the rationales that came with it, and writes none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rllr.config.schema import TaskConfig
from rllr.data.released import RELEASED_RATIONALES
from rllr.files import read_jsonl
from rllr.tasks.labels import label_text
from rllr.teacher.base import Ask


class ReleasedTeacher:
    """Looks up the released rationale for an example and label."""

    def __init__(self, task: TaskConfig, data_folder: Path) -> None:
        self.task = task
        rows = read_jsonl(data_folder / RELEASED_RATIONALES)
        self.texts = {row["id"]: row["rationales"] for row in rows}

    def rationales(self, asks: Sequence[Ask]) -> list[str | None]:
        """The stored rationales; None where the release has none for this label."""
        return [
            self.texts.get(ask.example["id"], {}).get(label_text(self.task, ask.label))
            for ask in asks
        ]

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"backend": "released"}
