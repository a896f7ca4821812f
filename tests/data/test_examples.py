from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rllr.config.load import Project
from rllr.data.examples import read_examples, text_key
from rllr.errors import RllrError
from rllr.files import write_jsonl


def row(**changes: Any) -> dict[str, Any]:
    return {"id": "a", "text": "good film", "label": "positive", **changes}


def test_rows_are_normalised_to_the_contract(tmp_path: Path, preset: Project) -> None:
    path = tmp_path / "x.jsonl"
    write_jsonl(path, [{"id": "1", "text_a": "a", "text_b": "b", "label": 3, "source": "extra"}])
    (found,) = read_examples(path, preset.tasks["stsb"])
    assert found == {"id": "1", "text_a": "a", "text_b": "b", "label": 3.0}
    assert type(found["label"]) is float


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"label": "neutral"}, "label 'neutral' is none of 'negative', 'positive'"),
        ({"label": None}, "label None is none of"),
        ({"text": ""}, "field 'text' must be a non-empty string"),
        ({"text": "   "}, "field 'text' must be a non-empty string"),
        ({"text": None}, "field 'text' must be a non-empty string"),
        ({"text": 3}, "field 'text' .* found 3"),
        ({"id": 7}, "field 'id' must be a non-empty string, found 7"),
        ({"id": "first"}, "id 'first' is also on line 1"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(
    tmp_path: Path, preset: Project, bad: dict[str, Any], message: str
) -> None:
    path = tmp_path / "train.jsonl"
    write_jsonl(path, [row(id="first"), row(id="second"), row(**bad)])
    with pytest.raises(RllrError, match=rf"train\.jsonl:3: .*{message}"):
        read_examples(path, preset.tasks["mr"])


def test_blank_lines_count_as_lines(tmp_path: Path, preset: Project) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(row()) + "\n\n\n" + json.dumps(row(id="b", label="x")) + "\n")
    with pytest.raises(RllrError, match=r"train\.jsonl:4: label 'x'"):
        read_examples(path, preset.tasks["mr"])


def test_a_pair_task_wants_both_texts(tmp_path: Path, preset: Project) -> None:
    path = tmp_path / "train.jsonl"
    write_jsonl(path, [{"id": "1", "text_a": "a", "label": "entailment"}])
    with pytest.raises(RllrError, match=r"train\.jsonl:1: field 'text_b'"):
        read_examples(path, preset.tasks["mnli"])


def test_labels_may_be_left_out_only_where_none_is_needed(tmp_path: Path, preset: Project) -> None:
    path = tmp_path / "rl.jsonl"
    unlabelled = row()
    del unlabelled["label"]
    write_jsonl(path, [unlabelled])
    with pytest.raises(RllrError, match="field 'label' is missing"):
        read_examples(path, preset.tasks["mr"])
    assert "label" not in read_examples(path, preset.tasks["mr"], labelled=False)[0]
    write_jsonl(path, [row(label="wrong")])
    with pytest.raises(RllrError, match="label 'wrong'"):
        read_examples(path, preset.tasks["mr"], labelled=False)


def test_the_same_text_in_other_clothes(preset: Project) -> None:
    single, pair = preset.tasks["mr"], preset.tasks["qqp"]

    def key(text: str) -> str:
        return text_key(single, {"text": text})

    assert key("Good film!") == key("  good, FILM") == key("\uff47ood film")
    assert key("good film") != key("good films")
    assert key(":-)") != key(":-(")
    one, two = {"text_a": "Who?", "text_b": "What?"}, {"text_a": "what", "text_b": "who"}
    assert text_key(pair, one) == text_key(pair, two)
    assert text_key(pair, one) != text_key(pair, {"text_a": "who what", "text_b": "?"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u0926\u093f\u0928", "\u0926\u093e\u0928"),  # two Hindi words, one vowel sign apart
        ("I like C++", "I like C#"),
        ("good \U0001f600", "good \U0001f621"),
        ("r\u00e9sum\u00e9", "resume"),
        ("x = 2", "x < 2"),
        ("\U0001f600", "\U0001f621"),
    ],
)
def test_signs_that_tell_texts_apart(preset: Project, one: str, other: str) -> None:
    keys = {text_key(preset.tasks["mr"], {"text": text}) for text in (one, other)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("r\u00e9sum\u00e9", "re\u0301sume\u0301"),
        ("it\u00b4s `` fine ''", 'it\'s "fine"'),
        ("it\u2019s \u2026 fine", "its...fine"),
        ("\u2764\ufe0f good", "\u2764 good"),
        ("rose -5", "rose \u2013 5"),
        ("a\u200bb\u00a0c", "ab c"),
        ("\u2474 one", "(1) one"),
        ("$ 5_000 , net", "$5000 net"),
    ],
)
def test_and_signs_that_do_not(preset: Project, one: str, other: str) -> None:
    keys = {text_key(preset.tasks["mr"], {"text": text}) for text in (one, other)}
    assert len(keys) == 1
