"""DeleteInstanceAsync over the wire: what ends an operation before its time (MS-WMI 3.1.4.3.2, 3.1.1.1.3, 3.1.5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from openwmi.cim import CimObject
from openwmi.cim.delivery import StatusType
from openwmi.cim.operations import CallingMode, DeleteInstance, Flags
from openwmi.client.operation import AsyncOperation
from openwmi.client.session import AsyncSession
from openwmi.dcom.peer import Refused
from openwmi.errors import (
    ConnectionLost,
    InvalidParameter,
    NotFound,
    OperationCancelled,
    PeerError,
    ProtocolError,
    TransportError,
    WbemError,
)
from openwmi.providers import ProviderCall
from openwmi.status import HResult, WbemStatus
from tests.manager.support import Gate
from tests.wire import Client, Machine, WireSink, code_of, cut, serving, sinks_of, within

E = WbemStatus
DYNAMIC = 'Acme_Dynamic="d"'


@pytest.fixture
def gate(machine: Machine) -> Gate:
    """The provider waits here, until it is let go or told of a cancellation."""
    machine.does = made = Gate()
    return made


async def told(gate: Gate) -> bool:
    """Whether the provider saw the cancellation: nobody else opened its gate."""
    return await asyncio.to_thread(gate.left.wait, 30)


def progress_then(gate: Gate) -> Any:
    """A script that reports progress, and goes on only when it is told to."""

    def does(call: ProviderCall) -> None:
        call.progress(1, 2, "half")
        gate(call)

    return does


# -- CancelAsyncCall


@pytest.mark.requirement(
    "WMI-3.1.4.3.2-03", "WMI-3.1.4.3.2-04", "WMI-3.1.4.3.2-05", "WMI-3.1.4.3.2-07", "WMI-3.1.4.3.2-08",
    "WMI-3.1.4.3.2-10", "WMI-3.2.4.1.2-08",
)  # fmt: skip
async def test_cancel(machine: Machine, client: Client, gate: Gate) -> None:
    sink = WireSink()
    await client.delete(DYNAMIC, sink, Flags.SEND_STATUS)
    await gate.wait_reached()
    (entry,) = machine.server.manager.async_operations
    assert (await client.cancel(sink)).status == 0
    assert entry.call_cancelled
    assert code_of(await sink.ended()) == E.WBEM_E_CALL_CANCELLED
    assert await told(gate)
    await machine.quiet()
    assert (len(machine.server.manager.async_operations), machine.server.manager.running) == (0, 0)
    assert (len(sink.calls), client.sinks.references) == (1, 0)


@pytest.mark.requirement("WMI-3.1.4.3.2-05")
async def test_cancel_ends_all_operations_of_that_sink(machine: Machine, client: Client) -> None:
    gates = {name: Gate() for name in "abc"}
    machine.does = lambda call: gates[str(call.path)[-2]](call)
    sink, other = WireSink(), WireSink()
    for name, its in {"a": sink, "b": sink, "c": other}.items():
        await client.delete(f'Acme_Dynamic="{name}"', its)
        await gates[name].wait_reached()
    await client.cancel(sink)
    cancelled = [call[:3] for call in await sink.ended()]
    assert cancelled == [("set_status", StatusType.COMPLETE, E.WBEM_E_CALL_CANCELLED)] * 2
    assert await told(gates["a"])
    assert await told(gates["b"])
    assert (other.calls, len(machine.server.manager.async_operations)) == ([], 1)
    gates["c"].opened.set()
    assert code_of(await other.ended()) == 0
    assert len(sink.calls) == 2


@pytest.mark.requirement("WMI-3.1.4.3.2-09")
async def test_cancel_waits_for_nobody(client: Client, gate: Gate) -> None:
    """The call is answered though the sink never answers its last SetStatus, and the provider has not returned."""
    never = asyncio.Event()
    sink = WireSink()

    async def answer(what: tuple[Any, ...]) -> int:
        await never.wait()
        return 0

    sink.answer = answer
    await client.delete(DYNAMIC, sink)
    await gate.wait_reached()
    assert (await client.cancel(sink)).status == 0
    never.set()
    assert code_of(await sink.ended()) == E.WBEM_E_CALL_CANCELLED


@pytest.mark.requirement("WMI-3.1.4.3.2-01", "WMI-3.1.4.3.2-06", "WMI-3.1.4.3.2-11")
async def test_cancel_of_a_sink_that_nothing_uses(client: Client) -> None:
    sink = WireSink()
    with pytest.raises(NotFound):
        await client.cancel(sink)
    assert await sink.ended() == []
    used = WireSink()
    assert code_of(await client.result('Acme_Static="x"', sink=used)) == 0
    with pytest.raises(NotFound):
        await client.cancel(used)
    assert len(used.calls) == 1


@pytest.mark.requirement("WMI-3.1.4.3.2-02", "WMI-3.1.4.3.2-06", "WMI-3.1.4.3.2-11")
async def test_cancel_of_no_sink(client: Client) -> None:
    with pytest.raises(InvalidParameter):
        await client.cancel(None)


async def test_another_account_cannot_cancel(machine: Machine, client: Client, gate: Gate) -> None:
    sink = WireSink()
    await client.delete(DYNAMIC, sink)
    await gate.wait_reached()
    other = await machine.client("other")
    with pytest.raises(NotFound):
        await other.call("CancelAsyncCall", sink=client.sinks.export(sink))
    assert not gate.left.is_set()
    gate.opened.set()
    await machine.quiet()
    assert code_of(sink.calls) == 0


async def test_another_log_on_of_the_same_account_can(machine: Machine, client: Client, gate: Gate) -> None:
    sink = WireSink()
    await client.delete(DYNAMIC, sink)
    await gate.wait_reached()
    again = await machine.client()
    assert (await again.call("CancelAsyncCall", sink=client.sinks.export(sink))).status == 0
    assert code_of(await sink.ended()) == E.WBEM_E_CALL_CANCELLED


async def start(session: AsyncSession, **settings: Any) -> AsyncOperation[CimObject]:
    return await session.start(DeleteInstance(DYNAMIC), mode=CallingMode.ASYNCHRONOUS, **settings)


@pytest.mark.parametrize("how", ["close", "twice", "leave"])
async def test_a_session_cancels(machine: Machine, gate: Gate, caplog: pytest.LogCaptureFixture, how: str) -> None:
    """However an operation is let go of, it is cancelled on the server, and neither side complains."""
    session = await machine.session()
    operation = await start(session)
    await gate.wait_reached()
    if how == "twice":
        operation.cancel()
        await asyncio.sleep(0)
    await (session if how == "leave" else operation).close()
    assert await told(gate)
    await machine.quiet()
    with pytest.raises(OperationCancelled):
        (await operation.wait()).raise_for_status()
    assert (len(machine.server.manager.async_operations), sinks_of(session)) == (0, 0)
    assert complaints(caplog) == []


@pytest.mark.parametrize("mode", CallingMode)
async def test_a_session_cancels_at_once(machine: Machine, caplog: pytest.LogCaptureFixture, mode: CallingMode) -> None:
    """Even what has hardly been started is given back."""
    machine.does = Gate()
    session = await machine.session()
    operation = await session.start(DeleteInstance(DYNAMIC), mode=mode)
    operation.cancel()
    await operation.close()
    await machine.quiet()
    assert (len(machine.server.manager.async_operations), sinks_of(session)) == (0, 0)
    assert machine.exported == 2  # the log-on and the namespace
    assert complaints(caplog) == []


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_a_session_s_deadline_cancels(machine: Machine, gate: Gate) -> None:
    session = await machine.session()
    operation = await start(session, timeout=2.0)  # the start is within it, on a slow machine too
    await gate.wait_reached()
    outcome = await within(operation.wait())
    assert outcome.status == E.WBEM_E_TIMED_OUT
    assert await told(gate)


# -- sinks that fail or hang


@pytest.mark.requirement("WMI-3.1.1.1.3-07", "WMI-3.2.4.1.2-09")
@pytest.mark.parametrize("failure", ["an error code", "a fault"])
async def test_a_failing_sink_cancels(machine: Machine, client: Client, gate: Gate, failure: str) -> None:
    sink = WireSink()

    async def answer(what: tuple[Any, ...]) -> int:
        if what[1] == StatusType.PROGRESS and failure == "a fault":
            raise Refused(HResult.ERROR_ACCESS_DENIED, "not now")
        return E.WBEM_E_FAILED if what[1] == StatusType.PROGRESS else 0

    sink.answer = answer
    machine.does = progress_then(gate)
    await client.delete(DYNAMIC, sink, Flags.SEND_STATUS)
    assert await told(gate)
    first, *rest = await sink.ended()
    assert first[1] == StatusType.PROGRESS
    assert code_of(rest) == E.WBEM_E_CALL_CANCELLED
    assert len(machine.server.manager.async_operations) == 0


@pytest.mark.requirement("WMI-3.1.1.1.3-07", "WMI-3.2.4.1.2-09")
async def test_a_sink_that_cannot_be_reached_cancels(machine: Machine, client: Client, gate: Gate) -> None:
    sink = WireSink()
    octets = client.sinks.export(sink)
    await client.sinks.close()
    machine.does = progress_then(gate)
    values = {"path": DYNAMIC, "flags": Flags.SEND_STATUS, "context": None, "sink": octets}
    assert (await client.call("DeleteInstanceAsync", **values)).status == 0
    assert await told(gate)
    await machine.quiet()
    assert (sink.calls, len(machine.server.manager.async_operations)) == ([], 0)


async def test_a_sink_that_fails_at_the_end_changes_nothing(machine: Machine, client: Client) -> None:
    sink = WireSink()

    async def answer(what: tuple[Any, ...]) -> int:
        return E.WBEM_E_FAILED

    sink.answer = answer
    assert code_of(await client.result('Acme_Static="x"', sink=sink)) == 0
    assert await machine.names() == ["y", "z"]
    assert len(machine.server.manager.async_operations) == 0


@pytest.mark.requirement("WMI-3.1.1.1.3-07", "WMI-3.1.2-01", "WMI-3.1.2-02", "WMI-3.1.5-01")
async def test_a_silent_sink_cancels() -> None:
    async with serving(sink_timer=0.3) as machine:
        machine.does = progress_then(gate := Gate())
        client = await machine.client()
        await client.result('Acme_Static="x"')  # so that the connection back is there
        never = asyncio.Event()
        sink = WireSink()

        async def answer(what: tuple[Any, ...]) -> int:
            await never.wait()
            return 0

        sink.answer = answer
        await client.delete(DYNAMIC, sink, Flags.SEND_STATUS)
        assert await told(gate)
        await machine.quiet()
        assert [call[1] for call in sink.calls] == [StatusType.PROGRESS, StatusType.COMPLETE]
        assert sink.calls[1][2] == E.WBEM_E_CALL_CANCELLED
        assert len(machine.server.manager.async_operations) == 0
        never.set()


@pytest.mark.requirement("WMI-3.1.2-03")
async def test_an_answer_resets_the_timer() -> None:
    """The timer is one call's, not the operation's: between calls a provider takes the time that it needs."""
    async with serving(sink_timer=0.3) as machine:
        client = await machine.client()
        await client.result('Acme_Static="x"')
        reports = 4

        def does(call: ProviderCall) -> None:
            for n in range(reports):
                call.progress(n, reports)
                assert not call.wait_cancelled(0.1)

        machine.does = does
        sink = WireSink()
        await client.delete(DYNAMIC, sink, Flags.SEND_STATUS)
        calls = await sink.ended()
        assert len(calls) == reports + 1
        assert code_of(calls[-1:]) == 0


# -- connections that end


async def test_a_client_that_loses_its_connection(machine: Machine, gate: Gate) -> None:
    session = await machine.session(timeout=None)
    operation = await start(session)
    await gate.wait_reached()
    await cut(session)
    with pytest.raises(ConnectionLost):
        (await within(operation.wait())).raise_for_status()
    gate.opened.set()


@pytest.mark.parametrize("mode", [CallingMode.SEMISYNCHRONOUS, CallingMode.SYNCHRONOUS])
async def test_whatever_the_mode(machine: Machine, gate: Gate, mode: CallingMode) -> None:
    session = await machine.session(timeout=None)
    operation = await session.start(DeleteInstance(DYNAMIC), mode=mode)
    await gate.wait_reached()
    await cut(session)
    with pytest.raises(ConnectionLost):
        (await within(operation.wait())).raise_for_status()
    gate.opened.set()


async def test_a_server_that_stops(machine: Machine, gate: Gate) -> None:
    session = await machine.session(timeout=None)
    operation = await start(session)
    await gate.wait_reached()
    await machine.server.stop()
    with pytest.raises((TransportError, WbemError)) as caught:
        (await within(operation.wait())).raise_for_status()
    if isinstance(caught.value, WbemError):
        assert caught.value.status == E.WBEM_E_SHUTTING_DOWN
    assert await told(gate)
    with pytest.raises(PeerError):
        (await within((await start(session)).wait())).raise_for_status()


async def test_a_server_that_lets_go_without_a_word(
    machine: Machine, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose SetStatus fails gives the sink back: that tells the client that nothing will come any more."""
    session = await machine.session(timeout=None)
    operation = await start(session)
    await gate.wait_reached()
    (entry,) = machine.server.manager.async_operations

    async def set_status(*what: Any) -> None:
        raise ProtocolError("it went wrong")

    monkeypatch.setattr(type(entry.sink), "set_status", set_status)
    gate.opened.set()
    with pytest.raises(ProtocolError, match="let go"):
        (await within(operation.wait())).raise_for_status()


async def test_the_client_comes_back_after_a_cut(machine: Machine) -> None:
    session = await machine.session()
    await cut(session)
    await session.delete_instance('Acme_Static="x"')
    operation = await session.start(DeleteInstance('Acme_Static="y"'), mode=CallingMode.ASYNCHRONOUS)
    assert (await within(operation.wait())).succeeded


# -- nothing is left behind


async def test_a_session_leaves_nothing_on_the_server(machine: Machine) -> None:
    async with await machine.session() as session:
        for mode in CallingMode:
            operation = await session.start(DeleteInstance(f'Acme_Dynamic="{mode.name}"'), mode=mode)
            assert (await within(operation.wait())).succeeded
        with pytest.raises(NotFound):
            await session.delete_instance('Acme_Static="nobody"', mode=CallingMode.ASYNCHRONOUS)
        await machine.quiet()
        assert machine.exported == 2  # the log-on and the namespace
        await session.query("SELECT * FROM Acme_Static")
        await session.start(DeleteInstance('Acme_Static="x"'))
        await session.namespace("root\\default")
    await machine.quiet()
    assert machine.exported == 0
    assert machine.server.manager.running == 0


async def test_nothing_is_left_in_the_loop() -> None:
    before = asyncio.all_tasks()
    async with serving() as machine:
        machine.does = gate = Gate()
        session = await machine.session()
        await start(session)
        await gate.wait_reached()
        client = await machine.client()
        assert code_of(await client.result('Acme_Static="x"')) == 0
    assert asyncio.all_tasks() == before
