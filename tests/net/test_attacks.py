"""Attacks on a listener: each costs the attacker its own connection, is in the log, and nobody else notices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from openwmi.net.guard import Guests
from openwmi.rpc import AuthenticationNeeded, Bound, ClientConnection, ConnectionLimits, Event, SyntaxId
from openwmi.rpc.header import fragment_length
from openwmi.rpc.pdu import Bind, ContextElement, Orphaned, Request
from openwmi.security.context import AuthenticationLevel
from openwmi.security.ntlm import NtlmInitiator
from tests.dcom.support import HEADER

from .support import HOST, PASSWORD, IEcho, Network, network

SYNTAX = SyntaxId(IEcho.uuid, (0, 0))
CLOSED = "closed the connection from 127.0.0.1: "


class Attacker:
    """A client whose machine is honest, and whose octets are ours to spoil before they go out."""

    def __init__(self, it: Network, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.network = it
        self.reader = reader
        self.writer = writer
        self.machine = ClientConnection(now=0.0, limits=ConnectionLimits(max_fragment=1432))
        self.bound = False

    @classmethod
    async def connect(cls, it: Network) -> Attacker:
        return cls(it, *await asyncio.open_connection(HOST, it.listener.port))

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, AuthenticationNeeded):
                assert event.context is not None
                token = event.context.step(event.token)
                self._handle(self.machine.authenticated(event.auth_context_id, event.context, token))
            self.bound |= isinstance(event, Bound)

    def begin(self) -> bytes:
        """The first PDU of a sealed session."""
        security = NtlmInitiator("ada", PASSWORD, target="test-host")
        self._handle(self.machine.bind([SYNTAX], security=security, level=AuthenticationLevel.PRIVACY))
        return self.machine.data_to_send()

    async def hear(self) -> bytes:
        """What the session goes on with, once the server has answered."""
        async with asyncio.timeout(10):
            self._handle(self.machine.receive(await self.reader.read(65536), 0.0))
        return self.machine.data_to_send()

    async def log_on(self) -> None:
        """All of the authentication."""
        self.writer.write(self.begin())
        while not self.bound:
            self.writer.write(await self.hear())

    def call(self, opnum: int = 3, octets: int = 3) -> list[bytes]:
        """The sealed fragments of a call."""
        method = IEcho.method(opnum)
        assert method is not None
        values: dict[int, dict[str, Any]] = {3: {"count": 3}, 4: {}, 6: {"octets": bytes(octets)}}
        stub = method.encode_request(values[opnum], orpc_this=HEADER)
        self.machine.request(0, opnum, stub, object_uuid=self.network.ipid)
        return pdus(self.machine.data_to_send())

    async def is_cut_off(self) -> None:
        """Waits until the server has ended the connection."""
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                await self.reader.read(-1)
        self.writer.close()


def pdus(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = fragment_length(data)
        assert size
        found.append(data[:size])
        data = data[size:]
    return found


@asynccontextmanager
async def besieged(
    caplog: pytest.LogCaptureFixture, limits: ConnectionLimits | None = None, **settings: int
) -> AsyncIterator[Network]:
    """A network with somebody who works in it all the time, and still does afterwards, over the same connection."""
    async with network(limits, **settings) as it:
        friend = it.transport()
        assert await it.repeats(friend)
        stop = asyncio.Event()
        worked = 0

        async def work() -> None:
            nonlocal worked
            while not stop.is_set():
                assert await it.repeats(friend)
                worked += 1

        working = asyncio.ensure_future(work())
        with caplog.at_level(logging.INFO, "openwmi"):
            yield it
            await it.connections(1)  # what the attacker held is free
        stop.set()
        await working
        assert worked
        assert len(it.listener.guests) == 1
        assert len(it.listener.groups) == 1
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_client_that_goes_silent(caplog: pytest.LogCaptureFixture) -> None:
    """At once, in the middle of its bind, of its authentication, and of a request."""
    limits = ConnectionLimits(handshake_timeout=0.2, transfer_timeout=0.2, unauthenticated_timeout=0.2)
    async with besieged(caplog, limits) as it:
        silent = [await Attacker.connect(it) for _ in range(4)]
        silent[1].writer.write(silent[1].begin()[:30])
        silent[2].writer.write(silent[2].begin())
        await silent[3].log_on()
        silent[3].writer.write(silent[3].call()[0][:40])
        for attacker in silent:
            await attacker.is_cut_off()
    for stage in ("before a bind", "in the middle of a bind", "of an authentication", "of a request"):
        assert any(CLOSED in line and line.endswith(stage) for line in caplog.messages), stage
    assert "did not come in 0.2 s" in caplog.text
    assert "nobody authenticated in 0.2 s" in caplog.text


async def test_a_client_that_sends_octet_by_octet_too_slowly(caplog: pytest.LogCaptureFixture) -> None:
    """What trickles in buys no time: a PDU has its deadline from its first octet."""
    async with besieged(caplog, ConnectionLimits(transfer_timeout=0.2)) as it:
        attacker = await Attacker.connect(it)
        await attacker.log_on()
        whole = attacker.call()[0]
        ended = asyncio.ensure_future(attacker.is_cut_off())
        for at in range(len(whole) - 1):
            attacker.writer.write(whole[at : at + 1])
            await asyncio.wait({ended}, timeout=0.01)
            if ended.done():
                break
        await ended
    assert (
        f"{CLOSED}the rest of a PDU or of a call did not come in 0.2 s, in the middle of a request" in caplog.messages
    )


async def test_a_flood_of_binds(caplog: pytest.LogCaptureFixture) -> None:
    """A second bind is an error, and contexts that add up are counted."""
    async with besieged(caplog, ConnectionLimits(max_presentation_contexts=500, max_unauthenticated_pdus=20)) as it:
        binds = await Attacker.connect(it)
        binds.writer.write(binds.begin() * 1000)
        await binds.is_cut_off()
        contexts = await Attacker.connect(it)
        many = tuple(ContextElement(number, SYNTAX) for number in range(250))
        flood = Bind(call_id=1, max_xmit_frag=4280, max_recv_frag=4280, contexts=many).encode()
        alter = flood[:2] + b"\x0e" + flood[3:]
        contexts.writer.write(flood + alter * 100)
        await contexts.is_cut_off()
    assert f"{CLOSED}BIND is out of place" in caplog.text
    assert f"{CLOSED}more than 20 PDUs without authentication" in caplog.text


async def test_two_thousand_connections(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever has authenticated stays; a stranger gets in, since the oldest of the flood has to go."""
    async with besieged(caplog, max_connections=100) as it:
        it.listener.guests = Guests(100, 40)
        it.listener.guests._count = 1  # the friend
        streams: list[asyncio.StreamWriter] = []
        for _ in range(40):
            opened = await asyncio.gather(*(asyncio.open_connection(HOST, it.listener.port) for _ in range(50)))
            streams += [writer for _, writer in opened]
            assert it.open <= 101
        newcomer = it.transport()
        assert await it.repeats(newcomer)
        await newcomer.close()
        for writer in streams:
            writer.close()
    lines = [line for line in caplog.messages if "there are too many" in line]
    assert lines
    assert len(lines) < 100  # nobody fills the disk
    assert sum("refusals of 127.0.0.1" in line for line in caplog.messages) <= 3


@pytest.mark.parametrize("after", range(7))
async def test_a_connection_that_is_cut_after_any_pdu(caplog: pytest.LogCaptureFixture, after: int) -> None:
    """bind | auth3 | call | first and second fragment of a large call | a call that hangs | orphaned."""
    async with besieged(caplog) as it:
        attacker = await Attacker.connect(it)
        sent = 0

        def send(data: bytes) -> None:
            nonlocal sent
            for pdu in pdus(data):
                if sent <= after:
                    attacker.writer.write(pdu)
                sent += 1

        send(attacker.begin())
        if after:
            send(await attacker.hear())
            assert attacker.bound
            send(attacker.call()[0])
            for fragment in attacker.call(6, 2000)[:2]:
                send(fragment)
            if after > 4:
                send(b"".join(attacker.call(4)))
        await attacker.writer.drain()
        if after in (5, 6):
            # The large call is whole by now or never; either way the server has what it got.
            async with asyncio.timeout(10):
                await attacker.reader.read(1)
        attacker.writer.transport.abort()
    assert "Traceback" not in caplog.text
    if after in (0, 3):
        assert CLOSED in caplog.text


LIES = {
    "a fragment longer than agreed": lambda pdu: pdu[:8] + b"\xff\xff" + pdu[10:],
    "a fragment shorter than its header": lambda pdu: pdu[:8] + b"\x0f\x00" + pdu[10:],
    "a fragment that ends early": lambda pdu: pdu[:8] + (len(pdu) - 16).to_bytes(2, "little") + pdu[10:],
    "a token longer than the fragment": lambda pdu: pdu[:10] + b"\xff\xff" + pdu[12:],
    "a token that is not there": lambda pdu: pdu[:10] + b"\x00\x00" + pdu[12:],
    "a token of another length": lambda pdu: pdu[:10] + b"\x08\x00" + pdu[12:],
    "padding longer than the body": lambda pdu: pdu[:-22] + b"\xff" + pdu[-21:],
}


@pytest.mark.parametrize("lie", LIES)
async def test_lies_about_lengths(caplog: pytest.LogCaptureFixture, lie: str) -> None:
    async with besieged(caplog) as it:
        attacker = await Attacker.connect(it)
        await attacker.log_on()
        (pdu,) = attacker.call()
        attacker.writer.write(LIES[lie](pdu))
        attacker.writer.write_eof()
        await attacker.is_cut_off()
    told = [line for line in caplog.messages if CLOSED in line or "refused a call" in line]
    assert told, caplog.messages
    assert all(caller.address == HOST for caller in it.echo.callers)


ORDERS = {
    "replayed": (0, 0),
    "reordered": (1, 0, 2),
    "left out": (0, 2),
    "replayed later": (0, 1, 2, 1),
}


@pytest.mark.parametrize("order", ORDERS)
async def test_sealed_fragments_out_of_order(caplog: pytest.LogCaptureFixture, order: str) -> None:
    async with besieged(caplog) as it:
        attacker = await Attacker.connect(it)
        await attacker.log_on()
        fragments = attacker.call(6, 3000)
        assert len(fragments) == 3
        for number in ORDERS[order]:
            attacker.writer.write(fragments[number])
        await attacker.is_cut_off()
    assert any(CLOSED in line and "signature is wrong" in line for line in caplog.messages)


async def test_a_session_that_is_taken_over_by_who_has_no_keys(caplog: pytest.LogCaptureFixture) -> None:
    """Octets put into somebody's sealed connection neither call in its name nor end its calls."""
    async with besieged(caplog) as it:
        victim = await Attacker.connect(it)
        await victim.log_on()
        victim.writer.write(victim.call(4)[0])
        await it.echo.hanging.wait()
        call_id = victim.machine._next_call_id - 1
        victim.writer.write(Orphaned(call_id=call_id).encode())
        stub = IEcho["Repeat"].encode_request(orpc_this=HEADER, count=3)
        forged = Request(call_id=call_id + 1, context_id=0, opnum=3, object_uuid=it.ipid, stub=stub)
        before = len([caller for caller in it.echo.callers if caller.principal is None])
        victim.writer.write(forged.encode())
        async with asyncio.timeout(10):
            answer = await victim.reader.readexactly(16)
        assert answer[2] == 3  # a fault
        assert len([caller for caller in it.echo.callers if caller.principal is None]) == before == 0
        assert not it.echo.cancelled.is_set()
        victim.writer.close()
    assert "refused a call of nobody (not authenticated) at 127.0.0.1" in caplog.text
