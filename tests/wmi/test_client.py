"""The proxies against the stubs: every request in every mode gives the same, and nothing stays behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from openwmi.cim import CimObject, CimType, TypedValue
from openwmi.cim.operation import Operation, Outcome, Progress
from openwmi.cim.operations import (
    CallContext,
    CallingMode,
    DeleteClass,
    DeleteInstance,
    EnumerateClasses,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    GetObject,
    PutClass,
    PutInstance,
    Request,
)  # fmt: skip
from openwmi.dcom.importer import Importer
from openwmi.errors import (
    AccessDenied,
    ConnectionLost,
    InvalidNamespace,
    InvalidParameter,
    NotFound,
    RpcFault,
    WbemError,
)  # fmt: skip
from openwmi.status import HResult, WbemStatus
from openwmi.wmi.client import RemoteNamespace, RemoteNamespaces
from openwmi.wmi.client.enumerator import RemoteEnumerator
from tests.dcom.support import EXPORTER, RESOLVER

from .loopback import NAMESPACE, THING, FakeNamespace, Held, Loopback, gives, thing, things

MODES = list(CallingMode)
ONE: list[Request] = [GetObject('Thing="a"'), GetObject(None), ExecMethod("Thing", "Do", thing("in"))]
NONE: list[Request] = [
    PutClass(THING), DeleteClass("Thing"), PutInstance(thing("a")), DeleteInstance('Thing="a"'),
    ExecMethod("Thing", "Do", None),
]  # fmt: skip
MANY: list[Request] = [EnumerateClasses("Thing"), EnumerateInstances("Thing"), ExecQuery("SELECT * FROM Thing")]
ALL = ONE + NONE + MANY


def name(value: Any) -> str:
    return value.name if isinstance(value, CallingMode) else type(value).__name__


async def run(remote: RemoteNamespace, request: Request, context: CallContext) -> list[Any]:
    """All results."""
    operation = await remote.start(request, context)
    return list(await asyncio.wait_for(operation.collect(), 10))


async def settle(loop: Loopback, exported: int) -> None:
    """Nothing is left of an operation: no exported object, no reference to a sink."""
    await loop.quiet()
    assert len(loop.server.exporter) == exported
    assert loop.references == 0
    assert len(loop.operations) == 0


@pytest.mark.parametrize("mode", MODES, ids=name)
@pytest.mark.parametrize("request_", ALL, ids=name)
@pytest.mark.requirement(
    "WMI-3.1.4.2-01", "WMI-3.1.4.2.2-05", "WMI-3.1.4.2.2-06", "WMI-3.1.4.2.2-07", "WMI-3.1.4.2.2-08",
    "WMI-3.2.4.2.4-01", "WMI-3.2.4.2.6-01", "WMI-3.2.4.2.7-01", "WMI-3.2.4.2.8-01", "WMI-3.2.4.2.8-02",
    "WMI-3.2.4.2.9-01",
)  # fmt: skip
async def test_every_request_in_every_mode(request_: Request, mode: CallingMode) -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        exported = len(loop.server.exporter)
        results = [] if request_ in NONE else [thing("a", 2)] if request_ in ONE else things(230)
        text = 'Thing.Id="a"' if isinstance(request_, PutInstance) and mode is not CallingMode.SYNCHRONOUS else None
        loop.namespace.produce = gives(*results, text=text)
        values = {"A": TypedValue(CimType.STRING, "x")}
        operation = await remote.start(request_, loop.context(mode, flags=0x200, values=values))
        found = await asyncio.wait_for(operation.collect(), 10)
        assert [o.to_dict() for o in found] == [o.to_dict() for o in results]  # type: ignore[union-attr]
        outcome = await operation.wait()
        assert (outcome.status, outcome.text) == (0, text)
        made, context = loop.namespace.last
        assert made == request_
        assert (context.mode, context.values) == (mode, values)
        assert context.flags & 0x200
        await operation.close()
        await settle(loop, exported)


@pytest.mark.parametrize("when", ["before it starts", "later"])
@pytest.mark.parametrize("mode", MODES, ids=name)
@pytest.mark.parametrize("request_", ALL, ids=name)
@pytest.mark.requirement("WMI-3.1.4.2.2-04")
async def test_every_failure_in_every_mode(request_: Request, mode: CallingMode, when: str) -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        exported = len(loop.server.exporter)
        if when == "later":
            loop.namespace.produce = gives(error=AccessDenied("not for you"))
        else:
            loop.namespace.refuse = AccessDenied("not for you")
        with pytest.raises(AccessDenied) as caught:
            await run(remote, request_, loop.context(mode))
        assert caught.value.detail == "not for you"
        assert caught.value.extended is not None
        assert caught.value.extended["Operation"] == request_.METHOD
        await settle(loop, exported)


@pytest.mark.parametrize("mode", MODES, ids=name)
@pytest.mark.parametrize("request_", MANY, ids=name)
@pytest.mark.requirement("WMI-3.2.4.2.8-11")
async def test_a_failure_after_results(request_: Request, mode: CallingMode) -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        exported = len(loop.server.exporter)
        loop.namespace.produce = gives(*things(3), error=NotFound("it broke"))
        if mode is CallingMode.SYNCHRONOUS:
            # The call is complete when it returns, and tells how it ended (3.1.1.1.1).
            with pytest.raises(NotFound, match="it broke"):
                await remote.start(request_, loop.context(mode))
        else:
            operation = await remote.start(request_, loop.context(mode))
            batch = await operation.take(10)
            assert len(batch) == 3
            with pytest.raises(NotFound, match="it broke"):
                await operation.collect()
        await settle(loop, exported)


@pytest.mark.parametrize("mode", MODES, ids=name)
@pytest.mark.requirement("WMI-3.2.4.2.9-03", "WMI-3.2.4.2.9-04")
async def test_cancelling(mode: CallingMode) -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        exported = len(loop.server.exporter)
        held = loop.namespace.produce = Held(*things(2))
        request = EnumerateInstances("Thing")
        if mode is CallingMode.SYNCHRONOUS:
            starting = asyncio.ensure_future(remote.start(request, loop.context(mode)))
            await held.started.wait()
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        else:
            operation = await remote.start(request, loop.context(mode))
            await held.started.wait()
            await operation.close()
        (ran,) = loop.namespace.operations
        outcome = await asyncio.wait_for(ran.wait(), 10)
        assert outcome.status == WbemStatus.WBEM_E_CALL_CANCELLED
        assert ("CancelAsyncCall" in loop.transport.methods) is (mode is CallingMode.ASYNCHRONOUS)
        for _ in range(100):
            await asyncio.sleep(0)
        await loop.quiet()
        assert len(loop.server.exporter) == exported


async def test_progress() -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        go_on = asyncio.Event()

        async def produce(operation: Operation) -> None:
            operation.report(Progress(1, 4, "a quarter"))
            await go_on.wait()

        loop.namespace.produce = produce
        context = loop.context(CallingMode.ASYNCHRONOUS, flags=0x80)
        operation = await remote.start(DeleteInstance("x"), context)
        assert await operation.next_event() == Progress(1, 4, "a quarter")
        go_on.set()
        assert (await operation.wait()).status == 0


async def test_a_lost_connection_ends_what_waits_for_a_sink() -> None:
    async with Loopback() as loop:
        loop.namespace.children["child"] = FakeNamespace("root\\test\\child")
        remote = await loop.open()
        child = await remote.open_namespace("child", loop.context(CallingMode.SYNCHRONOUS))
        assert child.namespace == f"{NAMESPACE}\\child"
        for namespace, fake in ((remote, loop.namespace), (child, loop.namespace.children["child"])):
            held = fake.produce = Held()
            operation = await namespace.start(DeleteInstance("x"), loop.context(CallingMode.ASYNCHRONOUS))
            await held.started.wait()
            loop.namespaces.connection_lost(ConnectionLost("the cable was cut"))
            with pytest.raises(ConnectionLost, match="the cable was cut"):
                await asyncio.wait_for(operation.collect(), 10)
            held.go_on.set()


async def test_closing_gives_back_children_too() -> None:
    async with Loopback() as loop:
        loop.namespace.children["child"] = FakeNamespace("root\\test\\child")
        remote = await loop.open()
        child = await remote.open_namespace("child", loop.context())
        assert len(loop.server.exporter) == 3
        await child.close()
        assert len(loop.server.exporter) == 2
        await remote.open_namespace("child", loop.context())
        await loop.namespaces.close()
        assert len(loop.server.exporter) == 0
        with pytest.raises(InvalidNamespace):
            await (await loop.open()).open_namespace("stranger", loop.context())


@pytest.mark.requirement("WMI-3.1.4.1.4-11", "WMI-3.1.4.1.4-23", "WMI-3.1.4.1.4-24")
async def test_one_log_on_object_serves_every_namespace() -> None:
    async with Loopback() as loop:
        await loop.open()
        await loop.open()
        assert loop.transport.methods.count("RemoteCreateInstance") == 1
        with pytest.raises(InvalidNamespace):
            await loop.namespaces.connect("root\\nowhere", loop.context())
        with pytest.raises(InvalidParameter):
            await loop.namespaces.connect(None, loop.context())


async def test_how_a_namespace_is_named() -> None:
    async with Loopback() as loop:
        for given, sent in (
            (NAMESPACE, f"\\\\.\\{NAMESPACE}"),
            (f"\\\\host\\{NAMESPACE}", f"\\\\host\\{NAMESPACE}"),
            (f"//host/{NAMESPACE}", f"//host/{NAMESPACE}"),
        ):
            opened = await loop.namespaces.connect(given, loop.context(locales=("MS_409", "MS_407")))
            assert opened.namespace == given
            assert loop.connected[-1][0] == sent
            assert loop.connected[-1][1].locales == ("MS_409", "MS_407")


async def test_a_client_without_a_place_for_sinks() -> None:
    async with Loopback() as loop:
        namespaces = RemoteNamespaces(Importer(loop.transport), EXPORTER.host, RESOLVER.port)
        remote = await namespaces.connect(NAMESPACE, loop.context())
        with pytest.raises(InvalidParameter, match="no place for sinks"):
            await remote.start(DeleteInstance("x"), loop.context(CallingMode.ASYNCHRONOUS))
        await namespaces.close()


@pytest.mark.parametrize("mode", MODES, ids=name)
@pytest.mark.parametrize("request_", [GetObject("x"), EnumerateInstances("x"), DeleteInstance("x")], ids=name)
async def test_a_fault_is_no_wbem_error(request_: Request, mode: CallingMode) -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        loop.transport.broken = lambda invoked: RpcFault(HResult.ERROR_ACCESS_DENIED)
        with pytest.raises(RpcFault) as caught:
            await run(remote, request_, loop.context(mode))
        assert caught.value.status == HResult.ERROR_ACCESS_DENIED
        assert not isinstance(caught.value, WbemError)
        loop.transport.broken = lambda invoked: None


async def test_how_long_a_call_may_take() -> None:
    """The time that the server was asked to wait comes on top of the time for an answer."""
    async with Loopback() as loop:
        remote = await loop.open()
        operation = await remote.start(EnumerateInstances("Thing"), loop.context())
        await operation.collect()
        operation = await remote.start(GetObject("x"), loop.context())
        await operation.collect()
        limits = {call.method: call.timeout for call in loop.transport.calls}
        assert (limits["CreateInstanceEnum"], limits["Next"], limits["GetResultObject"]) == (30.0, 30.25, 45.0)


async def test_slow_results_are_not_waited_for_until_a_page_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Next that brings nothing makes the following one wait longer, up to a limit."""
    timed_out, over = WbemStatus.WBEM_S_TIMEDOUT, 1
    answers: list[tuple[list[CimObject], int]] = [
        *[([], timed_out)] * 8,
        ([THING], timed_out),
        ([], timed_out),
        ([THING], over),
    ]
    waits: list[float | None] = []

    async def next_(self: RemoteEnumerator, count: int, timeout: float | None) -> tuple[list[CimObject], int]:
        waits.append(timeout)
        return answers[len(waits) - 1]

    async with Loopback() as loop:
        monkeypatch.setattr(RemoteEnumerator, "next", next_)
        operation = await (await loop.open()).start(EnumerateInstances("Thing"), loop.context())
        assert len(await asyncio.wait_for(operation.collect(), 10)) == 2
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 15, 15, 15, 0.25, 0.5]


# -- enumerators


def ids(found: list[Any]) -> list[str]:
    return [one["Id"] for one in found]


@pytest.mark.parametrize("mode", [CallingMode.SYNCHRONOUS, CallingMode.SEMISYNCHRONOUS], ids=name)
@pytest.mark.requirement("WMI-3.2.4.2.8-13", "WMI-3.2.4.2.8-14")
async def test_an_enumerator_that_goes_back(mode: CallingMode) -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        exported = len(loop.server.exporter)
        loop.namespace.produce = gives(*things(5))
        it = await remote.enumerate(EnumerateInstances("Thing"), loop.context(mode))
        assert loop.namespace.last[1].mode is mode
        found, status = await it.next(2, None)
        assert (ids(found), status) == (["thing 0", "thing 1"], 0)
        clone = await it.clone()
        assert await it.skip(2, 1.5) == 0
        assert loop.transport.calls[-1].timeout == 31.5
        found, status = await it.next(2, 0)
        assert (ids(found), status) == (["thing 4"], WbemStatus.WBEM_S_FALSE)
        await it.reset()
        assert ids((await it.next(1, None))[0]) == ["thing 0"]
        assert await it.skip(9, None) == WbemStatus.WBEM_S_FALSE
        assert loop.transport.calls[-1].timeout is None
        await it.close()
        await it.close()
        assert ids((await clone.next(1, None))[0]) == ["thing 2"]
        await clone.close()
        await settle(loop, exported)


@pytest.mark.requirement("WMI-3.2.4.2.8-16")
async def test_the_next_objects_to_a_sink() -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        exported = len(loop.server.exporter)
        loop.namespace.produce = gives(*things(5))
        it = await remote.enumerate(EnumerateInstances("Thing"), loop.context())
        operation = await it.next_async(3)
        assert ids(await operation.collect()) == ["thing 0", "thing 1", "thing 2"]
        assert (await operation.wait()).status == WbemStatus.WBEM_S_NO_ERROR
        operation = await it.next_async(3)
        assert ids(await operation.collect()) == ["thing 3", "thing 4"]
        assert (await operation.wait()).status == WbemStatus.WBEM_S_FALSE
        with pytest.raises(InvalidParameter):
            await it.next_async(0)
        await it.close()
        await settle(loop, exported)


async def test_a_sink_for_the_next_objects_that_is_not_waited_for() -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        exported = len(loop.server.exporter)
        held = loop.namespace.produce = Held(*things(2))
        it = await remote.enumerate(EnumerateInstances("Thing"), loop.context())
        operation = await it.next_async(3)
        await operation.close()
        held.go_on.set()
        await loop.quiet()
        await it.close()
        await settle(loop, exported)


@pytest.mark.requirement("WMI-3.2.4.2.8-12")
async def test_a_forward_only_enumerator_says_so() -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        loop.namespace.produce = gives(*things(1))
        it = await remote.enumerate(EnumerateInstances("Thing"), loop.context(flags=0x20))
        for going_back in (it.reset, it.clone):
            with pytest.raises(WbemError) as caught:
                await going_back()
            assert caught.value.status == WbemStatus.WBEM_E_INVALID_OPERATION
        assert not {"Reset", "Clone"} & set(loop.transport.methods)
        await it.close()


@pytest.mark.parametrize("mode", [CallingMode.SYNCHRONOUS, CallingMode.SEMISYNCHRONOUS], ids=name)
async def test_children_in_both_modes(mode: CallingMode) -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        exported = len(loop.server.exporter)
        loop.namespace.children["child"] = FakeNamespace("root\\test\\child")
        child = await remote.open_namespace("child", loop.context(mode))
        await run(child, DeleteClass("X"), loop.context())
        assert loop.namespace.children["child"].last[0] == DeleteClass("X")
        await child.close()
        with pytest.raises(InvalidNamespace):
            await remote.open_namespace("stranger", loop.context(mode))
        await settle(loop, exported)


async def test_a_success_that_is_not_the_usual_one_is_told() -> None:
    async with Loopback() as loop:
        remote = await loop.open()

        async def produce(operation: Operation) -> None:
            operation.finish(Outcome(WbemStatus.WBEM_S_PARTIAL_RESULTS))

        loop.namespace.produce = produce
        operation = await remote.start(EnumerateInstances("Thing"), loop.context(CallingMode.ASYNCHRONOUS))
        assert (await operation.wait()).status == WbemStatus.WBEM_S_PARTIAL_RESULTS
