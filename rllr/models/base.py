"""Base models: published ones are fetched and converted; tiny ones are built, and go the same way.

A tiny model is written as those it stands in for are published, fetched from that folder, and
converted.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rllr.config.load import Project
from rllr.config.schema import HubSource, ModelConfig, TinySource
from rllr.errors import RllrError
from rllr.files import read_json
from rllr.layout import SENTENCEPIECE, SUMMARY, TOKENIZER, TOKENIZER_CONFIG, Layout
from rllr.models.chat import save_chat_template
from rllr.models.fetch import check_pinned, fetch

# Inside the base model's folder, until it is done: a tiny model as published, and what was fetched.
PUBLISHED = "published"
ORIGINAL = "original"
NATIVE = "native"


def check_source(project: Project, model: str) -> None:
    """Raise RllrError, before anything is written, where a base model may not be fetched."""
    source = project.models[model].source
    if isinstance(source, HubSource):
        check_pinned(source, project.config.allow_unpinned)


def make_base(project: Project, model: str) -> dict[str, Any]:
    """Write a base model, its tokenizer and chat template into its folder; return facts.

    Raises RllrError where a model cannot be fetched, or is not what its file says.
    """
    config, to = project.models[model], Layout(project).base(model)
    source = config.source
    if isinstance(source, HubSource):
        facts = _adopt(config, source, to, allow_unpinned=project.config.allow_unpinned)
    else:
        facts = _publish(project, model, to / PUBLISHED)
        facts |= _adopt(config, to / PUBLISHED, to)
        shutil.rmtree(to / PUBLISHED)
    _check_tokenizer(config, to)
    save_chat_template(config.prompt, to)
    return facts


def _publish(project: Project, model: str, to: Path) -> dict[str, Any]:
    """Build a tiny model and write it into the folder `to` as its kind is published."""
    from rllr.models.convert.original import write_original
    from rllr.models.tiny import build_tiny
    from rllr.training.common import LOG

    layout, native = project.models[model].source.layout, to / NATIVE
    native.mkdir(parents=True, exist_ok=True)
    facts = build_tiny(project, model, native)
    for name in (SUMMARY, LOG):  # of its pretraining
        (native / name).replace(to.parent / name)
    if layout == "native":
        for path in native.iterdir():
            path.replace(to / path.name)
    else:
        write_original(native, to, layout)
        (native / SENTENCEPIECE).replace(to / SENTENCEPIECE)
    return facts


def _adopt(
    config: ModelConfig, source: HubSource | Path, to: Path, *, allow_unpinned: bool = False
) -> dict[str, Any]:
    """Fetch the published files, convert weights and tokenizer, and drop what was fetched."""
    from rllr.models.convert import convert_model

    original, layout = to / ORIGINAL, config.source.layout
    tokenizer = TOKENIZER if layout == "native" else SENTENCEPIECE
    facts = fetch(source, original, allow_unpinned=allow_unpinned, tokenizer=tokenizer)
    # The tokenizer first: where it is not what it should be, nothing else has been read.
    if layout == "native":
        _take_tokenizer(config.source, original, to)
    else:
        from rllr.models.spm import convert_tokenizer

        convert_tokenizer(original / SENTENCEPIECE, to, layout)
    facts["converted"] = convert_model(original, to, layout, config.architecture)
    shutil.rmtree(original)
    return facts


def _check_tokenizer(config: ModelConfig, base: Path) -> None:
    """RllrError unless the model has an embedding for each token, and the prompt's tokens exist."""
    from rllr.models.prompts import PromptBuilder

    vocabulary = read_json(base / "config.json")["vocab_size"]
    tokens = PromptBuilder(config, base, vocabulary).encoder.tokenizer.get_vocab_size()
    if tokens > vocabulary:
        raise RllrError(
            f"{base}: the tokenizer has {tokens} tokens, the model {vocabulary}; they do not "
            "belong together"
        )


def _take_tokenizer(source: TinySource | HubSource, original: Path, to: Path) -> None:
    """The published tokenizer.json as it is, and the configuration by which it is loaded so."""
    from tokenizers import Tokenizer

    from rllr.models.tokenizers import with_prefix_everywhere, write_tokenizer

    names = {"eos_token": source.eos, "pad_token": source.pad}
    if (original / TOKENIZER_CONFIG).exists():
        bos = read_json(original / TOKENIZER_CONFIG).get("bos_token")
        bos = bos["content"] if isinstance(bos, dict) else bos
        names |= {"bos_token": bos} if bos else {}
    try:
        tokenizer = Tokenizer.from_file(str(original / TOKENIZER))
    except Exception as error:  # the library raises no other
        raise RllrError(f"{original / TOKENIZER}: not a tokenizer: {error}") from None
    write_tokenizer(with_prefix_everywhere(tokenizer), names, to)
