from __future__ import annotations

from pathlib import Path

import pytest
from odd_texts import CONTROL, ODD, control_ids
from tiny_project import MODELS, TinyRun
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from rllr.errors import RllrError
from rllr.files import read_jsonl, write_json
from rllr.layout import TOKENIZER
from rllr.models.load import load_tokenizer
from rllr.models.tokenizers import TextEncoder, with_prefix_everywhere


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
        ids = encoder.encode(encoder.prefix + text)
        assert loaded(text, add_special_tokens=False)["input_ids"] == ids


def test_frequent_words_are_few_tokens(five: TinyRun, encoder: TextEncoder) -> None:
    rows = read_jsonl(five.layout.data("mr") / "sft.jsonl")
    texts = [row["text"] for row in rows]
    tokens = sum(len(encoder.encode(text)) for text in texts)
    words = sum(len(text.split()) for text in texts)
    assert tokens < 3 * words


SPACE = {"type": "Metaspace", "replacement": "\u2581"}
METASPACE = {**SPACE, "prepend_scheme": "first", "split": False}
OLD_METASPACE = {**SPACE, "add_prefix_space": True}
PUBLISHED_PREFIXES = {
    "normalizer": {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "\u2581"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
            ],
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
    },
    "pre-tokenizer": {"pre_tokenizer": METASPACE, "decoder": METASPACE},
    "older pre-tokenizer": {"pre_tokenizer": OLD_METASPACE, "decoder": OLD_METASPACE},
}


@pytest.mark.parametrize("kind", list(PUBLISHED_PREFIXES))
def test_a_published_prefix_is_taken_off_and_told(kind: str, tmp_path: Path) -> None:
    """Llama-2's and Mistral's files put a space before every text in one of these ways."""
    vocabulary = {"<unk>": 0, "\u2581": 1, "a": 2, "b": 3, "\u2581a": 4}
    model = {"type": "BPE", "vocab": vocabulary, "merges": [["\u2581", "a"]], "unk_token": "<unk>"}
    parts = {"normalizer": None, "pre_tokenizer": None, "decoder": None, "post_processor": None}
    write_json(
        tmp_path / TOKENIZER,
        {"version": "1.0", "added_tokens": [], **parts, **PUBLISHED_PREFIXES[kind], "model": model},
    )
    plain = Tokenizer.from_file(str(tmp_path / TOKENIZER))
    encoder = TextEncoder(tmp_path)
    assert plain.encode("ab a").ids == [4, 3, 4] == encoder.encode(encoder.prefix + "ab a")
    assert encoder.encode("ab a") == [2, 3, 4]
    assert [encoder.decode(ids) for ids in ([2, 3, 4], [4, 3])] == ["ab a", " ab"]


def test_mistakes(encoder: TextEncoder, tmp_path: Path) -> None:
    with pytest.raises(RllrError, match="no control token '<nothing>'"):
        encoder.control("<nothing>")
    with pytest.raises(RllrError, match="no tokenizer; was the base model built"):
        TextEncoder(tmp_path)


def test_a_space_before_the_first_text_alone_becomes_one_before_each() -> None:
    """As newer files of the Llama family have it; a prompt's texts follow control tokens."""
    made = Tokenizer(models.BPE(vocab={"<s>": 0, "\u2581a": 1, "a": 2, "\u2581": 3}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Metaspace(prepend_scheme="first")
    made.add_special_tokens(["<s>"])
    assert made.encode("<s>a").tokens == ["<s>", "a"]
    assert with_prefix_everywhere(made).encode("<s>a").tokens == ["<s>", "\u2581", "a"]
