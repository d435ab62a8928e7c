"""What a session leaves behind: nothing, whatever it met."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psutil

from openwmi.dcom.exporter import PING_PERIOD
from tests.wire import Machine, within

from .proxy import Persona, Proxy, before

__all__ = ["misbehaving"]

_FORGOTTEN: Final = 4 * PING_PERIOD  # seconds after which a server has forgotten a client that vanished


def _threads() -> set[threading.Thread]:
    # The loop's own pool keeps its threads for whoever comes next.
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


def _sockets() -> int:
    return sum(found.status != psutil.CONN_TIME_WAIT for found in psutil.Process().net_connections("tcp"))


@asynccontextmanager
async def misbehaving(machine: Machine, persona: Persona) -> AsyncIterator[Proxy]:
    """A persona before the machine. What the block does with it must leave no task, thread, socket or object behind."""
    await machine.names()  # the server's own threads are there from now on
    async with before(machine, persona) as proxy:
        tasks, threads, sockets = asyncio.all_tasks(), _threads(), _sockets()
        yield proxy
        await proxy.deserted()
        await machine.hung_up()
        if persona.swallows:  # the client could not say that it is done, but it pings no more
            machine.server._host.peer.exporter.handle_timeout(time.monotonic() + _FORGOTTEN)
        await machine.quiet()
        if left := asyncio.all_tasks() - tasks:  # what the server has just been told to end
            await within(asyncio.wait(left))
        assert not (more := _threads() - threads), more
        assert _sockets() <= sockets
        assert machine.exported == 0
