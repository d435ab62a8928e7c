"""A DCOM peer on the network: its listeners, its timers, and the work it has under way.

A server has two ports, the resolver's (135 by custom) and the exporter's; a client with a sink has one for both.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, TypeAlias
from uuid import UUID

from openwmi.dcom.activator import Activator, ClassFactory
from openwmi.dcom.bindings import DualStringArray, Endpoint
from openwmi.dcom.exporter import PING_PERIOD, Implementation
from openwmi.dcom.importer import RESOLVER_PORT, Importer
from openwmi.dcom.interfaces import IActivation, IClassFactory
from openwmi.dcom.peer import Call, Caller, Peer
from openwmi.dcom.resolver import ObjectResolver
from openwmi.errors import ConfigurationError, WbemError
from openwmi.net.rpc import RpcListener
from openwmi.rpc import ConnectionLimits, SyntaxId, Traffic
from openwmi.rpc.endpoints import EndpointMapper, MapEntry
from openwmi.rpc.interface import Interface
from openwmi.rpc.management import IManagement, Management
from openwmi.rpc.towers import Tower
from openwmi.security.context import Acceptors, AuthenticationLevel
from openwmi.security.principals import Principal
from openwmi.security.throttle import Throttle

__all__ = ["DcomHost", "keep_pinging"]

_log = logging.getLogger("openwmi.net")

_TICK: Final = 10.0  # seconds between two looks at who has vanished
_PING_TIMEOUT: Final = 30.0  # seconds; a ping that takes longer comes too late to be worth waiting for

_Interfaces: TypeAlias = dict[tuple[UUID, int], int]  # (interface, major version) to the minor version
_Residents: TypeAlias = Callable[[int], Awaitable[Principal | None]]


async def keep_pinging(importers: Callable[[], Iterable[Importer]]) -> None:
    """Pings what each importer holds, once in every ping period, until it is cancelled."""
    while True:
        await asyncio.sleep(PING_PERIOD)
        # All at once: a resolver that keeps one account's pings waiting must not make those of others come too late.
        pings = (importer.ping(timeout=_PING_TIMEOUT) for importer in tuple(importers()))
        for problem in await asyncio.gather(*pings, return_exceptions=True):
            if problem is not None:
                _log.error("a ping failed", exc_info=problem)


def _why_not(error: OSError) -> str:
    """Why nothing listens, in the system's words: asyncio's own repeat the address and the port."""
    if error.errno == errno.EADDRINUSE:
        return f"{os.strerror(error.errno)}: end what listens there, or name another port"
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


class DcomHost:
    """Objects and services that others can call, on one or two TCP ports, and on a Unix socket if there is one."""

    def __init__(
        self,
        *,
        interfaces: Iterable[Interface],
        acceptors: Acceptors,
        error_info: Callable[[WbemError], bytes | None] = lambda error: None,
        is_current: Callable[[Principal], bool] = lambda principal: True,
        classes: Mapping[UUID, ClassFactory] | None = None,
        minimum: AuthenticationLevel = AuthenticationLevel.INTEGRITY,
        activation_minimum: AuthenticationLevel | None = None,
        advertise: Iterable[str] = (),
        limits: ConnectionLimits | None = None,
    ) -> None:
        """`classes` are what can be activated; None for a peer that activates nothing.

        `activation_minimum` is the level that RemoteActivation takes, which clients before COM version 5.6 call below
        integrity. `advertise` are names and addresses of this machine for its bindings, beside the one that the caller
        came to.
        """
        self.resolver_port = self.exporter_port = 0
        self._advertise = tuple(advertise)
        self._acceptors = acceptors
        self._limits = limits
        self._throttle = Throttle()
        self._traffic = Traffic()
        self._listeners: list[RpcListener] = []
        self._work: set[asyncio.Task[Any]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self.peer = Peer(
            interfaces=interfaces if classes is None else (*interfaces, IClassFactory),
            bindings=self._resolver_bindings,
            freed=self._freed,
            error_info=error_info,
            is_current=is_current,
            minimum=minimum,
            exceptions={} if activation_minimum is None else {IActivation.uuid: activation_minimum},
        )
        self._resolver = ObjectResolver(
            self.peer.exporter,
            exporter_bindings=self._exporter_bindings,
            resolver_bindings=self._resolver_bindings,
            hint=minimum,
        )
        self.peer.add_service(self._resolver)
        self.peer.add_service(
            EndpointMapper(self._endpoints, may_register=lambda call: call.principal.is_administrator)
        )
        self.peer.add_service(Management(self._registered, acceptors.providers, self._traffic))
        if classes is not None:
            self.peer.add_service(Activator(self.peer.exporter, classes, self._exporter_bindings, hint=minimum))

    async def listen(self, address: str, resolver_port: int, exporter_port: int | None) -> None:
        """Listens at `address`; 0 is a free port, and no exporter port means that the resolver's serves both.

        Raises `ConfigurationError`, which names the port, if one cannot be had; nothing listens then.
        """
        services, objects = self._offered
        try:
            if exporter_port is None:
                self.resolver_port = self.exporter_port = await self._listen(address, resolver_port, services | objects)
            else:
                self.resolver_port = await self._listen(address, resolver_port, services)
                self.exporter_port = await self._listen(address, exporter_port, objects)
        except ConfigurationError:
            await self.close()
            raise
        self._start_ticking()

    async def listen_unix(self, bound: socket.socket, residents: _Residents, *, port: int | None = None) -> None:
        """Serves this machine's users at a Unix socket, everything on the one, beside the ports or in their place.

        `residents` says whom a user is here, by the number that the system gives. `port` is what bindings call the
        socket, if there are no ports.
        """
        services, objects = self._offered
        if port is not None:
            self.resolver_port = self.exporter_port = port
        await self._listener(services | objects, residents).start_unix(bound)
        self._start_ticking()

    @property
    def _offered(self) -> tuple[_Interfaces, _Interfaces]:
        """What a bind may name: for the services, and for the objects."""
        every = {(IManagement.uuid, 1): 0}  # which every server has at every endpoint
        return self.peer.service_interfaces, self.peer.object_interfaces | every

    def _listener(self, interfaces: _Interfaces, residents: _Residents | None = None) -> RpcListener:
        listener = RpcListener(
            self.peer,
            interfaces,
            self._acceptors,
            throttle=self._throttle,
            limits=self._limits,
            traffic=self._traffic,
            residents=residents,
        )
        self._listeners.append(listener)
        return listener

    async def _listen(self, address: str, port: int, interfaces: _Interfaces) -> int:
        listener = self._listener(interfaces)
        try:
            return await listener.start(address, port)
        except PermissionError:
            raise ConfigurationError(
                f"this account may not listen at {address} on port {port}: name another port, or give it the right to"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"cannot listen at {address} on port {port}: {_why_not(error)}") from None

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

    def _start_ticking(self) -> None:
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            self._resolver.handle_timeout(now)
            self.peer.exporter.handle_timeout(now)

    def _exporter_bindings(self, caller: Caller) -> DualStringArray:
        return DualStringArray.tcp(
            (Endpoint(host, self.exporter_port) for host in self._hosts(caller)), self._acceptors.providers
        )

    def _resolver_bindings(self, caller: Caller) -> DualStringArray:
        """The well-known port goes without saying (MS-DCOM 2.2.19.3)."""
        hosts = self._hosts(caller)
        if self.resolver_port == RESOLVER_PORT:
            return DualStringArray.tcp(hosts, self._acceptors.providers)
        return DualStringArray.tcp((Endpoint(host, self.resolver_port) for host in hosts), self._acceptors.providers)

    def _hosts(self, caller: Caller) -> tuple[str, ...]:
        """The address that the caller came to, which it is known to reach, and what the configuration adds."""
        # The zone of a link-local IPv6 address means something on this machine only.
        came_to = caller.local_address.partition("%")[0]
        return tuple(dict.fromkeys((came_to, *self._advertise)))

    def _registered(self) -> list[SyntaxId]:
        """Every interface that can be called here, at either port."""
        offered = self.peer.service_interfaces | self.peer.object_interfaces
        return [SyntaxId(uuid, (major, minor)) for (uuid, major), minor in offered.items()]

    def _endpoints(self, call: Call) -> list[MapEntry]:
        """The endpoint map, with the address that the caller came to."""
        ports = ((self.resolver_port, self.peer.service_interfaces), (self.exporter_port, self.peer.object_interfaces))
        return [
            MapEntry(Tower.tcp(SyntaxId(uuid, (major, minor)), port, call.caller.local_address), "openwmi")
            for port, interfaces in ports
            for (uuid, major), minor in interfaces.items()
        ]

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
