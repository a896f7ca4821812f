"""What a language model is asked and what it answers, whoever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rllr.teacher.ask.desk import Desk

# Of English, roughly (rule of thumb of OpenAI's tokenizer documentation).
BYTES_PER_TOKEN = 4
# What a chat template puts around a message: generously.
TEMPLATE_TOKENS = 32


# The finish_reason of an answer that was withheld; some servers say so by a refusal instead.
FILTERED = "content_filter"
# The one of an answer that was cut at max_new_tokens.
CUT = "length"


@dataclass(frozen=True)
class Request:
    """One question to a model. Two requests that differ in `seed` alone are asked separately."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Answer:
    """What came back; tokens are estimated where `reported` is false.

    `finish_reason` is `stop`, `length` (cut at the limit), or whatever else a server says.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str | None
    reported: bool = True


@dataclass(frozen=True)
class Pending:
    """A request that no stored answer is known to.

    `body` is all that the answer depends on but for who is asked; `key` identifies both; `bound` is
    the largest number of tokens that it may cost.
    """

    key: str
    body: dict[str, Any] = field(repr=False)
    bound: int

    @property
    def prompt(self) -> str:
        """The user's message."""
        return str(self.body["messages"][0]["content"])


class Completer(Protocol):
    """Someone who answers: behind an endpoint, or in this process."""

    @property
    def identity(self) -> str:
        """What answers depend on besides a request's body: an address, a model's files."""

    @property
    def model(self) -> str:
        """The name that requests carry."""

    def complete(self, pending: Sequence[Pending], desk: Desk) -> None:
        """Answer all, each paid for and stored at the desk; RllrError where that ends early."""

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""


def request_body(model: str, request: Request, temperature: float, limit: int) -> dict[str, Any]:
    """The body of a chat completion, without what is only a matter of transport."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": request.prompt}],
        "temperature": temperature,
        "max_tokens": limit,
        "seed": request.seed,
    }


def token_bound(prompt: str, limit: int) -> int:
    """No tokenizer makes more tokens of a prompt than it has bytes."""
    return len(prompt.encode()) + TEMPLATE_TOKENS + limit


def estimated_tokens(text: str) -> int:
    """Of a text, where nobody says how many it has."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)
