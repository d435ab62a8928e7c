"""scapy's RPC and DCOM layers as a client: activation, resolution and release, as scapy reads MS-DCOM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from scapy.layers import dcerpc, ntlm
from scapy.layers.msrpce import msdcom, rpcclient

from openwmi.wmi.interfaces import CLSID_WBEM_LEVEL1_LOGIN, IWbemLevel1Login
from tests.wire import HOST, PASSWORD, Machine, serving

LEVELS = [dcerpc.DCE_C_AUTHN_LEVEL.PKT_INTEGRITY, dcerpc.DCE_C_AUTHN_LEVEL.PKT_PRIVACY]
LOGIN = dcerpc.ComInterface("IWbemLevel1Login", IWbemLevel1Login.uuid, {})
UNKNOWN = msdcom.find_com_interface("IUnknown")


@contextmanager
def client(port: int, level: Any, password: str = PASSWORD) -> Iterator[Any]:
    """A connection to the object resolver. Its own `connect` would look for that at port 135."""
    identity = ntlm.NTLMSSP(IDENTITIES={}, UPN="admin", PASSWORD=password)
    found = msdcom.DCOM_Client(ssp=identity, auth_level=level, verb=False)
    rpcclient.DCERPC_Client.connect(found, HOST, port=port, timeout=10)
    try:
        yield found
    finally:
        for connected in (found, *(entry.client for entry in found.OXID_table.values())):
            if connected is not None:
                connected.close()


async def run(machine: Machine, work: Callable[[Any], None], level: Any = LEVELS[-1]) -> None:
    """Runs `work` in a thread: scapy waits for its answers there, and the server answers here."""

    def whole() -> None:
        with client(machine.server.addresses.rpc_port, level) as connected:
            work(connected)

    await asyncio.wait_for(asyncio.to_thread(whole), 60)


def activate(connected: Any) -> Any:
    return connected.RemoteCreateInstance(CLSID_WBEM_LEVEL1_LOGIN, [LOGIN])


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
async def test_activation(level: Any) -> None:
    def work(connected: Any) -> None:
        created = activate(connected)
        assert created.valid
        (entry,) = [entry for entry in connected.IPID_table.values() if entry.iid == IWbemLevel1Login.uuid]
        assert entry.oid == created.oid
        assert entry.cPublicRefs > 0

    async with serving() as machine:
        await run(machine, work, level)


async def test_a_class_object() -> None:
    def work(connected: Any) -> None:
        factory = connected.RemoteGetClassObject(CLSID_WBEM_LEVEL1_LOGIN, [UNKNOWN])
        assert factory.valid

    async with serving() as machine:
        await run(machine, work)


async def test_an_exporter_is_resolved_as_the_activation_named_it() -> None:
    def work(connected: Any) -> None:
        created = activate(connected)
        known = connected.OXID_table[connected.OID_table[created.oid].oxid]
        told = (known.bindingInfo, known.ipid_IRemUnknown, known.authnHint, known.target_name)
        resolved = connected.ResolveOxid2(known.oxid, host=connected.host, port=connected.port)
        assert (resolved.bindingInfo, resolved.ipid_IRemUnknown, resolved.authnHint, resolved.target_name) == told
        assert resolved.bindingInfo[0] == HOST
        assert (resolved.version.MajorVersion, resolved.version.MinorVersion) == (5, 7)

    async with serving() as machine:
        await run(machine, work)


async def test_what_is_released_is_gone() -> None:
    async with serving() as machine:
        before = machine.exported

        def work(connected: Any) -> None:
            created = activate(connected)
            assert machine.exported == before + 1
            (ipid,) = connected.OID_table[created.oid].ipids
            connected.RemRelease(ipid)
            assert not created.valid
            assert machine.exported == before

        await run(machine, work)


async def test_a_wrong_password() -> None:
    async with serving() as machine:
        with pytest.raises(ValueError, match="RemoteCreateInstance_Request failed"):
            await asyncio.to_thread(refused, machine.server.addresses.rpc_port)
        assert machine.exported == 0


def refused(port: int) -> None:
    with client(port, LEVELS[0], "Wrong-Battery-8") as connected:
        activate(connected)
