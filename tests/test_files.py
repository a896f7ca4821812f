from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path

import pytest

from rllr.errors import RllrError
from rllr.files import (
    atomic,
    digest,
    read_json,
    read_jsonl,
    sha256,
    write_json,
    write_jsonl,
    write_text,
)

ODD = ['a "quoted" \\ text', "line\nbreak\ttab", "emoji 😀 日本語", "separator\u2028here", ""]


def test_atomic_keeps_the_old_file_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file.txt"]


def test_written_files_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_json_lacks_are_refused_and_nothing_is_written(
    tmp_path: Path, value: float
) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"x": value})
    with pytest.raises(ValueError):
        write_jsonl(tmp_path / "a.jsonl", [{"x": 1}, {"x": value}])
    assert os.listdir(tmp_path) == []


def test_round_trips(tmp_path: Path) -> None:
    rows = [{"id": str(i), "text": text} for i, text in enumerate(ODD)]
    write_jsonl(tmp_path / "a.jsonl", rows)
    assert read_jsonl(tmp_path / "a.jsonl") == rows
    write_json(tmp_path / "a.json", rows)
    assert read_json(tmp_path / "a.json") == rows


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"id": 1}\n\n{"id": \n', "rows.jsonl:3: not valid JSON"),
        ('{"id": 1}\n[1]\n', "rows.jsonl:2: expected a JSON object, found list"),
        ('"text"\n', "rows.jsonl:1: expected a JSON object, found str"),
    ],
)
def test_malformed_rows_are_named_by_file_and_line(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(RllrError, match=message):
        read_jsonl(path)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"text": "é"}'.encode("latin-1"))
    with pytest.raises(RllrError, match=r"latin\.jsonl: not UTF-8"):
        read_jsonl(path)
    with pytest.raises(RllrError, match=r"none\.jsonl: cannot be read"):
        read_jsonl(tmp_path / "none.jsonl")
    with pytest.raises(RllrError, match=r"none\.json: no such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(RllrError, match="none: cannot be read"):
        sha256(tmp_path / "none")
    (tmp_path / "cut.json").write_text('{"a": ')
    with pytest.raises(RllrError, match=r"cut\.json: not valid JSON"):
        read_json(tmp_path / "cut.json")


def test_hashes(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"rllr" * (1 << 19))
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
