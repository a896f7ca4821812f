"""The embedded default's teacher: hands out the rationales that the generator wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rllr.config.schema import TaskConfig
from rllr.data.prepare import GENERATED_RATIONALES
from rllr.errors import RllrError
from rllr.files import read_jsonl
from rllr.tasks.labels import Label, label_text


class GeneratedTeacher:
    """Looks up the generator's rationale for an example and label."""

    def __init__(self, task: TaskConfig, data_folder: Path) -> None:
        self.task = task
        self.path = data_folder / GENERATED_RATIONALES
        self.texts = {row["id"]: row["rationales"] for row in read_jsonl(self.path)}

    def rationale(self, example: Mapping[str, Any], label: Label) -> str:
        """The stored rationale; RllrError when the generator wrote none for this label."""
        text = self.texts.get(example["id"], {}).get(label_text(self.task, label))
        if text is None:
            raise RllrError(f"{self.path}: no rationale for {example['id']} and label {label!r}")
        return str(text)
