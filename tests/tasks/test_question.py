from __future__ import annotations

from rllr.config.load import Project
from rllr.tasks.question import Piece, input_text, question_pieces, question_text

SINGLE = {"id": "1", "text": "a {text} b"}
PAIR = {"id": "2", "text_a": "first {text_b}", "text_b": "second"}


def example_for(fields: tuple[str, ...]) -> dict[str, str]:
    return SINGLE if fields == ("text",) else PAIR


def test_the_question_holds_the_instruction_then_the_filled_template(preset: Project) -> None:
    for task in preset.tasks.values():
        example = example_for(task.fields)
        parts = task.input.split("{")
        filled = parts[0] + "".join(
            example[part.partition("}")[0]] + part.partition("}")[2] for part in parts[1:]
        )
        assert question_text(task, example) == f"{task.instruction}\n{filled}"


def test_only_the_examples_own_texts_may_be_cut(preset: Project) -> None:
    for task in preset.tasks.values():
        example = example_for(task.fields)
        pieces = question_pieces(task, example)
        inputs = [piece.text.strip() for piece in pieces if piece.is_input]
        assert inputs == [example[field] for field in task.fields]
        assert all(piece.text for piece in pieces)


def test_a_fields_leading_space_belongs_to_the_field(preset: Project) -> None:
    task = preset.tasks["mr"].model_copy(update={"instruction": "Which?", "input": "Text: {text}."})
    assert question_pieces(task, {"text": "good"}) == [
        Piece("Which?\nText:", False),
        Piece(" good", True),
        Piece(".", False),
    ]


def test_the_input_text_is_the_examples_alone(preset: Project) -> None:
    assert input_text(preset.tasks["stsb"], PAIR) == "first {text_b}\nsecond"
