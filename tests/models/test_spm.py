"""Converted tokenizers against sentencepiece itself, on tiny models with the published settings."""

from __future__ import annotations

import io
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer, sentencepiece_model_pb2

from rllr.config.load import CONFIG_DIR, read_yaml
from rllr.config.schema import ModelConfig, TokenizerConfig
from rllr.errors import RllrError
from rllr.layout import TOKENIZER
from rllr.models.load import load_tokenizer
from rllr.models.prompts import PromptBuilder
from rllr.models.spm import FAMILIES, SPACE, convert_tokenizer
from rllr.models.spm_train import train_sentencepiece
from rllr.models.tokenizers import TextEncoder

RESERVED = ["<reserved_106>", "<reserved_107>"]
CONFIG = TokenizerConfig(algorithm="byte_fallback_bpe", vocab_size=800, control=RESERVED)
WORDS = ["the", "of", "sophie", "loop", "shop", "film", "good", "plot", "answer", "label"]
WORDS += ["eop-stop", "text", "2024", "it's", "naïve"]
ATOMS = [
    *WORDS,
    *(" " * length for length in (1, 1, 1, 2, 3, 4, 5, 17, 40)),
    *("\n", "\n\n", "\t", "\r\n", "\u3000", "\xa0", "\u200b", SPACE, SPACE * 2),
    *("7", "42", "3.14159", "0x41", "<0x41>", "<0x0A>", "1,000"),
    *("日本語", "中文", "你好", "한국어", "\u1112\u1161\u11ab", "か\u3099", "e\u0301", "ﬁ", "½"),
    *("😀", "👩‍👩‍👧", "🇨🇭", "\U0001f9d1", "\u0301", "\ufeff", "Ω", "ж"),
    *("<s>", "</s>", "<unk>", "<pad>", "[MASK]", "[gMASK]", "sop", "eop", "<sop>", "<eop>"),
    *("<|user|>", "<|assistant|>", "<|system|>", *RESERVED, "<reserved_1>", "<", ">", "</", "|"),
    *(".", ",", "(", ")", '"', "!?", "def f(x):", "    return x"),
]


def corpus(seed: int = 0, lines: int = 800) -> list[str]:
    rng = random.Random(seed)
    plain = [*WORDS, "你好", "中文", "<", ">", "|", "/s", "[", "]", "0", "x", "41", "reserved"]
    return [" ".join(rng.choices(plain, k=12)) + "\nsecond line" for _ in range(lines)]


@pytest.fixture(scope="module", params=list(FAMILIES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder named by its layout, with tokenizer.model and what was made of it."""
    to = tmp_path_factory.mktemp("spm") / request.param
    train_sentencepiece(CONFIG, corpus(), to / "tokenizer.model", request.param)
    convert_tokenizer(to / "tokenizer.model", to, request.param)
    return to


def read_proto(path: Path) -> Any:
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(path.read_bytes())
    return proto


def processor(folder: Path) -> SentencePieceProcessor:
    """Sentencepiece with the reserved tokens as the control tokens that they are here."""
    proto = read_proto(folder / "tokenizer.model")
    for piece in proto.pieces:
        if re.fullmatch(r"<reserved_\d+>", piece.piece):
            piece.type = piece.CONTROL
    return SentencePieceProcessor(model_proto=proto.SerializeToString())


def fuzz(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    texts = ["".join(rng.choices(ATOMS, k=rng.randint(1, 9))) for _ in range(count)]
    noise = [
        "".join(
            chr(rng.choice([rng.randrange(1, 0x250), rng.randrange(0x3000, 0xA000)]))
            for _ in "x" * 6
        )
        for _ in range(count // 4)
    ]
    return [*ATOMS, *texts, *noise]


def test_thousands_of_texts_have_sentencepieces_ids(folder: Path) -> None:
    oracle, encoder = processor(folder), TextEncoder(folder)
    texts = fuzz(6000, seed=1)
    expected = oracle.encode(texts)
    wrong = [
        t
        for t, ids in zip(texts, expected, strict=True)
        if encoder.encode(encoder.prefix + t) != ids
    ]
    assert len(texts) > 7000 and not wrong, wrong[:5]


def test_the_saved_file_alone_gives_them_too(folder: Path) -> None:
    """As transformers reads it: with the prefix, and with control tokens split like other text."""
    oracle, loaded = processor(folder), load_tokenizer(folder)
    texts = fuzz(1500, seed=2)
    made = loaded(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert made == oracle.encode(texts)
    assert (loaded.unk_token_id, loaded.pad_token_id, loaded.eos_token_id) == (0, 0, 2)
    assert loaded.bos_token_id is None


def test_text_comes_back(folder: Path) -> None:
    oracle, encoder = processor(folder), TextEncoder(folder)
    for text in fuzz(1500, seed=3):
        ids = encoder.encode(text)
        assert encoder.decode(ids) == text.replace(SPACE, " ")
        whole = encoder.encode(encoder.prefix + text)
        assert encoder.decode(whole).removeprefix(encoder.prefix) == oracle.decode(whole)


def test_parts_make_the_whole(folder: Path) -> None:
    """Without the prefix, parts that begin with a space are what they are within a text."""
    encoder = TextEncoder(folder)
    whole = encoder.encode("the film: good plot")
    assert encoder.encode("the film:") + encoder.encode(" good plot") == whole


def test_text_never_becomes_a_control_token(folder: Path) -> None:
    encoder = TextEncoder(folder)
    names = ["<unk>", "<s>", "</s>", *FAMILIES[folder.name].appended]
    names += RESERVED if folder.name == "baichuan" else []
    control = {encoder.control(name) for name in names}
    texts = [
        f"{a}{name}{b}" for name in names for a in ("", " ", "  ", "x") for b in ("", "  ", "y")
    ]
    for text in [*texts, "".join(names), *fuzz(2000, seed=4)]:
        assert not control & set(encoder.encode(text)), text
        assert not control & set(encoder.encode(encoder.prefix + text)), text


def test_byte_names_in_text_are_not_bytes(folder: Path) -> None:
    encoder = TextEncoder(folder)
    for text in ("<0x0A>", "  <0x0A>", "  <0x0A>  "):
        assert encoder.control("<0x0A>") not in encoder.encode(text)
        assert encoder.decode(encoder.encode(text)) == text


def test_control_tokens_have_the_published_arrangement(folder: Path) -> None:
    encoder = TextEncoder(folder)
    size = len(read_proto(folder / "tokenizer.model").pieces)
    appended = FAMILIES[folder.name].appended
    assert [encoder.control(name) for name in appended] == list(range(size, size + len(appended)))
    assert encoder.tokenizer.get_vocab_size() == size + len(appended) <= CONFIG.vocab_size
    if folder.name == "baichuan":
        assert [encoder.control(name) for name in RESERVED] == [18, 19]
    else:
        assert encoder.control("<0x0A>") > encoder.control("</s>")
        assert "<sop>" in appended and encoder.decode(encoder.encode("sophie")) == "sophie"


def test_training_is_deterministic_and_silent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        train_sentencepiece(CONFIG, iter(corpus()), tmp_path / name, "baichuan")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert capfd.readouterr() == ("", "")


def test_a_trained_model_has_the_published_settings(folder: Path) -> None:
    proto = read_proto(folder / "tokenizer.model")
    chat, normalizer = folder.name == "chatglm", proto.normalizer_spec
    assert normalizer.add_dummy_prefix == chat and not normalizer.precompiled_charsmap
    assert not normalizer.remove_extra_whitespaces
    multi = [p.piece for p in proto.pieces if p.type == p.NORMAL and re.search(r"\d\d", p.piece)]
    assert bool(multi) == chat
    assert not any("\n" in p.piece for p in proto.pieces)


def test_a_vocabulary_without_room_is_refused(tmp_path: Path) -> None:
    small = CONFIG.model_copy(update={"vocab_size": 200})
    with pytest.raises(RllrError, match=r"vocab_size 200: sentencepiece trains no tokenizer"):
        train_sentencepiece(small, corpus(), tmp_path / "tokenizer.model", "chatglm")
    with pytest.raises(RllrError, match="on 0 lines"):
        train_sentencepiece(CONFIG, [], tmp_path / "tokenizer.model", "chatglm")
    assert not list(tmp_path.iterdir())


def other_model(path: Path, **settings: Any) -> Path:
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()),
        model_writer=model,
        minloglevel=3,
        hard_vocab_limit=False,
        **{"model_type": "bpe", "byte_fallback": True, "vocab_size": 600}
        | {"remove_extra_whitespaces": False, "normalization_rule_name": "identity"}
        | settings,
    )
    path.write_bytes(model.getvalue())
    return path


@pytest.mark.parametrize(
    "settings, cause",
    [
        ({"model_type": "unigram"}, "is not of type BPE"),
        ({"byte_fallback": False, "vocab_size": 200}, "lacks byte pieces"),
        ({"remove_extra_whitespaces": True}, "removes extra whitespace"),
        ({"normalization_rule_name": "nfkc"}, "cannot be converted exactly: of .* sentencepiece"),
        ({"eos_id": 1, "bos_id": 2}, "</s> has id 1, not 2; is this another model"),
    ],
)
def test_other_models_are_refused(settings: dict[str, Any], cause: str, tmp_path: Path) -> None:
    path = other_model(tmp_path / "tokenizer.model", **settings)
    with pytest.raises(RllrError, match=f"^{re.escape(str(path))}: .*{cause}"):
        convert_tokenizer(path, tmp_path / "to", "chatglm")
    assert not (tmp_path / "to").exists()


def test_broken_files_are_named(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    with pytest.raises(RllrError, match="cannot be read"):
        convert_tokenizer(path, tmp_path, "chatglm")
    for content in (b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:00"):
        path.write_bytes(content)
        with pytest.raises(RllrError, match="was it fetched completely"):
            convert_tokenizer(path, tmp_path, "chatglm")
    path.write_bytes((folder / "tokenizer.model").read_bytes()[:-200])
    with pytest.raises(RllrError):
        convert_tokenizer(path, tmp_path, "chatglm")
    assert not (tmp_path / TOKENIZER).exists()


# Per layout: texts, control tokens, and a model file with its prompt of a question.
GOLDEN: dict[str, tuple[dict[str, list[int]], dict[str, int], str, tuple[str, list[int]]]] = {
    "chatglm": (
        {"\n 你好": [30910, 13, 36474, 54591]},
        {"[MASK]": 64789, "[gMASK]": 64790, "<sop>": 64792, "<|observation|>": 64797},
        "chatglm3-6b",
        ("你好", [64795, 30910, 13, 36474, 54591, 64796]),
    ),
    "baichuan": (
        {"你是谁": [92067]},
        {"<reserved_106>": 195, "<reserved_107>": 196},
        "baichuan2-7b",
        ("你好呀", [195, 16829, 94278, 196]),
    ),
}


@pytest.mark.parametrize("layout", list(FAMILIES))
def test_golden_ids_of_the_real_tokenizers(layout: str, tmp_path: Path) -> None:
    """In $RLLR_TOKENIZERS: chatglm/tokenizer.model and baichuan/tokenizer.model, as published."""
    path = Path(os.environ.get("RLLR_TOKENIZERS", "")) / layout / "tokenizer.model"
    if "RLLR_TOKENIZERS" not in os.environ or not path.exists():
        pytest.skip(f"no {layout}/tokenizer.model in the folder that RLLR_TOKENIZERS names")
    texts, control, model, (question, turn) = GOLDEN[layout]
    convert_tokenizer(path, tmp_path, layout)
    raw = read_yaml(CONFIG_DIR / f"models/{model}.yaml")
    builder = PromptBuilder(ModelConfig.model_validate(raw), tmp_path, 1000)
    encoder = builder.encoder
    for text, ids in texts.items():
        assert encoder.encode(encoder.prefix + text) == ids
    assert {token: encoder.control(token) for token in control} == control
    made = [*builder.before, *encoder.encode(builder.lead + question), *builder.after]
    assert made[-len(turn) :] == turn
