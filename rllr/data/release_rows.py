"""Rows of the authors' release: which task each row is of, and what its output states.

A row is {"instruction", "input", "output"}; a ranking file's output is a list of two texts, the
better one first. Untested on the authors' own files: how they word instructions and outputs is not
known here, so that a configuration's rules say it, and every row that no rule fits is accounted
for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rllr.config.data import ReleaseData
from rllr.config.schema import TaskConfig
from rllr.data.examples import Example, text_hash, text_key
from rllr.data.release_account import Account, UnfitError
from rllr.data.release_files import read_list
from rllr.tasks.labels import Label, label_text, legal_label, read_label

# Parts of the release that models are evaluated on.
EVALUATED = ("test", "label_sensitive_heldout", "rationale_sensitive_heldout")
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Answer:
    """What one output states; an output that is a label alone has an empty rationale."""

    rationale: str
    label: Label


@dataclass(frozen=True)
class Row:
    """A row of the task: id and texts, and what its output (or both of them) states.

    `number` is its place in the file, from 1; `key` is the same for the same text, whatever its
    task and source (`text_hash`).
    """

    number: int
    key: int
    example: Example
    answers: tuple[Answer, ...]

    @property
    def labelled(self) -> Example:
        """The example with the label of the (better) output, where there is one."""
        return self.example | ({"label": self.answers[0].label} if self.answers else {})


class ReleaseReader:
    """Reads the rows of one task; `accounts` holds what became of all rows, by file name."""

    def __init__(self, data: ReleaseData, task: str, schema: TaskConfig) -> None:
        self.data, self.task, self.schema = data, task, schema
        self.response = re.compile(data.response)
        self.rules = {
            name: (re.compile(rule.instruction), re.compile(rule.input))
            for name, rule in data.rules.items()
        }
        self.accounts: dict[str, Account] = {}

    def read(self, kind: str) -> list[Row]:
        """The task's rows of one of the release's files (a key of `data.files`), in its order.

        An RL prompt has an answer where its output can be read, a pair has two; those of a
        label-sensitive pair state different labels.
        Raises RllrError for a file that is missing or is no JSON list.
        """
        name = getattr(self.data.files, kind)
        account = self.accounts[name] = Account()
        rows = []
        for raw in read_list(self.path(kind)):
            account.rows += 1
            try:
                task, texts = self._task(raw)
                if task == self.task:
                    rows.append(self._row(account.rows, raw, texts, kind))
                account.tasks[task] += 1
            except UnfitError as error:
                account.unfit[error.key] += 1
        return rows

    def path(self, kind: str) -> Path:
        """One of the release's files."""
        return Path(self.data.path) / getattr(self.data.files, kind)

    def summary(self) -> str:
        """The accounts of all files read, for a log."""
        return "\n".join(line for name, one in self.accounts.items() for line in one.lines(name))

    def _row(self, number: int, raw: Any, texts: Mapping[str, str | None], kind: str) -> Row:
        example = {name: (texts[name] or "").strip() for name in self.schema.fields}
        if not all(example.values()):
            raise UnfitError("a text is empty", raw["input"])
        key = text_hash(text_key(self.schema, example))
        answers = self._answers(raw["output"], kind)
        return Row(number, key, {"id": f"{self.task}-{key:016x}", **example}, answers)

    def _task(self, raw: Any) -> tuple[str, dict[str, str | None]]:
        """The task of the first rule that fits, and the texts that its groups hold."""
        if not isinstance(raw, dict) or not {"instruction", "input", "output"} <= set(raw):
            raise UnfitError("no {instruction, input, output}", raw)
        instruction, given = _text(raw["instruction"]), _text(raw["input"])
        asked = False
        for task, (question, texts) in self.rules.items():
            first = question.search(instruction)
            second = texts.fullmatch(given) if first else None
            if first and second:
                return task, {**first.groupdict(), **second.groupdict()}
            asked |= first is not None
        if asked:
            raise UnfitError("the instruction fits a rule, the input does not", given)
        raise UnfitError("no rule fits the instruction", instruction)

    def _answers(self, output: Any, kind: str) -> tuple[Answer, ...]:
        if kind.startswith(("label_sensitive", "rationale_sensitive")):
            return self._two(output, kind)
        try:
            return (self._answer(output),)
        except UnfitError:
            if kind != "rl":
                raise
        return ()

    def _two(self, output: Any, kind: str) -> tuple[Answer, ...]:
        if not isinstance(output, list) or len(output) != 2:
            raise UnfitError("the output is no list of two texts", output)
        chosen, rejected = map(self._answer, output)
        same_label = self._written(chosen) == self._written(rejected)
        if same_label and chosen.rationale == rejected.rationale:
            raise UnfitError("both outputs are the same", output[0])
        if same_label and kind.startswith("label_sensitive"):
            raise UnfitError("both outputs state one label", self._written(chosen))
        return chosen, rejected

    def _written(self, answer: Answer) -> str:
        return label_text(self.schema, answer.label)

    def _answer(self, output: Any) -> Answer:
        """Rationale and label of one output."""
        output = _text(output)
        label = self._label(output)
        if label is not None:
            return Answer("", label)
        found = self.response.fullmatch(output)
        if not found:
            raise UnfitError("the output does not fit the response", output)
        label = self._label(found["label"] or "")
        if label is None:
            raise UnfitError("the label is unknown", found["label"] or "")
        return Answer((found["rationale"] or "").strip(), label)

    def _label(self, text: str) -> Label | None:
        labels = self.data.rules[self.task].labels or {}
        if text.strip() in labels:
            return legal_label(self.schema, labels[text.strip()])
        return read_label(self.schema, text)


def _text(value: Any) -> str:
    """A field's text; half of a surrogate pair is none, and could not be written to a file."""
    if not isinstance(value, str) or SURROGATE.search(value):
        raise UnfitError("a field is no text", value)
    return value
