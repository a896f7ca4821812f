"""Reading and writing JSON and JSONL; whatever is written appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rllr.errors import RllrError

CHUNK = 1 << 20


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it there when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object per line, atomically."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON file; RllrError names the file if it is missing, unreadable or malformed.

    A byte order mark at its start is passed over.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise RllrError(f"{path}: no such file") from error
    except OSError as error:
        raise RllrError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise RllrError(f"{path}: not valid JSON ({error})") from error


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL file; RllrError names the file and line of the first malformed row."""
    return [row for _, row in numbered_rows(path)]


def numbered_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) for each non-empty line of a JSONL file.

    A byte order mark at its start is passed over.
    """
    try:
        stream = path.open(encoding="utf-8-sig")
    except OSError as error:
        raise RllrError(f"{path}: cannot be read ({error.strerror})") from error
    with stream:
        lines = enumerate(stream, start=1)
        while (item := _next_line(lines, path)) is not None:
            number, line = item
            if line.strip():
                yield number, _parse_row(line, path, number)


def _next_line(lines: Iterator[tuple[int, str]], path: Path) -> tuple[int, str] | None:
    try:
        return next(lines, None)
    except UnicodeDecodeError as error:
        raise RllrError(f"{path}: not UTF-8 text ({error})") from error


def _parse_row(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RllrError(f"{path}:{number}: not valid JSON ({error})") from error
    if not isinstance(row, dict):
        raise RllrError(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
    return row


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex; RllrError names a file that cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise RllrError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value with sorted keys, as hex."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
