"""A model's prompt as a chat template, by which other tools build it.

It takes one user turn and gives the text that `rllr.models.prompts` encodes in parts. Deviations: a
template makes text, so that a control token spelt out in a question becomes one (transformers:
unless told `apply_chat_template(…, sanitize_control_tokens=True)`); and the text is encoded as a
whole (see there).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rllr.config.schema import Segment
from rllr.files import read_json, write_json, write_text
from rllr.layout import CHAT_TEMPLATE, TOKENIZER_CONFIG

ONE_TURN = (
    "{%- if messages | length != 1 or messages[0]['role'] != 'user' -%}"
    "{{- raise_exception('this model was trained on one user message and no other') -}}"
    "{%- endif -%}"
)
QUESTION = "{{- messages[0]['content'] -}}"


def chat_template(prompt: Sequence[Segment]) -> str:
    """Jinja of a prompt's segments; the answer follows with or without a generation prompt."""
    parts = [QUESTION if s.question else _literal(s.token or s.text or "") for s in prompt]
    return "".join([ONE_TURN, *parts])


def _literal(text: str) -> str:
    # A string inside an expression: braces, and newlines beside tags, mean nothing to Jinja there.
    return "{{- " + json.dumps(text, ensure_ascii=False) + " -}}"


def save_chat_template(prompt: Sequence[Segment], folder: Path) -> None:
    """Write the template beside a tokenizer, in place of one that came with it."""
    config = read_json(folder / TOKENIZER_CONFIG)
    if config.pop("chat_template", None) is not None:
        write_json(folder / TOKENIZER_CONFIG, config)
    write_text(folder / CHAT_TEMPLATE, chat_template(prompt))
