"""DeleteInstanceAsync over the wire: what the call itself refuses (MS-WMI 3.1.4.3.15, 3.1.1.1.3).

`Client.refused` also checks what goes for all of it: the sink is not called, and what its OBJREF carried is given back.
"""

from __future__ import annotations

import pytest

from openwmi.cim.operations import CallingMode
from openwmi.errors import AccessDenied, InvalidParameter, NotFound, RpcFault, WbemError
from openwmi.manager import Limits
from openwmi.security.access import AccessRight
from openwmi.status import HResult, WbemStatus
from tests.client.outcomes import IGNORED, REFUSED, REMOTE, WRITES
from tests.manager.support import grant
from tests.wire import Client, Machine, WireSink, check_extended, code_of, serving, sinks_of

E = WbemStatus


@pytest.mark.requirement(
    "WMI-3.1.1.1.3-02", "WMI-3.1.1.1.3-03", "WMI-3.1.4.3.15-01", "WMI-3.1.4.3.15-02", "WMI-3.1.4.3.15-03",
    "WMI-3.1.4.3.15-12", "WMI-3.1.4.3.15-15", "WMI-3.1.4.3.15-16", "WMI-3.1.4.3.15-24",
)  # fmt: skip
@pytest.mark.parametrize(("path", "status"), REFUSED.values(), ids=REFUSED)
async def test_a_path_that_is_refused(machine: Machine, client: Client, path: str | None, status: int) -> None:
    error = await client.refused(path)
    assert error.status == status
    check_extended(error.extended, status, None if path is None else path[:4096])
    assert len(machine.server.manager.async_operations) == 0


async def test_an_error_of_a_session_has_the_error_object(machine: Machine) -> None:
    session = await machine.session()
    with pytest.raises(NotFound) as caught:
        await session.delete_instance('Acme_Static="nobody"', mode=CallingMode.ASYNCHRONOUS)
    check_extended(caught.value.extended, E.WBEM_E_NOT_FOUND, 'Acme_Static="nobody"')
    await machine.quiet()
    assert sinks_of(session) == 0


@pytest.mark.requirement("WMI-3.1.4.3.15-14")
@pytest.mark.parametrize("rights", [AccessRight(0), AccessRight.ENABLE, AccessRight.REMOTE_ENABLE])
async def test_both_rights_of_a_remote_caller_are_needed(machine: Machine, rights: AccessRight) -> None:
    await grant(machine.server.manager, REMOTE | WRITES)
    client = await machine.client("user")
    await grant(machine.server.manager, rights | WRITES)
    error = await client.refused('Acme_Static="x"')
    assert isinstance(error, AccessDenied)
    check_extended(error.extended, E.WBEM_E_ACCESS_DENIED, 'Acme_Static="x"')
    await grant(machine.server.manager, REMOTE | WRITES)
    assert code_of(await client.result('Acme_Static="x"')) == 0


@pytest.mark.requirement("WMI-3.1.1.1.3-02", "WMI-3.1.4.3.15-10", "WMI-3.1.4.3.15-11")
async def test_a_sink_is_needed(machine: Machine, client: Client) -> None:
    with pytest.raises(InvalidParameter) as caught:
        await client.call("DeleteInstanceAsync", path='Acme_Static="x"', flags=0, context=None, sink=None)
    check_extended(caught.value.extended, E.WBEM_E_INVALID_PARAMETER, 'Acme_Static="x"')
    assert await machine.names() == ["x", "y", "z"]


SEND_STATUS = 0x80


@pytest.mark.requirement("WMI-3.1.4.3.15-04", "WMI-3.1.4.3.15-07", "WMI-3.1.4.3.15-24")
async def test_every_other_flag_is_refused(machine: Machine, client: Client) -> None:
    """WBEM_FLAG_RETURN_IMMEDIATELY (0x10) and WBEM_FLAG_USE_AMENDED_QUALIFIERS (0x20000) are such flags."""
    bits = [1 << n for n in range(32) if not (1 << n) & (IGNORED | SEND_STATUS)]
    assert {0x10, 0x20000} < set(bits)
    for flags in (*bits, SEND_STATUS | 0x10, IGNORED | 0x20000):
        error = await client.refused('Acme_Static="x"', flags)
        assert (flags, error.status) == (flags, E.WBEM_E_INVALID_PARAMETER)
        check_extended(error.extended, E.WBEM_E_INVALID_PARAMETER, 'Acme_Static="x"')
    assert await machine.names() == ["x", "y", "z"]


@pytest.mark.requirement("WMI-3.1.4.3.15-04", "WMI-3.1.4.3.15-05")
@pytest.mark.requirement("WMI-2.2.6-01", "WMI-2.2.6-02", "WMI-2.2.6-03")
async def test_flags_that_are_to_be_ignored_are_ignored(client: Client) -> None:
    for flags, name in [(0x40, "x"), (0x1F000, "y"), (0x100000 | SEND_STATUS, "z")]:
        assert code_of(await client.result(f'Acme_Static="{name}"', flags)) == 0


@pytest.mark.requirement("WMI-3.1.4.3.15-15")
async def test_the_longest_path_is_configurable() -> None:
    async with serving(limits=Limits(object_path=30)) as machine:
        client = await machine.client()
        fits = 'Acme_Static.Name="' + "n" * 11 + '"'
        assert (len(fits), (await client.refused(fits)).status) == (30, E.WBEM_E_NOT_FOUND)
        assert (await client.refused(fits[:-1] + 'n"')).status == E.WBEM_E_QUOTA_VIOLATION


async def test_a_refused_call_is_over_when_the_sink_s_owner_is_gone(machine: Machine, client: Client) -> None:
    """References that cannot be given back hold up nobody."""
    octets = client.sinks.export(WireSink())
    await client.sinks.close()
    with pytest.raises(NotFound):
        await client.call("DeleteInstanceAsync", path='Acme_Static="q"', flags=0, context=None, sink=octets)
    await machine.quiet()
    assert len(machine.server.manager.async_operations) == 0


@pytest.mark.parametrize("octets", [b"", b"MEOW", b"MEOW" + bytes(60), b"\xff" * 200])
async def test_a_reference_that_is_none(machine: Machine, client: Client, octets: bytes) -> None:
    """Bad bytes in a parameter are a fault for this call, and nothing else changes."""
    with pytest.raises(RpcFault) as caught:
        await client.call("DeleteInstanceAsync", path='Acme_Static="x"', flags=0, context=None, sink=octets)
    assert caught.value.status == HResult.RPC_X_BAD_STUB_DATA
    assert await machine.names() == ["x", "y", "z"]
    assert code_of(await client.result('Acme_Static="x"')) == 0


async def test_a_context_that_is_none(machine: Machine, client: Client) -> None:
    sink = WireSink()
    with pytest.raises(RpcFault):
        await client.delete('Acme_Static="x"', sink, context=b"MEOW" + bytes(80))
    assert await sink.ended() == []
    assert await machine.names() == ["x", "y", "z"]


async def test_too_many_operations() -> None:
    async with serving(limits=Limits(requests=0)) as machine:
        client = await machine.client()
        with pytest.raises(WbemError) as caught:
            await client.result('Acme_Static="x"')
        assert caught.value.status == E.WBEM_E_SERVER_TOO_BUSY
