"""Samba's own test suites for the services at port 135, as clients of ours."""

from __future__ import annotations

import asyncio
import shutil
from uuid import UUID

import pytest

from openwmi.dcom.bindings import Endpoint
from openwmi.errors import ConfigurationError
from openwmi.net.rpc import RpcTransport
from openwmi.net.rpc.mapping import lookup_endpoints
from openwmi.rpc import SyntaxId
from openwmi.rpc.endpoints import EndpointEntry, IEndpointMapper, TowerData
from openwmi.rpc.towers import Tower
from openwmi.security.ntlm import NtlmInitiator
from tests.wire import HOST, PASSWORD, Machine, serving

PROGRAM = shutil.which("smbtorture")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="smbtorture (Debian: samba-testsuite) is not installed")

# What is left out: rpc.remact, and SimplePing, ComplexPing, ResolveOxid and ResolveOxid2 of rpc.oxidresolve, activate
# a class that is not here or send values that nobody set; rpc.bind binds an interface that no WMI server has.
CASES = [
    "rpc.epmapper.epmapper.Map_simple",
    "rpc.epmapper.epmapper.Map_full",
    "rpc.epmapper.epmapper.Lookup_simple",
    "rpc.epmapper.epmapper.Lookup_terminate_search",
    "rpc.epmapper.epmapper.Insert_noreplace",
    "rpc.oxidresolve.oxidresolver.ServerAlive",
    "rpc.oxidresolve.oxidresolver.ServerAlive2",
]
PAGE = 10  # of Lookup_simple


async def torture(machine: Machine, case: str) -> None:
    """Runs one case; what it printed is the failure's text."""
    assert PROGRAM is not None
    binding = f"ncacn_ip_tcp:{HOST}[{machine.server.addresses.rpc_port}]"
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "--configfile=/dev/null", binding, f"-Uadmin%{PASSWORD}", case,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, printed.decode(errors="replace")
    assert f"success: {case.removeprefix('rpc.epmapper.').removeprefix('rpc.oxidresolve.').removeprefix('rpc.')}" in (
        printed.decode(errors="replace")
    )


async def fill_last_page(machine: Machine) -> None:
    """Registers endpoints until the map's last page is full.

    Lookup_simple takes a page that is not full for the last one, and then wants the status of a page without entries
    with it. MS-RPCE 2.2.1.2.4 has that status say that nothing was found, and so do we.
    """
    mapper = Endpoint(HOST, machine.server.addresses.rpc_port)
    transport = RpcTransport(lambda host: NtlmInitiator("admin", PASSWORD, target=host))
    try:
        known = await lookup_endpoints(transport, mapper)
        entries = []
        for number in range(-len(known) % PAGE):
            made = Tower.tcp(SyntaxId(UUID(int=0x0135 << 96 | number), (1, 0)), 49_000 + number, HOST)
            entries.append(
                EndpointEntry(object=UUID(int=0), tower=TowerData(octets=made.encode()), annotation="filler")
            )
        method = IEndpointMapper["ept_insert"]
        stub = method.encode_request(num_ents=len(entries), entries=tuple(entries), replace=0)
        await transport.invoke((mapper,), IEndpointMapper, method.opnum, stub, object_uuid=None, timeout=10)
        assert len(await lookup_endpoints(transport, mapper)) % PAGE == 0
    finally:
        await transport.close()


@pytest.mark.parametrize("case", CASES)
async def test_a_case(case: str) -> None:
    async with serving() as machine:
        await fill_last_page(machine)
        await torture(machine, case)


async def test_the_management_interface() -> None:
    """It looks for every interface that Samba knows, and asks for them at port 135 whatever the binding says."""
    try:
        async with serving(rpc_port=135) as machine:
            await torture(machine, "rpc.mgmt")
    except ConfigurationError as error:
        pytest.skip(str(error))
