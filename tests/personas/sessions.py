"""The session that a persona spoils."""

from __future__ import annotations

from typing import Final

from openwmi import aio
from openwmi.errors import DeadlineExceeded, Error
from openwmi.status import HResult, WbemStatus
from tests.wire import PASSWORD

from .proxy import Proxy

__all__ = ["CLOSING", "GIVEN_BACK", "PDUS", "TIMED_OUT", "TIMEOUT", "a_session", "error_of"]

PDUS: Final = 26  # that the server of `a_session` sends
GIVEN_BACK: Final = 23  # after so many all that is left is to give back, where a failure is no error of the caller's
TIMEOUT: Final = 8.0
CLOSING: Final = 5.0  # seconds that a session may take on top to give back what it holds

# A peer that does not answer, and an operation that has begun and does not end.
TIMED_OUT: Final = (
    (DeadlineExceeded, HResult.WSAETIMEDOUT),
    (DeadlineExceeded, WbemStatus.WBEM_E_TIMED_OUT),
)


async def a_session(proxy: Proxy, timeout: float | None = TIMEOUT) -> int:
    """One session with all that there is in one; how many instances it saw."""
    async with await aio.connect(proxy.url, user="admin", password=PASSWORD, timeout=timeout) as session:
        async with await session.query("SELECT * FROM Acme_Static") as found:
            count = len(await found.results())
        await session.get_class("Acme_Static")
        await session.delete_instance("Acme_Static.Name='x'")
    return count


async def error_of(proxy: Proxy) -> Error | None:
    """The error that the session ends with, if it does."""
    try:
        await a_session(proxy)
    except Error as error:
        return error
    return None
