"""Training a tiny sentencepiece model with the settings of a published one.

Published of Baichuan2: BPE with byte fallback, no normalisation, no dummy prefix, single digits,
pieces for runs of whitespace, character coverage 0.9999. Of ChatGLM3 the model file is published,
not its training: what can be told from its ids is the same, dummy prefix excepted.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rllr.config.schema import TokenizerConfig
from rllr.errors import RllrError
from rllr.files import atomic
from rllr.models.spm import FAMILIES, Family


def train_sentencepiece(
    config: TokenizerConfig, texts: Iterable[str], to: Path, layout: str
) -> None:
    """Write a `tokenizer.model` to the path `to`; `layout` names one of `spm.FAMILIES`.

    `vocab_size` bounds the vocabulary, control tokens after it included; few texts give a smaller
    one. Control tokens inside it are those of `config.control`. The same texts give the same file.
    Raises RllrError when the size leaves no room for bytes, control tokens and characters.
    """
    from sentencepiece import SentencePieceTrainer

    family, model = FAMILIES[layout], io.BytesIO()
    # As from a file: a newline ends a sentence, and becomes a byte token, never part of a piece.
    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    size = config.vocab_size - len(family.appended)
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            vocab_size=size,
            user_defined_symbols=[*family.found, *_inside(config, family)],
            **_settings(family),
        )
    except (RuntimeError, OSError) as error:
        raise RllrError(
            f"tokenizer.vocab_size {config.vocab_size}: sentencepiece trains no tokenizer of this "
            f"size on {len(lines)} lines of text ({error})"
        ) from error
    with atomic(to) as temporary:
        temporary.write_bytes(model.getvalue())


def _inside(config: TokenizerConfig, family: Family) -> list[str]:
    return [token for token in config.control if re.fullmatch(family.inside, token)]


def _settings(family: Family) -> dict[str, Any]:
    return {
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "add_dummy_prefix": family.dummy_prefix,
        "remove_extra_whitespaces": False,
        "split_digits": family.split_digits,
        "character_coverage": 0.9999,
        "hard_vocab_limit": False,
        "max_sentence_length": 1 << 20,
        # More threads or a sample of the lines would make the file depend on chance.
        "num_threads": 1,
        "shuffle_input_sentence": False,
        "minloglevel": 3,
    }
