"""What is kept in memory of each row of a part: numbers only, some 50 bytes a row.

Texts are compared by 64 bits of a hash of `text_key`. Among a million rows the chance that any two
different texts are taken for one is below 1e-7.
"""

from __future__ import annotations

import json
import os
import time
from array import array
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rllr.config.schema import ClassLabels
from rllr.data.conform import examples
from rllr.data.examples import Example, folded_texts, joined, text_hash
from rllr.data.formats import place
from rllr.data.source import Source
from rllr.models.progress import Say

if TYPE_CHECKING:
    import numpy as np

# Seconds between two lines on progress.
SAY_EVERY = 10.0


@dataclass
class Index:
    """Facts of a part's rows, in the order in which they were read.

    `files` and `numbers` say where a row stands; `keys`, `sentences` (two a row, pairs only) and
    `ids` are hashes; a label is a class's position or a score; `offsets` say where the normalised
    row begins in the file `stored`, if there is one. `blank` counts rows that were passed over.
    """

    paths: list[Path]
    blank: int = 0
    stored: Path | None = None
    files: array = field(default_factory=partial(array, "H"))
    numbers: array = field(default_factory=partial(array, "L"))
    keys: array = field(default_factory=partial(array, "Q"))
    sentences: array = field(default_factory=partial(array, "Q"))
    ids: array = field(default_factory=partial(array, "Q"))
    labels: array = field(default_factory=partial(array, "d"))
    offsets: array = field(default_factory=partial(array, "Q"))

    def __len__(self) -> int:
        return len(self.keys)

    def place(self, row: int) -> str:
        """Where a row stands, as messages say it."""
        return place(self.paths[self.files[row]], self.numbers[row])

    def read(self, row: int) -> Example:
        """A normalised row, from the file."""
        assert self.stored is not None
        with self.stored.open("rb") as stream:
            stream.seek(self.offsets[row])
            found: Example = json.loads(stream.readline())
            return found

    def column(self, name: str) -> np.ndarray:
        """A column as a NumPy array, of one value a row; `sentences` of two."""
        import numpy as np

        values = getattr(self, name)
        found = np.frombuffer(values, dtype=values.typecode) if values else np.zeros(0, "Q")
        return found.reshape(-1, 2) if name == "sentences" else found


def read_part(source: Source, part: str, say: Say, to: Path | None = None) -> Index:
    """Read a part, and write its rows, normalised, to `to` as JSONL; RllrError for a bad row."""
    index = Index(list(source.parts[part]), stored=to)
    progress = _Progress(f"data {source.task}: {part}", say)
    with (to or Path(os.devnull)).open("wb") as stream:
        offset = 0
        for file, number, example in examples(source, part):
            progress.add()
            if example is None:
                index.blank += 1
                continue
            _add(index, source, example, file, number)
            index.offsets.append(offset)
            offset += stream.write((json.dumps(example, ensure_ascii=False) + "\n").encode())
    progress.end()
    return index


def _add(index: Index, source: Source, example: Example, file: int, number: int) -> None:
    index.files.append(file)
    index.numbers.append(number)
    folded = folded_texts(source.schema, example)
    index.keys.append(text_hash(joined(folded)))
    if len(folded) > 1:
        index.sentences.extend(map(text_hash, folded))
    index.ids.append(text_hash(example["id"]))
    labels = source.schema.labels
    label = example["label"]
    index.labels.append(
        labels.values.index(label) if isinstance(labels, ClassLabels) else float(label)
    )


class _Progress:
    """Counts rows, and says every few seconds how many there were, and how many a second."""

    def __init__(self, name: str, say: Say) -> None:
        self.name, self.say, self.rows = name, say, 0
        self.started = self.said = time.monotonic()

    def add(self) -> None:
        self.rows += 1
        if self.rows % 1000 == 0 and time.monotonic() - self.said >= SAY_EVERY:
            self.said = time.monotonic()
            self.end(" so far")

    def end(self, so_far: str = "") -> None:
        rate = self.rows / max(time.monotonic() - self.started, 1e-3)
        self.say(f"{self.name}: {self.rows:,} rows read{so_far}, {rate:,.0f} rows/s")
