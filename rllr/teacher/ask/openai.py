"""Asking an OpenAI-compatible endpoint: several requests at a time, each until it is answered.

What may pass (too many requests, a fault of the server, a time-out, a broken connection, half a
reply) is sent again, after a random time below an exponentially growing bound ("full jitter",
Brooker 2015, AWS Architecture Blog) and not before the server wants it. Everything else, a signal
too, ends the stage, once the requests under way are answered and stored.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

from rllr.config.asking import LanguageModel
from rllr.errors import RllrError
from rllr.interruption import InterruptedStageError
from rllr.teacher.ask.desk import Desk, Payment, SpentError
from rllr.teacher.ask.endpoint import Endpoint
from rllr.teacher.ask.reply import TransientError
from rllr.teacher.ask.request import Pending
from rllr.teacher.ask.stopping import hearing

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
TICK = 1.0


class StoppedError(Exception):
    """Another request has ended the stage."""


class OpenAiCompleter:
    """A model behind an endpoint."""

    def __init__(self, settings: LanguageModel, who: str) -> None:
        self.settings = settings
        self.endpoint = Endpoint(settings, who)

    @property
    def identity(self) -> str:
        """The endpoint's address."""
        return self.settings.endpoint

    @property
    def model(self) -> str:
        """The endpoint's name for the model."""
        return str(self.settings.model)

    def complete(self, pending: Sequence[Pending], desk: Desk) -> None:
        """Ask until all is answered and stored.

        Raises RllrError where that ends early, InterruptedStageError where a signal ends it.
        """
        try:
            asyncio.run(self._complete(pending, desk))
        except SpentError:
            raise desk.account.exhausted(desk.spent()) from None

    async def _complete(self, pending: Sequence[Pending], desk: Desk) -> None:
        async with self.endpoint:
            await Crew(self.endpoint, desk, pending).work()

    def facts(self) -> dict[str, Any]:
        """Who answers, and what was said in another way than asked (`max_tokens`, `seed`)."""
        return {
            "backend": "openai",
            "model": self.settings.model,
            "endpoint": self.settings.endpoint,
            "adapted": {name: to or "left out" for name, to in self.endpoint.adapted.items()},
        }


class Crew:
    """Workers that share a pile of requests, until it is gone or one of them has to stop."""

    def __init__(self, endpoint: Endpoint, desk: Desk, pending: Sequence[Pending]) -> None:
        self.endpoint, self.desk = endpoint, desk
        self.settings = endpoint.settings
        self.size = min(self.settings.concurrency, len(pending))
        # In an order of its own, so that two jobs that ask the same seldom ask it at one time.
        self.pile = iter(random.Random().sample(pending, len(pending)))
        self.stopped = asyncio.Event()
        self.failure: Exception | None = None
        self.in_flight = 0
        self.ended = 0
        self.change = asyncio.Condition()
        self.not_before = 0.0

    async def work(self) -> None:
        """Answer all; raises what stopped it after everything under way has ended."""
        ticker = asyncio.create_task(self._tick())
        with hearing(self._interrupted):
            await asyncio.gather(*(self._worker() for _ in range(self.size)))
        ticker.cancel()
        if self.failure:
            raise self.failure

    def _interrupted(self, name: str) -> None:
        progress = self.desk.progress
        progress.say(
            f"{progress.who}: {name}; {self.in_flight} requests under way are awaited (at most "
            f"{self.settings.timeout:g} s), then it ends; a second signal ends it at once"
        )
        self._stop(InterruptedStageError("what was under way", f"signal {name}"))

    def _stop(self, failure: Exception) -> None:
        """Send nothing more; the first failure is the one that is raised."""
        self.failure = self.failure or failure
        self.stopped.set()

    async def _tick(self) -> None:
        """Waiting is said too: nothing else may happen for long."""
        while True:
            await asyncio.sleep(TICK)
            self.desk.progress.due(self.not_before - time.monotonic())

    async def _worker(self) -> None:
        for one in self.pile:
            try:
                await self._until_answered(one)
            except StoppedError:
                return
            except Exception as error:  # else it would cancel what others have paid for
                self._stop(error)
                return

    async def _until_answered(self, one: Pending) -> None:
        from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self.settings.retries + 1),
            retry=retry_if_exception_type(TransientError),
            wait=_wait,
            sleep=self._pause,
            reraise=True,
        )
        try:
            await retrying(self._try, one)
        except TransientError as error:
            raise RllrError(
                f"{self.endpoint.where}: no answer after {self.settings.retries + 1} requests, the "
                f"last: {error}; all answers so far are kept: run it again when that is mended"
            ) from None

    async def _try(self, one: Pending) -> None:
        """Pay for a request, send it and store the answer, unless there is one by now."""
        await self._pause(self.not_before - time.monotonic())
        if await self._pay(one) is Payment.KNOWN:
            return
        self.in_flight += 1
        try:
            answer = await self.endpoint.send(one.body, one.prompt)
        except TransientError as error:
            self.not_before = max(self.not_before, time.monotonic() + error.after)
            await self.desk.charge(one, one.bound if error.charged else 0, str(error))
            raise
        except RllrError:
            await self.desk.charge(one, 0, "refused")
            raise
        else:
            await self.desk.answered(one, answer)
        finally:
            self.in_flight -= 1
            async with self.change:
                self.ended += 1
                self.change.notify_all()

    async def _pay(self, one: Pending) -> Payment:
        """Pay; where there is no room for what a request may cost, wait for what others did."""
        while not self.stopped.is_set():
            ended = self.ended
            payment = await self.desk.pay(one)
            if payment is not Payment.NO_ROOM:
                return payment
            if not self.in_flight and ended == self.ended:
                raise SpentError
            async with self.change:
                while self.ended == ended:
                    await self.change.wait()
        raise StoppedError

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the stage has to stop."""
        if seconds > 0 and not self.stopped.is_set():
            try:
                await asyncio.wait_for(self.stopped.wait(), seconds)
            except TimeoutError:
                return
        if self.stopped.is_set():
            raise StoppedError


def _wait(state: Any) -> float:
    from tenacity import wait_random_exponential

    jitter = wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT)(state)
    return max(jitter, state.outcome.exception().after)
