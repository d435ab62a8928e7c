"""DeleteInstanceAsync (MS-WMI 3.1.4.3.15, 3.1.1.1.3) in this process: what a sink sees, and what the table holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from openwmi.cim import Instance
from openwmi.cim.delivery import AsyncOperation, StatusType
from openwmi.cim.operations import CallContext, DeleteInstance, Flags
from openwmi.errors import NotFound, TransportError, WbemError
from openwmi.manager import Limits, Namespace, ObjectManager
from openwmi.providers import PENDING, Provider, ProviderCall
from openwmi.repository import MemoryStore
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus
from tests.manager.support import (
    CIMV2,
    USER,
    Gate,
    RecordingSink,
    asynchronously,
    context,
    grant,
    raising,
    scripted,
)

E = WbemStatus
SCHEMA = r"""
class Acme_Static { [key] string Name; };
class Acme_SystemLike : __Provider { };
[dynamic, provider("Dynamics")] class Acme_Dynamic { [key] string Name; };
[dynamic, provider("Nobody")] class Acme_Orphan { [key] string Name; };
[dynamic, provider("Reader")] class Acme_Reader { [key] string Name; };
instance of Acme_Static { Name = "x"; };
instance of Acme_SystemLike { Name = "x"; };
"""


class Script:
    """What the provider of Acme_Dynamic does when it is asked to delete."""

    def __init__(self) -> None:
        self.does: Callable[[ProviderCall], Any] = lambda call: None

    def __call__(self, call: ProviderCall) -> Any:
        return self.does(call)


class Reader(Provider):
    """Deletes nothing."""

    name = "Reader"


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def cimv2(manager: ObjectManager, script: Script) -> Namespace:
    await manager.compile_mof(SCHEMA, CIMV2, context())
    await manager.register(scripted("Dynamics", does=script), "Dynamics")
    await manager.register(Reader)
    return await manager.connect(CIMV2, context())


class Caller:
    """Calls DeleteInstanceAsync as a stub does."""

    def __init__(self, manager: ObjectManager, namespace: Namespace) -> None:
        self.table = manager.async_operations
        self.namespace = namespace
        self.tasks: list[asyncio.Task[None]] = []

    async def delete(
        self, path: str | None, sink: RecordingSink, ctx: CallContext | None = None
    ) -> tuple[AsyncOperation, asyncio.Task[None]]:
        """The call returns when the operation has started; the task ends when the sink has been told all."""
        ctx = ctx or asynchronously()
        entry = await self.table.start(sink, ctx, lambda: self.namespace.start(DeleteInstance(path), ctx))
        task = asyncio.create_task(self.table.deliver(entry))
        self.tasks.append(task)
        return entry, task

    async def result(self, path: str, sink: RecordingSink, ctx: CallContext | None = None) -> list[tuple[Any, ...]]:
        """All calls that the sink got."""
        _, task = await self.delete(path, sink, ctx)
        await task
        return sink.calls


@pytest.fixture
async def caller(manager: ObjectManager, cimv2: Namespace) -> AsyncIterator[Caller]:
    made = Caller(manager, cimv2)
    yield made
    for task in made.tasks:
        task.cancel()


def code_of(calls: list[tuple[Any, ...]]) -> int:
    """The status of the one final SetStatus, which is all that the sink got before its release."""
    assert [call[0] for call in calls] == ["set_status", "release"]
    _, kind, status, text, error = calls[0]
    assert (kind, text) == (StatusType.COMPLETE, None)
    if status == 0:
        assert error is None
    else:
        assert isinstance(error, Instance)
        assert error.class_name == "__ExtendedStatus"
        assert error["StatusCode"] == status
        assert error["Operation"] == "DeleteInstance"
    return int(status)


# -- every outcome


@pytest.mark.requirement(
    "WMI-3.1.1.1.3-01", "WMI-3.1.1.1.3-05", "WMI-3.1.1.1.3-06", "WMI-3.1.4.3.15-05", "WMI-3.1.4.3.15-12",
    "WMI-3.1.4.3.15-13", "WMI-3.1.4.3.15-23",
)  # fmt: skip
@pytest.mark.parametrize("path", ['Acme_Static="x"', 'Acme_Dynamic="d"', 'Acme_SystemLike.Name="X"'])
async def test_success_is_one_set_status_and_nothing_else(caller: Caller, path: str) -> None:
    sink = RecordingSink()
    assert code_of(await caller.result(path, sink)) == 0
    assert sink.calls[0] == ("set_status", StatusType.COMPLETE, 0, None, None)


@pytest.mark.requirement(
    "WMI-3.1.1.1.3-06", "WMI-3.1.4.3.15-05", "WMI-3.1.4.3.15-18", "WMI-3.1.4.3.15-19", "WMI-3.1.4.3.15-20",
    "WMI-3.1.4.3.15-21", "WMI-3.1.4.3.15-22",
)  # fmt: skip
@pytest.mark.parametrize(
    ("path", "lacking", "does", "status"),
    [
        ('Acme_Static="x"', AccessRight.PARTIAL_WRITE_REP, None, E.WBEM_E_ACCESS_DENIED),
        ('Acme_SystemLike="x"', AccessRight.FULL_WRITE, None, E.WBEM_E_ACCESS_DENIED),
        ('Acme_Dynamic="d"', AccessRight.WRITE_PROVIDER, None, E.WBEM_E_ACCESS_DENIED),
        ('Acme_Reader="r"', AccessRight(0), None, E.WBEM_E_PROVIDER_NOT_CAPABLE),
        ('Acme_Orphan="o"', AccessRight(0), None, E.WBEM_E_PROVIDER_LOAD_FAILURE),
        ('Acme_Dynamic="d"', AccessRight(0), raising(NotFound("none")), E.WBEM_E_NOT_FOUND),
        ('Acme_Dynamic="d"', AccessRight(0), raising(KeyError("k")), E.WBEM_E_PROVIDER_FAILURE),
        ('Acme_Dynamic="d"', AccessRight(0), lambda call: call.set_status(0x80041001), E.WBEM_E_FAILED),
    ],
)
async def test_failures_come_through_the_sink(
    manager: ObjectManager,
    caller: Caller,
    script: Script,
    path: str,
    lacking: AccessRight,
    does: Callable[[ProviderCall], Any] | None,
    status: int,
) -> None:
    writes = AccessRight.PARTIAL_WRITE_REP | AccessRight.FULL_WRITE | AccessRight.WRITE_PROVIDER
    await grant(manager, AccessRight.ENABLE | AccessRight.REMOTE_ENABLE | writes & ~lacking)
    script.does = does or script.does
    assert code_of(await caller.result(path, RecordingSink(), asynchronously(USER, remote=True))) == status


@pytest.mark.requirement(
    "WMI-3.1.1.1.3-02", "WMI-3.1.1.1.3-03", "WMI-3.1.4.3.15-14", "WMI-3.1.4.3.15-15", "WMI-3.1.4.3.15-16",
    "WMI-3.1.4.3.15-24",
)  # fmt: skip
@pytest.mark.parametrize(
    ("path", "ctx", "status"),
    [
        (None, asynchronously(), E.WBEM_E_INVALID_PARAMETER),
        ('Acme_Static="x"', asynchronously(flags=Flags.USE_AMENDED_QUALIFIERS), E.WBEM_E_INVALID_PARAMETER),
        ("Acme_Static=", asynchronously(), E.WBEM_E_INVALID_OBJECT_PATH),
        ("Acme_Static", asynchronously(), E.WBEM_E_INVALID_OBJECT_PATH),
        ('Acme_Nothing="x"', asynchronously(), E.WBEM_E_INVALID_CLASS),
        ('Acme_Static="y"', asynchronously(), E.WBEM_E_NOT_FOUND),
        ('root\\default:Acme_Static="x"', asynchronously(), E.WBEM_E_NOT_SUPPORTED),
        ("x" * 9000, asynchronously(), E.WBEM_E_QUOTA_VIOLATION),
        ('Acme_Static="x"', asynchronously(USER, remote=True), E.WBEM_E_ACCESS_DENIED),
    ],
)
async def test_a_refused_call_leaves_the_sink_alone(
    caller: Caller, path: str | None, ctx: CallContext, status: int
) -> None:
    sink = RecordingSink()
    with pytest.raises(WbemError) as caught:
        await caller.delete(path, sink, ctx)
    assert caught.value.status == status
    assert caught.value.extended is not None
    assert (sink.calls, len(caller.table)) == ([], 0)


# -- the table


@pytest.mark.requirement("WMI-3.1.1.1.3-01", "WMI-3.1.1.1.3-04", "WMI-3.1.1.1.3-05", "WMI-3.1.4.3.15-17")
async def test_the_table_has_an_entry_while_the_operation_runs(
    manager: ObjectManager, caller: Caller, script: Script
) -> None:
    gate = Gate()
    script.does = gate
    sink = RecordingSink()
    entry, task = await caller.delete('Acme_Dynamic="d"', sink)
    await gate.wait_reached()
    assert list(caller.table) == [entry]
    assert entry.sink is sink
    flags = entry.callback_in_progress, entry.call_cancelled, entry.set_status_with_final_result_called
    assert flags == (False, False, False)
    assert (sink.calls, manager.running) == ([], 1)
    gate.opened.set()
    await task
    assert entry.set_status_with_final_result_called
    assert (len(caller.table), manager.running, code_of(sink.calls)) == (0, 0, 0)


async def test_the_entry_is_there_before_the_operation_starts(caller: Caller) -> None:
    seen: list[int] = []
    ctx = asynchronously()

    async def start() -> Any:
        seen.append(len(caller.table))
        return await caller.namespace.start(DeleteInstance('Acme_Static="x"'), ctx)

    entry = await caller.table.start(RecordingSink(), ctx, start)
    await caller.table.deliver(entry)
    assert seen == [1]


# -- progress


def reports(call: ProviderCall) -> None:
    """Reports progress, and waits until it is the loop's turn to pass it on."""
    call.progress(1, 4, "unscrewing")


@pytest.mark.requirement("WMI-3.1.1.1.3-08", "WMI-3.1.4.3.15-06")
async def test_progress_goes_to_who_asked_for_it(caller: Caller, script: Script) -> None:
    gate = Gate()

    def does(call: ProviderCall) -> None:
        reports(call)
        gate(call)

    script.does = does
    sink = RecordingSink()
    _, task = await caller.delete('Acme_Dynamic="d"', sink, asynchronously(flags=Flags.SEND_STATUS))
    async with asyncio.timeout(30):
        await sink.called.wait()
    assert sink.calls == [("set_status", StatusType.PROGRESS, 4 << 16 | 1, "unscrewing", None)]
    gate.opened.set()
    await task
    assert [kind for kind, *_ in sink.statuses] == [StatusType.PROGRESS, StatusType.COMPLETE]


@pytest.mark.requirement("WMI-3.1.1.1.3-08", "WMI-3.1.4.3.15-05")
async def test_progress_goes_to_nobody_else(caller: Caller, script: Script) -> None:
    script.does = reports
    assert code_of(await caller.result('Acme_Dynamic="d"', RecordingSink())) == 0


async def test_no_progress_without_a_report(caller: Caller) -> None:
    ctx = asynchronously(flags=Flags.SEND_STATUS)
    assert code_of(await caller.result('Acme_Dynamic="d"', RecordingSink(), ctx)) == 0


# -- cancelling


@pytest.mark.requirement("WMI-3.1.4.3.2-05", "WMI-3.1.4.3.2-07", "WMI-3.1.4.3.2-08", "WMI-3.1.4.3.2-09")
async def test_cancel_ends_every_operation_of_the_sink(manager: ObjectManager, caller: Caller, script: Script) -> None:
    gates = {name: Gate() for name in "abc"}
    script.does = lambda call: gates[str(call.path)[-2]](call)
    sink, other = RecordingSink("one"), RecordingSink("two")
    sinks = {"a": sink, "b": sink, "c": other}
    started = [await caller.delete(f'Acme_Dynamic="{name}"', its) for name, its in sinks.items()]
    for gate in gates.values():
        await gate.wait_reached()
    assert caller.table.cancel("one", asynchronously()) == 2
    assert [entry.call_cancelled for entry, _ in started] == [True, True, False]
    await asyncio.gather(*(task for _, task in started[:2]))
    assert [status for _, status, *_ in sink.statuses] == [E.WBEM_E_CALL_CANCELLED] * 2
    assert [call[0] for call in sink.calls].count("release") == 2
    assert (other.calls, len(caller.table)) == ([], 1)
    # The providers were told, and nothing is called after that.
    assert await asyncio.to_thread(gates["a"].left.wait, 30)
    assert await asyncio.to_thread(gates["b"].left.wait, 30)
    before = list(sink.calls)
    gates["c"].opened.set()
    await started[2][1]
    assert (code_of(other.calls), sink.calls, manager.running) == (0, before, 0)


@pytest.mark.requirement("WMI-3.1.4.3.2-06")
async def test_cancel_of_a_sink_that_nothing_uses(caller: Caller) -> None:
    with pytest.raises(NotFound):
        caller.table.cancel("sink", asynchronously())
    sink = RecordingSink()
    await caller.result('Acme_Static="x"', sink)
    with pytest.raises(NotFound):
        caller.table.cancel("sink", asynchronously())


async def test_cancel_is_for_ones_own_operations(caller: Caller, script: Script) -> None:
    gate = Gate()
    script.does = gate
    _, task = await caller.delete('Acme_Dynamic="d"', RecordingSink())
    await gate.wait_reached()
    with pytest.raises(NotFound):
        caller.table.cancel("sink", asynchronously(USER))
    gate.opened.set()
    await task


async def test_no_progress_after_a_cancel(caller: Caller, script: Script) -> None:
    gate = Gate()

    def does(call: ProviderCall) -> None:
        gate(call)
        reports(call)

    script.does = does
    sink = RecordingSink()
    _, task = await caller.delete('Acme_Dynamic="d"', sink, asynchronously(flags=Flags.SEND_STATUS))
    await gate.wait_reached()
    caller.table.cancel("sink", asynchronously())
    await task
    await asyncio.to_thread(gate.left.wait, 30)
    assert code_of(sink.calls) == E.WBEM_E_CALL_CANCELLED


# -- sinks that fail or hang


@pytest.mark.requirement("WMI-3.1.1.1.3-07")
async def test_a_failing_sink_cancels_its_operation(caller: Caller, script: Script) -> None:
    gate = Gate()

    def does(call: ProviderCall) -> None:
        reports(call)
        gate(call)

    script.does = does
    sink = RecordingSink()
    sink.fail = lambda call: TransportError("the client is gone")
    entry, task = await caller.delete('Acme_Dynamic="d"', sink, asynchronously(flags=Flags.SEND_STATUS))
    await task
    assert await asyncio.to_thread(gate.left.wait, 30)  # the provider was told
    assert entry.call_cancelled
    assert [kind for kind, *_ in sink.statuses] == [StatusType.PROGRESS, StatusType.COMPLETE]
    assert sink.statuses[-1][1] == E.WBEM_E_CALL_CANCELLED
    assert (sink.calls[-1], len(caller.table)) == (("release",), 0)


async def test_a_sink_that_fails_at_the_end(caller: Caller) -> None:
    sink = RecordingSink()
    sink.fail = lambda call: TransportError("the client is gone")
    await caller.result('Acme_Static="x"', sink)
    assert [call[0] for call in sink.calls] == ["set_status", "release"]
    assert len(caller.table) == 0


async def test_a_local_sink_may_take_its_time(caller: Caller) -> None:
    sink = RecordingSink()
    sink.hold = asyncio.Event()
    entry, task = await caller.delete('Acme_Static="x"', sink)
    await sink.called.wait()
    assert not task.done()
    assert list(caller.table) == [entry]
    sink.hold.set()
    await task
    assert code_of(sink.calls) == 0


# -- how a provider reports


@pytest.mark.parametrize(
    ("does", "status"),
    [
        pytest.param(lambda call: call.set_status(0), 0, id="success"),
        pytest.param(lambda call: call.set_status(0x80041002, "gone"), E.WBEM_E_NOT_FOUND, id="failure"),
        pytest.param(lambda call: (call.set_status(0), raising(ValueError("x"))(call)), 0, id="then raises"),
        pytest.param(
            lambda call: (call.set_status(0x80041003), call.set_status(0)),
            E.WBEM_E_ACCESS_DENIED,
            id="first counts",
        ),
        pytest.param(lambda call: PENDING if call.set_status(0) is None else None, 0, id="pending, told already"),
    ],
)
async def test_the_status_callback_wins(
    caller: Caller, script: Script, does: Callable[[ProviderCall], Any], status: int
) -> None:
    script.does = does
    assert code_of(await caller.result('Acme_Dynamic="d"', RecordingSink())) == status


async def test_a_status_that_comes_after_the_return(caller: Caller, script: Script) -> None:
    import threading

    def later(call: ProviderCall) -> Any:
        threading.Thread(target=call.set_status, args=(0x80041003, "no")).start()
        return PENDING

    script.does = later
    assert code_of(await caller.result('Acme_Dynamic="d"', RecordingSink())) == E.WBEM_E_ACCESS_DENIED


@pytest.mark.parametrize("hangs", ["in its function", "before its status"])
async def test_a_provider_has_a_deadline(hangs: str) -> None:
    gate = Gate()
    heard: list[ProviderCall] = []

    def does(call: ProviderCall) -> Any:
        heard.append(call)
        if hangs == "in its function":
            gate(call)
            return None
        call.on_cancel(gate.left.set)
        return PENDING

    limits = Limits(provider_deadline=0.05)
    async with ObjectManager(MemoryStore(), limits=limits) as manager:
        await manager.compile_mof(SCHEMA, CIMV2, context())
        await manager.register(scripted("Dynamics", does=does), "Dynamics")
        caller = Caller(manager, await manager.connect(CIMV2, context()))
        calls = await caller.result('Acme_Dynamic="d"', RecordingSink())
        assert code_of(calls) == E.WBEM_E_PROVIDER_TIMED_OUT
        assert await asyncio.to_thread(gate.left.wait, 30)
        assert heard[0].cancelled


async def test_a_caller_s_own_deadline(caller: Caller, script: Script) -> None:
    gate = Gate()
    script.does = gate
    calls = await caller.result('Acme_Dynamic="d"', RecordingSink(), asynchronously(timeout=0.05))
    assert code_of(calls) == E.WBEM_E_TIMED_OUT
    assert await asyncio.to_thread(gate.left.wait, 30)


# -- the server ends


async def test_shutting_down_ends_what_runs() -> None:
    gate = Gate()
    manager = await ObjectManager(MemoryStore()).open()
    await manager.compile_mof(SCHEMA, CIMV2, context())
    await manager.register(scripted("Dynamics", does=gate), "Dynamics")
    caller = Caller(manager, await manager.connect(CIMV2, context()))
    sink = RecordingSink()
    _, task = await caller.delete('Acme_Dynamic="d"', sink)
    await gate.wait_reached()
    await manager.close()
    await task
    assert code_of(sink.calls) == E.WBEM_E_SHUTTING_DOWN
    with pytest.raises(WbemError) as caught:
        await caller.delete('Acme_Static="x"', RecordingSink())
    assert caught.value.status == E.WBEM_E_SHUTTING_DOWN
    await manager.close()


@pytest.mark.requirement("WMI-3.1.1-04", "WMI-3.1.1-05", "WMI-3.1.4.3-06")
async def test_too_many_operations() -> None:
    gate = Gate()
    async with ObjectManager(MemoryStore(), limits=Limits(requests=1)) as manager:
        await manager.compile_mof(SCHEMA, CIMV2, context())
        await manager.register(scripted("Dynamics", does=gate), "Dynamics")
        caller = Caller(manager, await manager.connect(CIMV2, context()))
        _, task = await caller.delete('Acme_Dynamic="d"', RecordingSink())
        with pytest.raises(WbemError) as caught:
            await caller.delete('Acme_Static="x"', RecordingSink())
        assert caught.value.status == E.WBEM_E_SERVER_TOO_BUSY
        gate.opened.set()
        await task
        assert code_of(await caller.result('Acme_Static="x"', RecordingSink())) == 0
