"""The endpoint mapper and the management interface over TCP: our own client, and impacket's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from openwmi.dcom.bindings import Endpoint
from openwmi.dcom.interfaces import IObjectExporter
from openwmi.errors import RpcFault
from openwmi.net.dcom import DcomHost
from openwmi.net.rpc import RpcTransport
from openwmi.net.rpc.mapping import lookup_endpoints, map_endpoint
from openwmi.rpc import SyntaxId
from openwmi.rpc.endpoints import IEndpointMapper
from openwmi.rpc.interface import RESULT
from openwmi.rpc.management import IManagement
from openwmi.security.acceptors import LocalAcceptors
from openwmi.security.accounts import Accounts
from openwmi.security.context import NTLM
from openwmi.security.ntlm import ServerNames
from openwmi.status import HResult

from .support import HOST, IEcho, IUnoffered

NOBODYS = SyntaxId(IUnoffered.uuid, (0, 0))


@asynccontextmanager
async def host() -> AsyncIterator[tuple[DcomHost, Endpoint, RpcTransport]]:
    """A host with two ports, and a client that does not authenticate."""
    made = DcomHost(interfaces=[IEcho], acceptors=LocalAcceptors(Accounts(), ServerNames.of("test-host")), classes={})
    transport = RpcTransport(None)
    await made.listen(HOST, 0, 0)
    try:
        yield made, Endpoint(HOST, made.resolver_port), transport
    finally:
        await transport.close()
        await made.close()


async def manage(transport: RpcTransport, endpoint: Endpoint, name: str, **values: Any) -> dict[str, Any]:
    method = IManagement[name]
    stub, _ = await transport.invoke(
        (endpoint,), IManagement, method.opnum, method.encode_request(values), object_uuid=None, timeout=10
    )
    return method.decode_response(stub, request=values)


async def test_mapping_an_interface() -> None:
    async with host() as (made, mapper, transport):
        found = await map_endpoint(transport, mapper, SyntaxId(IObjectExporter.uuid, (0, 0)))
        assert found == mapper
        assert await map_endpoint(transport, mapper, SyntaxId(IEcho.uuid, (0, 0))) == Endpoint(HOST, made.exporter_port)
        with pytest.raises(RpcFault, match=str(NOBODYS.uuid)) as caught:
            await map_endpoint(transport, mapper, NOBODYS)
        assert caught.value.status == HResult.EPT_S_NOT_REGISTERED


async def test_the_whole_map() -> None:
    async with host() as (made, mapper, transport):
        found = {tower.interface: tower.port for _, tower, _ in await lookup_endpoints(transport, mapper)}
        assert found[SyntaxId(IEndpointMapper.uuid, (3, 0))] == made.resolver_port
        assert found[SyntaxId(IEcho.uuid, (0, 0))] == made.exporter_port


async def test_strangers_ask_but_do_not_register() -> None:
    async with host() as (_, mapper, transport):
        method = IEndpointMapper["ept_insert"]
        stub = method.encode_request(num_ents=0, entries=(), replace=0)
        with pytest.raises(RpcFault) as caught:
            await transport.invoke((mapper,), IEndpointMapper, 0, stub, object_uuid=None, timeout=10)
        assert caught.value.status == HResult.ERROR_ACCESS_DENIED


async def test_every_port_can_be_asked_about_itself() -> None:
    async with host() as (made, mapper, transport):
        for port in (made.resolver_port, made.exporter_port):
            endpoint = Endpoint(HOST, port)
            assert (await manage(transport, endpoint, "rpc_mgmt_is_server_listening"))[RESULT] == 1
            stopped = await manage(transport, endpoint, "rpc_mgmt_stop_server_listening")
            assert stopped["status"] == HResult.ERROR_ACCESS_DENIED
            ids = await manage(transport, endpoint, "rpc_mgmt_inq_if_ids")
            assert {IEcho.uuid, IManagement.uuid} <= {known.uuid for known in ids["if_id_vector"].ids}
            named = await manage(transport, endpoint, "rpc_mgmt_inq_princ_name", authn_proto=NTLM, princ_name_size=100)
            assert named["princ_name"] == "TEST-HOST"
        before = await manage(transport, mapper, "rpc_mgmt_inq_stats", count=4)
        after = await manage(transport, mapper, "rpc_mgmt_inq_stats", count=4)
        calls, _, packets_in, packets_out = (
            b - a for a, b in zip(before["statistics"], after["statistics"], strict=True)
        )
        assert (calls, packets_in, packets_out) == (1, 1, 1)


async def test_impacket_reads_map_and_statistics() -> None:
    epm = pytest.importorskip("impacket.dcerpc.v5.epm")
    mgmt = pytest.importorskip("impacket.dcerpc.v5.mgmt")
    transport = pytest.importorskip("impacket.dcerpc.v5.transport")

    def look(port: int) -> tuple[set[UUID], int, str]:
        def connected() -> Any:
            dce = transport.DCERPCTransportFactory(f"ncacn_ip_tcp:{HOST}[{port}]").get_dce_rpc()
            dce.connect()
            return dce

        with ExitStack() as stack:
            lookup, mapping, management = (connected() for _ in range(3))
            for dce in (lookup, mapping, management):
                stack.callback(dce.disconnect)
            entries = epm.hept_lookup(None, dce=lookup)
            uuids = {UUID(bytes_le=bytes(entry["tower"]["Floors"][0]["InterfaceUUID"])) for entry in entries}
            wanted = IObjectExporter.uuid.bytes_le + bytes(4)
            binding = epm.hept_map(HOST, wanted, protocol="ncacn_ip_tcp", dce=mapping)
            management.bind(mgmt.MSRPC_UUID_MGMT)
            return uuids, mgmt.hinq_if_ids(management)["if_id_vector"]["count"], binding

    async with host() as (made, mapper, _):
        uuids, count, binding = await asyncio.to_thread(look, mapper.port)
        assert {IEcho.uuid, IObjectExporter.uuid} <= uuids
        assert count >= len(uuids)
        assert binding == f"ncacn_ip_tcp:{HOST}[{mapper.port}]"
        assert made.resolver_port == mapper.port
