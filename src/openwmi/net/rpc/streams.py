"""What both ends of a connection do with their stream: feed the machine, send what it has to send, close."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from openwmi.errors import ConnectionLost, DeadlineExceeded
from openwmi.rpc import ClientConnection, Event, ServerConnection

__all__ = ["READ", "address_of", "close", "pump", "send"]

# Little at a time, so that what one peer sends keeps the loop busy for some milliseconds at most.
READ: Final = 32 * 1024
# How long a flush may wait for a peer that does not read.
_SEND_TIMEOUT: Final = 30.0
_THIS_MACHINE: Final = "localhost"


async def pump(
    machine: ServerConnection | ClientConnection,
    reader: asyncio.StreamReader,
    handle: Callable[[list[Event]], None],
    flush: Callable[[], Coroutine[Any, Any, None]],
    resumed: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """Feeds a machine what arrives, and the time, until it is closed."""
    while not machine.closed:
        await resumed()
        if machine.closed:  # by what had waited for the authentication
            break
        deadline = machine.next_timeout()
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        timer = asyncio.timeout(left)
        try:
            async with timer:
                data = await reader.read(READ)
        except TimeoutError:
            if not timer.expired():  # the transport's own: it will never read again
                raise
            handle(machine.handle_timeout(time.monotonic()))
        else:
            if data:
                handle(machine.receive(data, time.monotonic()))
            else:
                handle(machine.peer_closed(ConnectionLost("the peer closed the connection")))
        await flush()
        # A reader with data at hand and nothing to flush would not let go of the loop.
        await asyncio.sleep(0)


async def send(machine: ServerConnection | ClientConnection, writer: asyncio.StreamWriter, turn: asyncio.Lock) -> None:
    """Sends what the machine has to send; a peer that does not read for 30 s is let go."""
    data = machine.data_to_send()
    if not data:
        return
    writer.write(data)
    async with turn:
        try:
            async with asyncio.timeout(_SEND_TIMEOUT):
                await writer.drain()
        except TimeoutError:
            writer.transport.abort()
            raise DeadlineExceeded("the peer does not read what it is sent") from None


async def close(writer: asyncio.StreamWriter) -> None:
    """Closes the stream, and waits a second for what is on its way."""
    writer.close()
    with contextlib.suppress(OSError):  # TimeoutError is one
        async with asyncio.timeout(1.0):
            await writer.wait_closed()


def address_of(writer: asyncio.StreamWriter, which: str) -> str:
    """The address of one end: 'peername' or 'sockname'. Both ends of a Unix socket are at this machine."""
    name = writer.get_extra_info(which)
    if isinstance(name, tuple):
        return str(name[0])
    return "an unknown address" if name is None else _THIS_MACHINE
