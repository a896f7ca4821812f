"""The teacher stage and its two teachers."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_project import TASKS, TinyRun

from rllr import stages
from rllr.config.load import Project
from rllr.data.examples import read_examples
from rllr.errors import RllrError
from rllr.files import read_json, read_jsonl
from rllr.layout import MANIFEST
from rllr.tasks.labels import wrong_labels
from rllr.tasks.question import input_text
from rllr.teacher.base import Ask
from rllr.teacher.choose import make_teacher
from rllr.teacher.judge import QUOTED
from rllr.teacher.lexical import NOTHING, LexicalTeacher
from rllr.teacher.lexicon import Lexicon, words_of

ROWS = [
    *[{"text": "bright warm film", "label": "positive"}] * 4,
    *[{"text": "dull cold film", "label": "negative"}] * 4,
]


@pytest.fixture(scope="module")
def teacher(preset: Project) -> LexicalTeacher:
    return LexicalTeacher(preset.tasks["mr"], Lexicon.count(preset.tasks["mr"], ROWS), seed=0)


def quoted_words(text: str) -> set[str]:
    return {word for part in QUOTED.findall(text) for word in words_of(part)}


def test_the_lexical_teacher_quotes_what_speaks_for_the_label(teacher: LexicalTeacher) -> None:
    example = {"id": "1", "text": "A bright, warm but dull and cold film"}
    assert quoted_words(teacher.rationale(example, "positive")) == {"bright", "warm"}
    assert quoted_words(teacher.rationale(example, "negative")) == {"dull", "cold"}


def test_the_lexical_teacher_copes_with_odd_inputs(teacher: LexicalTeacher) -> None:
    assert teacher.rationale({"id": "1", "text": "?! ..."}, "positive") == NOTHING
    assert quoted_words(teacher.rationale({"id": "1", "text": "One"}, "positive")) == {"one"}


def test_the_lexical_teacher_is_deterministic(preset: Project, teacher: LexicalTeacher) -> None:
    examples = [{"id": str(i), "text": "bright dull film"} for i in range(20)]
    again = LexicalTeacher(teacher.task, Lexicon.count(teacher.task, ROWS), seed=0)
    other = LexicalTeacher(teacher.task, Lexicon.count(teacher.task, ROWS), seed=1)
    texts = [[t.rationale(e, "positive") for e in examples] for t in (teacher, again, other)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("backend", ["generated", "lexical"])
def test_the_stage_writes_what_its_splits_need(run: TinyRun, backend: str) -> None:
    run = run.but(teacher={"backend": backend}, pairs={"wrong_labels": "all"})
    for task in TASKS:
        stages.data(run.project, task)
        stages.rationales(run.project, task)
        schema = run.project.tasks[task]
        for split in ("sft", "rm", "validation"):
            examples = read_examples(run.layout.data(task) / f"{split}.jsonl", schema)
            rows = read_jsonl(run.layout.rationales(task) / f"{split}.jsonl")
            assert [row["id"] for row in rows] == [example["id"] for example in examples]
            for row, example in zip(rows, examples, strict=True):
                wanted = [] if split == "sft" else wrong_labels(schema, example["label"])
                assert [wrong["label"] for wrong in row["wrong"]] == wanted
                assert_grounded(schema, example, [row, *row["wrong"]])


def assert_grounded(schema: Any, example: dict[str, Any], stated: list[dict[str, Any]]) -> None:
    """Rationales, right or wrong, quote only words of the input and never state a label."""
    words = set(words_of(input_text(schema, example)))
    for row in stated:
        assert quoted_words(row["rationale"]) <= words, row
        assert "Answer:" not in row["rationale"]


def test_the_stage_is_deterministic(prepared: TinyRun, run: TinyRun) -> None:
    stages.data(run.project, "stsb")
    stages.rationales(run.project, "stsb")
    for split in ("sft", "rm", "validation"):
        here, there = (r.layout.rationales("stsb") / f"{split}.jsonl" for r in (run, prepared))
        assert here.read_bytes() == there.read_bytes()


def test_the_configured_teacher_is_the_one_that_writes(prepared: TinyRun) -> None:
    folder = prepared.layout.data("mr")
    noted = read_json(prepared.layout.rationales("mr") / MANIFEST)
    assert noted["teacher"] == {"backend": "generated"}
    lexical = prepared.but(teacher={"backend": "lexical"}).project
    assert isinstance(make_teacher(lexical, "mr", folder), LexicalTeacher)


def test_the_generators_teacher_knows_generated_data_only(prepared: TinyRun) -> None:
    folder = prepared.layout.data("mr")
    local = {"data": {"source": "local", "path": "x"}, "teacher": {"backend": "generated"}}
    with pytest.raises(RllrError, match="use 'lexical'"):
        assert prepared.but(**local).project
    teacher = make_teacher(prepared.project, "mr", folder)
    with pytest.raises(RllrError, match="no rationale for nobody"):
        teacher.rationales([Ask({"id": "nobody", "text": "x"}, "positive", gold=True)])
