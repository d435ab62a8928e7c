"""The time of a test's event loop, which can leap: who waits for somebody that will never answer need not wait long."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

__all__ = ["Clock"]

# What is on its way through the machine's own network, or in a thread, arrives within so many seconds.
_GRACE: Final = 0.02


class Clock:
    """Has the running loop's time leap to the next timer, while `leaping`, whenever nothing else happens."""

    def __init__(self) -> None:
        loop: Any = asyncio.get_running_loop()
        self._leaps = 0
        self._ahead = 0.0
        self._select = loop._selector.select
        loop._selector.select = self._select_or_leap
        loop.time = self.time

    def time(self) -> float:
        """The loop's time, in seconds."""
        return time.monotonic() + self._ahead

    def leap(self) -> None:
        """From now on, to the end of the test."""
        self._leaps += 1

    @contextmanager
    def leaping(self) -> Iterator[None]:
        """As long as the block lasts."""
        self._leaps += 1
        try:
            yield
        finally:
            self._leaps -= 1

    def _select_or_leap(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self._leaps or timeout is None or timeout <= _GRACE:
            return list(self._select(timeout))
        happened = list(self._select(_GRACE))
        if not happened:
            self._ahead += timeout - _GRACE
        return happened
