"""Rows of JSONL, CSV and Parquet files, one at a time, each with its place in the file.

CSV is read by Python's own reader: every cell stays the text that it is, `NA` and `007` too, and a
record's line number is known. A byte order mark is no part of a file's text.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rllr.errors import RllrError
from rllr.files import numbered_rows

ENDINGS = (".jsonl", ".csv", ".parquet")
# Rows of a Parquet file that are held at a time.
BATCH = 1024
# Characters that a cell of a CSV file may hold; Python's own bound is 131,072.
LONGEST_CELL = 1 << 24

Row = dict[str, Any]


def read_rows(
    path: Path, required: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, Row]]:
    """Yield (number, row) for each row of a file; blank lines are passed over.

    The number is that of the line where a row begins, in Parquet files that of the row, from 1.
    Rows may hold more columns than are asked for. Raises RllrError, with the place, for a file that
    cannot be read or is malformed and for a CSV or Parquet file without a `required` column.
    """
    if path.suffix == ".csv":
        return _csv_rows(path, required)
    if path.suffix == ".parquet":
        return _parquet_rows(path, required, optional)
    return numbered_rows(path)


def place(path: Path, number: int) -> str:
    """Where a row stands, as messages say it."""
    return f"{path}:{number}" if path.suffix in (".jsonl", ".csv") else f"{path}, row {number}"


def can_read(path: Path) -> bool:
    """Whether the library that the format needs is installed here."""
    return path.suffix != ".parquet" or find_spec("pyarrow") is not None


# --- CSV -----------------------------------------------------------------------------------------


def _csv_rows(path: Path, required: Sequence[str]) -> Iterator[tuple[int, Row]]:
    try:
        stream = path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise RllrError(f"{path}: cannot be read ({error.strerror})") from error
    csv.field_size_limit(LONGEST_CELL)
    with stream:
        reader = csv.reader(stream, strict=True)
        begin = 1
        try:
            header = next(reader, [])
            _check_columns(path, header, required, "; commas separate the columns of a CSV file")
            begin = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield begin, _csv_row(path, begin, header, cells)
                begin = reader.line_num + 1
        except UnicodeDecodeError as error:
            raise RllrError(f"{path}: not UTF-8 text ({error})") from error
        except csv.Error as error:
            raise RllrError(
                f"{path}:{begin}: not valid CSV ({error}); a cell with a comma, a quote or a line "
                'break stands in double quotes, a quote inside it is doubled ("")'
            ) from error


def _csv_row(path: Path, number: int, header: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) != len(header):
        raise RllrError(
            f"{path}:{number}: {len(cells)} cells, the header has {len(header)}; a cell with a "
            "comma stands in double quotes"
        )
    return dict(zip(header, cells, strict=True))


def _check_columns(
    path: Path, found: Sequence[str], required: Sequence[str], hint: str = ""
) -> None:
    for name in required:
        if found.count(name) > 1:
            raise RllrError(f"{path}: there are {found.count(name)} columns {name!r}; rename one")
        if name not in found:
            raise RllrError(
                f"{path}: no column {name!r}; there are {', '.join(map(repr, found)) or 'none'}"
                f"{hint}. `columns` says which of them a field is in (field: column)"
            )


# --- Parquet -------------------------------------------------------------------------------------


def _parquet_rows(
    path: Path, required: Sequence[str], optional: Sequence[str]
) -> Iterator[tuple[int, Row]]:
    if not can_read(path):
        raise RllrError(
            f"{path}: Parquet files need pyarrow, which is not installed here; install it "
            "(containers/requirements.lock names the version), or work inside the image"
        )
    import pyarrow
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_columns(path, names, required)
            columns = [*required, *(name for name in optional if name in names)]
            for batch in file.iter_batches(BATCH, columns=columns, use_threads=False):
                for row in _batch_rows(path, batch, number):
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        text = str(error).splitlines()[0]
        raise RllrError(f"{path}: not a readable Parquet file ({text})") from error


def _batch_rows(path: Path, batch: Any, before: int) -> list[Row]:
    """The rows of a batch, before which the file has `before` rows; RllrError for a bad text."""
    try:
        rows: list[Row] = batch.to_pylist()
        return rows
    except UnicodeDecodeError:
        for number in range(batch.num_rows):
            for name in batch.schema.names:
                _check_text(batch.column(name)[number], place(path, before + number + 1), name)
        raise


def _check_text(cell: Any, where: str, name: str) -> None:
    try:
        cell.as_py()
    except UnicodeDecodeError as error:
        raise RllrError(f"{where}: column {name!r} is not UTF-8 text ({error})") from None
