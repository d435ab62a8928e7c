"""Sessions over DCOM: the transport, the log-on, and the place where sinks live."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

from openwmi.cim.operations import CallContext
from openwmi.cim.upkeep import Backup, Pause, RestoreFrom, Resume
from openwmi.client.session import AsyncSession
from openwmi.dcom.bindings import DualStringArray, Endpoint
from openwmi.dcom.importer import Importer
from openwmi.dcom.peer import Caller
from openwmi.dcom.types import ComVersion
from openwmi.errors import (
    AuthenticationError,
    DeadlineExceeded,
    PeerError,
    RpcFault,
    Stage,
    stage_of,
)
from openwmi.net.dcom import DcomHost, keep_pinging
from openwmi.net.rpc import RpcTransport
from openwmi.security.context import AuthenticationLevel, ImpersonationLevel
from openwmi.security.ntlm import ServerNames
from openwmi.status import HResult
from openwmi.wmi.client import ClientInfo, RemoteNamespace, RemoteNamespaces
from openwmi.wmi.interfaces import IWbemObjectSink
from openwmi.wmi.sinks import SinkStub

__all__ = ["DcomConnection", "Reachable", "open_dcom"]

_log = logging.getLogger("openwmi.client")

_LOOPBACK: Final = "127.0.0.1"
_CLOSING: Final = 2.0  # seconds for giving everything back; what is left the server frees when nobody pings for it


def _this_client() -> ClientInfo:
    return ClientInfo(ServerNames.of(socket.gethostname()).computer, os.getpid())


class Reachable(Protocol):
    """A server, how calls reach it, and as whom: a `Destination` on the network, or this machine's `RunningServer`."""

    @property
    def host(self) -> str:
        """Where it is, for people; over a network also for the resolver, which is at `port`."""
        ...

    @property
    def port(self) -> int:
        """See `host`."""
        ...

    @property
    def who(self) -> str:
        """Who logs on, for people."""
        ...

    @property
    def why_refused(self) -> str:
        """What may be wrong with a log-on that is refused."""
        ...

    def transport(self, connect_timeout: float) -> RpcTransport:
        """What makes calls to the server; the time is seconds."""
        ...

    async def sink_host(self, address: str) -> DcomHost:
        """Where sinks live, listening: the server is reached from `address`."""
        ...


class DcomConnection:
    """One log-on to a server over DCOM: `openwmi.cim.operations.Namespaces`, and a place for sinks."""

    def __init__(
        self,
        destination: Reachable,
        *,
        connect_timeout: float = 20.0,
        call_timeout: float = 30.0,
        optimized: bool = True,
    ) -> None:
        """Times are seconds: for a connection with its bind, and for the answer to one call.

        `optimized` is `RemoteNamespaces`'.
        """
        host, port = destination.host, destination.port
        self.destination = destination
        self._call_timeout = call_timeout
        self._believed = False  # whether the server has answered somebody whom it authenticated
        self._transport = destination.transport(connect_timeout)
        self._sinks: DcomHost | None = None
        self._resolver = Endpoint(host, port)
        self._importer = Importer(self._transport)
        self._namespaces = RemoteNamespaces(
            self._importer, host, port, sinks=self, timeout=call_timeout, optimized=optimized, client=_this_client()
        )
        self._pinging: asyncio.Task[None] | None = None
        self._transport.on_lost = self._lost
        self.lost = False

    def _lost(self, endpoint: Endpoint, reason: PeerError) -> None:
        self.lost = True
        # The connection to the resolver may go once the log-on object is there.
        if endpoint != self._resolver:
            self._namespaces.connection_lost(reason)

    async def connect(self, namespace: str | None, context: CallContext) -> RemoteNamespace:
        """Opens a namespace; what is held at the server is pinged from then on."""
        if self._pinging is None:
            self._pinging = asyncio.get_running_loop().create_task(keep_pinging(lambda: (self._importer,)))
        with self._explaining():
            return await self._namespaces.connect(namespace, context)

    async def open_session(
        self, namespace: str, *, locales: tuple[str, ...] = (), timeout: float | None = None
    ) -> AsyncSession:
        """A session in a namespace, which closes this connection; `timeout` is for each of its operations."""
        user = _User(self.destination.who)
        host = self.destination.host
        context = CallContext(principal=user, remote=True, locales=locales, peer=host, timeout=timeout)
        return AsyncSession(self, await self.connect(namespace, context), context, self.close)

    async def alive(self) -> tuple[ComVersion, DualStringArray]:
        """The version of COM that the server's resolver speaks, and where it says that it is."""
        with self._explaining():
            answer = await self._importer.alive((self._resolver,), timeout=self._call_timeout)
        self._believed = True
        return answer

    async def activate(self) -> None:
        """Has the server make the object to log on with, which `connect` does if need be."""
        with self._explaining():
            await self._namespaces.activate()

    async def perform(self, request: Backup | RestoreFrom | Pause | Resume, context: CallContext) -> None:
        """Backup, restore, pause or resume (`openwmi.cim.upkeep.Upkeep`)."""
        with self._explaining():
            await self._namespaces.perform(request, context)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Says whose log-on it is that fails, where a log-on may fail."""
        try:
            yield
        except AuthenticationError as error:
            raise AuthenticationError(f"{self._who}: {error}") from None
        except RpcFault as fault:
            if fault.status != HResult.ERROR_ACCESS_DENIED or self._believed:
                raise
            # NTLM's last message gets no answer: a server that does not believe it refuses the first call instead.
            raise AuthenticationError(f"{self._who}: access is denied: {self.destination.why_refused}") from None

    @property
    def _who(self) -> str:
        return f"{self.destination.who} at {self.destination.host}"

    async def export(self, stub: SinkStub) -> bytes:
        """The sink as a reference. The first one opens a port at the address from which the server is reached."""
        address = self._transport.local_address or _LOOPBACK
        if self._sinks is None:
            self._sinks = await self.destination.sink_host(address)
        nobody = Caller(
            None, AuthenticationLevel.NONE, ImpersonationLevel.ANONYMOUS, address=address, local_address=address
        )
        return self._sinks.peer.marshal(stub, IWbemObjectSink.uuid, nobody, float("inf"))

    def revoke(self, stub: SinkStub) -> None:
        """The sink is done with: later calls to it find nothing."""
        if self._sinks is not None:
            self._sinks.peer.exporter.revoke(stub)

    async def close(self) -> None:
        """Gives back what the server takes back in time, and closes the connections."""
        self._transport.on_lost = None
        if self._pinging is not None:
            self._pinging.cancel()
            await asyncio.wait({self._pinging})
        leaving = asyncio.get_running_loop().create_task(self._namespaces.close())
        try:
            _, late = await asyncio.wait({leaving}, timeout=_CLOSING)
            if late:
                _log.warning("%s: the server does not take back what it gave", self.destination.host)
        finally:
            # What is still being given back ends with the connection.
            leaving.cancel()
            await self._transport.close()
            if self._sinks is not None:
                await self._sinks.close()
                self._sinks = None
        with suppress(asyncio.CancelledError):
            await leaving


@dataclass(frozen=True, slots=True)
class _User:
    """Who a session acts for, as far as this side knows: `openwmi.cim.operations.Principal`."""

    name: str
    is_administrator: bool = False


async def open_dcom(
    destination: Reachable,
    namespace: str,
    locales: tuple[str, ...],
    timeout: float | None,
    *,
    optimized: bool = True,
) -> AsyncSession:
    """Logs on and opens a namespace, in `timeout` seconds for all of it, from the host's name to the log-on."""
    call_timeout = 30.0 if timeout is None else min(timeout, 30.0)
    connection = DcomConnection(
        destination, connect_timeout=min(call_timeout, 20.0), call_timeout=call_timeout, optimized=optimized
    )
    try:
        async with asyncio.timeout(timeout):
            return await connection.open_session(namespace, locales=locales, timeout=timeout)
    except TimeoutError as late:
        await connection.close()
        stage = stage_of(late) or Stage.CONNECT
        raise DeadlineExceeded.after(timeout, destination.host, "no session", stage=stage) from None
    except BaseException:
        await connection.close()
        raise
