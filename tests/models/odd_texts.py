"""Texts that tokenizers and prompts stumble over."""

from __future__ import annotations

from tiny_project import TinyRun

from rllr.job import Job
from rllr.models.tokenizers import TextEncoder

CONTROL = "<s> </s> <unk> <pad> [gMASK] <sop> <|user|> <|assistant|> <reserved_106> <reserved_107>"
ODD = [
    "plain words",
    " leading space",
    "trailing space ",
    "double  spaces   here",
    "tabs\tand\n\nnewlines\r\n",
    "emoji 😀👩‍👩‍👧 and flags 🇨🇭",
    "日本語 中文 한국어",
    "é è ﬁ ½ \uff46\uff55\uff4c\uff4c",
    "e\u0301 combining",
    "bytes <0x41> spelt out",
    "\x00 \x1f \u2028 \ufeff",
    'quotes "inside" and (brackets) 3.5 don\'t',
    CONTROL,
    "",
]


def control_ids(run: TinyRun | Job, model: str) -> set[int]:
    config = run.project.models[model].source.tokenizer
    names = {config.unk, config.pad, config.eos, *config.control}
    names |= {config.bos} if config.bos else set()
    encoder = TextEncoder(run.layout.base(model))
    return {encoder.control(name) for name in names}
