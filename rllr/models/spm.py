"""Published sentencepiece models to `tokenizer.json`, with the same ids for every text.

Two things differ from the published tokenizers, both so that text can never become a control token:
ChatGLM3's `sop` and `eop` are called `<sop>` and `<eop>`, and Baichuan2's `<reserved_N>`, which its
tokenizer finds in text, are reached by name only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)

from rllr.errors import RllrError
from rllr.models.tokenizers import BYTES, write_tokenizer

SPACE = "\u2581"
# Where tokenizers' own way of applying a sentencepiece normalizer would show, were it not the same.
PROBES = (
    "e\u0301",
    "\u304b\u3099",
    "\u2026\u0301",
    "\xbd\u0301",
    "\u1112\u1161\u11ab",
    "\uff46 \u3000",
)


@dataclass(frozen=True)
class Family:
    """What a published tokenizer has besides its sentencepiece model, and how a tiny one is made.

    `appended` are control tokens with the ids after the vocabulary; pieces that match `inside` are
    control tokens within it. `found` are pieces found in text before any other (user-defined).
    """

    appended: tuple[str, ...] = ()
    inside: str = r"(?!)"
    found: tuple[str, ...] = ()
    dummy_prefix: bool = True
    split_digits: bool = False
    eos: str = "</s>"
    pad: str = "<unk>"


# By `source.layout`. `found` of ChatGLM3 is no published list: it keeps the tiny model, too, on the
# path that such pieces take.
FAMILIES = {
    "chatglm": Family(
        appended=(
            *("[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>"),
            *("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
        ),
        found=(SPACE * 2, SPACE * 4),
    ),
    "baichuan": Family(
        inside=r"<reserved_\d+>",
        found=tuple(SPACE * length for length in range(2, 17)),
        dummy_prefix=False,
        split_digits=True,
    ),
}


def convert_tokenizer(model_file: Path, to: Path, layout: str) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` into `to`, from a `tokenizer.model`.

    `layout` names one of FAMILIES. Every piece of the vocabulary is encoded with both tokenizers
    before anything is written. Raises RllrError for a file that is no sentencepiece model, has
    settings that are not converted, or does not pass.
    """
    family = FAMILIES[layout]
    proto = _read(model_file)
    _require_supported(proto, model_file)
    control = _names(proto, "UNKNOWN", "CONTROL")
    control += [p.piece for p in proto.pieces if re.fullmatch(family.inside, p.piece)]
    control = [*dict.fromkeys(control), *family.appended]
    tokenizer = _build(proto, control)
    _check_names(tokenizer, family, len(proto.pieces), model_file)
    _check_ids(tokenizer, proto, control, model_file)
    names = {"unk_token": "<unk>", "pad_token": family.pad, "eos_token": family.eos}
    write_tokenizer(tokenizer, names, to)


def _read(path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    messages: Any = sentencepiece_model_pb2  # its classes are made when it is loaded
    proto = messages.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except OSError as error:
        raise RllrError(f"{path}: cannot be read ({error.strerror})") from error
    except DecodeError as error:
        raise RllrError(f"{path}: not a sentencepiece model; was it fetched completely?") from error
    if not proto.pieces:
        raise RllrError(f"{path}: a sentencepiece model without pieces; was it fetched completely?")
    return proto


def _require_supported(proto: Any, path: Path) -> None:
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    faults = {
        "is not of type BPE": trainer.model_type != trainer.BPE,
        "lacks byte pieces": set(BYTES) - {p.piece for p in proto.pieces if p.type == p.BYTE},
        "removes extra whitespace": normalizer.remove_extra_whitespaces,
        "does not escape whitespace": not normalizer.escape_whitespaces,
        "puts whitespace last": trainer.treat_whitespace_as_suffix,
        "has unused pieces": _names(proto, "UNUSED"),
        "does not call unknown text <unk>": _names(proto, "UNKNOWN") != ["<unk>"],
    }
    for text, found in faults.items():
        if found:
            raise RllrError(f"{path}: a sentencepiece model that {text}: it cannot be converted")


def _names(proto: Any, *kinds: str) -> list[str]:
    numbers = {proto.SentencePiece.Type.Value(kind) for kind in kinds}
    return [p.piece for p in proto.pieces if p.type in numbers]


def _build(proto: Any, control: Sequence[str]) -> Tokenizer:
    vocabulary = {p.piece: number for number, p in enumerate(proto.pieces)}
    found = [piece for piece in _names(proto, "USER_DEFINED") if piece not in control]
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=_merges(proto, set(control)),
            unk_token="<unk>",
            byte_fallback=True,
            ignore_merges=bool(found),
        )
    )
    tokenizer.normalizer = _normalizer(proto.normalizer_spec)
    if found:
        tokenizer.pre_tokenizer = _isolate(found, _whole(proto, control))
    tokenizer.decoder = _decoder(proto.normalizer_spec.add_dummy_prefix)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
    return tokenizer


def _merges(proto: Any, control: set[str]) -> list[tuple[str, str]]:
    """Every way to make a piece of two, best score first: sentencepiece's own order of merging."""
    known = {
        p.piece: p.score for p in proto.pieces if p.type == p.NORMAL and p.piece not in control
    }
    pieces = sorted(known, key=lambda piece: (-known[piece], piece))
    cuts = ((piece[:at], piece[at:]) for piece in pieces for at in range(1, len(piece)))
    return [(left, right) for left, right in cuts if left in known and right in known]


def _normalizer(spec: Any) -> Any:
    charsmap, prefix = spec.precompiled_charsmap, spec.add_dummy_prefix
    steps: list[Any] = [normalizers.Precompiled(charsmap)] if charsmap else []
    steps += [normalizers.Prepend(SPACE)] if prefix else []
    return normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])


def _decoder(prefix: bool) -> Any:
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)


def _isolate(found: Iterable[str], whole: dict[str, int]) -> Any:
    """Pieces found in text stand alone, the longest first; `ignore_merges` makes each one token.

    It would make one of any stretch between them that spells an entry of the vocabulary, a control
    or byte token for instance. Such a stretch is cut where sentencepiece cuts it: no merge crosses.
    """
    longest = sorted(found, key=lambda piece: (-len(piece), piece))
    cuts: dict[str, list[str]] = {}
    for text, at in whole.items():
        cuts.setdefault(text[:at], []).append(_escape(text[at:]))
    heads = [rf"{_escape(head)}(?=(?:{'|'.join(tails)})\z)" for head, tails in cuts.items()]
    patterns = ["|".join(map(_escape, longest)), rf"\A(?:{'|'.join(heads)})"]
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    return pre_tokenizers.Sequence(splits)


def _escape(text: str) -> str:
    return "".join(f"\\x{{{ord(c):x}}}" for c in text)


def _whole(proto: Any, control: Sequence[str]) -> dict[str, int]:
    """Entries that sentencepiece does not make one token of when they are text, and the length of
    the first token that it makes instead.
    """
    plain = _processor(proto, control, bare=True)
    entries = [p.piece for p in proto.pieces if p.type != p.USER_DEFINED or p.piece in control]
    entries += [piece for piece in control if piece not in set(entries)]
    numbers = {p.piece: [number] for number, p in enumerate(proto.pieces)}
    encoded = zip(entries, plain.encode(entries, out_type=int), strict=True)
    # Single characters cannot be anything else.
    others = [entry for entry, ids in encoded if len(entry) > 1 and ids != numbers.get(entry)]
    return {entry: _first_length(plain, entry) for entry in others}


def _first_length(processor: Any, text: str) -> int:
    """Characters of `text` in its first token, or tokens where bytes make one character."""
    pieces = processor.encode(text, return_type="proto").pieces
    return next(len(piece.surface) for piece in pieces if piece.surface)


def _processor(proto: Any, control: Iterable[str], *, bare: bool = False) -> Any:
    """Sentencepiece that never finds `control` in text; `bare`: without its normalizer."""
    from sentencepiece import SentencePieceProcessor

    copy = type(proto)()
    copy.CopyFrom(proto)
    unreachable = set(control) - set(_names(proto, "UNKNOWN"))
    for piece in copy.pieces:
        if piece.piece in unreachable:
            piece.type = piece.CONTROL
    if bare:
        copy.normalizer_spec.add_dummy_prefix = False
        copy.normalizer_spec.precompiled_charsmap = b""
    return SentencePieceProcessor(model_proto=copy.SerializeToString())


def _check_names(tokenizer: Tokenizer, family: Family, size: int, path: Path) -> None:
    """The ids that a model's embedding was trained with."""
    expected = {"<unk>": 0, "</s>": 2}
    expected |= {token: size + place for place, token in enumerate(family.appended)}
    for token, number in expected.items():
        if tokenizer.token_to_id(token) != number:
            found = tokenizer.token_to_id(token)
            raise RllrError(f"{path}: {token} has id {found}, not {number}; is this another model?")


def _check_ids(tokenizer: Tokenizer, proto: Any, control: Sequence[str], path: Path) -> None:
    """Both tokenizers on the text of every piece, alone and between others."""
    pieces = [p.piece.replace(SPACE, " ") for p in proto.pieces]
    together = map("".join, zip(pieces, pieces[1:], pieces[2:], strict=False))
    texts = [*pieces, *control, *PROBES, *together]
    tokenizer.encode_special_tokens = True
    encode: Callable[[list[str]], Any] = _processor(proto, control).encode
    for start in range(0, len(texts), 10_000):
        batch = texts[start : start + 10_000]
        made = tokenizer.encode_batch(batch, add_special_tokens=False)
        for text, ours, theirs in zip(batch, made, encode(batch), strict=True):
            if ours.ids != theirs:
                raise RllrError(
                    f"{path}: cannot be converted exactly: of {text!r} sentencepiece makes "
                    f"{theirs}, the converted tokenizer {ours.ids}"
                )
    tokenizer.encode_special_tokens = False
