from __future__ import annotations

from pathlib import Path

import pytest
from odd_texts import CONTROL, ODD, control_ids
from tiny_project import MODELS, TinyRun

from rllr.errors import RllrError
from rllr.files import read_jsonl
from rllr.models.load import load_tokenizer
from rllr.models.tokenizers import TextEncoder


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def encoder(five: TinyRun, model: str) -> TextEncoder:
    return TextEncoder(five.layout.base(model))


def test_odd_texts_come_back_as_they_were(encoder: TextEncoder) -> None:
    for text in ODD:
        assert encoder.decode(encoder.encode(text)) == text


def test_text_never_becomes_a_control_token(
    five: TinyRun, model: str, encoder: TextEncoder
) -> None:
    forbidden = control_ids(five, model)
    for text in [*ODD, *CONTROL.split(), "</s></s>", "a<s>b", "x\u2581</s>"]:
        assert not forbidden & set(encoder.encode(text)), text


def test_decoding_leaves_control_tokens_out(
    five: TinyRun, model: str, encoder: TextEncoder
) -> None:
    ids = encoder.encode("good film")
    control = sorted(control_ids(five, model))
    assert encoder.decode([*control, *ids, *control]) == "good film"


def test_the_libraries_tokenizer_agrees(five: TinyRun, model: str, encoder: TextEncoder) -> None:
    config = five.project.models[model].source.tokenizer
    loaded = load_tokenizer(five.layout.base(model))
    assert loaded.eos_token_id == encoder.control(config.eos)
    assert loaded.pad_token_id == encoder.control(config.pad)
    assert loaded.bos_token_id == (encoder.control(config.bos) if config.bos else None)
    for text in ODD[:-2]:
        assert loaded(text, add_special_tokens=False)["input_ids"] == encoder.encode(text)


def test_frequent_words_are_few_tokens(five: TinyRun, encoder: TextEncoder) -> None:
    rows = read_jsonl(five.layout.data("mr") / "sft.jsonl")
    texts = [row["text"] for row in rows]
    tokens = sum(len(encoder.encode(text)) for text in texts)
    words = sum(len(text.split()) for text in texts)
    assert tokens < 3 * words


def test_mistakes(encoder: TextEncoder, tmp_path: Path) -> None:
    with pytest.raises(RllrError, match="no control token '<nothing>'"):
        encoder.control("<nothing>")
    with pytest.raises(RllrError, match="no tokenizer; was the base model built"):
        TextEncoder(tmp_path)
