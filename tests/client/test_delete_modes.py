"""DeleteInstance over the wire, synchronous and semisynchronous (MS-WMI 3.1.4.3.14, 3.1.1.1.1, 3.1.1.1.2.2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from openwmi.cim import CimType, TypedValue
from openwmi.cim.operations import CallingMode, DeleteInstance
from openwmi.dcom.importer import Reference, Response
from openwmi.errors import NotFound, RpcFault, WbemError
from openwmi.manager import Limits
from openwmi.providers import ProviderCall
from openwmi.rpc.ndr import Slot
from openwmi.security.access import AccessRight
from openwmi.status import HResult, WbemStatus
from openwmi.wmi.context import encode_context
from openwmi.wmi.interfaces import IWbemCallResult, IWbemServices
from openwmi.wmi.objects import ObjectMarshaller
from tests.client.outcomes import FAILURES, IGNORED, REFUSED, REMOTE, WRITES, Script
from tests.manager.support import CIMV2, Gate, context, grant, raising, scripted
from tests.manager.test_delete_hierarchy import CASES, Case
from tests.wire import Client, Machine, check_extended, serving, within

E = WbemStatus
IMMEDIATELY = 0x10
DYNAMIC = 'Acme_Dynamic="d"'


async def delete(client: Client, path: str | None, flags: int = 0, *, wanted: bool = False, **more: Any) -> Response:
    """DeleteInstance; `wanted` is whether ppCallResult is given."""
    slot = Slot() if wanted else None
    return await client.call(
        "DeleteInstance", **{"path": path, "flags": flags, "context": None, **more}, call_result=slot
    )


def call_result_of(client: Client, response: Response) -> Reference:
    slot: Slot | None = response.values["call_result"]
    assert slot is not None
    assert slot.content is not None
    return client.remote._link.importer.unmarshal(slot.content, client.remote._link.reach)


async def ask(client: Client, result: Reference, method: str = "GetCallStatus", timeout: int = -1) -> Response:
    return await within(client.remote._link.call(result, IWbemCallResult, method, {"timeout": timeout}))


async def status_of(client: Client, response: Response) -> int:
    """What the call result that came with a response tells in the end."""
    result = call_result_of(client, response)
    told = await ask(client, result)
    assert told.status == 0
    status: int = told.values["status"]
    if status:
        check_extended(client.remote._link.objects.error_of(told.that), status)
    await client.remote._link.release(result)
    return status


# -- the table of ppCallResult and WBEM_FLAG_RETURN_IMMEDIATELY


@pytest.mark.requirement(
    "WMI-3.1.1.1.1-01", "WMI-3.1.4.3.14-05", "WMI-3.1.4.3.14-16", "WMI-3.1.4.3.14-17", "WMI-3.1.4.3.14-18",
    "WMI-3.1.4.3.14-25", "WMI-3.1.4.3.14-28",
)  # fmt: skip
async def test_synchronous(machine: Machine, client: Client) -> None:
    response = await delete(client, 'Acme_Static="x"')
    assert (response.status, response.values) == (0, {"call_result": None})
    assert await machine.names() == ["y", "z"]


@pytest.mark.requirement("WMI-3.1.1.1.1-01", "WMI-3.1.4.3.14-05")
async def test_a_synchronous_call_waits_for_the_end(machine: Machine, client: Client) -> None:
    machine.does = gate = Gate()
    running = asyncio.create_task(delete(client, DYNAMIC))
    await gate.wait_reached()
    # The connection answers other calls meanwhile.
    await delete(client, 'Acme_Static="x"')
    assert not running.done()
    gate.opened.set()
    assert (await within(running)).status == 0


@pytest.mark.requirement(
    "WMI-3.1.4.3.14-10", "WMI-3.1.4.3.14-11", "WMI-3.1.4.3.14-12", "WMI-3.1.1.1.1-01", "WMI-3.1.1.1.1-02"
)
async def test_synchronous_with_a_call_result(machine: Machine, client: Client) -> None:
    response = await delete(client, 'Acme_Static="x"', wanted=True)
    assert response.status == 0
    assert await machine.names() == ["y", "z"]
    assert await status_of(client, response) == 0


@pytest.mark.requirement("WMI-3.1.4.3.14-10")
async def test_a_call_result_tells_a_synchronous_call_s_failure(machine: Machine, client: Client) -> None:
    """The call itself succeeds, whatever became of the operation: "regardless" of the flag."""
    machine.does = raising(NotFound("none"))
    response = await delete(client, DYNAMIC, wanted=True)
    assert response.status == 0
    assert await status_of(client, response) == E.WBEM_E_NOT_FOUND


@pytest.mark.requirement(
    "WMI-3.1.4.3.14-06", "WMI-3.1.4.3.14-10", "WMI-3.1.4.3.14-11", "WMI-3.1.4.3.14-15", "WMI-3.1.4.3.14-29",
    "WMI-3.1.1.1.2-01", "WMI-3.1.1.1.2.2-01", "WMI-3.1.1.1.2.2-02", "WMI-3.1.1.1.2.2-04", "WMI-3.1.1.1.2.2-05",
)  # fmt: skip
@pytest.mark.parametrize("status", [0, E.WBEM_E_ACCESS_DENIED])
async def test_semisynchronous(machine: Machine, client: Client, status: int) -> None:
    gate = Gate()

    def does(call: ProviderCall) -> None:
        gate(call)
        call.set_status(status)

    machine.does = does
    response = await delete(client, DYNAMIC, IMMEDIATELY, wanted=True)
    await gate.wait_reached()
    assert response.status == 0
    result = call_result_of(client, response)
    assert (await ask(client, result, timeout=0)).status == E.WBEM_S_TIMEDOUT
    gate.opened.set()
    assert await status_of(client, response) == status


@pytest.mark.requirement("WMI-3.1.4.3.14-13", "WMI-3.1.4.3.14-14")
async def test_semisynchronous_needs_a_call_result(machine: Machine, client: Client) -> None:
    with pytest.raises(WbemError) as caught:
        await delete(client, 'Acme_Static="x"', IMMEDIATELY)
    assert caught.value.status == E.WBEM_E_INVALID_PARAMETER
    check_extended(caught.value.extended, E.WBEM_E_INVALID_PARAMETER, 'Acme_Static="x"')
    assert await machine.names() == ["x", "y", "z"]


@pytest.mark.requirement("WMI-3.1.1.1.2.2-03", "WMI-3.1.1.1.2.2-06")
async def test_a_call_result_lives_until_it_is_released(machine: Machine, client: Client) -> None:
    before = machine.exported
    response = await delete(client, 'Acme_Static="x"', IMMEDIATELY, wanted=True)
    assert machine.exported == before + 1
    result = call_result_of(client, response)
    for method in ("GetResultObject", "GetResultString", "GetResultServices"):
        with pytest.raises(WbemError) as caught:
            await ask(client, result, method)
        assert caught.value.status == E.WBEM_E_INVALID_OPERATION
    assert await status_of(client, response) == 0
    assert machine.exported == before
    with pytest.raises(RpcFault) as gone:
        await ask(client, result)
    assert gone.value.status == HResult.RPC_E_DISCONNECTED


async def test_letting_go_of_a_call_result_does_not_stop_the_deletion(machine: Machine, client: Client) -> None:
    machine.does = gate = Gate()
    response = await delete(client, DYNAMIC, IMMEDIATELY, wanted=True)
    await gate.wait_reached()
    await client.remote._link.release(call_result_of(client, response))
    await machine.quiet()
    assert (machine.server.manager.running, machine.calls[0].call.cancelled) == (1, False)
    gate.opened.set()


# -- refused, in both modes

MODES = [(0, False), (0, True), (IMMEDIATELY, True)]


@pytest.mark.requirement(
    "WMI-3.1.1.1.2-02", "WMI-3.1.4.3.14-01", "WMI-3.1.4.3.14-02", "WMI-3.1.4.3.14-03", "WMI-3.1.4.3.14-26",
    "WMI-3.1.4.3.14-27", "WMI-3.1.4.3.14-30",
)  # fmt: skip
@pytest.mark.parametrize(("path", "status"), REFUSED.values(), ids=REFUSED)
async def test_a_path_that_is_refused(machine: Machine, client: Client, path: str | None, status: int) -> None:
    before = machine.exported
    for flags, wanted in MODES:
        with pytest.raises(WbemError) as caught:
            await delete(client, path, flags, wanted=wanted)
        assert caught.value.status == status
        check_extended(caught.value.extended, status)
    assert machine.exported == before  # so there is no call result either


@pytest.mark.requirement("WMI-3.1.4.3.14-30", "WMI-3.1.1.1.2-02")
@pytest.mark.parametrize(("flags", "wanted"), MODES)
async def test_a_refusal_sets_the_result_to_null(client: Client, flags: int, wanted: bool) -> None:
    link = client.remote._link
    values = {"path": "!", "flags": flags, "context": None, "call_result": Slot() if wanted else None}
    services = client.remote._services
    response = await within(
        link.importer.call(services, IWbemServices, "DeleteInstance", values, reach=link.reach, timeout=30)
    )
    assert response.status == E.WBEM_E_INVALID_OBJECT_PATH
    slot = response.values["call_result"]
    assert slot == (Slot() if wanted else None)


@pytest.mark.requirement("WMI-3.1.4.3.14-19")
@pytest.mark.parametrize("rights", [AccessRight(0), AccessRight.ENABLE, AccessRight.REMOTE_ENABLE])
async def test_both_rights_of_a_remote_caller_are_needed(machine: Machine, rights: AccessRight) -> None:
    await grant(machine.server.manager, REMOTE | WRITES)
    client = await machine.client("user")
    await grant(machine.server.manager, rights | WRITES)
    for flags, wanted in MODES:
        with pytest.raises(WbemError) as caught:
            await delete(client, 'Acme_Static="x"', flags, wanted=wanted)
        assert caught.value.status == E.WBEM_E_ACCESS_DENIED


@pytest.mark.requirement("WMI-3.1.4.3.14-04", "WMI-3.1.4.3.14-07", "WMI-3.1.4.3.14-26")
async def test_every_other_flag_is_refused(machine: Machine, client: Client) -> None:
    """WBEM_FLAG_SEND_STATUS (0x80) is such a flag here."""
    bits = [1 << n for n in range(32) if not (1 << n) & (IGNORED | IMMEDIATELY)]
    for flags in (*bits, *(bit | IMMEDIATELY for bit in bits)):
        with pytest.raises(WbemError) as caught:
            await delete(client, 'Acme_Static="x"', flags, wanted=True)
        assert (flags, caught.value.status) == (flags, E.WBEM_E_INVALID_PARAMETER)
    assert await machine.names() == ["x", "y", "z"]


@pytest.mark.requirement("WMI-3.1.4.3.14-04")
async def test_flags_that_are_to_be_ignored_are_ignored(machine: Machine, client: Client) -> None:
    assert (await delete(client, 'Acme_Static="x"', IGNORED)).status == 0
    assert await status_of(client, await delete(client, 'Acme_Static="y"', IGNORED | IMMEDIATELY, wanted=True)) == 0
    assert await machine.names() == ["z"]


@pytest.mark.requirement("WMI-3.1.4.3.14-27")
async def test_the_longest_path_is_configurable() -> None:
    async with serving(limits=Limits(object_path=15)) as machine:
        client = await machine.client()
        assert (await delete(client, 'Acme_Static="x"')).status == 0
        with pytest.raises(WbemError) as caught:
            await delete(client, 'Acme_Static="xy"')
        assert caught.value.status == E.WBEM_E_QUOTA_VIOLATION


# -- failures, in both modes


@pytest.mark.requirement(
    "WMI-3.1.4.3.14-20", "WMI-3.1.4.3.14-21", "WMI-3.1.4.3.14-22", "WMI-3.1.4.3.14-23", "WMI-3.1.4.3.14-24",
    "WMI-3.1.4.3.14-26", "WMI-3.1.4.3.14-30",
)  # fmt: skip
@pytest.mark.parametrize(("path", "rights", "does", "status"), FAILURES.values(), ids=FAILURES)
async def test_failures(machine: Machine, path: str, rights: AccessRight, does: Script, status: int) -> None:
    await grant(machine.server.manager, REMOTE | WRITES & rights)
    machine.does = does
    client = await machine.client("user")
    with pytest.raises(WbemError) as caught:
        await delete(client, path)
    assert caught.value.status == status
    check_extended(caught.value.extended, status, path)
    assert await status_of(client, await delete(client, path, IMMEDIATELY, wanted=True)) == status


# -- the context


@pytest.mark.requirement("WMI-3.1.4.3.14-08", "WMI-3.1.4.3.14-09")
async def test_the_context_reaches_the_provider(machine: Machine, client: Client) -> None:
    values = {"Depth": TypedValue(CimType.SINT32, -7), "Tags": TypedValue(CimType.STRING, ("a", "b"), True)}
    octets = encode_context(values, ObjectMarshaller())
    await delete(client, DYNAMIC, context=octets)
    await status_of(client, await delete(client, DYNAMIC, IMMEDIATELY, wanted=True, context=octets))
    await delete(client, DYNAMIC)
    assert [dict(called.call.values) for called in machine.calls] == [values, values, {}]


# -- as a session has it


@pytest.mark.requirement("WMI-3.1.4.3.14-25")
@pytest.mark.parametrize("mode", CallingMode)
@pytest.mark.parametrize("case", ["chain, top fails", "siblings, one", "abstract top, middle"])
async def test_a_family_of_classes(machine: Machine, case: str, mode: CallingMode) -> None:
    family: Case = CASES[case]
    await machine.server.manager.compile_mof(family.schema, CIMV2, context())
    for name in "ABCD":
        error = family.does.get(name)
        script = None if error is None else raising(error)
        await machine.server.manager.register(scripted(name, machine.calls, script), name, mof="")
    session = await machine.session()
    operation = await session.start(DeleteInstance(f"{family.path_class}.k=1"), mode=mode)
    outcome = await within(operation.wait())
    assert (outcome.status, "".join(c.provider for c in machine.calls)) == (family.status, family.called)
