"""JSONL, CSV and Parquet: the same rows make the same splits, and bad ones are named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_project import Rows, ids, make, pairs, project_for, single, write

from rllr.errors import RllrError

ENDINGS = ("jsonl", "csv", "parquet")


def write_parts(folder: Path, task: str, ending: str, **parts: Rows) -> Path:
    for name, rows in parts.items():
        write(folder / task / f"{name}.{ending}", rows)
    return folder


def refusal(project: Any, task: str, to: Path) -> str:
    """The one message with which the stage ends; nothing is left."""
    with pytest.raises(RllrError) as caught:
        make(project, task, to)
    assert "\n" not in str(caught.value) and not any(to.rglob("*"))
    return str(caught.value)


def test_every_format_makes_the_same_splits(tmp_path: Path) -> None:
    odd = [
        "NA",
        "007",
        "null",
        'a "b", c',
        "two\nlines",
        "three\r\nlines",
        "naïve\u2028💡 ",
        "\ufefft",
    ]
    train = [{"text": text, "label": "positive"} for text in odd] + single("train", 30)
    made = []
    for ending in ENDINGS:
        parts = {"train": train, "validation": single("v", 5), "test": single("e", 6)}
        folder = write_parts(tmp_path / ending, "mr", ending, **parts)
        made.append(make(project_for(folder), "mr", tmp_path / ending / "to")[0])
    assert made[0] == made[1] == made[2]
    texts = {row["text"] for name in ("sft", "rm", "rl") for row in made[0][name]}
    assert texts == {row["text"] for row in train}


def test_rows_without_an_id_get_one_from_their_texts(tmp_path: Path) -> None:
    rows = single("train", 8)
    parts = {"validation": single("v", 3), "test": single("e", 3)}
    first = write_parts(tmp_path / "a", "mr", "jsonl", train=rows, **parts)
    second = write_parts(tmp_path / "b", "mr", "jsonl", train=rows[::-1], **parts)
    made = [make(project_for(f), "mr", f / "to")[0] for f in (first, second)]
    found = [ids(m["sft"]) | ids(m["rm"]) | ids(m["rl"]) for m in made]
    assert found[0] == found[1] and len(found[0]) == 8
    assert all(key.startswith("mr-") for key in found[0])


@pytest.mark.parametrize("bom, newline", [("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")])
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_byte_order_marks_and_line_ends(
    tmp_path: Path, ending: str, bom: str, newline: str
) -> None:
    parts = {"train": single("t", 6), "validation": single("v", 3), "test": single("e", 3)}
    folder = write_parts(tmp_path / "data", "mr", ending, **parts)
    plain = make(project_for(folder), "mr", tmp_path / "plain")[0]
    for path in (folder / "mr").iterdir():
        text = path.read_text().replace("\r\n", "\n")
        path.write_bytes((bom + text.replace("\n", newline)).encode())
    assert make(project_for(folder), "mr", tmp_path / "to")[0] == plain


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("value", [lambda n: n, float, str, lambda n: f"{n}.0"])
def test_whole_numbers_are_labels_however_they_are_delivered(
    tmp_path: Path, ending: str, value: Any
) -> None:
    def rows(prefix: str) -> Rows:
        return [{"text": f"{prefix} {n}", "label": value(n % 5 + 1)} for n in range(10)]

    parts = {name: rows(name) for name in ("train", "validation", "test")}
    folder = write_parts(tmp_path, "appreviews", ending, **parts)
    made, facts = make(project_for(folder, ["appreviews"]), "appreviews", tmp_path / "to")
    assert all(type(row["label"]) is int for rows in made.values() for row in rows)
    assert facts["labels"]["test"] == {"1": 2, "2": 2, "3": 2, "4": 2, "5": 2}


@pytest.mark.parametrize("ending", ENDINGS)
def test_scores(tmp_path: Path, ending: str) -> None:
    parts = {}
    for name in ("train", "validation", "test"):
        rows = pairs(name, 8)
        for number, row in enumerate(rows):
            row["label"] = str(number / 2) if ending == "csv" else number / 2
        parts[name] = rows
    folder = write_parts(tmp_path, "stsb", ending, **parts)
    made, _ = make(project_for(folder, ["stsb"]), "stsb", tmp_path / "to")
    assert [row["label"] for row in made["test"]] == [n / 2 for n in range(8)]


@pytest.mark.parametrize("ending", ENDINGS)
def test_columns_and_labels_are_mapped(tmp_path: Path, ending: str) -> None:
    def rows(prefix: str) -> Rows:
        return [{"review": f"{prefix} {n}", "stars": n % 2, "key": n + 10} for n in range(6)]

    for number, name in enumerate(("learn", "try")):
        changed = [{**row, "key": row["key"] + 100 * number} for row in rows(name)]
        write(tmp_path / f"mr/{name}.{ending}", changed)
    project = project_for(
        tmp_path,
        files={"train": "learn", "validation": None, "test": "try"},
        columns={"text": "review", "label": "stars", "id": "key"},
        labels={0: "negative", 1: "positive"},
    )
    made, _ = make(project, "mr", tmp_path / "to")
    assert made["test"][1] == {"id": "111", "text": "try 1", "label": "positive"}
    assert len(made["validation"]) == 1


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending, place", [("jsonl", ":3"), ("csv", ":4"), ("parquet", ", row 3")])
@pytest.mark.parametrize(
    "bad, message",
    [
        ({"label": "great"}, "label 'great' is none of 'negative', 'positive'; `labels` maps"),
        ({"label": "-1"}, "label -1: the labels of this part are hidden; name a part with labels"),
        ({"text": "  \t"}, "field 'text' must be a non-empty string, found '  \\t'"),
    ],
)
def test_a_bad_row_is_named_by_its_place(
    tmp_path: Path, ending: str, place: str, bad: dict[str, Any], message: str
) -> None:
    rows = single("t", 6)
    rows[2] |= bad
    # A record of two lines before it: lines are counted in a CSV file, not records.
    rows[0]["text"] = "a record\nof two lines"
    parts = {"train": rows, "validation": single("v", 3), "test": single("e", 3)}
    folder = write_parts(tmp_path / "data", "mr", ending, **parts)
    place = ":5" if ending == "csv" else place
    said = refusal(project_for(folder), "mr", tmp_path / "to")
    assert said.startswith(f"{folder}/mr/train.{ending}{place}: {message}"), said


def test_a_label_that_the_map_does_not_have(tmp_path: Path) -> None:
    parts = {"train": single("t", 6), "validation": single("v", 3), "test": single("e", 3)}
    folder = write_parts(tmp_path / "data", "mr", "jsonl", **parts)
    project = project_for(folder, labels={"neg": "negative", "positive": "positive"})
    said = refusal(project, "mr", tmp_path / "to")
    assert "train.jsonl:1: label 'negative' is none of 'neg', 'positive'" in said


@pytest.mark.parametrize(
    "content, message",
    [
        ("text,label\ngood,positive,more\n", ":2: 3 cells, the header has 2"),
        ('text,label\na,positive\n"open,positive\n', ":3: not valid CSV (unexpected end of data)"),
        ("text;label\na;positive\n", ": no column 'text'; there are 'text;label'; commas"),
        ("", ": no column 'text'; there are none"),
        ("text,text,label\na,b,positive\n", ": there are 2 columns 'text'; rename one"),
        ("text,label\nna\xefve,positive\n", ": not UTF-8 text"),
    ],
)
def test_a_malformed_csv_file(tmp_path: Path, content: str, message: str) -> None:
    parts = {"train": single("t", 6), "validation": single("v", 3), "test": single("e", 3)}
    folder = write_parts(tmp_path / "data", "mr", "csv", **parts)
    (folder / "mr/test.csv").write_bytes(content.encode("latin-1"))
    said = refusal(project_for(folder), "mr", tmp_path / "to")
    assert f"mr/test.csv{message}" in said


def test_a_malformed_parquet_file(tmp_path: Path) -> None:
    parts = {"train": single("t", 6), "validation": single("v", 3), "test": single("e", 3)}
    folder = write_parts(tmp_path / "data", "mr", "parquet", **parts)
    path = folder / "mr/test.parquet"
    write(path, [{"words": "a", "label": "positive"}])
    said = refusal(project_for(folder), "mr", tmp_path / "to")
    assert "test.parquet: no column 'text'; there are 'words', 'label'. `columns` says" in said
    path.write_bytes(b"PAR1 and nothing else")
    assert "test.parquet: not a readable Parquet file" in refusal(
        project_for(folder), "mr", tmp_path / "to"
    )
    write(path, [{"text": 3, "label": "positive"}], {"text": pa.int64()})
    assert "test.parquet, row 1: field 'text' must be a non-empty string, found 3" in refusal(
        project_for(folder), "mr", tmp_path / "to"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"id": "\\ud800", "text": "a", "label": "positive"}',
            "field 'id' holds half a character",
        ),
        ('{"text": ' + "[" * 200_000, "not valid JSON (maximum recursion depth"),
        ('{"text": "a", "label": 1' + "0" * 400 + "}", "label 1000"),
    ],
)
def test_odd_rows_are_named_by_their_place(tmp_path: Path, line: str, message: str) -> None:
    parts = {"train": single("t", 6), "validation": single("v", 3), "test": single("e", 3)}
    folder = write_parts(tmp_path / "data", "mr", "jsonl", **parts)
    with (folder / "mr/test.jsonl").open("a") as stream:
        stream.write(line + "\n")
    assert f"test.jsonl:4: {message}" in refusal(project_for(folder), "mr", tmp_path / "to")


def test_a_score_beyond_all_floats(tmp_path: Path) -> None:
    rows = [{**row, "label": 3} for row in pairs("t", 6)]
    folder = write_parts(tmp_path / "data", "stsb", "jsonl", train=rows)
    path = folder / "stsb/train.jsonl"
    path.write_text(path.read_text().replace('"label": 3', '"label": ' + "9" * 400, 1))
    project = project_for(folder, ["stsb"], files={"validation": None, "test": None})
    said = refusal(project, "stsb", tmp_path / "to")
    assert "train.jsonl:1: label 999" in said and said.endswith("is not a number")


def test_a_parquet_text_that_is_not_utf8(tmp_path: Path) -> None:
    parts = {"train": single("t", 6), "validation": single("v", 3), "test": single("e", 3)}
    folder = write_parts(tmp_path / "data", "mr", "parquet", **parts)
    cells = pa.array([*[b"good"] * 1500, b"na\xefve"], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), len(cells), cells.buffers())
    table = pa.table({"text": texts, "label": ["positive"] * len(cells)})
    pq.write_table(table, folder / "mr/test.parquet")
    said = refusal(project_for(folder), "mr", tmp_path / "to")
    assert "test.parquet, row 1501: column 'text' is not UTF-8 text" in said


def test_a_long_cell(tmp_path: Path) -> None:
    parts = {"train": single("t", 6), "validation": single("v", 3), "test": single("e", 3)}
    parts["test"][0]["text"] = "word " * 30_000
    folder = write_parts(tmp_path / "data", "mr", "csv", **parts)
    made, _ = make(project_for(folder), "mr", tmp_path / "to")
    assert max(len(row["text"]) for row in made["test"]) == 150_000


def test_labels_of_the_run_that_do_not_fit_a_task(tmp_path: Path) -> None:
    rows = [{**row, "label": 3} for row in pairs("t", 6)]
    folder = write_parts(tmp_path / "data", "stsb", "jsonl", train=rows)
    data = {"labels": {0: "negative"}, "files": {"validation": None, "test": None}}
    said = refusal(project_for(folder, ["stsb"], **data), "stsb", tmp_path / "to")
    for words in (
        "task 'stsb': labels maps to none of its own: label 'negative' is not a number",
        "The run's data.labels are every task's; `task_data: {stsb: {labels: …}}`",
    ):
        assert words in said


def test_two_files_of_one_part_and_half_a_character(tmp_path: Path) -> None:
    parts = {"train": single("t", 6), "validation": single("v", 3), "test": single("e", 3)}
    folder = write_parts(tmp_path / "data", "mr", "jsonl", **parts)
    write(folder / "mr/test.csv", single("e", 3))
    said = refusal(project_for(folder), "mr", tmp_path / "to")
    assert "test.jsonl and test.csv are both there; keep the one that is meant" in said
    shutil.move(folder / "mr/test.csv", tmp_path / "away.csv")
    with (folder / "mr/test.jsonl").open("a") as stream:
        stream.write('{"text": "half \\ud83d", "label": "positive"}\n')
    said = refusal(project_for(folder), "mr", tmp_path / "to")
    assert "test.jsonl:4: field 'text' holds half a character" in said
