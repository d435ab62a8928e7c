"""What is no RPC, or bad RPC, ends its own connection at most: neither the server nor anybody else's session."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from openwmi.cim.operations import CallingMode, DeleteInstance
from openwmi.errors import RpcFault
from openwmi.rpc.interface import Interface
from openwmi.status import HResult
from openwmi.wmi.interfaces import IWbemServices
from tests.manager.support import Gate
from tests.wire import HOST, Client, Machine, within

_HEADER = bytes.fromhex("05000b0310000000")  # a bind's: version, type, flags, data representation
BAD = {
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(5000),
    "noise": random.Random(1).randbytes(20_000),
    "half a header": _HEADER,
    "a fragment shorter than its header": _HEADER + bytes.fromhex("0400000001000000") + bytes(40),
    "a fragment longer than what comes": _HEADER + bytes.fromhex("ffff000001000000") + bytes(40),
    "a bind of nothing": _HEADER + bytes.fromhex("1c00000001000000d016d0160000000000000000"),
    "authentication that is longer than all": _HEADER + bytes.fromhex("1c00ffff01000000d016d0160000000000000000"),
    "a request without a bind": bytes.fromhex("05000003100000001800000001000000") + bytes(8),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
async def test_bytes(machine: Machine, data: bytes) -> None:
    machine.does = gate = Gate()
    session = await machine.session()
    running = await session.start(DeleteInstance('Acme_Dynamic="d"'), mode=CallingMode.ASYNCHRONOUS)
    await gate.wait_reached()
    addresses = machine.server.addresses
    for port in (addresses.rpc_port, addresses.exporter_port):
        reader, writer = await asyncio.open_connection(HOST, port)
        # The server may have hung up before all of it is out.
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            writer.write_eof()
            await within(reader.read())
        writer.close()
    gate.opened.set()
    assert (await within(running.wait())).succeeded
    await session.delete_instance('Acme_Static="x"')


@pytest.mark.parametrize("stub", [b"", b"\0", bytes(40), bytes(4000), b"\xff" * 4000])
@pytest.mark.parametrize("method", [m.name for m in IWbemServices.methods])
async def test_stubs(machine: Machine, client: Client, method: str, stub: bytes) -> None:
    """A stub that is nothing like its method's parameters is answered with a fault, or an HRESULT where it happens
    to be well-formed; the connection goes on."""
    link = client.remote._link
    entry = await link.importer._exporter(client.remote._services, link.reach, 30)

    async def send(interface: Interface, opnum: int) -> None:
        await link.importer._transport.invoke(
            entry.endpoints, interface, opnum, stub, object_uuid=client.remote._services.std.ipid, timeout=30
        )

    with contextlib.suppress(RpcFault):
        await within(send(IWbemServices, IWbemServices[method].opnum))
    with pytest.raises(RpcFault) as caught:
        await within(send(IWbemServices, 200))
    assert caught.value.status == HResult.NCA_S_OP_RNG_ERROR
    assert await machine.names() == ["x", "y", "z"]
