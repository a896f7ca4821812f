"""Tokenizers: training a tiny model's own, and encoding text that can never become a control token.

Everything here needs the small `tokenizers` library alone, so that text stages start at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from rllr.config.schema import TokenizerConfig
from rllr.errors import RllrError
from rllr.files import write_json, write_text
from rllr.layout import TOKENIZER, TOKENIZER_CONFIG

BYTES = [f"<0x{value:02X}>" for value in range(256)]


def train_tokenizer(config: TokenizerConfig, texts: Iterable[str]) -> Tokenizer:
    """Train a BPE tokenizer whose control tokens come first, in the configured order.

    `byte_fallback_bpe` is the layout of the sentencepiece models (a word's space is part of it as
    `▁`, unknown characters become byte tokens); `byte_level_bpe` that of BLOOM.
    """
    special = list(dict.fromkeys(filter(None, _special(config))))
    fallback = config.algorithm == "byte_fallback_bpe"
    if fallback:
        tokenizer = Tokenizer(models.BPE(unk_token=config.unk, byte_fallback=True))
        # Without the split at punctuation a quoted word would be another token than the word.
        words = pre_tokenizers.Split(Regex(r" ?\w+| ?[^\w\s]|\s"), "isolated")
        space = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, space])
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=[
            AddedToken(token, special=True, normalized=False)
            for token in [*special, *(BYTES if fallback else [])]
        ],
        initial_alphabet=[] if fallback else pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _with_plain_bytes(tokenizer) if fallback else tokenizer


def _with_plain_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """Byte tokens as plain vocabulary: the trainer makes them control, and decoding drops those."""
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] not in BYTES]
    return Tokenizer.from_str(json.dumps(state))


def _special(config: TokenizerConfig) -> list[str | None]:
    return [config.unk, config.pad, config.bos, config.eos, *config.control]


def save_tokenizer(tokenizer: Tokenizer, config: TokenizerConfig, folder: Path) -> None:
    """Write a trained tokenizer with its control tokens' roles."""
    names = {"unk_token": config.unk, "pad_token": config.pad, "eos_token": config.eos}
    if config.bos:
        names["bos_token"] = config.bos
    write_tokenizer(tokenizer, names, folder)


def write_tokenizer(tokenizer: Tokenizer, names: dict[str, str], folder: Path) -> None:
    """Write tokenizer.json and the config by which transformers loads it unchanged.

    Under a model's own class name transformers 5 rebuilds parts of it instead of reading them.
    """
    write_text(folder / TOKENIZER, tokenizer.to_str(pretty=True))
    extra = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    write_json(folder / TOKENIZER_CONFIG, {**names, **extra})


def with_prefix_everywhere(tokenizer: Tokenizer) -> Tokenizer:
    """The same, but with a space before every text, where it puts one before the first alone.

    Prompts are built so (rllr/models/prompts.py); only then does a chat template give their ids.
    """
    state = json.loads(tokenizer.to_str())
    for part in ("pre_tokenizer", "decoder"):
        for step in _steps(state[part]):
            if step.get("prepend_scheme") == "first":
                step["prepend_scheme"] = "always"
    return Tokenizer.from_str(json.dumps(state))


def _without_prefix(path: Path) -> tuple[Tokenizer, str]:
    """The tokenizer without the space that it puts before every text, and that space, or ""."""
    tokenizer = Tokenizer.from_file(str(path))
    state = json.loads(tokenizer.to_str())  # older files spell some settings otherwise
    if not any([_drop(state, "normalizer", "Prepend"), _never(state, "pre_tokenizer")]):
        return tokenizer, ""
    _drop(state, "decoder", "Strip")
    _never(state, "decoder")
    return Tokenizer.from_str(json.dumps(state)), " "


def _steps(part: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What a normalizer, pre-tokenizer or decoder does, one after the other."""
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    name = next(key for key in ("normalizers", "pretokenizers", "decoders") if key in part)
    steps: list[dict[str, Any]] = part[name]
    return steps


def _drop(state: dict[str, Any], part: str, kind: str) -> bool:
    """Take steps of a kind out; whether there were any."""
    steps = _steps(state[part])
    kept = [step for step in steps if step["type"] != kind]
    if len(kept) < len(steps):
        state[part] = {"type": "Sequence", f"{part}s": kept} if kept else None
    return len(kept) < len(steps)


def _never(state: dict[str, Any], part: str) -> bool:
    """Let no Metaspace step put a space before a text; whether one did."""
    changed = False
    for step in _steps(state[part]):
        if step["type"] == "Metaspace" and step["prepend_scheme"] != "never":
            step["prepend_scheme"] = "never"
            changed = True
    return changed


class TextEncoder:
    """Text to ids and back, for one model; control tokens are reached by name only.

    The sentencepiece models put a space before every text that they are given. Here texts are parts
    of one: nothing is added, and `prefix` is what belongs before the first part (a space, or "").
    """

    def __init__(self, folder: Path) -> None:
        path = folder / TOKENIZER
        if not path.exists():
            raise RllrError(f"{path}: no tokenizer; was the base model built completely?")
        self.tokenizer, self.prefix = _without_prefix(path)
        # Content that spells a control token ("</s>", "<|user|>") is split like any other text.
        self.tokenizer.encode_special_tokens = True

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, without any control token."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def control(self, token: str) -> int:
        """Id of a control token; RllrError when the tokenizer has no such token."""
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise RllrError(f"the tokenizer has no control token {token!r}")
        return int(found)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, control tokens left out."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text
