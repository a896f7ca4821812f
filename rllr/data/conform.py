"""From a source's rows to examples: its columns, its labels, and what a row must hold.

A row without an id gets one from a hash of the task and its texts. Texts are kept as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rllr.config.schema import ScoreLabels, TaskConfig
from rllr.data.examples import Example
from rllr.data.formats import Row, place, read_rows
from rllr.data.source import Source
from rllr.errors import RllrError
from rllr.tasks.labels import Label, legal_label

HIDDEN = "-1"


def examples(source: Source, part: str) -> Iterator[tuple[int, int, Example | None]]:
    """Yield (file, number, example) for each row of a part, file by file.

    `file` counts the part's files, `number` is the row's place in it; a row that is passed over has
    no example. Raises RllrError with the place, the field, what was found and what is allowed.
    """
    read_label = _label_reader(source)
    required = [source.column(name) for name in (*source.schema.fields, "label")]
    own = [source.columns["id"]] if "id" in source.columns else []
    for file, path in enumerate(source.parts[part]):
        for number, row in read_rows(path, [*required, *own], () if own else ("id",)):
            if source.blanks_pass and _is_blank(source, row):
                yield file, number, None
                continue
            try:
                yield file, number, _example(source, row, read_label)
            except RllrError as error:
                raise RllrError(f"{place(path, number)}: {error}") from None


def _is_blank(source: Source, row: Row) -> bool:
    values = [row.get(source.column(name)) for name in source.schema.fields]
    return any(value is None or (isinstance(value, str) and not value.strip()) for value in values)


def _example(source: Source, row: Row, read_label: Callable[[Any], Label]) -> Example:
    texts = {name: _text(source, row, name) for name in source.schema.fields}
    column = source.column("label")
    if row.get(column) is None:
        raise RllrError(f"field 'label'{_named(source, 'label')} is missing")
    return {"id": _id(source, row, texts), **texts, "label": read_label(row[column])}


def _text(source: Source, row: Row, name: str) -> str:
    value = row.get(source.column(name))
    where = f"field {name!r}{_named(source, name)}"
    if not isinstance(value, str) or not value.strip():
        raise RllrError(f"{where} must be a non-empty string, found {value!r}")
    return _writable(value, where)


def _writable(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RllrError(
            f"{where} holds half a character (a lone surrogate): {value[:60]!r}"
        ) from None
    return value


def _named(source: Source, name: str) -> str:
    column = source.column(name)
    return f" (column {column!r})" if column != name else ""


def _id(source: Source, row: Row, texts: Mapping[str, str]) -> str:
    value = row.get(source.column("id"))
    if value is None or value == "":
        return made_id(source.task, texts)
    where = f"field 'id'{_named(source, 'id')}"
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise RllrError(f"{where} must be a non-empty string or an integer, found {value!r}")
    return _writable(str(value), where)


def made_id(task: str, texts: Mapping[str, str]) -> str:
    """An id for a row that brings none: the task, and 64 bits of a hash of its texts."""
    content = "\0".join([task, *texts.values()]).encode()
    return f"{task}-{hashlib.blake2b(content, digest_size=8).hexdigest()}"


# --- labels --------------------------------------------------------------------------------------


def label_reader(
    task: TaskConfig, labels: Mapping[str, Label] | None = None
) -> Callable[[Any], Label]:
    """What reads a source's label as one of the task's, by the map `labels` where there is one.

    Compared as text, and whole numbers as such: 1, 1.0, "1" and "1.0" are the same label. It raises
    RllrError, with what is allowed, for any other and where labels are hidden.
    """
    if labels is not None:
        known = {_canonical(key): legal_label(task, label) for key, label in labels.items()}
    elif isinstance(task.labels, ScoreLabels):
        return lambda value: legal_label(task, _number(value))
    else:
        known = {_canonical(label): label for label in task.labels.values}
    allowed = ", ".join(map(repr, labels or known.values()))

    def read(value: Any) -> Label:
        text = _canonical(value)
        if text in known:
            return known[text]
        if text == HIDDEN:
            raise RllrError(
                "label -1: the labels of this part are hidden; name a part with labels in `files`"
            )
        raise RllrError(f"label {value!r} is none of {allowed}; `labels` maps others to the task's")

    return read


def _label_reader(source: Source) -> Callable[[Any], Label]:
    """The reader of a source's labels; RllrError, with what to do, where its map does not fit."""
    try:
        return label_reader(source.schema, source.labels)
    except RllrError as error:
        raise RllrError(
            f"task {source.task!r}: labels maps to none of its own: {error}. The run's data.labels "
            f"are every task's; `task_data: {{{source.task}: {{labels: …}}}}` sets this one's, or "
            "null for none (those of a published data set: hub.labels in the task's file)"
        ) from None


def _number(value: Any) -> Any:
    """The number that a text says; anything else as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _canonical(value: Any) -> str:
    """What labels are compared by: text, where a whole number has no point."""
    text = str(value).strip()
    whole, point, rest = text.partition(".")
    return whole if point and not rest.strip("0") and whole.lstrip("-").isdigit() else text
