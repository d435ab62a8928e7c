"""DeleteInstanceAsync over the wire: what the sink is told (MS-WMI 3.1.4.3.15, 3.2.4.1.2)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from openwmi.cim import CimType, Class, Flavor, Instance, NameMap, Property, Qualifier, TypedValue
from openwmi.cim.delivery import StatusType
from openwmi.cim.operation import Progress
from openwmi.cim.operations import CallingMode, DeleteInstance, Flags
from openwmi.client.callbacks import Callbacks
from openwmi.client.options import OperationOptions
from openwmi.errors import NotFound
from openwmi.manager import Limits
from openwmi.providers import PENDING, ProviderCall
from openwmi.security.access import AccessRight
from openwmi.security.context import AuthenticationLevel
from openwmi.status import WbemStatus
from openwmi.wmi.context import encode_context
from openwmi.wmi.objects import ObjectMarshaller
from tests.client.outcomes import FAILURES, REMOTE, WRITES, Script
from tests.manager.support import CIMV2, Gate, context, grant, raising, scripted
from tests.manager.test_delete_hierarchy import CASES, Case
from tests.wire import Client, Machine, WireSink, check_extended, code_of, serving, within

E = WbemStatus


# -- success


@pytest.mark.requirement(
    "WMI-3.1.1.1.3-05", "WMI-3.1.1.1.3-06", "WMI-3.1.4.3.15-05", "WMI-3.1.4.3.15-10", "WMI-3.1.4.3.15-12",
    "WMI-3.1.4.3.15-13", "WMI-3.1.4.3.15-23", "WMI-3.2.4.1-01", "WMI-3.2.4.1.1-01", "WMI-3.2.4.1.2-01",
    "WMI-3.2.4.1.2-02", "WMI-3.2.4.1.2-03",
)  # fmt: skip
@pytest.mark.parametrize(
    "path",
    [
        'Acme_Static.Name="x"',
        'Acme_Static="x"',
        'ACME_static.NAME="X"',
        'root\\cimv2:Acme_Static="x"',
        '\\\\.\\root\\cimv2:Acme_Static="x"',
        '//127.0.0.1/root/cimv2:Acme_Static="x"',
        'Acme_Pair.B=-1,A="a"',
        "Acme_Only=@",
        'Acme_SystemLike="x"',
        'Acme_Dynamic="whoever"',
    ],
)
async def test_success_is_one_set_status(client: Client, path: str) -> None:
    sink = WireSink()
    assert code_of(await client.result(path, sink=sink)) == 0
    assert sink.calls == [("set_status", StatusType.COMPLETE, 0, None, None)]
    assert client.sinks.references == 0


async def test_what_was_deleted_is_gone(machine: Machine, client: Client) -> None:
    assert code_of(await client.result('Acme_Static="x"')) == 0
    assert (await client.refused('Acme_Static="x"')).status == E.WBEM_E_NOT_FOUND
    assert await machine.names() == ["y", "z"]


async def test_the_provider_is_told_who_calls_and_what(machine: Machine, client: Client) -> None:
    assert code_of(await client.result('Acme_Dynamic="d"')) == 0
    (called,) = machine.calls
    assert (called.path, called.keys) == ('Acme_Dynamic.Name="d"', {"Name": "d"})
    assert called.call.principal.name.partition("\\")[2] == "admin"
    assert (called.call.context.remote, called.call.context.peer) == (True, "127.0.0.1")


@pytest.mark.requirement("WMI-3.1.1.1.3-09")
async def test_the_call_back_is_sealed(client: Client) -> None:
    sink = WireSink()
    await client.result('Acme_Static="x"', sink=sink)
    assert [caller.level for caller in sink.callers] == [AuthenticationLevel.PRIVACY]


@pytest.mark.requirement("WMI-3.1.1.1.3-10")
async def test_no_call_back_without_authentication(
    machine: Machine, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """AllowAnonymousCallback is false: where the server cannot prove who it is, it does not try as nobody."""
    sink = WireSink()
    machine.does = gate = Gate()
    await client.delete('Acme_Dynamic="d"', sink)
    await gate.wait_reached()
    machine.accounts.add("admin", "Another-Horse-8", administrator=True)
    gate.opened.set()
    await machine.quiet()
    assert sink.calls == []
    assert "authentication failed" in caplog.text
    assert "not authenticated" not in caplog.text
    assert len(machine.server.manager.async_operations) == 0


# -- failures


@pytest.mark.requirement(
    "WMI-3.1.1.1.3-06", "WMI-3.1.4.3.15-05", "WMI-3.1.4.3.15-16", "WMI-3.1.4.3.15-18", "WMI-3.1.4.3.15-19",
    "WMI-3.1.4.3.15-20", "WMI-3.1.4.3.15-21", "WMI-3.1.4.3.15-22", "WMI-3.1.4.3.15-24", "WMI-3.2.4.1.2-01",
)  # fmt: skip
@pytest.mark.parametrize(("path", "rights", "does", "status"), FAILURES.values(), ids=FAILURES)
async def test_failures_come_through_the_sink(
    machine: Machine, path: str, rights: AccessRight, does: Script, status: int
) -> None:
    await grant(machine.server.manager, REMOTE | WRITES & rights)
    machine.does = does
    client = await machine.client("user")
    calls = await client.result(path)
    assert code_of(calls) == status
    check_extended(calls[0][4], status, path)
    if status == E.WBEM_E_ACCESS_DENIED:
        assert machine.calls == []


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ('Acme_Dynamic="d"', AccessRight.WRITE_PROVIDER),
        ('Acme_SystemLike="x"', AccessRight.FULL_WRITE),
        ('Acme_Static="x"', AccessRight.PARTIAL_WRITE_REP),
    ],
)
async def test_the_one_right_is_enough(machine: Machine, path: str, right: AccessRight) -> None:
    await grant(machine.server.manager, REMOTE | right)
    client = await machine.client("user")
    assert code_of(await client.result(path)) == 0


async def test_a_failure_as_a_session_has_it(machine: Machine) -> None:
    machine.does = raising(NotFound("no such thing"))
    session = await machine.session()
    operation = await session.start(DeleteInstance('Acme_Dynamic="d"'), mode=CallingMode.ASYNCHRONOUS)
    outcome = await within(operation.wait())
    check_extended(outcome.extended, E.WBEM_E_NOT_FOUND, 'Acme_Dynamic="d"')
    with pytest.raises(NotFound, match="no such thing"):
        outcome.raise_for_status()


# -- how a provider tells


@pytest.mark.parametrize(
    ("does", "status"),
    [
        pytest.param(lambda call: call.set_status(0), 0, id="success"),
        pytest.param(lambda call: (call.set_status(0), raising(KeyError("k"))(call)), 0, id="then raises"),
        pytest.param(lambda call: (call.set_status(0x80041003), None), E.WBEM_E_ACCESS_DENIED, id="then returns"),
        pytest.param(
            lambda call: (call.set_status(0x80041002), call.set_status(0)), E.WBEM_E_NOT_FOUND, id="first counts"
        ),
    ],
)
async def test_the_status_callback_wins(machine: Machine, client: Client, does: Script, status: int) -> None:
    machine.does = does
    assert code_of(await client.result('Acme_Dynamic="d"')) == status


async def test_a_status_that_comes_after_the_return(machine: Machine, client: Client) -> None:
    def later(call: ProviderCall) -> Any:
        threading.Thread(target=call.set_status, args=(0x80041003, "not you")).start()
        return PENDING

    machine.does = later
    calls = await client.result('Acme_Dynamic="d"')
    assert code_of(calls) == E.WBEM_E_ACCESS_DENIED
    assert calls[0][4]["Description"] == "not you"


async def test_a_provider_has_a_deadline() -> None:
    async with serving(limits=Limits(provider_deadline=0.05)) as machine:
        machine.does = gate = Gate()
        client = await machine.client()
        assert code_of(await client.result('Acme_Dynamic="d"')) == E.WBEM_E_PROVIDER_TIMED_OUT
        assert await asyncio.to_thread(gate.left.wait, 30)


# -- progress


def reporting(*steps: tuple[int, int, str | None], then: Script = lambda call: None) -> Script:
    """A script that reports progress."""

    def does(call: ProviderCall) -> Any:
        for current, total, text in steps:
            call.progress(current, total, text)
        return then(call)

    return does


@pytest.mark.requirement(
    "WMI-3.1.1.1.3-08", "WMI-3.1.4.3.15-06", "WMI-3.2.4.1.2-04", "WMI-3.2.4.1.2-05", "WMI-3.2.4.1.2-06"
)
async def test_progress_goes_to_who_asked_for_it(machine: Machine, client: Client) -> None:
    gate = Gate()
    machine.does = reporting((1, 4, "unscrewing"), then=gate)
    sink = WireSink()
    await client.delete('Acme_Dynamic="d"', sink, Flags.SEND_STATUS)
    await within(sink.called.wait())
    assert sink.calls == [("set_status", StatusType.PROGRESS, 4 << 16 | 1, "unscrewing", None)]
    gate.opened.set()
    assert code_of((await sink.ended())[1:]) == 0


@pytest.mark.requirement("WMI-3.1.1.1.3-08", "WMI-3.1.4.3.15-05")
@pytest.mark.parametrize(("flags", "progress"), [(0, True), (Flags.SEND_STATUS, False)])
async def test_no_progress_otherwise(machine: Machine, client: Client, flags: int, progress: bool) -> None:
    machine.does = reporting(*[(1, 2, "half")] * progress)
    assert code_of(await client.result('Acme_Dynamic="d"', flags)) == 0


@pytest.mark.requirement("WMI-3.2.4.1.2-07")
async def test_one_call_at_a_time(machine: Machine, client: Client) -> None:
    """While the sink has not answered a call, there is no other; what was reported last is told after it."""
    answered = asyncio.Event()
    gate = Gate()
    machine.does = reporting((1, 4, None), (2, 4, None), (3, 4, None), then=gate)
    sink = WireSink()

    async def answer(what: tuple[Any, ...]) -> int:
        await answered.wait()
        return 0

    sink.answer = answer
    await client.delete('Acme_Dynamic="d"', sink, Flags.SEND_STATUS)
    await within(sink.called.wait())
    (entry,) = machine.server.manager.async_operations
    assert entry.callback_in_progress
    gate.opened.set()
    assert entry.operation is not None
    await within(entry.operation.wait())
    assert len(sink.calls) == 1
    answered.set()
    calls = await sink.ended()
    assert code_of(calls[-1:]) == 0
    assert not entry.callback_in_progress


async def test_progress_as_a_session_has_it(machine: Machine) -> None:
    gate = Gate()
    machine.does = reporting((3, 7, "on it"), then=gate)
    session = await machine.session()
    told: asyncio.Queue[Progress] = asyncio.Queue()
    options = OperationOptions(callbacks=Callbacks(progress=told.put))
    operation = await session.start.delete_instance('Acme_Dynamic="d"', **options)
    assert await within(told.get()) == Progress(3, 7, "on it")
    gate.opened.set()
    assert (await within(operation.wait())).succeeded


# -- the table of asynchronous operations


@pytest.mark.requirement(
    "WMI-3.1.1.1.3-01", "WMI-3.1.1.1.3-04", "WMI-3.1.1.1.3-05", "WMI-3.1.4.3.15-13", "WMI-3.1.4.3.15-17"
)
async def test_an_entry_for_as_long_as_it_runs(machine: Machine, client: Client) -> None:
    machine.does = gate = Gate()
    table = machine.server.manager.async_operations
    sink = WireSink()
    response = await client.delete('Acme_Dynamic="d"', sink)  # answered, though the provider has not
    await gate.wait_reached()
    assert (response.status, sink.calls) == (0, [])
    (entry,) = table
    flags = entry.callback_in_progress, entry.call_cancelled, entry.set_status_with_final_result_called
    assert flags == (False, False, False)
    assert client.sinks.references > 0
    gate.opened.set()
    assert code_of(await sink.ended()) == 0
    assert (len(table), entry.set_status_with_final_result_called) == (0, True)
    assert client.sinks.references == 0


async def test_many_at_a_time_with_one_sink(machine: Machine, client: Client) -> None:
    sink = WireSink()
    await asyncio.gather(*(client.delete(f'Acme_Dynamic="{n}"', sink) for n in range(20)))
    await machine.quiet()
    assert sink.calls == [("set_status", StatusType.COMPLETE, 0, None, None)] * 20
    assert client.sinks.references == 0


# -- the context


def _box() -> Instance:
    key = Qualifier.of("key", True, Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS)
    size = Property("Size", CimType.UINT32, qualifiers=NameMap([key]), origin="Box")
    return Class("Box", properties=NameMap([size])).new(Size=3)


SCALARS: dict[CimType, Any] = {
    CimType.SINT8: -128,
    CimType.UINT8: 255,
    CimType.SINT16: -32768,
    CimType.UINT16: 65535,
    CimType.SINT32: -(2**31),
    CimType.UINT32: 2**32 - 1,
    CimType.REAL32: 0.5,
    CimType.REAL64: -1e300,
    CimType.BOOLEAN: True,
    CimType.STRING: 'Gr\u00fc\u00dfe, "\U0001f600"',
}
VALUES = {
    **{f"one {t.text}": TypedValue(t, value) for t, value in SCALARS.items()},
    **{f"many {t.text}": TypedValue(t, (value, value), True) for t, value in SCALARS.items()},
    "many uint8": TypedValue(CimType.UINT8, b"\x00\xff", True),
    "none": TypedValue(CimType.SINT32, (), True),
    "": TypedValue(CimType.STRING, ""),
    "nothing": TypedValue(None, None),
}


@pytest.mark.requirement("WMI-3.1.4.3.15-08")
async def test_every_type_of_context_value_reaches_the_provider(machine: Machine) -> None:
    session = await machine.session()
    boxes = {"box": TypedValue(CimType.OBJECT, _box()), "boxes": TypedValue(CimType.OBJECT, (_box(), _box()), True)}
    operation = await session.start(
        DeleteInstance('Acme_Dynamic="d"'), mode=CallingMode.ASYNCHRONOUS, values={**VALUES, **boxes}
    )
    assert (await within(operation.wait())).succeeded
    given: dict[str, Any] = dict(machine.calls[0].call.values)
    box, others = given.pop("box"), given.pop("boxes")
    assert given == VALUES
    assert (box.type, box.is_array, box.value.to_dict()) == (CimType.OBJECT, False, {"Size": 3})
    assert (others.type, others.is_array) == (CimType.OBJECT, True)
    assert [o.to_dict() for o in others.value] == [{"Size": 3}] * 2
    assert machine.calls[0].call.value("ONE UINT16") == 65535


@pytest.mark.requirement("WMI-3.1.4.3.15-09")
async def test_a_null_context_is_ignored(machine: Machine, client: Client) -> None:
    assert code_of(await client.result('Acme_Dynamic="d"')) == 0
    assert dict(machine.calls[0].call.values) == {}


async def test_the_correlation_id_comes_out_of_the_context(machine: Machine, client: Client) -> None:
    sink = WireSink()
    octets = encode_context({"__CorrelationId": TypedValue(CimType.STRING, "{42}")}, ObjectMarshaller())
    await client.delete('Acme_Dynamic="d"', sink, context=octets)
    assert code_of(await sink.ended()) == 0
    assert machine.calls[0].call.correlation_id == "{42}"


# -- a family of classes


@pytest.mark.requirement("WMI-3.1.4.3.15-23")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_the_topmost_classes_decide(machine: Machine, client: Client, case: Case) -> None:
    manager = machine.server.manager
    await manager.compile_mof(case.schema, CIMV2, context())
    for name in "ABCD":
        error = case.does.get(name)
        script = None if error is None else raising(error)
        await manager.register(scripted(name, machine.calls, script), name, mof="")
    assert code_of(await client.result(f"{case.path_class}.k=1")) == case.status
    assert [called.path for called in machine.calls] == [f"{name}.k=1" for name in case.called]
