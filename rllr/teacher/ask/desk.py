"""Where every request of a stage is paid for and every answer stored, and progress is said.

Requests at the same time share transactions: each waits for the disk, but not for each other's turn
at it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

from rllr.teacher.ask.account import Account, Spent
from rllr.teacher.ask.progress import Progress
from rllr.teacher.ask.request import Answer, Pending
from rllr.teacher.ask.store import Store, Work, has_answer, keep_answer


class SpentError(Exception):
    """The budget has no room for a request."""


class Payment(Enum):
    """What became of a request that is about to be sent."""

    PAID = "it may be sent"
    KNOWN = "another job has stored its answer meanwhile"
    NO_ROOM = "the budget has no room for it"


@dataclass
class Desk:
    """One stage's counter of a store."""

    store: Store
    account: Account
    progress: Progress
    waiting: list[tuple[Work, asyncio.Future[Any]]] = field(default_factory=list)
    committing: bool = False

    def spent(self) -> Spent:
        """What the account has spent."""
        (spent,) = self.store.transact([self.account.spent])
        return spent

    def paid(self, batch: list[Pending]) -> list[Pending]:
        """The first of a batch that the budget has room for, paid for."""
        works = [partial(self.account.reserve, bound=one.bound) for one in batch]
        granted = self.store.transact(works)
        taken = [one for one, paid in zip(batch, granted, strict=True) if paid]
        self.progress.sent(len(taken))
        return taken

    def keep(self, answers: list[tuple[Pending, Answer]]) -> None:
        """Store answers and settle what they cost."""
        self.store.transact([partial(self._keep, one, answer) for one, answer in answers])
        for _, answer in answers:
            self.progress.answered(answer)

    async def pay(self, one: Pending) -> Payment:
        """Pay for a request that is about to be sent, unless its answer is there by now."""
        payment: Payment = await self._commit(partial(self._pay, one))
        if payment is Payment.PAID:
            self.progress.sent(1)
        if payment is Payment.KNOWN:
            self.progress.found()
        return payment

    def _pay(self, one: Pending, db: Any) -> Payment:
        if has_answer(db, one.key):
            return Payment.KNOWN
        return Payment.PAID if self.account.reserve(db, one.bound) else Payment.NO_ROOM

    async def charge(self, one: Pending, tokens: int, reason: str) -> None:
        """A request failed for a reason, and may have cost so many tokens."""
        await self._commit(partial(self.account.settle, bound=one.bound, tokens=tokens))
        self.progress.failed(reason)

    async def answered(self, one: Pending, answer: Answer) -> None:
        """Store an answer and settle what it cost."""
        await self._commit(partial(self._keep, one, answer))
        self.progress.answered(answer)

    def _keep(self, one: Pending, answer: Answer, db: Any) -> None:
        keep_answer(db, one.key, answer)
        cost = answer.prompt_tokens + answer.completion_tokens
        # A hard limit must not rest on an estimate.
        self.account.settle(db, one.bound, cost if answer.reported else one.bound)

    async def _commit(self, work: Work) -> Any:
        """The result of `work`, when it is on disk."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting.append((work, future))
        if not self.committing:
            self.committing = True
            try:
                await self._commit_waiting()
            finally:
                self.committing = False
        return await future

    async def _commit_waiting(self) -> None:
        while self.waiting:
            batch, self.waiting = self.waiting, []
            try:
                works = [work for work, _ in batch]
                results = await asyncio.to_thread(self.store.transact, works)
            except Exception as error:
                for _, future in batch:
                    future.set_exception(error)
                continue
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
