"""Windows' own answers, replayed to the client: what it makes of them, and where it goes from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from openwmi.client.destination import Destination
from openwmi.client.urls import parse_url
from openwmi.dcom.bindings import Endpoint
from openwmi.dcom.importer import Importer, Reach, Reference
from openwmi.dcom.types import COM_VERSION
from openwmi.errors import ProtocolError
from openwmi.net.rpc import RpcTransport
from openwmi.rpc.interface import Interface
from tests.wire import HOST, PASSWORD, Machine

from .proxy import Persona, Proxy, Response
from .sessions import a_session
from .traces import misbehaving

DATA: Final = Path(__file__).parents[1] / "data" / "dcom"
# What the captured client asked for.
CLSID: Final = UUID("d99e6e74-fc88-11d0-b498-00a0c90312f3")
IID: Final = UUID("d99e6e70-fc88-11d0-b498-00a0c90312f3")
TIMEOUT: Final = 20.0


class Windows(Persona):
    """Answers as a Windows machine of that kind did, and as the server behind it where nothing was captured."""

    swallows = True

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def respond(self, response: Response) -> bytes:
        method = response.method.partition(".")[2]
        for name in (f"response-{method}-{self.kind}.bin", f"response-{method}.bin"):
            if (DATA / name).exists():
                return (DATA / name).read_bytes()
        return response.stub


class Detour:
    """A transport on which every call goes to the proxy; `calls` are the methods, and where they should have gone."""

    def __init__(self, proxy: Proxy) -> None:
        destination = Destination.of(parse_url(proxy.url), user="admin", password=PASSWORD)
        self.transport = RpcTransport(lambda host: destination.initiator())
        self.there = Endpoint(HOST, int(proxy.url.rpartition(":")[2]))
        self.calls: list[tuple[str, tuple[Endpoint, ...]]] = []

    async def invoke(
        self, endpoints: tuple[Endpoint, ...], interface: Interface, opnum: int, stub: bytes, **how: Any
    ) -> tuple[bytes, bool]:
        method = interface.method(opnum)
        assert method is not None
        self.calls.append((method.name, endpoints))
        return await self.transport.invoke((self.there,), interface, opnum, stub, **how)


@pytest.mark.parametrize(
    ("kind", "port", "names"),
    [
        ("workgroup", 49670, ("SUT02", "2008::2")),
        ("domain", 49774, ("SUT01", "2008::1")),
        ("two-addresses", 49672, ("SUT01", "192.168.0.11")),
    ],
)
async def test_an_activation(machine: Machine, kind: str, port: int, names: tuple[str, ...]) -> None:
    async with misbehaving(machine, Windows(kind)) as proxy:
        detour = Detour(proxy)
        importer, reach = Importer(detour), Reach("server", anywhere=True)
        [reference] = await importer.activate(CLSID, (IID,), reach, 135, timeout=TIMEOUT)
        assert isinstance(reference, Reference)
        assert (reference.iid, reference.std.public_refs, reference.std.is_pinged) == (IID, 5, True)
        await importer.ping(timeout=TIMEOUT)  # names the object
        await importer.ping(timeout=TIMEOUT)
        await importer.release(reference, reach=reach, timeout=TIMEOUT)
        await detour.transport.close()
    hosts = ("server", *names)  # the one that has answered comes first
    resolver = tuple(Endpoint(host, 135) for host in hosts)
    assert detour.calls == [
        ("RemoteCreateInstance", resolver[:1]),
        ("ComplexPing", resolver),
        ("SimplePing", resolver),
        ("RemRelease", tuple(Endpoint(host, port) for host in hosts)),
    ]


@pytest.mark.parametrize(
    ("kind", "addresses"), [("workgroup", ["SUT02", "192.168.0.11"]), ("domain", ["SUT01", "2008::1"])]
)
async def test_where_a_resolver_says_that_it_is(machine: Machine, kind: str, addresses: list[str]) -> None:
    async with misbehaving(machine, Windows(kind)) as proxy:
        detour = Detour(proxy)
        version, bindings = await Importer(detour).alive((detour.there,), timeout=TIMEOUT)
        await detour.transport.close()
    assert version == COM_VERSION
    assert [binding.address for binding in bindings.strings] == addresses


async def test_an_answer_to_another_question(machine: Machine) -> None:
    """A session that gets the activation of another class does not take it for its own."""
    async with misbehaving(machine, Windows("workgroup")) as proxy:
        with pytest.raises(ProtocolError, match="other interfaces"):
            await a_session(proxy)
