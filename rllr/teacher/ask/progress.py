"""How far asking is, as lines of a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rllr.config.asking import LanguageModel
from rllr.teacher.ask.request import Answer

SECONDS = 10.0


def _print(line: str) -> None:
    print(line, flush=True)


@dataclass
class Progress:
    """Counts what one round of asking sent and got; prices are per million tokens."""

    who: str
    total: int
    cached: int
    settings: LanguageModel
    say: Callable[[str], None] = _print
    requests: int = 0
    retries: int = 0
    reason: str = ""
    answers: int = 0
    estimated: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    started: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)

    def sent(self, count: int) -> None:
        """So many requests were sent, retries among them."""
        self.requests += count

    def found(self) -> None:
        """An answer need not be asked for: another job has stored it."""
        self.cached += 1
        self.due()

    def failed(self, reason: str) -> None:
        """A request failed and is sent again, or given up."""
        self.retries += 1
        self.reason = reason
        self.due()

    def answered(self, answer: Answer) -> None:
        """An answer was stored."""
        self.answers += 1
        self.estimated += not answer.reported
        self.tokens_in += answer.prompt_tokens
        self.tokens_out += answer.completion_tokens
        self.due()

    @property
    def cost(self) -> float:
        """Of the tokens so far, in the currency of the prices."""
        prices = self.settings
        return (self.tokens_in * prices.price_in + self.tokens_out * prices.price_out) / 1e6

    def due(self, rest: float = 0.0) -> None:
        """Say how far it is if that was not said for a while; `rest` as in `line`."""
        if time.monotonic() - self.said >= SECONDS:
            self.line(rest)

    def line(self, rest: float = 0.0) -> None:
        """Say how far it is, and how many seconds of `rest` the server still wants."""
        self.said = time.monotonic()
        parts = [
            f"{self.who}: {self.cached + self.answers} of {self.total} answers "
            f"({self.cached} were there)",
            f"{self.requests} requests",
            f"{self.retries} of them failed" + (f" (last: {self.reason})" if self.reason else ""),
            f"tokens {'about ' if self.estimated else ''}{self.tokens_in} in, "
            f"{self.tokens_out} out",
        ]
        if self.settings.price_in or self.settings.price_out:
            parts.append(f"cost {self.cost:.2f}")
        if rest > 0:
            parts.append(f"nothing is sent for {rest:.0f} s, as the server wants it")
        self.say(", ".join([*parts, self._left()]))

    def _left(self) -> str:
        left = self.total - self.cached - self.answers
        if not left:
            return f"{self.said - self.started:.0f} s"
        if not self.answers:
            return "time left unknown"
        seconds = left * (self.said - self.started) / self.answers
        return f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"
