"""Bad input on one connection: it gets an answer or its connection's end, and never touches another."""

from __future__ import annotations

import asyncio
import logging
import random
import struct
from typing import Any

import pytest

from openwmi.cim.operations import CallContext, DeleteInstance, ExecQuery, GetObject
from openwmi.client.dcom import DcomConnection
from openwmi.client.destination import Destination
from openwmi.client.urls import parse_url
from openwmi.dcom.objref import CustomObjRef
from openwmi.errors import Error, PeerError, RpcFault, WbemError
from openwmi.repository import MemoryStore
from openwmi.rpc import ClientConnection, ConnectionLimits, SyntaxId
from openwmi.rpc.ndr import Slot
from openwmi.security.accounts import Accounts
from openwmi.security.principals import Principal
from openwmi.server import Server
from openwmi.wmi.interfaces import IWbemServices
from openwmi.wmi.objects import CLSID_WBEM_CLASS_OBJECT, IID_IWBEM_CLASS_OBJECT
from tests.dcom.support import HEADER

from .support import HOST, PASSWORD, IEcho, network


def bind() -> bytes:
    """A bind without authentication, as a client sends it."""
    machine = ClientConnection(now=0.0)
    machine.bind([SyntaxId(IEcho.uuid, (0, 0))])
    return machine.data_to_send()


def header(kind: int, length: int, *, version: int = 5, minor: int = 0, auth: int = 0, flags: int = 3) -> bytes:
    return struct.pack("<BBBB4sHHI", version, minor, kind, flags, b"\x10\0\0\0", length, auth, 1)


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(10):
        try:
            return await reader.read(-1)
        except ConnectionError:
            return b""


GARBAGE = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
    "version 4": header(11, 16, version=4),
    "a length below the header's": header(11, 15),
    "a length of zero": header(11, 0),
    "an authentication length beyond the end": header(11, 28, auth=0xFFFF) + bytes(12),
    "an unknown type": header(99, 16),
    "a response": header(2, 24) + bytes(8),
    "a request before the bind": header(0, 24) + bytes(8),
    "a bind with nothing in it": header(11, 16),
    "a bind with 255 contexts": header(11, 28) + struct.pack("<HHIBBH", 4280, 4280, 0, 255, 0, 0),
    "a fragment that is not the last": header(11, 28, flags=1) + bytes(12),
}


@pytest.mark.parametrize("octets", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_ends_its_own_connection(octets: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with network() as it:
        other = it.transport()
        assert await it.repeats(other)
        with caplog.at_level(logging.INFO, "openwmi"):
            reader, writer = await asyncio.open_connection(HOST, it.listener.port)
            writer.write(octets)
            await read_to_end(reader)
            writer.close()
            await it.connections(1)
        assert "closed the connection from 127.0.0.1" in caplog.text
        assert await it.repeats(other)


async def test_a_fault_after_the_bind_ends_its_own_connection() -> None:
    async with network() as it:
        other = it.transport()
        for octets in GARBAGE.values():
            assert await it.repeats(other)
            reader, writer = await asyncio.open_connection(HOST, it.listener.port)
            writer.write(bind())
            ack = await reader.readexactly(16)
            assert ack[2] == 12  # bind_ack
            writer.write(octets)
            writer.write_eof()
            await read_to_end(reader)
            writer.close()
        await it.connections(1)
        assert await it.repeats(other)


async def test_octet_by_octet() -> None:
    async with network() as it:
        other = it.transport()
        reader, writer = await asyncio.open_connection(HOST, it.listener.port)
        for octet in bind():
            writer.write(bytes([octet]))
            await writer.drain()
            await asyncio.sleep(0)
        assert await it.repeats(other)
        ack = await reader.readexactly(16)
        assert ack[2] == 12
        writer.close()


async def test_half_open_connections_are_let_go() -> None:
    limits = ConnectionLimits(handshake_timeout=0.05)
    async with network(limits) as it:
        other = it.transport(limits=ConnectionLimits())
        assert await it.repeats(other)
        streams = [await asyncio.open_connection(HOST, it.listener.port) for _ in range(5)]
        streams[0][1].write(bind()[:10])
        for reader, writer in streams:
            await read_to_end(reader)
            writer.close()
        await it.connections(1)
        assert await it.repeats(other)


async def test_mutated_pdus() -> None:
    """A fixed seed, so that a failure can be repeated."""
    chance = random.Random(20)
    whole = bind() + header(0, 32) + struct.pack("<IHH", 8, 0, 3) + bytes(8)
    async with network(ConnectionLimits(handshake_timeout=5.0)) as it:
        other = it.transport()

        async def attack() -> None:
            octets = bytearray(whole)
            for _ in range(chance.randint(1, 6)):
                octets[chance.randrange(len(octets))] = chance.randrange(256)
            reader, writer = await asyncio.open_connection(HOST, it.listener.port)
            writer.write(octets)
            writer.write_eof()
            await read_to_end(reader)
            writer.close()

        for _ in range(15):
            await asyncio.gather(*(attack() for _ in range(10)))
            assert await it.repeats(other)
        await it.connections(1)


async def test_mutated_stubs() -> None:
    chance = random.Random(21)
    async with network() as it:
        attacker, other = it.transport(), it.transport()
        method = IEcho["Measure"]
        whole = method.encode_request(orpc_this=HEADER, octets=b"octets")
        answered = refused = 0
        for n in range(150):
            octets = bytearray(whole[: chance.randint(0, len(whole))] if n % 3 == 0 else whole)
            for _ in range(chance.randint(1, 4) if octets else 0):
                octets[chance.randrange(len(octets))] = chance.randrange(256)
            try:
                await attacker.invoke(
                    (it.endpoint,), IEcho, chance.choice([3, 6, 200]), bytes(octets), object_uuid=it.ipid, timeout=10
                )
                answered += 1
            except RpcFault:
                refused += 1
        assert answered
        assert refused
        assert await it.repeats(attacker)  # none of it was bad enough to end the connection
        assert await it.repeats(other)
        assert it.open == 2


# -- a whole server

ADA = Principal.local_system()
CONTEXT = CallContext(principal=ADA, remote=True)
PATHS = [
    "",
    "=",
    "::",
    'A="',
    "A=1,",
    "\\\\\\",
    "//x/y:z=",
    "A.b=c.d=e",
    "A=" + "9" * 400,
    "\ud800",
    "x" * 9000,
    'A="\0"',
]
QUERIES = ["", "SELECT", "SELECT * FROM", "DROP TABLE x", "SELECT * FROM x WHERE " + "(" * 500, "\ud800", "x" * 20000]


async def attack(remote: Any) -> list[Error]:
    """Bad paths, queries, objects, contexts and references; what each is answered with."""
    found: list[Error] = []

    async def expect(work: Any) -> None:
        try:
            result = await work
            if hasattr(result, "collect"):
                await result.collect()
        except (WbemError, PeerError) as error:
            found.append(error)

    for path in PATHS:
        await expect(remote.start(GetObject(path), CONTEXT))
        await expect(remote.start(DeleteInstance(path), CONTEXT))
    for query in QUERIES:
        await expect(remote.start(ExecQuery(query), CONTEXT))
    link, services = remote._link, remote._services
    chance = random.Random(22)
    blobs = [b"", b"MEOW", chance.randbytes(200)] + [
        CustomObjRef(IID_IWBEM_CLASS_OBJECT, CLSID_WBEM_CLASS_OBJECT, chance.randbytes(n)).encode() for n in (0, 8, 90)
    ]
    for blob in blobs:
        values = {"object": blob, "flags": 0, "context": None, "call_result": None}
        await expect(link.call(services, IWbemServices, "PutInstance", values))
        await expect(link.call(services, IWbemServices, "PutClass", {**values, "object": None, "context": blob}))
        await expect(
            link.call(
                services, IWbemServices, "DeleteInstanceAsync", {"path": "x", "flags": 0, "context": None, "sink": blob}
            )
        )
        await expect(link.call(services, IWbemServices, "CancelAsyncCall", {"sink": blob}))
    opened = {"namespace": "\ud800", "flags": 0, "context": None, "working_namespace": Slot(), "call_result": None}
    await expect(link.call(services, IWbemServices, "OpenNamespace", opened))
    return found


async def test_a_server_answers_bad_input_on_one_connection_while_another_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    accounts = Accounts()
    accounts.add("ada", PASSWORD, administrator=True)
    async with Server(MemoryStore(), accounts, providers=(), rpc_port=0, exporter_port=0) as server:
        target = parse_url(f"dcom://{HOST}:{server.addresses.rpc_port}")
        destination = Destination.of(target, user="ada", password=PASSWORD)
        connections = [DcomConnection(destination) for _ in range(2)]
        try:
            bad, good = [await c.connect("root\\default", CONTEXT) for c in connections]
            stop = asyncio.Event()
            worked = 0

            async def work() -> None:
                nonlocal worked
                while not stop.is_set():
                    operation = await good.start(GetObject("__NAMESPACE"), CONTEXT)
                    assert await operation.result() is not None
                    worked += 1

            working = asyncio.ensure_future(work())
            with caplog.at_level(logging.INFO, "openwmi"):
                found = await attack(bad)
            stop.set()
            await working
            assert worked > 5
            assert len(found) >= 2 * len(PATHS) + len(QUERIES)
            assert all(isinstance(error, WbemError | RpcFault) for error in found)
            assert not [ascii(r.getMessage()) for r in caplog.records if r.levelno >= logging.ERROR]
            assert all(r.getMessage().isprintable() for r in caplog.records)
            operation = await bad.start(GetObject("__NAMESPACE"), CONTEXT)
            assert await operation.result() is not None
        finally:
            for connection in connections:
                await connection.close()
