"""The embedded default's teacher: hands out the rationales that the generator wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rllr.config.schema import TaskConfig
from rllr.data.prepare import GENERATED_RATIONALES
from rllr.errors import RllrError
from rllr.files import read_jsonl
from rllr.tasks.labels import label_text
from rllr.teacher.base import Ask


class GeneratedTeacher:
    """Looks up the generator's rationale for an example and label."""

    def __init__(self, task: TaskConfig, data_folder: Path) -> None:
        self.task = task
        self.path = data_folder / GENERATED_RATIONALES
        self.texts = {row["id"]: row["rationales"] for row in read_jsonl(self.path)}

    def rationales(self, asks: Sequence[Ask]) -> list[str | None]:
        """The stored rationales; RllrError when the generator wrote none for a label."""
        return [self._rationale(ask) for ask in asks]

    def _rationale(self, ask: Ask) -> str:
        name, label = ask.example["id"], label_text(self.task, ask.label)
        text = self.texts.get(name, {}).get(label)
        if text is None:
            raise RllrError(f"{self.path}: no rationale for {name} and label {label!r}")
        return str(text)

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"backend": "generated"}
