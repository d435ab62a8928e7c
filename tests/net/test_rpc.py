"""RPC over TCP with real NTLM: who gets in, what is carried, how calls and connections end."""

from __future__ import annotations

import asyncio
import logging

import pytest

from openwmi.dcom.bindings import Endpoint
from openwmi.dcom.interfaces import IObjectExporter
from openwmi.errors import (
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    PeerError,
    ProtocolError,
    RpcFault,
)
from openwmi.net.rpc import RpcTransport
from openwmi.rpc import ConnectionLimits
from openwmi.rpc.interface import RESULT
from openwmi.security.accounts import nt_hash
from openwmi.security.context import AuthenticationLevel, ImpersonationLevel
from openwmi.status import HResult

from .support import HOST, PASSWORD, WRONG, IEcho, IUnoffered, network

LEVEL = AuthenticationLevel


# -- who gets in


@pytest.mark.parametrize("level", [LEVEL.INTEGRITY, LEVEL.PRIVACY], ids=lambda level: level.name)
async def test_an_authenticated_call(level: AuthenticationLevel) -> None:
    async with network() as it:
        transport = it.transport(level)
        assert await it.repeats(transport)
        (caller,) = it.echo.callers
        assert caller.principal is not None
        assert caller.principal.account == "ada"
        assert (caller.level, caller.impersonation) == (level, ImpersonationLevel.IMPERSONATE)
        assert (caller.address, caller.local_address) == (HOST, HOST)
        assert [row[0] for row in it.throttle.told] == ["succeeded"]


async def test_a_wrong_password(caplog: pytest.LogCaptureFixture) -> None:
    async with network() as it:
        with caplog.at_level(logging.WARNING, "openwmi"):
            for _ in range(2):
                # The last leg of NTLM has no answer, so that the first call is the one to be refused.
                with pytest.raises(RpcFault) as caught:
                    await it.repeats(it.transport(password=WRONG))
                assert caught.value.status == HResult.ERROR_ACCESS_DENIED
        assert it.echo.callers == []
        assert [(kind, who.rpartition("\\")[2], where) for kind, who, where in it.throttle.told] == [
            ("failed", "ada", HOST)
        ] * 2
        assert min(it.throttle.delays) > 0  # it was slowed down
        messages = [r.getMessage() for r in caplog.records if "authentication failed" in r.getMessage()]
        assert len(messages) == 2
        for message in messages:
            assert "ada" in message
            assert HOST in message
            assert "wrong password" in message
        assert await it.repeats(it.transport())
        assert it.throttle.told[-1][0] == "succeeded"


@pytest.mark.parametrize("user", ["nobody", "ADA\\eve"])
async def test_an_account_that_is_not_there(user: str) -> None:
    async with network() as it:
        with pytest.raises(RpcFault) as caught:
            await it.repeats(it.transport(user=user))
        assert caught.value.status == HResult.ERROR_ACCESS_DENIED
        assert it.echo.callers == []


@pytest.mark.requirement("WMI-3.1.4-11")
async def test_without_authentication(caplog: pytest.LogCaptureFixture) -> None:
    async with network() as it:
        transport = it.transport(LEVEL.NONE)
        assert await it.alive(transport)
        with caplog.at_level(logging.WARNING, "openwmi"), pytest.raises(RpcFault) as caught:
            await it.repeats(transport)
        assert caught.value.status == HResult.ERROR_ACCESS_DENIED
        (record,) = caplog.records
        assert "nobody (not authenticated) at 127.0.0.1" in record.getMessage()
        assert "INTEGRITY" in record.getMessage()
        assert await it.alive(transport)  # the connection lives on
        assert it.echo.callers == []


@pytest.mark.requirement("WMI-3.1.4-11", "WMI-3.1.4-12", "WMI-5.1-01", "WMI-5.1-02")
@pytest.mark.parametrize("level", [LEVEL.CONNECT, LEVEL.PACKET], ids=lambda level: level.name)
async def test_a_level_that_is_too_low(level: AuthenticationLevel, caplog: pytest.LogCaptureFixture) -> None:
    async with network() as it:
        transport = it.transport(level)
        with caplog.at_level(logging.WARNING, "openwmi"), pytest.raises(RpcFault) as caught:
            await it.repeats(transport)
        assert caught.value.status == HResult.ERROR_ACCESS_DENIED
        message = caplog.records[-1].getMessage()
        assert "ada at 127.0.0.1" in message
        assert level.name in message
        assert it.echo.callers == []


@pytest.mark.requirement("WMI-3.1.4-05")
async def test_a_client_that_lets_itself_be_identified_only(caplog: pytest.LogCaptureFixture) -> None:
    async with network() as it:
        with caplog.at_level(logging.WARNING, "openwmi"), pytest.raises(RpcFault) as caught:
            await it.repeats(it.transport(impersonation=ImpersonationLevel.IDENTIFY))
        assert caught.value.status == HResult.ERROR_ACCESS_DENIED
        assert "IDENTIFY" in caplog.records[-1].getMessage()


async def test_no_secret_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with network() as it:
            assert await it.repeats(it.transport())
            for transport in (it.transport(password=WRONG), it.transport(LEVEL.NONE), it.transport(LEVEL.CONNECT)):
                with pytest.raises(PeerError):
                    await it.repeats(transport)
    assert caplog.records
    formatter = logging.Formatter()
    text = "\n".join(formatter.format(record) + repr(record.args) for record in caplog.records).lower()
    for password in (PASSWORD, WRONG):
        assert password.lower() not in text
        assert nt_hash(password).hex() not in text
        assert repr(nt_hash(password)).lower() not in text


# -- what is carried


async def test_several_interfaces_on_one_connection() -> None:
    async with network() as it:
        transport = it.transport()
        assert await it.repeats(transport)
        assert await it.alive(transport)
        assert await it.repeats(transport)
        assert it.open == 1
        assert transport.local_address == HOST


async def test_an_interface_that_is_not_offered() -> None:
    async with network() as it:
        for transport in (it.transport(), it.transport(LEVEL.NONE)):
            with pytest.raises(RpcFault) as caught:
                await it.call_interface(transport, IUnoffered, "Any")
            assert caught.value.status == HResult.RPC_S_UNKNOWN_IF
            assert await it.alive(transport)


@pytest.mark.requirement("WMI-3.1.4-02")
async def test_many_calls_at_once() -> None:
    async with network() as it:
        transport = it.transport()
        assert all(await asyncio.gather(*(it.repeats(transport, count) for count in range(40))))
        assert it.open == 1
        hanging = asyncio.ensure_future(it.call(transport, "Hang"))
        await it.echo.hanging.wait()
        assert await it.repeats(transport)  # it waits for nobody
        hanging.cancel()


@pytest.mark.requirement("WMI-3.1.4-01")
async def test_many_clients_at_once() -> None:
    async with network() as it:
        transports = [it.transport(level) for level in (LEVEL.PRIVACY, LEVEL.INTEGRITY) for _ in range(3)]
        assert all(await asyncio.gather(*(it.repeats(transport) for transport in transports)))
        assert len({caller.connection for caller in it.echo.callers}) == 6


@pytest.mark.parametrize("level", [LEVEL.INTEGRITY, LEVEL.PRIVACY], ids=lambda level: level.name)
async def test_fragments_both_ways(level: AuthenticationLevel) -> None:
    limits = ConnectionLimits(max_fragment=1432)
    async with network(limits) as it:
        transport = it.transport(level, limits=limits)
        assert await it.repeats(transport, 100_000)
        assert (await it.call(transport, "Measure", octets=bytes(50_000)))["size"] == 50_000
        assert await it.repeats(transport, 3)


# -- how calls end


@pytest.mark.parametrize("how", ["deadline", "cancel"])
async def test_giving_up_a_call(how: str) -> None:
    async with network() as it:
        transport = it.transport()
        assert await it.repeats(transport)
        if how == "deadline":
            with pytest.raises(DeadlineExceeded, match=r"127\.0\.0\.1\[\d+\]: IEcho\.Hang was not answered in 0\.05 s"):
                await it.call(transport, "Hang", 0.05)
        else:
            waiting = asyncio.ensure_future(it.call(transport, "Hang", None))
            await it.echo.hanging.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert await it.repeats(transport)
        assert it.open == 1
        async with asyncio.timeout(10):
            await it.echo.cancelled.wait()  # the server was told, and has stopped
        (connection,) = transport._connections.values()
        assert connection.idle


async def test_a_mistake_in_a_method(caplog: pytest.LogCaptureFixture) -> None:
    async with network() as it:
        transport = it.transport()
        with caplog.at_level(logging.ERROR, "openwmi"), pytest.raises(RpcFault) as caught:
            await it.call(transport, "Fault")
        assert caught.value.status == HResult.RPC_E_SERVERFAULT
        (record,) = caplog.records
        assert record.exc_info is not None
        assert "ada at 127.0.0.1" in record.getMessage()
        assert await it.repeats(transport)


async def test_calls_that_are_refused_do_not_end_the_connection() -> None:
    async with network() as it:
        transport = it.transport()
        for opnum, stub, status in (
            (99, b"", HResult.NCA_S_OP_RNG_ERROR),
            (3, b"garbage", HResult.RPC_X_BAD_STUB_DATA),
            (3, b"", HResult.RPC_X_BAD_STUB_DATA),
        ):
            with pytest.raises(RpcFault) as caught:
                await transport.invoke((it.endpoint,), IEcho, opnum, stub, object_uuid=it.ipid, timeout=10)
            assert caught.value.status == status
        assert await it.repeats(transport)
        assert it.open == 1


# -- how connections end


async def test_a_server_that_ends_in_the_middle_of_a_call() -> None:
    async with network() as it:
        transport = it.transport()
        lost: list[tuple[Endpoint, PeerError]] = []
        transport.on_lost = lambda endpoint, reason: lost.append((endpoint, reason))
        calls = [asyncio.ensure_future(it.call(transport, "Hang", None)) for _ in range(3)]
        await it.echo.hanging.wait()
        await it.listener.close()
        for call in calls:
            with pytest.raises((ConnectionLost, RpcFault)):
                await call
        assert it.echo.cancelled.is_set()
        with pytest.raises(ConnectError):
            await it.repeats(transport)
        assert [row[0] for row in lost] == [it.endpoint]
        assert isinstance(lost[0][1], ConnectionLost)


async def test_a_connection_that_is_cut() -> None:
    async with network() as it:
        transport = it.transport()
        call = asyncio.ensure_future(it.call(transport, "Hang", None))
        await it.echo.hanging.wait()
        (connection,) = transport._connections.values()
        connection._writer.transport.abort()
        with pytest.raises(ConnectionLost):
            await call
        await it.connections(0)
        assert it.echo.cancelled.is_set()  # the server has stopped what it did for that client
        assert await it.repeats(transport)  # over a new connection


async def test_closing_a_transport() -> None:
    async with network() as it:
        transport = it.transport()
        lost: list[object] = []
        transport.on_lost = lambda *what: lost.append(what)
        call = asyncio.ensure_future(it.call(transport, "Hang", None))
        await it.echo.hanging.wait()
        await transport.close()
        with pytest.raises(ConnectionLost, match="closed"):
            await call
        assert lost == []
        await it.connections(0)


async def test_only_so_many_connections_are_served(caplog: pytest.LogCaptureFixture) -> None:
    async with network(max_connections=1) as it:
        first, second = it.transport(), it.transport()
        assert await it.repeats(first)
        with caplog.at_level(logging.WARNING, "openwmi"), pytest.raises((ConnectError, ConnectionLost)):
            await it.repeats(second)
        assert "refused a connection from 127.0.0.1" in caplog.text
        assert await it.repeats(first)
        await first.close()
        await it.connections(0)
        assert await it.repeats(second)


async def test_only_so_many_connections_are_kept() -> None:
    async with network() as one, network() as two:
        transport = one.transport(max_connections=1)
        assert await one.repeats(transport)
        assert await two.repeats(transport)
        await one.connections(0)
        assert await two.repeats(transport)
        assert two.open == 1
        await transport.close()


async def test_nobody_is_there() -> None:
    async with network() as it:
        transport = it.transport()
        server = await asyncio.start_server(lambda r, w: None, HOST, 0)
        free = Endpoint(HOST, server.sockets[0].getsockname()[1])
        server.close()
        await server.wait_closed()
        stub = IObjectExporter["ServerAlive"].encode_request()
        with pytest.raises(ConnectError, match=str(free.port)):
            await transport.invoke((free,), IObjectExporter, 3, stub, object_uuid=None, timeout=10)
        with pytest.raises(ConnectError, match="no endpoint"):
            await transport.invoke((), IObjectExporter, 3, stub, object_uuid=None, timeout=10)
        octets, _ = await transport.invoke((free, it.endpoint), IObjectExporter, 3, stub, object_uuid=None, timeout=10)
        assert IObjectExporter["ServerAlive"].decode_response(octets)[RESULT] == 0


class Silent:
    """A server that takes connections and says nothing."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.connected = asyncio.Event()

    async def __aenter__(self) -> Silent:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.endpoint = Endpoint(HOST, self._server.sockets[0].getsockname()[1])
        return self

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.connected.set()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self.writers:
            writer.close()
        await self._server.wait_closed()

    async def call(self, transport: RpcTransport, timeout: float | None) -> None:
        stub = IObjectExporter["ServerAlive"].encode_request()
        await transport.invoke((self.endpoint,), IObjectExporter, 3, stub, object_uuid=None, timeout=timeout)


async def test_a_bind_that_is_not_answered() -> None:
    async with network() as it, Silent() as silent:
        with pytest.raises(DeadlineExceeded, match="the bind was not answered"):
            await silent.call(it.transport(connect_timeout=0.05), None)
        with pytest.raises(DeadlineExceeded):
            await silent.call(it.transport(), 0.05)


async def test_closing_a_transport_that_is_connecting() -> None:
    """Whoever waits is told so; being cancelled is something else."""
    async with network() as it, Silent() as silent:
        transport = it.transport()
        call = asyncio.ensure_future(silent.call(transport, None))
        await silent.connected.wait()
        await transport.close()
        with pytest.raises(ConnectionLost):
            await call


async def test_a_server_that_answers_with_garbage() -> None:
    async with network() as it, Silent() as silent:
        transport = it.transport()
        call = asyncio.ensure_future(silent.call(transport, None))
        await silent.connected.wait()
        silent.writers[0].write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(ConnectError) as caught:
            await call
        message = str(caught.value)
        assert str(silent.endpoint) in message
        assert "HTTP/1.1 400" in message
        assert "another port?" in message


async def test_a_server_that_hangs_up_before_the_bind() -> None:
    async with network() as it, Silent() as silent:
        call = asyncio.ensure_future(silent.call(it.transport(), None))
        await silent.connected.wait()
        silent.writers[0].close()
        with pytest.raises(ConnectError) as caught:
            await call
        assert str(silent.endpoint) in str(caught.value)
        # Another address may still be the right one.
        stub = IObjectExporter["ServerAlive"].encode_request()
        both = asyncio.ensure_future(
            it.transport().invoke(
                (silent.endpoint, it.endpoint), IObjectExporter, 3, stub, object_uuid=None, timeout=10
            )
        )
        silent.connected.clear()
        await silent.connected.wait()
        silent.writers[-1].write(bytes(64))
        await both


async def test_a_connection_that_breaks_later_names_the_host() -> None:
    async with network() as it:
        transport = it.transport()
        call = asyncio.ensure_future(it.call(transport, "Hang", None))
        await it.echo.hanging.wait()
        (connection,) = transport._connections.values()
        connection._handle(connection._machine.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n", 0.0))
        with pytest.raises(ProtocolError) as caught:
            await call
        assert str(it.endpoint) in str(caught.value)


@pytest.mark.parametrize("error", [TimeoutError("timed out"), OSError(113, "no route")], ids=lambda e: type(e).__name__)
async def test_a_network_that_fails_ends_the_connection(error: OSError) -> None:
    """The system's own time-out must not be taken for the machine's: reading would fail for ever after."""
    async with network() as it:
        transport = it.transport()
        call = asyncio.ensure_future(it.call(transport, "Hang", None))
        await it.echo.hanging.wait()
        (connection,) = transport._connections.values()
        connection._writer.transport.get_protocol()._stream_reader.set_exception(error)  # type: ignore[attr-defined]
        with pytest.raises(ConnectionLost):
            await call
        await transport.close()
        await it.connections(0)


async def test_an_account_that_has_just_failed_is_refused_without_a_look(caplog: pytest.LogCaptureFixture) -> None:
    async with network() as it:
        it.throttle.is_blocked = 0.01
        with caplog.at_level(logging.WARNING, "openwmi"), pytest.raises(RpcFault) as caught:
            await it.repeats(it.transport())  # with the right password
        assert caught.value.status == HResult.ERROR_ACCESS_DENIED
        assert "blocked" in caplog.records[0].getMessage()
        assert it.throttle.told == []  # neither a failure nor a success
        assert it.echo.callers == []


async def test_a_queue_of_attempts_that_is_full_refuses_more() -> None:
    async with network() as it:
        it.throttle.slot = lambda address, now: None  # type: ignore[method-assign]
        with pytest.raises(RpcFault):
            await it.repeats(it.transport())
        assert it.echo.callers == []


@pytest.mark.parametrize("name", ["a..b.example", "x" * 64 + ".example"])
async def test_what_is_no_name_of_a_host(name: str) -> None:
    """A server's bindings may say anything."""
    transport = RpcTransport(None)
    with pytest.raises(ConnectError, match="no name of a host"):
        await transport.invoke((Endpoint(name, 135),), IEcho, 3, b"", object_uuid=None, timeout=5)
    await transport.close()
