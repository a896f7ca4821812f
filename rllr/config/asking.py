"""Typed configuration of teacher and judge, and of the language models that they may ask."""

from __future__ import annotations

import re
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from rllr.config.strict import Positive, Rate, Strict

UNSEEN = {
    *("key", "concurrency", "timeout", "retries", "max_requests", "max_tokens"),
    *("price_in", "price_out", "batch_size"),
    "test_prompts",  # seen by one stage of the judge's alone, whose slice names it
}


# In capitals, as variables mostly are: keys such as `gsk_0aB` would pass for others.
VARIABLE = r"^[A-Z_][A-Z0-9_]*$"


class LanguageModel(Strict):
    """A language model that is asked: behind an OpenAI-compatible endpoint, or in this process."""

    backend: str
    model: str | None = Field(
        None, description="openai: the endpoint's name for it; local: a folder on disk"
    )
    temperature: float = Field(0.7, ge=0)
    max_new_tokens: Positive = 200
    endpoint: str = "https://api.openai.com/v1"
    key: str = Field(
        "OPENAI_API_KEY",
        pattern=VARIABLE,
        description="the environment variable that holds the key; never the key",
    )
    concurrency: Positive = Field(8, description="requests at a time")
    timeout: Rate = Field(60.0, description="seconds of one request")
    retries: int = Field(6, ge=0, description="of one request, after 429, 5xx and time-outs")
    max_requests: Positive | None = Field(None, description="of the run, in all; then it stops")
    max_tokens: Positive | None = Field(None, description="of the run, in all; then it stops")
    price_in: float = Field(0.0, ge=0, description="of a million prompt tokens, for the log")
    price_out: float = Field(0.0, ge=0, description="of a million answered tokens, for the log")
    device: Literal["cpu", "cuda"] = Field("cpu", description="local: where it runs")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="local: of its weights")
    batch_size: Positive = Field(8, description="local: prompts at a time")

    def seen(self) -> dict[str, Any]:
        """The settings that a result shows: not how fast, how often and with which key it asks."""
        return self.model_dump(exclude=UNSEEN)

    @property
    def asks(self) -> bool:
        """Whether a language model is asked at all."""
        return self.backend in ("openai", "local")

    @field_validator("key", mode="before")
    @classmethod
    def _no_key(cls, value: Any) -> Any:
        """Before anything else sees it: it may be the key, which no message must show."""
        if not isinstance(value, str) or not re.fullmatch(VARIABLE, value):
            raise ValueError(
                "names the environment variable that holds the key, in capitals (A-Z, 0-9, _); "
                "the key itself stands in no file"
            )
        return value

    @field_validator("endpoint")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", value):
            raise ValueError(
                "endpoint is http(s)://HOST[:PORT][/PATH], without user, password or query; the "
                "key comes from the environment variable that `key` names"
            )
        bare = value.rstrip("/")
        if bare.endswith("/chat/completions"):
            raise ValueError("endpoint ends before /chat/completions, often in /v1")
        return bare


class TeacherConfig(LanguageModel):
    """Who writes rationales.

    `generated`: the generator's own; `lexical`: quotes telling words (any data, offline); `openai`
    and `local`: a language model. `auto`: the data's own rationales, else lexical.
    """

    backend: Literal["auto", "generated", "lexical", "openai", "local"] = "auto"
    seed: int = 0
    prompt: str = Field("rationale", description="file prompts/NAME.txt")
    wrong_prompt: str | None = Field(
        None, description="another one for wrong labels; null: the same, so that none stands out"
    )
    attempts: Positive = Field(3, description="at a rationale that is refused; then it is dropped")
    min_words: int = Field(3, ge=0)
    max_words: Positive = 150
    language: Literal["en"] | None = Field("en", description="null: any")

    @property
    def prompts(self) -> tuple[str, str]:
        """The prompts for right and for wrong labels, by name."""
        return self.prompt, self.wrong_prompt or self.prompt

    @model_validator(mode="after")
    def _asks_someone(self) -> Self:
        return _named(self, "teacher")


class JudgeConfig(LanguageModel):
    """Who ranks sampled responses by the quality of their rationales.

    `lexical`: whether a rationale quotes the input, and words that speak for its label.
    """

    backend: Literal["lexical", "openai", "local"] = "lexical"
    seed: int = Field(0, description="of answers, and of which response is shown first")
    prompt: str = Field("judge", description="file prompts/NAME.txt")
    both_ways: float = Field(
        0.1, ge=0, le=1, description="share of comparisons asked in both orders, for position bias"
    )
    test_prompts: int = Field(
        0,
        ge=0,
        description="test examples per task on which methods' rationales are compared; 0: none",
    )
    temperature: float = Field(0.0, ge=0)
    max_new_tokens: Positive = 16

    @model_validator(mode="after")
    def _asks_someone(self) -> Self:
        return _named(self, "judge")


L = TypeVar("L", bound="TeacherConfig | JudgeConfig")


def _named(asked: L, who: str) -> L:
    if asked.asks and not asked.model:
        raise ValueError(f"{who}.backend {asked.backend} needs {who}.model")
    if asked.model and not asked.asks:
        raise ValueError(
            f"{who}.model is set, but {who}.backend is {asked.backend}, which asks no language "
            "model; set backend to openai or local"
        )
    return asked
