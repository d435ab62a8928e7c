"""`RpcTransport`: calls to any number of endpoints, over connections that it opens, shares and keeps."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from uuid import UUID

from openwmi.dcom.bindings import Endpoint
from openwmi.errors import (
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    PeerError,
    Stage,
    mark,
    stage_of,
)
from openwmi.net.rpc.calls import CallingConnection
from openwmi.net.rpc.connectors import Connector, TcpConnector
from openwmi.rpc import ConnectionLimits, SyntaxId
from openwmi.rpc.interface import Interface
from openwmi.security.context import AuthenticationLevel, SecurityContext
from openwmi.status import HResult

__all__ = ["RpcTransport", "connect_error"]

_log = logging.getLogger("openwmi.net")

# What Windows calls the reasons for which a connection is not made.
_STATUS: Final[dict[int | None, HResult]] = {
    errno.ENOENT: HResult.ERROR_FILE_NOT_FOUND,  # of a Unix socket
    errno.ECONNREFUSED: HResult.WSAECONNREFUSED,
    errno.ECONNRESET: HResult.WSAECONNRESET,
    errno.EHOSTUNREACH: HResult.WSAEHOSTUNREACH,
    errno.ENETUNREACH: HResult.WSAENETUNREACH,
    errno.ETIMEDOUT: HResult.WSAETIMEDOUT,
}


class RpcTransport:
    """Makes calls, over one connection for each endpoint: `openwmi.dcom.importer.Transport` on streams.

    `initiator` makes a security context for a host, for every new connection; None calls without authentication.
    `connect_timeout` bounds each attempt to connect and bind, beside the call's own time-out. At most
    `max_connections` are kept, and as many attempted at a time; of those without a call, the one that was used longest
    ago goes first. `connector` opens the connections: over TCP, if it is not given. `on_lost` is told of a connection
    that ends without being closed from here.
    """

    def __init__(
        self,
        initiator: Callable[[str], SecurityContext] | None,
        *,
        level: AuthenticationLevel = AuthenticationLevel.PRIVACY,
        connect_timeout: float = 20.0,
        max_connections: int = 16,
        limits: ConnectionLimits | None = None,
        connector: Connector | None = None,
    ) -> None:
        self._initiator = initiator
        self._connector = connector or TcpConnector()
        self._level = level if initiator is not None else AuthenticationLevel.NONE
        self._connect_timeout = connect_timeout
        self._max_connections = max_connections
        self._limits = limits
        self._connections: OrderedDict[Endpoint, CallingConnection] = OrderedDict()
        self._opening: dict[Endpoint, asyncio.Task[CallingConnection]] = {}
        self._stages: dict[Endpoint, Stage] = {}  # how far those that are being opened are
        self._attempts = asyncio.Semaphore(max_connections)
        self.on_lost: Callable[[Endpoint, PeerError], None] | None = None

    async def invoke(
        self,
        endpoints: tuple[Endpoint, ...],
        interface: Interface,
        opnum: int,
        stub: bytes,
        *,
        object_uuid: UUID | None,
        timeout: float | None,
    ) -> tuple[bytes, bool]:
        """See `openwmi.dcom.importer.Transport`."""
        method = interface.method(opnum)
        name = method.qualified_name if method is not None else interface.name
        try:
            async with asyncio.timeout(timeout):
                connection, presentation = await self._reach(endpoints, SyntaxId(interface.uuid, interface.version))
                return await connection.call(presentation, opnum, stub, object_uuid, name)
        except TimeoutError as late:
            where = ", ".join(map(str, endpoints))
            stage = stage_of(late) or Stage.CALL
            raise DeadlineExceeded.after(timeout, where, f"{name} was not answered", stage=stage) from None

    @property
    def local_address(self) -> str | None:
        """The address from which the server is reached, once it has been."""
        return next((c.local_address for c in reversed(self._connections.values())), None)

    async def _reach(self, endpoints: tuple[Endpoint, ...], syntax: SyntaxId) -> tuple[CallingConnection, int]:
        """A connection to the first endpoint that answers, with the interface bound."""
        problems: list[ConnectError | DeadlineExceeded] = []
        for endpoint in sorted(endpoints, key=lambda e: e not in self._connections):
            try:
                connection = await self._connection(endpoint, syntax)
                return connection, await connection.presentation(syntax)
            except (ConnectError, DeadlineExceeded) as error:
                problems.append(error)
        if not problems:
            raise ConnectError("there is no endpoint to connect to", stage=Stage.CONNECT)
        # One that came further says more.
        furthest = max(problems, key=lambda error: list(Stage).index(error.stage or Stage.CONNECT))
        if len(problems) == 1:
            raise furthest
        stage = furthest.stage or Stage.CONNECT
        raise type(furthest)("; ".join(problem.message for problem in problems), stage=stage, status=furthest.status)

    async def _connection(self, endpoint: Endpoint, syntax: SyntaxId) -> CallingConnection:
        """The connection to an endpoint: of several calls that want a new one, the first opens it for all."""
        opening = self._opening.get(endpoint)
        if opening is None:
            connection = self._connections.get(endpoint)
            if connection is not None and not connection.broken:
                self._connections.move_to_end(endpoint)
                return connection
            opening = asyncio.get_running_loop().create_task(self._attempt(endpoint, syntax))
            self._opening[endpoint] = opening
            opening.add_done_callback(lambda task: self._opened(endpoint, task))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError as cancelled:
            mark(cancelled, self._stages.get(endpoint, Stage.CONNECT))
            if opening.cancelled() and not _is_cancelled():
                raise ConnectionLost(f"{endpoint}: the transport was closed", stage=Stage.CONNECT) from None
            raise

    def _opened(self, endpoint: Endpoint, task: asyncio.Task[CallingConnection]) -> None:
        self._opening.pop(endpoint, None)
        self._stages.pop(endpoint, None)
        if not task.cancelled() and task.exception() is not None:
            # Whoever waited has been told; if all of them gave up meanwhile, this is the place to take note.
            _log.debug("%s: %s", endpoint, task.exception())

    async def _make_room(self) -> None:
        for endpoint, connection in list(self._connections.items())[:-1]:
            if len(self._connections) <= self._max_connections:
                return
            if connection.broken or connection.idle:
                del self._connections[endpoint]
                await connection.close()

    async def _attempt(self, endpoint: Endpoint, syntax: SyntaxId) -> CallingConnection:
        async with self._attempts:
            return await self._open(endpoint, syntax)

    async def _open(self, endpoint: Endpoint, syntax: SyntaxId) -> CallingConnection:
        security = None if self._initiator is None else self._initiator(endpoint.host)
        try:
            async with asyncio.timeout(self._connect_timeout):
                reader, writer = await self._connector(endpoint)
        except TimeoutError as error:
            if error.errno is not None:  # the system's time was up, not ours
                raise connect_error(endpoint, error) from error
            seconds = self._connect_timeout
            raise DeadlineExceeded.after(seconds, endpoint, "no connection", stage=Stage.CONNECT) from None
        except OSError as error:
            raise connect_error(endpoint, error) from error
        except UnicodeError as error:  # of IDNA: a label that is empty or too long
            raise ConnectError(f"{endpoint}: this is no name of a host: {error}", stage=Stage.RESOLVE) from error
        self._stages[endpoint] = Stage.BIND
        connection = CallingConnection(endpoint, reader, writer, self._limits, self._lost)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await connection.bind(syntax, security, self._level)
        except TimeoutError:
            await connection.close()
            seconds, what = self._connect_timeout, "the bind was not answered"
            raise DeadlineExceeded.after(seconds, endpoint, what, stage=Stage.BIND) from None
        except BaseException:
            await connection.close()
            raise
        self._connections[endpoint] = connection
        self._connections.move_to_end(endpoint)
        await self._make_room()
        return connection

    def _lost(self, endpoint: Endpoint, reason: PeerError) -> None:
        if self.on_lost is not None:
            self.on_lost(endpoint, reason)

    async def close(self) -> None:
        """Closes every connection."""
        opening = list(self._opening.values())
        for task in opening:
            task.cancel()
        if opening:
            await asyncio.wait(opening)
        connections, self._connections = self._connections, OrderedDict()
        for connection in connections.values():
            await connection.close()


def connect_error(endpoint: Endpoint, error: OSError) -> ConnectError:
    """Why there is no connection to an endpoint, from what the system says."""
    if isinstance(error, socket.gaierror):
        message = f"{endpoint}: {_reason(error)}"
        return ConnectError(message, stage=Stage.RESOLVE, status=HResult.WSAHOST_NOT_FOUND)
    message = f"{endpoint}: {_reason(error)}; is a server running there?"
    return ConnectError(message, stage=Stage.CONNECT, status=_STATUS.get(error.errno))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _reason(error: OSError) -> str:
    """What the system says; asyncio puts words of its own in the place of its text."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)
