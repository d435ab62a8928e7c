"""Sinks on both sides: what the server calls, what it gives back, and what a client's sink makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from openwmi.cim import CimObject, Instance
from openwmi.cim.operation import Operation, Progress
from openwmi.dcom.importer import Importer, Reach
from openwmi.errors import AccessDenied, ConnectError, DeadlineExceeded, NotFound, ProtocolError, RpcFault, WbemError
from openwmi.security.context import AuthenticationLevel
from openwmi.status import HResult, WbemStatus
from openwmi.wmi.interfaces import IWbemObjectSink
from openwmi.wmi.sinks import SINK_TIMER, RemoteSink, SinkStub
from tests.dcom.support import CALLER, OTHER, call_method

from .loopback import (
    CLIENT,
    EXTENDED,
    THING,
    Held,
    Loopback,
    RecordingSink,
    gives,
    thing,
    things,
)  # fmt: skip

DELETE: dict[str, Any] = {"path": 'Thing="a"', "flags": 0, "context": None}


def remote(loop: Loopback, sink: Any, **settings: Any) -> RemoteSink:
    """The server's end of a client's sink."""
    importer = Importer(loop.callbacks)
    return RemoteSink(
        importer.unmarshal(loop.sink(sink), Reach(CLIENT.host)), importer, Reach(CLIENT.host), loop.objects, **settings
    )


# -- RemoteSink


@pytest.mark.requirement("WMI-3.1.2-02")
async def test_the_sink_timer_is_thirty_seconds() -> None:
    assert SINK_TIMER == 30.0
    async with Loopback() as loop:
        sink = RecordingSink()
        it = remote(loop, sink)
        await it.indicate([thing("a")])
        await it.set_status(0, 0, None, None)
        await it.release()
        assert loop.callbacks.methods == ["ResolveOxid2", "Indicate", "SetStatus", "RemRelease"]
        assert {call.timeout for call in loop.callbacks.calls} == {30.0}
        shorter = remote(loop, sink, timer=0.25)
        await shorter.set_status(2, 0, None, None)
        assert loop.callbacks.calls[-1].timeout == 0.25


@pytest.mark.requirement("WMI-3.1.4.2.1-01", "WMI-3.1.4.2.1-02", "WMI-3.1.4.2.1-03", "WMI-3.2.4.1.1-02")
async def test_what_the_sink_gets() -> None:
    async with Loopback() as loop:
        sink = RecordingSink()
        it = remote(loop, sink)
        await it.indicate(things(250))
        assert [len(call[1]) for call in sink.calls] == [100, 100, 50]
        assert sink.calls[2][1][-1] == {"Id": "thing 249", "Size": 249}
        sink.calls.clear()
        error = EXTENDED.new(Description="why", StatusCode=5, Operation="x")
        await it.set_status(2, 0x00640005, "halfway", None)
        await it.set_status(0, 0x80041002, None, error)
        assert sink.calls == [
            ("set_status", 2, 0x00640005, "halfway", None),
            ("set_status", 0, 0x80041002, None, error.to_dict()),
        ]


@pytest.mark.requirement("WMI-3.2.4.1.1-03", "WMI-3.2.4.1.1-05")
@pytest.mark.parametrize("answer", [WbemStatus.WBEM_S_NO_ERROR, WbemStatus.WBEM_S_NEW_STYLE])
async def test_every_sink_gets_its_objects_one_by_one(answer: int) -> None:
    """MS-WMI does not say where in the request of Indicate an ObjectArray would stand."""
    async with Loopback() as loop:
        sink = RecordingSink()
        sink.answer = answer
        it = remote(loop, sink)
        await it.indicate([thing("a")])
        await it.indicate([thing("b"), thing("c")])
        assert [[found["Id"] for found in call[1]] for call in sink.calls] == [["a"], ["b", "c"]]


async def test_two_references_to_one_sink_are_one_sink() -> None:
    async with Loopback() as loop:
        sink, other = RecordingSink(), RecordingSink()
        assert remote(loop, sink).identity == remote(loop, sink).identity
        assert remote(loop, sink).identity != remote(loop, other).identity


async def test_a_sink_that_fails() -> None:
    async with Loopback() as loop:
        sink = RecordingSink()
        it = remote(loop, sink)
        sink.answer = 0x80041001
        with pytest.raises(ProtocolError, match="SetStatus with WBEM_E_FAILED"):
            await it.set_status(0, 0, None, None)
        loop.callbacks.broken = lambda invoked: DeadlineExceeded("silent")
        with pytest.raises(DeadlineExceeded):
            await it.indicate([thing("a")])
        await it.release()  # whatever the other side does


async def test_calls_go_back_to_where_the_caller_is_and_nowhere_else() -> None:
    async with Loopback() as loop:
        sink = RecordingSink()
        octets = loop.sink(sink).replace("192.0.2.7".encode("utf-16-le"), "203.0.113".encode("utf-16-le"))
        services = await loop.services()
        response = await services.call("DeleteInstanceAsync", **DELETE, sink=octets)
        assert response.status == 0
        await loop.quiet()
        assert {endpoint.host for endpoint in loop.callbacks.tried} == {CLIENT.host}
        assert sink.calls == [("set_status", 0, 0, None, None)]


# -- asynchronous calls


@pytest.mark.requirement(
    "WMI-3.1.1.1.3-06", "WMI-3.1.4.3.15-05", "WMI-3.1.4.3.15-13", "WMI-3.2.4.1.1-01", "WMI-3.2.4.1.2-01",
    "WMI-3.2.4.1.2-02", "WMI-3.2.4.1.2-03",
)  # fmt: skip
async def test_a_delete_is_told_by_one_set_status() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        sink = RecordingSink()
        octets = loop.sink(sink)
        assert (await services.call("DeleteInstanceAsync", **DELETE, sink=octets)).status == 0
        await asyncio.wait_for(sink.freed.wait(), 5)
        await loop.quiet()
        assert sink.calls == [("set_status", 0, 0, None, None)]
        assert loop.references == 0
        assert loop.callbacks.methods == ["ResolveOxid2", "SetStatus", "RemRelease"]


@pytest.mark.requirement("WMI-3.1.4.2.2-09", "WMI-3.2.4.1.2-01")
async def test_a_failure_brings_its_error_object() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.namespace.produce = gives(error=NotFound("it is gone"))
        sink = RecordingSink()
        await services.call("DeleteInstanceAsync", **DELETE, sink=loop.sink(sink))
        await asyncio.wait_for(sink.freed.wait(), 5)
        ((_, flags, status, text, error),) = sink.calls
        assert (flags, status, text) == (0, WbemStatus.WBEM_E_NOT_FOUND, None)
        assert error["Description"] == "it is gone"


@pytest.mark.requirement("WMI-3.1.1.1.3-08", "WMI-3.1.4.3.15-05", "WMI-3.2.4.1.2-05")
@pytest.mark.parametrize("flags", [0, 0x80])
async def test_progress_only_for_those_who_want_it(flags: int) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        sink = RecordingSink()
        go_on = asyncio.Event()

        async def produce(operation: Operation) -> None:
            operation.report(Progress(3, 10, "busy"))
            await go_on.wait()

        loop.namespace.produce = produce
        await services.call("DeleteInstanceAsync", **{**DELETE, "flags": flags}, sink=loop.sink(sink))
        if flags:
            await sink.called.wait()
        for _ in range(50):  # until nothing more would come by itself
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait_for(sink.freed.wait(), 5)
        progress = [("set_status", 2, 10 << 16 | 3, "busy", None)] if flags else []
        assert sink.calls == [*progress, ("set_status", 0, 0, None, None)]


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("GetObjectAsync", {"path": "x"}),
    ("PutClassAsync", {"object": None}),
    ("DeleteClassAsync", {"class_name": "x"}),
    ("CreateClassEnumAsync", {"superclass": "x"}),
    ("PutInstanceAsync", {"object": None}),
    ("DeleteInstanceAsync", {"path": "x"}),
    ("CreateInstanceEnumAsync", {"class_name": "x"}),
    ("ExecQueryAsync", {"language": "WQL", "query": "x"}),
    ("ExecMethodAsync", {"path": "x", "method": "m", "parameters": None}),
]


@pytest.mark.requirement("WMI-3.1.1.1.3-02", "WMI-3.1.1.1.3-03")
@pytest.mark.parametrize(("method", "values"), REFUSED, ids=[row[0] for row in REFUSED])
async def test_a_refused_call_leaves_its_sink_as_it_was(method: str, values: dict[str, Any]) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.namespace.refuse = AccessDenied("no")
        refused = await services.refused(method, **values, flags=0, context=None)
        assert refused == WbemStatus.WBEM_E_ACCESS_DENIED


@pytest.mark.parametrize("method", ["PutClassAsync", "PutInstanceAsync", "ExecMethodAsync"])
async def test_so_does_a_call_with_the_wrong_object(method: str) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        wrong = loop.objects.marshal(thing("a") if method == "PutClassAsync" else THING)
        values: dict[str, Any] = {"object": wrong}
        if method == "ExecMethodAsync":
            values = {"path": "x", "method": "m", "parameters": wrong}
        refused = await services.refused(method, **values, flags=0, context=None)
        assert refused == WbemStatus.WBEM_E_INVALID_PARAMETER


@pytest.mark.requirement("WMI-3.1.4-09")
@pytest.mark.parametrize("method", ["PutClassAsync", "PutInstanceAsync"])
async def test_so_does_a_call_with_an_object_that_is_none(method: str) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        assert await services.refused(method, object=b"MEOW", flags=0, context=None) == WbemStatus.WBEM_E_INVALID_OBJECT


async def test_so_does_a_call_with_malformed_octets() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        sink = RecordingSink()
        kept = loop.sink(sink)
        before = loop.references
        with pytest.raises(RpcFault) as caught:
            await services.call("DeleteInstanceAsync", path="x", context=b"MEOW", flags=0, sink=loop.sink(sink))
        assert caught.value.status == HResult.RPC_X_BAD_STUB_DATA
        await loop.quiet()
        assert (loop.references, sink.calls) == (before, [])
        assert kept


@pytest.mark.requirement("WMI-3.1.4.3.15-11")
@pytest.mark.parametrize(("method", "values"), REFUSED, ids=[row[0] for row in REFUSED])
async def test_a_null_sink(method: str, values: dict[str, Any]) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        response = await services.call(method, **values, flags=0, context=None, sink=None)
        assert response.status == WbemStatus.WBEM_E_INVALID_PARAMETER
        explained = loop.objects.error_of(response.that)
        assert explained is not None
        assert "pResponseHandler" in explained["Description"]
        assert loop.namespace.requests == []


@pytest.mark.requirement("WMI-3.1.1.1.3-07", "WMI-3.2.4.1.1-08")
async def test_a_sink_that_fails_cancels_its_operation() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        sink = RecordingSink()
        sink.answer = 0x80041001
        loop.namespace.produce = Held(thing("a"))
        await services.call("GetObjectAsync", path="x", flags=0, context=None, sink=loop.sink(sink))
        await asyncio.wait_for(sink.freed.wait(), 5)
        (operation,) = loop.namespace.operations
        assert operation.outcome is not None
        assert operation.outcome.status == WbemStatus.WBEM_E_CALL_CANCELLED
        assert [call[0] for call in sink.calls] == ["indicate", "set_status"]


@pytest.mark.requirement("WMI-3.1.1.1.3-07")
async def test_a_client_that_cannot_be_reached_cancels_its_operation() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.callbacks.broken = lambda invoked: ConnectError("gone")
        loop.namespace.produce = Held(thing("a"))
        await services.call("GetObjectAsync", path="x", flags=0, context=None, sink=loop.sink(RecordingSink()))
        await loop.quiet()
        (operation,) = loop.namespace.operations
        assert operation.outcome is not None
        assert operation.outcome.status == WbemStatus.WBEM_E_CALL_CANCELLED


# -- cancelling


@pytest.mark.requirement("WMI-3.1.4.3.2-05", "WMI-3.1.4.3.2-07", "WMI-3.1.4.3.2-10")
async def test_cancelling_what_uses_a_sink() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        sink, other = RecordingSink(), RecordingSink()
        held = loop.namespace.produce = Held()
        for used in (sink, sink, other):
            assert (await services.call("DeleteInstanceAsync", **DELETE, sink=loop.sink(used))).status == 0
        await held.started.wait()
        assert (await services.call("CancelAsyncCall", sink=loop.sink(sink))).status == 0
        await asyncio.wait_for(sink.freed.wait(), 5)
        assert [call[:3] for call in sink.calls] == [("set_status", 0, WbemStatus.WBEM_E_CALL_CANCELLED)] * 2
        assert other.calls == []
        held.go_on.set()
        await asyncio.wait_for(other.freed.wait(), 5)
        assert other.calls == [("set_status", 0, 0, None, None)]


@pytest.mark.requirement("WMI-3.1.4.3.2-02", "WMI-3.1.4.3.2-06", "WMI-3.1.4.3.2-11")
async def test_cancelling_what_nobody_runs() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        sink = RecordingSink()
        kept = loop.sink(sink)
        before = loop.references
        assert (await services.call("CancelAsyncCall", sink=loop.sink(sink))).status == WbemStatus.WBEM_E_NOT_FOUND
        await loop.quiet()
        assert (loop.references, sink.calls) == (before, [])
        assert kept
        with pytest.raises(RpcFault):
            await services.call("CancelAsyncCall", sink=loop.objects.marshal(THING))


async def test_anothers_operations_cannot_be_cancelled() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        sink = RecordingSink()
        loop.namespace.produce = Held()
        await services.call("DeleteInstanceAsync", **DELETE, sink=loop.sink(sink))
        caller, other = loop.transport.caller, replace(OTHER, address=CLIENT.host)
        loop.transport.caller = other
        loop.namespaces._login = None
        others = await loop.services()
        assert (await others.call("CancelAsyncCall", sink=loop.sink(sink))).status == WbemStatus.WBEM_E_NOT_FOUND
        loop.transport.caller = caller
        assert sink.calls == []
        assert (await services.call("CancelAsyncCall", sink=loop.sink(sink))).status == 0
        await asyncio.wait_for(sink.freed.wait(), 5)


# -- SinkStub


class Receiver:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.error: WbemError | None = None

    async def indicate(self, objects: Sequence[CimObject]) -> None:
        if self.error is not None:
            raise self.error
        self.calls.append(("indicate", [o["Id"] for o in objects if isinstance(o, Instance)]))

    async def progress(self, current: int, total: int, text: str | None) -> None:
        self.calls.append(("progress", current, total, text))

    async def finished(self, status: int, text: str | None, error: Instance | None) -> None:
        self.calls.append(("finished", status, text, None if error is None else error.to_dict()))

    def abandoned(self) -> None:
        self.calls.append(("abandoned",))


class Stubbed:
    """A `SinkStub`, called as a server calls it."""

    def __init__(self, loop: Loopback) -> None:
        self.loop = loop
        self.receiver = Receiver()
        self.stub = SinkStub(self.receiver, loop.objects)
        self.ipid = loop.importer.unmarshal(loop.sink(self.stub), Reach(CLIENT.host)).std.ipid

    async def call(self, method: str, **values: Any) -> int:
        caller = self.loop.callbacks.caller
        answer = await call_method(self.loop.client, IWbemObjectSink, method, self.ipid, caller=caller, **values)
        status: int = answer["result"]
        return status

    async def set_status(self, flags: int, status: int, text: str | None = None, error: bytes | None = None) -> int:
        return await self.call("SetStatus", flags=flags, status=status, text=text, error=error)


@pytest.mark.requirement("WMI-3.1.4.2.2-01", "WMI-3.1.4.2.2-02", "WMI-3.1.4.2.2-11", "WMI-3.1.4.2.1-06")
@pytest.mark.requirement("WMI-3.1.4.2.1-04", "WMI-3.1.4.2.2-10")
async def test_what_a_clients_sink_makes_of_calls() -> None:
    async with Loopback() as loop:
        it = Stubbed(loop)
        objects = tuple(loop.objects.marshal(thing(name)) for name in "ab")
        error = EXTENDED.new(Description="why", StatusCode=5, Operation="x")
        assert await it.call("Indicate", objects=(*objects, None)) == 0
        assert await it.set_status(2, 10 << 16 | 3, "busy") == 0
        assert await it.set_status(0, 0x80041002, "text", loop.objects.marshal(error)) == 0
        assert it.receiver.calls == [
            ("indicate", ["a", "b"]),
            ("progress", 3, 10, "busy"),
            ("finished", 0x80041002, "text", error.to_dict()),
        ]


@pytest.mark.requirement("WMI-3.1.4.2.2-03")
@pytest.mark.parametrize("flags", [1, 3, 4, 0x80, 0xFFFFFFFF])
async def test_other_flags_of_set_status_are_an_error(flags: int) -> None:
    async with Loopback() as loop:
        it = Stubbed(loop)
        assert await it.set_status(flags, 0) == WbemStatus.WBEM_E_INVALID_PARAMETER
        assert it.receiver.calls == []


async def test_what_comes_after_the_end() -> None:
    async with Loopback() as loop:
        it = Stubbed(loop)
        assert await it.set_status(0, 0) == 0
        assert await it.set_status(0, 0x80041001) == WbemStatus.WBEM_E_UNEXPECTED
        assert await it.set_status(2, 5) == WbemStatus.WBEM_E_UNEXPECTED
        assert await it.call("Indicate", objects=(loop.objects.marshal(thing("a")),)) == 0
        assert it.receiver.calls == [("finished", 0, None, None)]


@pytest.mark.parametrize("error", [b"", b"MEOW", "a class"])
async def test_the_end_is_told_whatever_is_wrong_with_its_error_object(error: Any) -> None:
    async with Loopback() as loop:
        it = Stubbed(loop)
        octets = loop.objects.marshal(THING) if error == "a class" else error
        assert await it.set_status(0, 0x80041002, None, octets) == 0
        assert it.receiver.calls == [("finished", 0x80041002, None, None)]


@pytest.mark.parametrize("told", [False, True])
async def test_a_server_that_lets_go_of_the_sink(told: bool) -> None:
    async with Loopback() as loop:
        it = Stubbed(loop)
        if told:
            await it.set_status(0, 0)
        loop.client.exporter.revoke(it.stub)
        await loop.quiet()
        assert it.receiver.calls == [("finished", 0, None, None) if told else ("abandoned",)]


async def test_a_receiver_that_wants_no_more() -> None:
    async with Loopback() as loop:
        it = Stubbed(loop)
        it.receiver.error = NotFound("over")
        assert await it.call("Indicate", objects=(loop.objects.marshal(thing("a")),)) == WbemStatus.WBEM_E_NOT_FOUND


async def test_a_sink_is_called_as_well_protected_as_the_call_that_brought_it() -> None:
    """And not as the activation was: results may be from a namespace that requires encryption."""
    async with Loopback(replace(CALLER, level=AuthenticationLevel.INTEGRITY)) as loop:
        services = await loop.services()
        loop.transport.caller = replace(CALLER, level=AuthenticationLevel.PRIVACY)
        sink = RecordingSink()
        await services.call("DeleteInstanceAsync", **DELETE, sink=loop.sink(sink))
        await asyncio.wait_for(sink.ended.wait(), 5)
        await loop.quiet()
        assert [caller.level for caller in loop.ways_back] == [AuthenticationLevel.PRIVACY]
