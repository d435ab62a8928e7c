"""Wireshark's dissectors read what client and server say to each other, and find nothing malformed in it."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from scapy import utils
from scapy.layers import inet

from openwmi.cim.operations import CallContext, EnumerateInstances, ExecQuery, GetObject
from openwmi.client.dcom import DcomConnection
from openwmi.client.destination import Destination
from openwmi.client.urls import parse_url
from tests.manager.support import CIMV2, SYSTEM
from tests.wire import HOST, PASSWORD, Client, SinkHost, serving

PROGRAM = shutil.which("tshark")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="tshark (Debian: tshark) is not installed")

# What tshark says of each packet; what it knows of DCOM is activation, resolution and release.
FIELDS = ("_ws.malformed", "ntlmssp.messagetype", "isystemactivator.opnum", "oxid.opnum", "remunk.opnum")
_SEGMENT = 16_000
_CONTEXT = CallContext(principal=SYSTEM, remote=True)


@dataclass
class _Stream:
    """One direction of a connection: its ports, and the next sequence number of each."""

    source: int
    target: int
    sequence: int = 1


@dataclass
class Recorder:
    """Relays of every connection that is opened, and the TCP segments that went through them."""

    segments: list[Any] = field(default_factory=list)
    running: AsyncExitStack = field(default_factory=AsyncExitStack)
    connections: int = 0

    def segment(self, stream: _Stream, answers: _Stream, flags: str, octets: bytes = b"") -> None:
        tcp = inet.TCP(sport=stream.source, dport=stream.target, seq=stream.sequence, ack=answers.sequence, flags=flags)
        self.segments.append(inet.IP(src=HOST, dst=HOST) / tcp / octets)
        stream.sequence += len(octets)

    async def opened(self, open_: Any, host: str, port: int, **settings: Any) -> Any:
        """What `asyncio.open_connection` gives, by way of a relay."""
        self.connections += 1
        ports = 50_000 + self.connections
        there, back = _Stream(ports, port), _Stream(port, ports)
        reader, writer = await open_(host, port)

        async def carry(source: asyncio.StreamReader, to: asyncio.StreamWriter, way: _Stream, other: _Stream) -> None:
            while octets := await source.read(_SEGMENT):
                self.segment(way, other, "PA", octets)
                to.write(octets)
            to.close()

        async def relay(near: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            await asyncio.gather(carry(near, writer, there, back), carry(reader, to, back, there))

        server = await self.running.enter_async_context(await asyncio.start_server(relay, HOST, 0))
        return await open_(HOST, server.sockets[0].getsockname()[1], **settings)


async def test_a_recorded_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At packet integrity, where stubs are signed and can be read."""
    recorder, open_ = Recorder(), asyncio.open_connection

    async def opened(host: str, port: int, **settings: Any) -> Any:
        return await recorder.opened(open_, host, port, **settings)

    async with recorder.running, serving() as machine:
        monkeypatch.setattr(asyncio, "open_connection", opened)
        destination = Destination.of(
            parse_url(machine.url), user="admin", password=PASSWORD, authentication_level="integrity"
        )
        connection = DcomConnection(destination)
        machine.clients.push_async_callback(connection.close)
        remote = await connection.connect(CIMV2, _CONTEXT)
        for request in (
            GetObject("Acme_Static"),
            EnumerateInstances("Acme_Static"),
            ExecQuery("SELECT Value FROM Acme_Static"),
        ):
            assert await (await remote.start(request, _CONTEXT)).collect()
        sinks = SinkHost(destination.credentials)
        await sinks.start()
        machine.clients.push_async_callback(sinks.close)
        assert await Client(remote, sinks).result('Acme_Static.Name="x"')
        await machine.clients.aclose()
        await machine.server.stop()

    path = tmp_path / "session.pcap"
    await asyncio.to_thread(utils.wrpcap, str(path), recorder.segments)
    rows = await dissected(path)
    assert len(rows) == len(recorder.segments)
    assert not [row for row in rows if row["_ws.malformed"]]
    for name in FIELDS[1:]:
        assert any(row[name] for row in rows), f"no {name} was recognized"


async def dissected(path: Path) -> list[dict[str, str]]:
    """Each packet's `FIELDS`."""
    assert PROGRAM is not None
    wanted = [argument for name in FIELDS for argument in ("-e", name)]
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "-n", "-r", str(path), "-T", "fields", *wanted,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, complaint = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complaint.decode()
    return [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in printed.decode().splitlines()]
