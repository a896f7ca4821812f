"""Being asked to stop while requests are under way: they are paid for, so they are awaited."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@contextmanager
def hearing(stop: Callable[[str], None]) -> Iterator[None]:
    """Call `stop` with the name of the first signal that comes; a second one ends the process.

    Only the main thread can hear: in another one this does nothing. What is ignored, as a shell has
    its background jobs ignore SIGINT, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    found = {number: signal.getsignal(number) for number in SIGNALS}
    before = {n: handler for n, handler in found.items() if handler not in (None, signal.SIG_IGN)}

    def restore() -> None:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)

    def heard(number: signal.Signals) -> None:
        restore()
        stop(number.name)

    for number in before:
        loop.add_signal_handler(number, heard, number)
    try:
        yield
    finally:
        restore()
