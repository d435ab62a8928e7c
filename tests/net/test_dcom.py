"""`DcomHost`: two ports or one, what is told of them, and that nothing is left when it closes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID

import pytest

from openwmi.dcom.bindings import DualStringArray, Endpoint
from openwmi.dcom.importer import Importer, Reach, Reference
from openwmi.dcom.interfaces import IObjectExporter
from openwmi.dcom.peer import Call
from openwmi.errors import ConfigurationError, RpcFault
from openwmi.net.dcom import DcomHost
from openwmi.net.rpc import RpcTransport
from openwmi.security.acceptors import LocalAcceptors
from openwmi.security.accounts import Accounts
from openwmi.security.ntlm import NtlmInitiator, ServerNames
from openwmi.status import HResult
from tests.dcom.support import Calculator, ICalculator, IMemory

from .support import HOST, PASSWORD

CLSID = UUID("33333333-0000-0000-0000-00000000c1a5")


class Fixture:
    """A host that makes calculators, and a client of it."""

    def __init__(self) -> None:
        accounts = Accounts()
        accounts.add("ada", PASSWORD)
        self.made: list[Calculator] = []
        self.host = DcomHost(
            interfaces=[ICalculator, IMemory],
            acceptors=LocalAcceptors(accounts, ServerNames.of("test-host")),
            classes={CLSID: self.make},
        )
        self.transport = RpcTransport(lambda host: NtlmInitiator("ada", PASSWORD, target=host))
        self.importer = Importer(self.transport)

    async def make(self, call: Call) -> Calculator:
        self.made.append(Calculator())
        return self.made[-1]

    async def activate(self) -> Reference:
        reach = Reach(HOST)
        (found,) = await self.importer.activate(CLSID, (ICalculator.uuid,), reach, self.host.resolver_port, timeout=10)
        assert isinstance(found, Reference)
        return found

    async def add(self, reference: Reference, importer: Importer | None = None) -> int:
        values: dict[str, Any] = {"left": 2, "right": 3}
        response = await (importer or self.importer).call(
            reference, ICalculator, "Add", values, reach=Reach(HOST), timeout=10
        )
        found: int = response.values["sum"]
        return found

    async def close(self) -> None:
        await self.transport.close()
        await self.host.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.requirement("DCOM-3.1.1.3-03")
@pytest.mark.parametrize("exporter_port", [0, None])
async def test_a_host_on_two_ports_or_one(exporter_port: int | None) -> None:
    it = Fixture()
    await it.host.listen(HOST, 0, exporter_port)
    assert (it.host.resolver_port == it.host.exporter_port) is (exporter_port is None)
    reference = await it.activate()
    assert await it.add(reference) == 5
    assert reference.resolver.strings[0].endpoint == (HOST, it.host.resolver_port)
    # Somebody else, who has the reference alone, finds the exporter by it.
    stranger = Importer(it.transport)
    assert await it.add(reference, stranger) == 5
    await it.importer.release(reference, reach=Reach(HOST), timeout=10)
    with pytest.raises(RpcFault) as caught:
        await it.add(reference)
    assert caught.value.status == HResult.RPC_E_DISCONNECTED
    await it.close()
    assert [made.is_released for made in it.made] == [True]


async def test_each_port_offers_its_own_interfaces() -> None:
    it = Fixture()
    await it.host.listen(HOST, 0, 0)
    method = IObjectExporter["ServerAlive2"]
    resolver, exporter = Endpoint(HOST, it.host.resolver_port), Endpoint(HOST, it.host.exporter_port)

    async def alive(endpoint: Endpoint) -> dict[str, Any]:
        octets, _ = await it.transport.invoke(
            (endpoint,), IObjectExporter, method.opnum, method.encode_request(), object_uuid=None, timeout=10
        )
        return method.decode_response(octets)

    found = DualStringArray.of_data((await alive(resolver))["bindings"])
    assert found.strings[0].endpoint == (HOST, it.host.resolver_port)
    with pytest.raises(RpcFault) as caught:
        await alive(exporter)
    assert caught.value.status == HResult.RPC_S_UNKNOWN_IF
    with pytest.raises(RpcFault) as caught:
        await it.transport.invoke((resolver,), ICalculator, 3, b"", object_uuid=UUID(int=1), timeout=10)
    assert caught.value.status == HResult.RPC_S_UNKNOWN_IF
    await it.close()


async def test_closing_frees_every_object_and_ends_what_is_late() -> None:
    it = Fixture()
    await it.host.listen(HOST, 0, 0)
    await it.activate()
    ended = asyncio.Event()

    async def late() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    it.host.spawn(late())
    await asyncio.sleep(0)
    await it.transport.close()
    await it.host.close(grace=0.01)
    assert ended.is_set()
    assert [made.is_released for made in it.made] == [True]
    assert len(it.host.peer.exporter) == 0
    await it.host.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_port_that_cannot_be_had() -> None:
    it = Fixture()
    taken = await asyncio.start_server(lambda r, w: None, HOST, 0)
    port = taken.sockets[0].getsockname()[1]
    with pytest.raises(ConfigurationError) as caught:
        await it.host.listen(HOST, 0, port)
    assert str(caught.value).startswith(f"cannot listen at {HOST} on port {port}: ")
    assert str(caught.value).endswith("end what listens there, or name another port")
    assert str(caught.value).count(str(port)) == 1
    taken.close()
    await taken.wait_closed()
    with pytest.raises(OSError, match="onnect"):
        await asyncio.open_connection(HOST, it.host.resolver_port)
    await it.close()


async def test_background_work_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    it = Fixture()

    async def fails() -> None:
        raise KeyError("a mistake")

    with caplog.at_level(logging.ERROR, "openwmi"):
        await asyncio.wait({it.host.spawn(fails())})
        await asyncio.sleep(0)
    (record,) = caplog.records
    assert record.exc_info is not None
    await it.close()
