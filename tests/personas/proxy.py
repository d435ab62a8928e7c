"""A server that misbehaves: a proxy in front of a real one, and a `Persona` that decides what the client gets.

The proxy stands before both ports of the server, which names the proxy's in its bindings. A persona is asked about
every PDU of the server's (`reply`), in the order in which they come over all connections of a session, and about every
response before it is sealed (`respond`). One that has not made up its mind to do otherwise is honest.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from uuid import UUID

from openwmi.dcom.interfaces import IObjectExporter, IRemoteSCMActivator, IRemUnknown, IRemUnknown2
from openwmi.dcom.peer import Caller, Peer
from openwmi.errors import WbemError
from openwmi.rpc.interface import RESULT, Interface
from openwmi.wmi.interfaces import (
    IEnumWbemClassObject,
    IWbemCallResult,
    IWbemFetchSmartEnum,
    IWbemLevel1Login,
    IWbemLoginClientID,
    IWbemServices,
    IWbemWCOSmartEnum,
)
from tests.wire import HOST, Machine, within

from .clock import Clock

__all__ = ["HangUp", "Persona", "Proxy", "Response", "before"]

Send = Callable[[bytes], Awaitable[None]]

_HEADER: Final = 16
_LENGTH: Final = 8  # where frag_length stands


class HangUp(Exception):
    """The persona cuts all its connections, and answers nobody any more."""


@dataclass(frozen=True)
class Response:
    """A response before it is sealed: the method's name as ``IWbemServices.ExecQuery``, and its stub."""

    method: str
    stub: bytes


class Persona:
    """An honest one."""

    clock: Clock
    swallows = False
    """Whether what the client says at the end may not arrive."""

    async def reply(self, number: int, pdu: bytes, send: Send) -> None:
        """Sends what the client gets for the server's PDU `number`, counted from 0. Raises `HangUp` to cut it off."""
        await send(pdu)

    def respond(self, response: Response) -> bytes:
        """The stub that the client gets. A `WbemError` raised is what the method answers, with nothing else."""
        return response.stub


class _Tampering:
    """The server's `Peer`, whose responses go through the persona."""

    # Every interface that a session calls, each by its own name.
    INTERFACES: ClassVar[dict[UUID, Interface]] = {
        interface.uuid: interface
        for interface in (
            IObjectExporter,
            IRemoteSCMActivator,
            IRemUnknown,
            IRemUnknown2,
            IWbemLevel1Login,
            IWbemLoginClientID,
            IWbemServices,
            IEnumWbemClassObject,
            IWbemFetchSmartEnum,
            IWbemWCOSmartEnum,
            IWbemCallResult,
        )
    }

    def __init__(self, peer: Peer, persona: Persona) -> None:
        self._peer = peer
        self._persona = persona

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)

    async def handle(
        self, interface: UUID, opnum: int, object_uuid: UUID | None, stub: bytes, caller: Caller, **how: Any
    ) -> bytes:
        answer = await self._peer.handle(interface, opnum, object_uuid, stub, caller, **how)
        method = self.INTERFACES[interface].method(opnum)
        assert method is not None  # or the peer would have refused it
        try:
            return self._persona.respond(Response(method.qualified_name, answer))
        except WbemError as refusal:
            given = method.decode_request(stub)
            return method.encode_response({**method.null_response(given), RESULT: refusal.status}, request=given)


@dataclass
class Proxy:
    """A persona before a machine; `url` is where it is."""

    machine: Machine
    persona: Persona
    pdus: int = 0  # how many the server has sent
    _ports: list[asyncio.Server] = field(default_factory=list)
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"dcom://{HOST}:{self._port(0)}"

    def _port(self, number: int) -> int:
        port: int = self._ports[number].sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        host, addresses = self.machine.server._host, self.machine.server.addresses
        for port in (addresses.rpc_port, addresses.exporter_port):
            self._ports.append(await asyncio.start_server(self._accept(port), HOST, 0))
        host.exporter_port = self._port(1)
        for listener in host._listeners:
            listener.peer = _Tampering(host.peer, self.persona)  # type: ignore[assignment]

    def _accept(self, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._relay(port, reader, writer))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

        return accept

    async def _relay(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        from_server, to_server = await asyncio.open_connection(HOST, port)
        ways = {asyncio.ensure_future(_pass(reader, to_server)), asyncio.ensure_future(self._down(from_server, writer))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, to_server):
                end.transport.abort()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(octets: bytes) -> None:
            writer.write(octets)
            await writer.drain()

        try:
            while True:
                header = await reader.readexactly(_HEADER)
                (length,) = struct.unpack_from("<H", header, _LENGTH)
                pdu = header + await reader.readexactly(length - _HEADER)
                number, self.pdus = self.pdus, self.pdus + 1
                await self.persona.reply(number, pdu, send)
        except HangUp:
            self._hang_up()
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    def _hang_up(self) -> None:
        for port in self._ports:
            port.close()
        for connection in self._connections:
            connection.cancel()

    async def deserted(self) -> None:
        """Waits until the client has ended all its connections."""
        if self._connections:
            await within(asyncio.wait(self._connections))
        assert not self._connections

    async def close(self) -> None:
        """Cuts what is left."""
        self._hang_up()
        if self._connections:
            await asyncio.wait(self._connections)
        for port in self._ports:
            await port.wait_closed()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while octets := await reader.read(1 << 16):
            writer.write(octets)
            await writer.drain()
    except ConnectionError:
        return


@asynccontextmanager
async def before(machine: Machine, persona: Persona) -> AsyncIterator[Proxy]:
    """A persona before a machine; at the end nothing of it is left."""
    persona.clock = Clock()
    proxy = Proxy(machine, persona)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
