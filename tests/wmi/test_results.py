"""Enumerators and call results: what they hand out, in which portions, and when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from openwmi.cim import Instance
from openwmi.dcom.importer import Reference, Response
from openwmi.errors import NotFound, RpcFault
from openwmi.rpc.ndr import Slot
from openwmi.status import HResult, WbemStatus
from openwmi.wmi.interfaces import IEnumWbemClassObject, IWbemCallResult
from tests.dcom.support import OTHER

from .loopback import Held, Loopback, RecordingSink, Services, gives, thing, things

MORE = WbemStatus.WBEM_S_TIMEDOUT
END = WbemStatus.WBEM_S_FALSE


class Enumerator:
    """An enumerator, semisynchronous unless the flags say otherwise."""

    def __init__(self, loop: Loopback, services: Services, reference: Reference) -> None:
        self.loop = loop
        self.services = services
        self.reference = reference

    @classmethod
    async def start(cls, loop: Loopback, flags: int = 0x30) -> Enumerator:
        services = await loop.services()
        response = await services.call("CreateInstanceEnum", class_name="Thing", flags=flags, context=None)
        assert response.status == 0
        return cls(loop, services, services.unmarshal(response.values["enumerator"]))

    async def call(self, method: str, /, **values: Any) -> Response:
        return await self.services.on(self.reference, IEnumWbemClassObject, method, **values)

    async def next(self, count: int, timeout: int = -1) -> tuple[int, list[str]]:
        """The status, and the objects' keys."""
        response = await self.call("Next", timeout=timeout, count=count)
        octets = response.values["objects"]
        assert response.values["returned"] == len(octets)
        found = [self.loop.objects.unmarshal(o) for o in octets]
        return response.status, [o["Id"] for o in found if isinstance(o, Instance)]


@pytest.mark.requirement(
    "WMI-3.1.4.4.2-01", "WMI-3.1.4.4.2-02", "WMI-3.1.4.4.2-03", "WMI-3.1.4.4.2-07", "WMI-3.1.4.4.2-10",
    "WMI-3.1.4.4.2-16", "WMI-3.1.4.4.2-18", "WMI-3.1.4.4.2-19",
)  # fmt: skip
@pytest.mark.parametrize("flags", [0x20, 0x30])
async def test_portions(flags: int) -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(5))
        it = await Enumerator.start(loop, flags)
        assert await it.next(2) == (0, ["thing 0", "thing 1"])
        assert await it.next(1) == (0, ["thing 2"])
        assert await it.next(3) == (END, ["thing 3", "thing 4"])
        assert await it.next(3) == (END, [])


@pytest.mark.requirement("WMI-3.1.4.4.2-18")
async def test_the_end_at_once_and_exactly() -> None:
    async with Loopback() as loop:
        it = await Enumerator.start(loop)
        assert await it.next(1) == (END, [])
        loop.namespace.produce = gives(*things(2))
        it = await Enumerator.start(loop)
        assert await it.next(2) == (0, ["thing 0", "thing 1"])
        assert await it.next(2) == (END, [])


@pytest.mark.requirement("WMI-3.1.4.4.2-06", "WMI-3.1.4.4.2-17", "WMI-3.1.4.4.2-20", "WMI-3.1.4.4.2-22")
async def test_what_is_there_when_the_time_is_up() -> None:
    async with Loopback() as loop:
        held = loop.namespace.produce = Held(*things(2))
        it = await Enumerator.start(loop)
        await held.started.wait()
        assert await it.next(5, timeout=0) == (MORE, ["thing 0", "thing 1"])
        assert await it.next(5, timeout=1) == (MORE, [])
        held.go_on.set()
        assert await it.next(5) == (END, [])


@pytest.mark.requirement("WMI-3.1.4.4.2-24", "WMI-3.1.4.4.2-25")
async def test_a_failure_comes_after_the_results() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(2), error=NotFound("it broke"))
        it = await Enumerator.start(loop)
        # S_FALSE would be the end, and the failure would be lost.
        assert await it.next(5) == (MORE, ["thing 0", "thing 1"])
        for _ in range(2):
            response = await it.call("Next", timeout=-1, count=5)
            assert (response.status, response.values["returned"]) == (WbemStatus.WBEM_E_NOT_FOUND, 0)
            explained = loop.objects.error_of(response.that)
            assert explained is not None
            assert explained["Description"] == "it broke"


async def test_an_answer_holds_at_most_a_thousand_objects() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*[thing("same")] * 1500)
        it = await Enumerator.start(loop)
        status, found = await it.next(0xFFFF)
        assert (status, len(found)) == (MORE, 1000)
        status, found = await it.next(0xFFFF)
        assert (status, len(found)) == (END, 500)


async def test_none_at_all_cannot_be_asked_for() -> None:
    async with Loopback() as loop:
        it = await Enumerator.start(loop)
        response = await it.call("Next", timeout=0, count=0)
        assert (response.status, response.values) == (
            WbemStatus.WBEM_E_INVALID_PARAMETER,
            {"objects": (), "returned": 0},
        )


@pytest.mark.requirement("WMI-3.1.4.4.5-01", "WMI-3.1.4.4.5-04", "WMI-3.1.4.4.5-13", "WMI-3.1.4.4.5-17")
async def test_passing_over() -> None:
    async with Loopback() as loop:
        held = loop.namespace.produce = Held(*things(5))
        it = await Enumerator.start(loop)
        await held.started.wait()
        assert (await it.call("Skip", timeout=-1, count=2)).status == 0
        assert await it.next(1) == (0, ["thing 2"])
        assert (await it.call("Skip", timeout=0, count=5)).status == MORE
        held.go_on.set()
        assert (await it.call("Skip", timeout=-1, count=5)).status == END


async def test_going_back_is_not_there_yet() -> None:
    async with Loopback() as loop:
        it = await Enumerator.start(loop)
        assert (await it.call("Reset")).status == WbemStatus.WBEM_E_NOT_SUPPORTED
        assert (await it.call("Clone")).status == WbemStatus.WBEM_E_NOT_SUPPORTED
        sink = RecordingSink()
        response = await it.call("NextAsync", count=1, sink=loop.sink(sink))
        assert response.status == WbemStatus.WBEM_E_NOT_SUPPORTED
        await asyncio.wait_for(sink.freed.wait(), 5)
        assert sink.calls == []


@pytest.mark.requirement("WMI-3.1.1.1.2.1-10", "WMI-3.1.1.1.2.1-11")
async def test_an_enumerator_that_is_released_cancels_what_still_runs() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = Held(*things(2))
        it = await Enumerator.start(loop)
        (operation,) = loop.namespace.operations
        assert operation.outcome is None
        await loop.importer.release(it.reference, reach=loop.namespaces._link.reach, timeout=1.0)
        await loop.quiet()
        assert operation.outcome is not None
        assert operation.outcome.status == WbemStatus.WBEM_E_CALL_CANCELLED
        with pytest.raises(RpcFault):
            await it.next(1)


@pytest.mark.requirement("WMI-3.1.4.4.2-15", "WMI-3.1.4.4.5-08")
async def test_anothers_enumerator_is_out_of_reach() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(2))
        it = await Enumerator.start(loop)
        caller, loop.transport.caller = loop.transport.caller, OTHER
        for method, values in (
            ("Next", {"timeout": 0, "count": 1}),
            ("Skip", {"timeout": 0, "count": 1}),
            ("Reset", {}),
        ):
            with pytest.raises(RpcFault) as caught:
                await it.call(method, **values)
            assert caught.value.status == HResult.ERROR_ACCESS_DENIED
        loop.transport.caller = caller
        assert await it.next(1) == (0, ["thing 0"])


# -- call results


class Result:
    """An IWbemCallResult."""

    def __init__(self, loop: Loopback, services: Services, reference: Reference) -> None:
        self.loop = loop
        self.services = services
        self.reference = reference

    @classmethod
    async def start(cls, loop: Loopback, method: str = "GetObject") -> Result:
        services = await loop.services()
        values: dict[str, Any] = {"path": "Thing", "object": None}
        if method == "PutInstance":
            values = {"object": loop.objects.marshal(thing("a"))}
        response = await services.call(method, flags=0x10, context=None, call_result=Slot(), **values)
        assert response.status == 0
        return cls(loop, services, services.unmarshal(response.values["call_result"].content))

    async def call(self, method: str, timeout: int = -1) -> Response:
        return await self.services.on(self.reference, IWbemCallResult, method, timeout=timeout)


@pytest.mark.requirement(
    "WMI-3.1.4.5.1-01", "WMI-3.1.4.5.1-14", "WMI-3.1.4.5.1-17", "WMI-3.1.4.5.4-01", "WMI-3.1.4.5.4-11",
    "WMI-3.1.4.5.4-13",
)  # fmt: skip
async def test_a_call_result_with_an_object() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(thing("a", 3))
        it = await Result.start(loop)
        for _ in range(2):  # a logical copy each time
            response = await it.call("GetResultObject")
            found = loop.objects.unmarshal(response.values["object"])
            assert isinstance(found, Instance)
            assert (response.status, found["Id"]) == (0, "a")
        response = await it.call("GetCallStatus")
        assert (response.status, response.values) == (0, {"status": 0})


@pytest.mark.requirement("WMI-3.1.4.5.2-01", "WMI-3.1.4.5.2-16", "WMI-3.1.4.5.2-19")
async def test_a_call_result_with_a_path() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(text='Thing.Id="a"')
        it = await Result.start(loop, "PutInstance")
        response = await it.call("GetResultString")
        assert (response.status, response.values) == (0, {"text": 'Thing.Id="a"'})
        response = await it.call("GetResultObject")
        assert (response.status, response.values) == (WbemStatus.WBEM_E_INVALID_OPERATION, {"object": None})


@pytest.mark.requirement("WMI-3.1.4.5.2-08", "WMI-3.1.4.5.2-18", "WMI-3.1.4.5.3-07")
async def test_what_an_operation_does_not_give() -> None:
    async with Loopback() as loop:
        it = await Result.start(loop)
        for method, name in (("GetResultString", "text"), ("GetResultServices", "services")):
            response = await it.call(method)
            assert (response.status, response.values) == (WbemStatus.WBEM_E_INVALID_OPERATION, {name: None})


@pytest.mark.requirement(
    "WMI-3.1.4.5.1-05", "WMI-3.1.4.5.1-15", "WMI-3.1.4.5.1-18", "WMI-3.1.4.5.2-15", "WMI-3.1.4.5.2-21",
    "WMI-3.1.4.5.4-10",
)  # fmt: skip
@pytest.mark.parametrize("timeout", [0, 1])
async def test_an_operation_that_still_runs(timeout: int) -> None:
    async with Loopback() as loop:
        held = loop.namespace.produce = Held(thing("a"), text="path")
        it = await Result.start(loop)
        await held.started.wait()
        for method, values in (
            ("GetCallStatus", {"status": 0}),
            ("GetResultObject", {"object": None}),
            ("GetResultString", {"text": None}),
        ):
            response = await it.call(method, timeout)
            assert (response.status, response.values) == (MORE, values)
        held.go_on.set()
        assert (await it.call("GetResultString")).values == {"text": "path"}
        assert (await it.call("GetResultObject", 0)).values["object"] is not None


@pytest.mark.requirement(
    "WMI-3.1.4.5.1-06", "WMI-3.1.4.5.1-19", "WMI-3.1.4.5.2-06", "WMI-3.1.4.5.2-22", "WMI-3.1.4.5.4-03"
)  # fmt: skip
async def test_an_operation_that_failed() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(error=NotFound("it is gone"))
        it = await Result.start(loop)
        response = await it.call("GetCallStatus")
        assert (response.status, response.values) == (0, {"status": WbemStatus.WBEM_E_NOT_FOUND})
        explained = loop.objects.error_of(response.that)
        assert explained is not None
        assert explained["Description"] == "it is gone"
        for method, name in (("GetResultObject", "object"), ("GetResultString", "text")):
            response = await it.call(method)
            assert (response.status, response.values) == (WbemStatus.WBEM_E_NOT_FOUND, {name: None})
            assert loop.objects.error_of(response.that) is not None


async def test_letting_go_of_a_call_result_does_not_undo_the_operation() -> None:
    async with Loopback() as loop:
        held = loop.namespace.produce = Held()
        it = await Result.start(loop, "PutInstance")
        await loop.importer.release(it.reference, reach=loop.namespaces._link.reach, timeout=1.0)
        await loop.quiet()
        (operation,) = loop.namespace.operations
        assert operation.outcome is None
        held.go_on.set()
        assert (await operation.wait()).status == 0
