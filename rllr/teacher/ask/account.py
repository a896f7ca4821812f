"""What a run may spend on asking, counted in the file of answers over all jobs and restarts.

A request is paid for before it is sent, a retry too: it counts as one request, and as the largest
number of tokens that it may cost until its answer says how many it was. What was under way when a
process was killed stays counted so: nobody knows whether the server charged for it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from rllr.errors import RllrError


@dataclass(frozen=True)
class Spent:
    """What an account has spent; `reserved` tokens are of requests whose cost is not known."""

    requests: int
    tokens: int
    reserved: int = 0


@dataclass(frozen=True)
class Account:
    """Of one run and one who asks (`teacher` or `judge`)."""

    run: str
    who: str
    max_requests: int | None = None
    max_tokens: int | None = None

    @property
    def name(self) -> str:
        """Its key in the file."""
        return f"{self.run}/{self.who}"

    def spent(self, db: sqlite3.Connection) -> Spent:
        """What is spent so far."""
        query = "SELECT requests, tokens, reserved FROM spent WHERE account = ?"
        row = db.execute(query, (self.name,)).fetchone()
        return Spent(*row) if row else Spent(0, 0)

    def reserve(self, db: sqlite3.Connection, bound: int) -> bool:
        """Pay for one request of at most `bound` tokens; False where the budget has no room."""
        spent = self.spent(db)
        requests, tokens = spent.requests + 1, spent.tokens + spent.reserved + bound
        if self.max_requests is not None and requests > self.max_requests:
            return False
        if self.max_tokens is not None and tokens > self.max_tokens:
            return False
        db.execute("INSERT OR IGNORE INTO spent VALUES (?, 0, 0, 0)", (self.name,))
        self._add(db, requests=1, reserved=bound)
        return True

    def settle(self, db: sqlite3.Connection, bound: int, tokens: int) -> None:
        """A reserved request has cost so many tokens."""
        self._add(db, tokens=tokens, reserved=-bound)

    def _add(
        self, db: sqlite3.Connection, *, requests: int = 0, tokens: int = 0, reserved: int = 0
    ) -> None:
        db.execute(
            "UPDATE spent SET requests = requests + ?, tokens = tokens + ?, reserved = reserved + ?"
            " WHERE account = ?",
            (requests, tokens, reserved, self.name),
        )

    def exhausted(self, spent: Spent) -> RllrError:
        """The message with which a stage stops."""
        limits = {"max_requests": self.max_requests, "max_tokens": self.max_tokens}
        keys = [f"{self.who}.{key} ({limit})" for key, limit in limits.items() if limit is not None]
        tokens = f"{spent.tokens} tokens"
        if spent.reserved:
            tokens += f" (and up to {spent.reserved} of requests that were broken off)"
        return RllrError(
            f"{self.who}: the budget of run {self.run!r} is spent: {spent.requests} requests, "
            f"{tokens}. Raise {' or '.join(keys)} and run it again: all answers so far are kept, "
            "and it goes on from there"
        )
