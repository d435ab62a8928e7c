"""A server and its clients on 127.0.0.1, for tests that go over real TCP and real NTLM.

`serving` starts a server with classes whose provider does what the test says. `Machine.session` is a client as a user
has it; `Machine.client` makes exactly the calls that it is told to, with a `WireSink` that writes down what arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from openwmi import aio
from openwmi.cim import Instance
from openwmi.cim.operations import CallContext, EnumerateInstances
from openwmi.client.credentials import Credentials
from openwmi.client.dcom import DcomConnection
from openwmi.client.destination import Destination
from openwmi.client.session import AsyncSession
from openwmi.client.urls import parse_url
from openwmi.dcom.importer import Response
from openwmi.dcom.peer import Call, Caller
from openwmi.errors import WbemError
from openwmi.net.dcom import DcomHost
from openwmi.providers import Provider, ProviderCall
from openwmi.repository import MemoryStore
from openwmi.rpc.interface import RESULT, Interface
from openwmi.security.accounts import Accounts
from openwmi.security.context import AuthenticationLevel, ImpersonationLevel
from openwmi.server import Server
from openwmi.wmi.client import RemoteNamespace
from openwmi.wmi.interfaces import IWbemObjectSink, IWbemServices
from openwmi.wmi.objects import ObjectMarshaller
from tests.manager.support import CIMV2, SYSTEM, Called, context, run, scripted

HOST = "127.0.0.1"
PASSWORD = "Correct-Horse-7"
SCHEMA = r"""
class Acme_Static { [key] string Name; uint32 Value = 5; };
class Acme_Pair { [key] string A; [key] sint32 B; };
[singleton] class Acme_Only { string Text; };
class Acme_SystemLike : __Provider { };
[dynamic, provider("Dynamics")] class Acme_Dynamic { [key] string Name; };
[dynamic, provider("Nobody")] class Acme_Orphan { [key] string Name; };
[dynamic, provider("Reader")] class Acme_Reader { [key] string Name; };
[dynamic, provider("Broken")] class Acme_Broken { [key] string Name; };
instance of Acme_Static { Name = "x"; };
instance of Acme_Static { Name = "y"; };
instance of Acme_Static { Name = "z"; };
instance of Acme_Pair { A = "a"; B = -1; };
instance of Acme_Only { Text = "t"; };
instance of Acme_SystemLike { Name = "x"; };
"""

_Result = TypeVar("_Result")


async def within(wanted: Awaitable[_Result]) -> _Result:
    """What a test waits for must come: a hang is a failure, not a test run that never ends."""
    return await asyncio.wait_for(wanted, 30)


class Reader(Provider):
    """Deletes nothing."""

    name = "Reader"


class Broken(Provider):
    """Cannot be loaded."""

    name = "Broken"

    def load(self) -> None:
        raise OSError("the driver is not there")

    def delete_instance(self, call: ProviderCall, keys: Any) -> None:
        raise AssertionError("this provider was never loaded")


@dataclass
class Machine:
    """A running server, what its provider does, and the clients that are to be closed."""

    server: Server
    accounts: Accounts
    calls: list[Called] = field(default_factory=list)
    does: Callable[[ProviderCall], Any] = lambda call: None
    clients: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def url(self) -> str:
        return f"dcom://{HOST}:{self.server.addresses.rpc_port}"

    @property
    def exported(self) -> int:
        """How many objects clients hold references to."""
        return len(self.server._host.peer.exporter)

    async def session(self, user: str = "admin", **settings: Any) -> AsyncSession:
        """A client as a user has it."""
        session = await aio.connect(self.url, user=user, password=PASSWORD, **settings)
        return await self.clients.enter_async_context(session)

    async def client(self, user: str = "admin", namespace: str = CIMV2) -> Client:
        """A client that makes exactly the calls that it is told to."""
        destination = Destination.of(parse_url(self.url), user=user, password=PASSWORD)
        connection = DcomConnection(destination)
        self.clients.push_async_callback(connection.close)
        remote = await connection.connect(namespace, CallContext(principal=SYSTEM, remote=True))
        sinks = SinkHost(destination.credentials)
        await sinks.start()
        self.clients.push_async_callback(sinks.close)
        return Client(remote, sinks)

    async def names(self, class_name: str = "Acme_Static") -> list[str]:
        """The names of the instances that are there."""
        namespace = await self.server.manager.connect(CIMV2, context())
        found = await run(namespace, EnumerateInstances(class_name))
        return sorted(i["Name"] for i in found if isinstance(i, Instance))

    async def hung_up(self) -> None:
        """Waits until the server knows that every connection to it has ended."""
        for listener in self.server._host._listeners:
            if served := listener._sessions._running:
                await within(asyncio.wait(set(served)))

    async def quiet(self) -> None:
        """Waits until the server has done what it does in the background: deliveries, releases."""
        while work := self.server._host._work:
            await within(asyncio.wait(set(work)))


def connection_of(session: AsyncSession) -> DcomConnection:
    """What is below a session."""
    connection: DcomConnection = session._close.__self__  # type: ignore[attr-defined]
    return connection


def sinks_of(session: AsyncSession) -> int:
    """How many of a session's sinks somebody could call."""
    sinks = connection_of(session)._sinks
    return 0 if sinks is None else len(sinks.peer.exporter)


async def cut(session: AsyncSession) -> None:
    """Cuts a session's connections, without a word to the server or to the session."""
    await cut_off(connection_of(session))


async def cut_off(log_on: DcomConnection) -> None:
    """The same for the connections of a log-on."""
    for connection in log_on._transport._connections.values():
        connection._writer.transport.abort()
        await asyncio.wait({connection._reading})


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Machine]:
    """A server with the classes of `SCHEMA` in root\\cimv2; `settings` are `Server`'s."""
    accounts = Accounts()
    accounts.add("admin", PASSWORD, administrator=True)
    accounts.add("other", PASSWORD, administrator=True)
    accounts.add("user", PASSWORD)
    settings = {"providers": (), "rpc_port": 0, "exporter_port": 0, **settings}
    async with Server(MemoryStore(), accounts, **settings) as server:
        machine = Machine(server, accounts)
        manager = server.manager
        await manager.compile_mof(SCHEMA, CIMV2, context())
        await manager.register(scripted("Dynamics", machine.calls, lambda call: machine.does(call)), "Dynamics")
        await manager.register(Reader)
        await manager.register(Broken)
        async with machine.clients:
            yield machine


class WireSink:
    """An IWbemObjectSink that writes down what is called. `answer` decides what it answers, and when."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemObjectSink,)

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.callers: list[Caller] = []
        self.called = asyncio.Event()
        self.gone = asyncio.Event()
        self.answer: Callable[[tuple[Any, ...]], Awaitable[int]] = _succeed
        self._objects = ObjectMarshaller()

    async def indicate(self, call: Call, *, count: int, objects: tuple[bytes | None, ...]) -> dict[str, Any]:
        return await self._record(call, ("indicate", count))

    async def set_status(
        self, call: Call, *, flags: int, status: int, text: str | None, error: bytes | None
    ) -> dict[str, Any]:
        decoded = None if error is None else self._objects.unmarshal(error)
        return await self._record(call, ("set_status", flags, status, text, decoded))

    async def released(self) -> None:
        self.gone.set()

    async def _record(self, call: Call, what: tuple[Any, ...]) -> dict[str, Any]:
        self.calls.append(what)
        self.callers.append(call.caller)
        self.called.set()
        return {RESULT: await self.answer(what)}

    async def ended(self) -> list[tuple[Any, ...]]:
        """All calls, once the server has given its references back: there can be none after that."""
        await within(self.gone.wait())
        return self.calls


async def _succeed(what: tuple[Any, ...]) -> int:
    return 0


class SinkHost:
    """Where a client's sinks live: its own object exporter."""

    def __init__(self, credentials: Credentials) -> None:
        self.host = DcomHost(interfaces=[IWbemObjectSink], acceptors=credentials.acceptors())

    async def start(self) -> None:
        await self.host.listen(HOST, 0, None)

    def export(self, sink: WireSink) -> bytes:
        """One more reference to the sink, as an OBJREF."""
        nobody = Caller(None, AuthenticationLevel.NONE, ImpersonationLevel.ANONYMOUS, address=HOST, local_address=HOST)
        return self.host.peer.marshal(sink, IWbemObjectSink.uuid, nobody, float("inf"))

    @property
    def references(self) -> int:
        """How many references others hold, to all sinks together."""
        return sum(entry.references for entry in self.host.peer.exporter._by_ipid.values())

    async def close(self) -> None:
        await self.host.close()


class Client:
    """IWbemServices with nothing between it and the test."""

    def __init__(self, remote: RemoteNamespace, sinks: SinkHost) -> None:
        self.remote = remote
        self.sinks = sinks

    async def call(self, method: str, **values: Any) -> Response:
        """One call; raises the `WbemError` of a failure, with the error object that came along."""
        return await within(self.remote._link.call(self.remote._services, IWbemServices, method, values))

    async def delete(
        self, path: str | None, sink: WireSink, flags: int = 0, context: bytes | None = None, method: str = ""
    ) -> Response:
        """DeleteInstanceAsync."""
        octets = self.sinks.export(sink)
        return await self.call(method or "DeleteInstanceAsync", path=path, flags=flags, context=context, sink=octets)

    async def result(self, path: str, flags: int = 0, sink: WireSink | None = None) -> list[tuple[Any, ...]]:
        """Every call that the sink of a deletion gets."""
        sink = sink or WireSink()
        assert (await self.delete(path, sink, flags)).status == 0
        return await sink.ended()

    async def refused(self, path: str | None, flags: int = 0) -> WbemError:
        """The error of a call that is refused, and the sink untouched: not called, its references given back."""
        sink = WireSink()
        before = self.sinks.references
        try:
            await self.delete(path, sink, flags)
        except WbemError as error:
            assert await sink.ended() == []
            assert self.sinks.references == before
            return error
        raise AssertionError(f"{path!r} with lFlags 0x{flags:X} was not refused")

    async def cancel(self, sink: WireSink | None) -> Response:
        """CancelAsyncCall."""
        return await self.call("CancelAsyncCall", sink=None if sink is None else self.sinks.export(sink))


def code_of(calls: list[tuple[Any, ...]]) -> int:
    """The status of the one final SetStatus that a sink got, if that was all it got and as it should be."""
    assert [call[:2] for call in calls] == [("set_status", 0)]
    _, _, status, text, error = calls[0]
    assert text is None
    if status == 0:
        assert error is None
    else:
        check_extended(error, status)
    return int(status)


def check_extended(error: Any, status: int, path: str | None = None) -> None:
    """That `error` is the `__ExtendedStatus` of a deletion that failed with `status`."""
    assert isinstance(error, Instance)
    assert error.class_name == "__ExtendedStatus"
    assert error["StatusCode"] == status
    assert error["Operation"] == "DeleteInstance"
    assert error["Description"]
    if path is not None:
        assert error["ParameterInfo"] == path
