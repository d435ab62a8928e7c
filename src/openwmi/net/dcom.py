"""A DCOM peer on the network: its listeners, its timers, and the work it has under way.

A server has two ports, the resolver's (135 by custom) and the exporter's; a client with a sink has one for both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from openwmi.dcom.bindings import DualStringArray, Endpoint
from openwmi.dcom.exporter import Implementation
from openwmi.dcom.importer import RESOLVER_PORT
from openwmi.dcom.peer import Call, Caller, Peer
from openwmi.dcom.resolver import Activator, ObjectResolver
from openwmi.errors import WbemError
from openwmi.net.rpc import RpcListener
from openwmi.rpc import ConnectionLimits
from openwmi.rpc.interface import Interface
from openwmi.security.context import NTLM, Acceptors, AuthenticationLevel
from openwmi.security.principals import Principal
from openwmi.security.throttle import Throttle

__all__ = ["DcomHost"]

_log = logging.getLogger("openwmi.net")

_TICK: Final = 10.0  # seconds between two looks at who has vanished


class DcomHost:
    """Objects and services that others can call, on one or two TCP ports."""

    def __init__(
        self,
        *,
        interfaces: Iterable[Interface],
        acceptors: Acceptors,
        error_info: Callable[[WbemError], bytes | None] = lambda error: None,
        is_current: Callable[[Principal], bool] = lambda principal: True,
        classes: Mapping[UUID, Callable[[Call], Awaitable[Implementation]]] | None = None,
        minimum: AuthenticationLevel = AuthenticationLevel.INTEGRITY,
        limits: ConnectionLimits | None = None,
    ) -> None:
        """`classes` are what can be activated: CLSID to a factory; None for a peer that activates nothing."""
        self.resolver_port = self.exporter_port = 0
        self._acceptors = acceptors
        self._limits = limits
        self._throttle = Throttle()
        self._listeners: list[RpcListener] = []
        self._work: set[asyncio.Task[Any]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self.peer = Peer(
            interfaces=interfaces,
            bindings=self._resolver_bindings,
            freed=self._freed,
            error_info=error_info,
            is_current=is_current,
            minimum=minimum,
        )
        self._resolver = ObjectResolver(
            self.peer.exporter,
            exporter_bindings=self._exporter_bindings,
            resolver_bindings=self._resolver_bindings,
            hint=minimum,
        )
        self.peer.add_service(self._resolver)
        if classes is not None:
            self.peer.add_service(Activator(self.peer.exporter, classes, self._exporter_bindings, hint=minimum))

    async def listen(self, address: str, resolver_port: int, exporter_port: int | None) -> None:
        """Listens at `address`; 0 is a free port, and no exporter port means that the resolver's serves both.

        Raises `OSError` if a port cannot be had; nothing listens then.
        """
        services, objects = self.peer.service_interfaces, self.peer.object_interfaces
        try:
            if exporter_port is None:
                self.resolver_port = self.exporter_port = await self._listen(address, resolver_port, services | objects)
            else:
                self.resolver_port = await self._listen(address, resolver_port, services)
                self.exporter_port = await self._listen(address, exporter_port, objects)
        except OSError:
            await self.close()
            raise
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def _listen(self, address: str, port: int, interfaces: Mapping[tuple[UUID, int], int]) -> int:
        listener = RpcListener(self.peer, interfaces, self._acceptors, throttle=self._throttle, limits=self._limits)
        self._listeners.append(listener)
        return await listener.start(address, port)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs `work` to its end, or to the host's; what goes wrong in it is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._done)
        return task

    def _freed(self, gone: Implementation) -> None:
        self.spawn(gone.released())

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._work.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("background work failed", exc_info=task.exception())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            self._resolver.handle_timeout(now)
            self.peer.exporter.handle_timeout(now)

    def _exporter_bindings(self, caller: Caller) -> DualStringArray:
        """The address that the caller came to: it is the one that the caller is known to reach."""
        return DualStringArray.tcp([Endpoint(caller.local_address, self.exporter_port)], [NTLM])

    def _resolver_bindings(self, caller: Caller) -> DualStringArray:
        """The same for the resolver; the well-known port goes without saying (MS-DCOM 2.2.19.3)."""
        if self.resolver_port == RESOLVER_PORT:
            return DualStringArray.tcp([caller.local_address], [NTLM])
        return DualStringArray.tcp([Endpoint(caller.local_address, self.resolver_port)], [NTLM])

    async def close(self, *, grace: float = 1.0) -> None:
        """Stops listening, gives what is under way `grace` seconds to end, and frees every object."""
        for listener in self._listeners:
            await listener.close()
        self._listeners.clear()
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait({self._ticking})
        self.peer.exporter.close()
        if self._work:
            _, late = await asyncio.wait(self._work, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
