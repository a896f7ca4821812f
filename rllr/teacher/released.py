"""The teacher of released data: hands out the rationales that came with it, and writes none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rllr.config.schema import TaskConfig
from rllr.data.released import RELEASED_RATIONALES
from rllr.errors import RllrError
from rllr.files import read_jsonl
from rllr.tasks.labels import label_text
from rllr.teacher.base import Ask


class ReleasedTeacher:
    """Looks up the released rationale for an example and label.

    Raises RllrError where the release has none for SFT.
    """

    def __init__(self, task: TaskConfig, data_folder: Path) -> None:
        self.task = task
        rows = read_jsonl(data_folder / RELEASED_RATIONALES)
        self.texts = {row["id"]: row["rationales"] for row in rows}
        examples = read_jsonl(data_folder / "sft.jsonl")
        if not any(row["id"] in self.texts for row in examples):
            raise RllrError(
                f"{data_folder}: no released rationale for any of the {len(examples)} examples of "
                "sft; name a file with rationales as data.files.sft, mend data.response, or have "
                "them written: teacher.backend lexical, openai or local"
            )

    def rationales(self, asks: Sequence[Ask]) -> list[str | None]:
        """The stored rationales; None where the release has none for this label."""
        return [
            self.texts.get(ask.example["id"], {}).get(label_text(self.task, ask.label))
            for ask in asks
        ]

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"backend": "released"}
