"""Enumerators and call results: what they hand out, in which portions, and when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from openwmi.cim import Instance
from openwmi.dcom.importer import Reference, Response
from openwmi.errors import NotFound, RpcFault
from openwmi.rpc.ndr import Slot
from openwmi.status import WbemStatus
from openwmi.wmi.interfaces import IEnumWbemClassObject, IWbemCallResult
from tests.dcom.support import OTHER

from .loopback import Held, Loopback, RecordingSink, Services, gives, thing, things

# The methods that give an enumerator, each with the values that are its own.
MANY: dict[str, dict[str, str]] = {
    "CreateClassEnum": {"superclass": "Thing"},
    "CreateInstanceEnum": {"class_name": "Thing"},
    "ExecQuery": {"language": "WQL", "query": "SELECT * FROM Thing"},
}
MORE = WbemStatus.WBEM_S_TIMEDOUT
END = WbemStatus.WBEM_S_FALSE


async def settle() -> None:
    """Lets every task that can run do so."""
    for _ in range(100):
        await asyncio.sleep(0)


class Enumerator:
    """An enumerator, semisynchronous unless the flags say otherwise."""

    def __init__(self, loop: Loopback, services: Services, reference: Reference) -> None:
        self.loop = loop
        self.services = services
        self.reference = reference

    @classmethod
    async def start(cls, loop: Loopback, flags: int = 0x30, method: str = "CreateInstanceEnum") -> Enumerator:
        services = await loop.services()
        response = await services.call(method, **MANY[method], flags=flags, context=None)
        assert response.status == 0
        return cls(loop, services, services.unmarshal(response.values["enumerator"]))

    def of(self, octets: bytes | None) -> Enumerator:
        """Another enumerator, by its reference."""
        return Enumerator(self.loop, self.services, self.services.unmarshal(octets))

    async def clone(self) -> Enumerator:
        response = await self.call("Clone")
        assert response.status == 0
        return self.of(response.values["enumerator"])

    async def release(self) -> None:
        await self.loop.importer.release(self.reference, reach=self.loop.namespaces._link.reach, timeout=1.0)

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
    "WMI-3.1.4.4.2-01", "WMI-3.1.4.4.2-02", "WMI-3.1.4.4.2-03", "WMI-3.1.4.4.2-07", "WMI-3.1.4.4.2-08",
    "WMI-3.1.4.4.2-10", "WMI-3.1.4.4.2-12", "WMI-3.1.4.4.2-13", "WMI-3.1.4.4.2-14", "WMI-3.1.4.4.2-16",
    "WMI-3.1.4.4.2-18", "WMI-3.1.4.4.2-19", "WMI-3.1.4.4.2-21",
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


@pytest.mark.requirement(
    "WMI-3.1.4.4.2-04", "WMI-3.1.4.4.2-06", "WMI-3.1.4.4.2-17", "WMI-3.1.4.4.2-20", "WMI-3.1.4.4.2-22",
    "WMI-3.1.4.4.2-23",
)  # fmt: skip
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


@pytest.mark.requirement("WMI-3.1.4.4.2-05", "WMI-3.1.4.4.2-20", "WMI-3.1.4.4.5-16")
@pytest.mark.parametrize("method", ["Next", "Skip"])
async def test_waiting_without_limit(method: str) -> None:
    async with Loopback() as loop:
        held = loop.namespace.produce = Held()
        it = await Enumerator.start(loop)
        waiting = asyncio.ensure_future(it.call(method, timeout=-1, count=2))
        await held.started.wait()
        (operation,) = loop.namespace.operations
        await operation.deliver(things(1))
        await settle()
        assert not waiting.done()
        await operation.deliver(things(3)[1:])
        assert (await waiting).status == 0
        assert await it.next(1) == (0, ["thing 2"])
        held.go_on.set()


@pytest.mark.requirement(
    "WMI-3.1.4.4.5-01", "WMI-3.1.4.4.5-02", "WMI-3.1.4.4.5-03", "WMI-3.1.4.4.5-04", "WMI-3.1.4.4.5-05",
    "WMI-3.1.4.4.5-06", "WMI-3.1.4.4.5-07", "WMI-3.1.4.4.5-09", "WMI-3.1.4.4.5-10", "WMI-3.1.4.4.5-11",
    "WMI-3.1.4.4.5-12", "WMI-3.1.4.4.5-13", "WMI-3.1.4.4.5-14", "WMI-3.1.4.4.5-15", "WMI-3.1.4.4.5-16",
    "WMI-3.1.4.4.5-17", "WMI-3.1.4.4.5-18",
)  # fmt: skip
async def test_passing_over() -> None:
    async with Loopback() as loop:
        held = loop.namespace.produce = Held(*things(5))
        it = await Enumerator.start(loop, 0x10)
        await held.started.wait()
        assert await it.next(1) == (0, ["thing 0"])
        assert (await it.call("Skip", timeout=-1, count=2)).status == 0
        assert await it.next(1) == (0, ["thing 3"])
        # One is left, and the operation runs: with and without waiting for more.
        assert (await it.call("Skip", timeout=0, count=5)).status == MORE
        assert (await it.call("Skip", timeout=1, count=5)).status == MORE
        held.go_on.set()
        assert (await it.call("Skip", timeout=-1, count=5)).status == END
        assert (await it.call("Reset")).status == 0
        assert (await it.call("Skip", timeout=0, count=4)).status == 0
        assert (await it.call("Skip", timeout=0, count=2)).status == END
        assert await it.next(1) == (END, [])


RESULTS = ["thing 0", "thing 1", "thing 2", "thing 3", "thing 4"]
CAN_GO_BACK, FORWARD_ONLY = [0x00, 0x10], [0x20, 0x30]


@pytest.mark.requirement(
    "WMI-3.1.4.4.1-01", "WMI-3.1.4.4.1-02", "WMI-3.1.4.4.1-03", "WMI-3.1.4.4.1-05", "WMI-3.1.4.4.1-07",
    "WMI-3.1.4.4.1-09", "WMI-3.1.4.3.10-16", "WMI-3.1.4.3.16-15", "WMI-3.1.4.3.18-15",
)  # fmt: skip
@pytest.mark.parametrize("flags", CAN_GO_BACK)
@pytest.mark.parametrize("method", MANY)
async def test_going_back(method: str, flags: int) -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(5))
        it, other = [await Enumerator.start(loop, flags, method) for _ in range(2)]
        assert await it.next(3) == (0, RESULTS[:3])
        assert await other.next(2) == (0, RESULTS[:2])
        response = await it.call("Reset")
        assert (response.status, response.values) == (0, {})
        assert await it.next(9) == (END, RESULTS)
        assert await it.next(9) == (END, [])
        # The other enumerator is where it was.
        assert await other.next(9) == (END, RESULTS[2:])


@pytest.mark.requirement(
    "WMI-3.1.4.4.4-01", "WMI-3.1.4.4.4-02", "WMI-3.1.4.4.4-04", "WMI-3.1.4.4.4-05", "WMI-3.1.4.4.4-06",
    "WMI-3.1.4.4.4-10", "WMI-3.1.4.4.4-11", "WMI-3.1.4.4.4-12",
)  # fmt: skip
async def test_a_clone_is_where_the_original_was_and_goes_on_by_itself() -> None:
    async with Loopback() as loop:
        held = loop.namespace.produce = Held(*things(5))
        it = await Enumerator.start(loop, 0x10)
        await held.started.wait()
        assert await it.next(2) == (0, RESULTS[:2])
        clone = await it.clone()
        assert await it.next(2) == (0, RESULTS[2:4])
        assert await clone.next(3) == (0, RESULTS[2:])
        again = await clone.clone()
        assert (await clone.call("Reset")).status == 0
        held.go_on.set()
        assert await again.next(1) == (END, [])
        # One is released, and the results stay for the others.
        await it.release()
        await loop.quiet()
        assert await clone.next(9) == (END, RESULTS)


@pytest.mark.requirement(
    "WMI-3.1.1.1.2.1-05", "WMI-3.1.4.4.1-04", "WMI-3.1.4.4.1-08", "WMI-3.1.4.4.1-10", "WMI-3.1.4.4.4-08",
    "WMI-3.1.4.4.4-14",
    "WMI-3.1.4.3.10-17", "WMI-3.1.4.3.16-16", "WMI-3.1.4.3.18-16",
)  # fmt: skip
@pytest.mark.parametrize("flags", FORWARD_ONLY)
@pytest.mark.parametrize("method", MANY)
async def test_no_way_back(method: str, flags: int) -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(5))
        it = await Enumerator.start(loop, flags, method)
        assert await it.next(2) == (0, RESULTS[:2])
        response = await it.call("Reset")
        assert (response.status, response.values) == (WbemStatus.WBEM_E_INVALID_OPERATION, {})
        response = await it.call("Clone")
        assert (response.status, response.values) == (WbemStatus.WBEM_E_INVALID_OPERATION, {"enumerator": None})
        assert await it.next(9) == (END, RESULTS[2:])


@pytest.mark.requirement("WMI-3.1.4.4.4-13", "WMI-3.1.4.4.4-14", "WMI-3.1.4.4.5-19", "WMI-3.1.4.4.5-20")
async def test_a_failed_enumeration_has_no_clones_and_nothing_to_pass_over() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(1), error=NotFound("it broke"))
        it = await Enumerator.start(loop, 0x10)
        assert await it.next(1) == (0, RESULTS[:1])
        await loop.namespace.operations[0].wait()
        for method, values, out in (
            ("Clone", {}, {"enumerator": None}),
            ("Skip", {"timeout": -1, "count": 1}, {}),
        ):
            response = await it.call(method, **values)
            assert (response.status, response.values) == (WbemStatus.WBEM_E_NOT_FOUND, out)
            explained = loop.objects.error_of(response.that)
            assert explained is not None
            assert explained["Description"] == "it broke"


# -- results to a sink


@pytest.mark.requirement(
    "WMI-3.1.4.4.3-01", "WMI-3.1.4.4.3-02", "WMI-3.1.4.4.3-03", "WMI-3.1.4.4.3-05", "WMI-3.1.4.4.3-08",
    "WMI-3.1.4.4.3-09", "WMI-3.1.4.4.3-10", "WMI-3.1.4.4.3-15", "WMI-3.1.4.4.3-17", "WMI-3.1.4.4.3-19",
    "WMI-3.1.4.4.3-20", "WMI-3.1.4.4.3-21",
)  # fmt: skip
async def test_the_next_objects_to_a_sink() -> None:
    async with Loopback() as loop:
        held = loop.namespace.produce = Held(*things(5))
        it = await Enumerator.start(loop)
        first, second = RecordingSink(), RecordingSink()
        assert (await it.call("NextAsync", count=3, sink=loop.sink(first))).status == 0
        await asyncio.wait_for(first.ended.wait(), 5)
        assert first.told == [("indicate", RESULTS[:3]), ("set_status", 0)]
        assert (await it.call("NextAsync", count=3, sink=loop.sink(second))).status == 0
        await held.started.wait()
        assert second.told == []
        held.go_on.set()
        await asyncio.wait_for(second.ended.wait(), 5)
        assert second.told == [("indicate", RESULTS[3:]), ("set_status", END)]
        assert await it.next(1) == (END, [])
        await loop.quiet()
        assert loop.references == 0


@pytest.mark.requirement("WMI-3.1.4.4.3-18", "WMI-3.1.4.4.3-22")
async def test_a_sink_is_told_of_a_failure() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(1), error=NotFound("it broke"))
        it = await Enumerator.start(loop)
        for indicated in ([("indicate", RESULTS[:1])], []):
            sink = RecordingSink()
            assert (await it.call("NextAsync", count=3, sink=loop.sink(sink))).status == 0
            await asyncio.wait_for(sink.ended.wait(), 5)
            assert sink.told == [*indicated, ("set_status", WbemStatus.WBEM_E_NOT_FOUND)]
            assert sink.calls[-1][-1]["Description"] == "it broke"
        await loop.quiet()
        assert loop.references == 0


@pytest.mark.requirement(
    "WMI-3.1.4.4.3-04", "WMI-3.1.4.4.3-06", "WMI-3.1.4.4.3-07", "WMI-3.1.4.4.3-13", "WMI-3.1.4.4.3-14",
    "WMI-3.1.4.4.3-16",
)  # fmt: skip
async def test_a_sink_that_is_not_used() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = Held()
        it = await Enumerator.start(loop)
        assert (await it.call("NextAsync", count=1, sink=None)).status == WbemStatus.WBEM_E_INVALID_PARAMETER
        sink = RecordingSink()
        assert (await it.call("NextAsync", count=0, sink=loop.sink(sink))).status == END
        await loop.quiet()
        # As many as may wait for one enumerator, and one more.
        waiting = [RecordingSink() for _ in range(64)]
        for each in waiting:
            assert (await it.call("NextAsync", count=1, sink=loop.sink(each))).status == 0
        response = await it.call("NextAsync", count=1, sink=loop.sink(sink))
        assert response.status == WbemStatus.WBEM_E_QUOTA_VIOLATION
        await asyncio.wait_for(sink.freed.wait(), 5)
        assert sink.calls == []
        await it.release()
        await loop.quiet()
        assert [each.told for each in waiting] == [[("set_status", WbemStatus.WBEM_E_CALL_CANCELLED)]] * 64
        assert loop.references == 0


@pytest.mark.requirement("WMI-3.1.4.4.3-12", "WMI-3.1.4.4.4-09")
async def test_calls_on_one_enumerator_work_one_after_another() -> None:
    async with Loopback() as loop:
        held = loop.namespace.produce = Held(*things(2), *things(5)[2:])
        it = await Enumerator.start(loop, 0x10)
        await held.started.wait()
        sink = RecordingSink()
        assert (await it.call("Skip", timeout=0, count=3)).status == 0
        # Two are there, three are wanted: everybody else waits for the sink.
        assert (await it.call("NextAsync", count=3, sink=loop.sink(sink))).status == 0
        read = asyncio.ensure_future(it.next(1))
        reset, cloned = (asyncio.ensure_future(it.call(method)) for method in ("Reset", "Clone"))
        again = asyncio.ensure_future(it.next(1))
        await settle()
        assert not any(each.done() for each in (read, reset, cloned, again))
        assert sink.told == []
        held.go_on.set()
        assert await read == (END, [])
        assert await again == (0, RESULTS[:1])
        assert sink.told == [("indicate", RESULTS[3:]), ("set_status", END)]
        assert (await reset).status == 0
        assert await it.of((await cloned).values["enumerator"]).next(1) == (0, RESULTS[:1])


# -- synchronous calls


@pytest.mark.requirement(
    "WMI-3.1.1.1.1-01", "WMI-3.1.1.1.1-02", "WMI-3.1.4.3.10-12", "WMI-3.1.4.3.10-29", "WMI-3.1.4.3.16-09",
    "WMI-3.1.4.3.16-29", "WMI-3.1.4.3.18-09", "WMI-3.1.4.3.18-22", "WMI-3.1.4.3.18-46",
)  # fmt: skip
@pytest.mark.parametrize("flags", [0x00, 0x20])
@pytest.mark.parametrize("method", MANY)
async def test_a_synchronous_call_returns_when_everything_is_there(method: str, flags: int) -> None:
    async with Loopback() as loop:
        # More than an operation holds by itself: somebody has to take them meanwhile.
        held = loop.namespace.produce = Held(*[thing("same")] * 2500)
        starting = asyncio.ensure_future(Enumerator.start(loop, flags, method))
        await held.started.wait()
        assert not starting.done()
        held.go_on.set()
        it = await starting
        assert loop.namespace.operations[0].outcome is not None
        counts = [await it.next(1000, 0) for _ in range(3)]
        assert [(status, len(found)) for status, found in counts] == [(0, 1000), (0, 1000), (END, 500)]


@pytest.mark.requirement("WMI-3.1.4.3.10-31", "WMI-3.1.4.3.16-31", "WMI-3.1.4.3.18-48")
@pytest.mark.parametrize("method", MANY)
@pytest.mark.parametrize("results", [0, 3])
async def test_a_synchronous_call_tells_how_the_operation_ended(method: str, results: int) -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(results), error=NotFound("it broke"))
        services = await loop.services()
        before = len(loop.server.exporter)
        response = await services.call(method, **MANY[method], flags=0, context=None)
        assert (response.status, response.values) == (WbemStatus.WBEM_E_NOT_FOUND, {"enumerator": None})
        assert loop.objects.error_of(response.that) is not None
        assert len(loop.server.exporter) == before


@pytest.mark.parametrize("flags", [0x00, 0x20, 0x10])
async def test_results_beyond_the_servers_bounds(flags: int) -> None:
    """They are refused rather than cut off, and nothing of them stays."""
    async with Loopback() as loop:
        loop.spools.in_memory, loop.spools.on_disk = 0, 10_000
        loop.namespace.produce = gives(*things(900))
        services = await loop.services()
        response = await services.call("CreateInstanceEnum", class_name="Thing", flags=flags, context=None)
        if flags & 0x10:
            it = Enumerator(loop, services, services.unmarshal(response.values["enumerator"]))
            status, _ = await it.next(900)
            assert status != END
            response = await it.call("Next", timeout=-1, count=900)
        assert response.status == WbemStatus.WBEM_E_QUOTA_VIOLATION


@pytest.mark.requirement("WMI-3.1.1.1.2.1-10", "WMI-3.1.1.1.2.1-11", "WMI-3.1.4.4-04")
async def test_an_enumerator_that_is_released_cancels_what_still_runs() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = Held(*things(2))
        it = await Enumerator.start(loop)
        (operation,) = loop.namespace.operations
        assert operation.outcome is None
        await it.release()
        await loop.quiet()
        assert operation.outcome is not None
        assert operation.outcome.status == WbemStatus.WBEM_E_CALL_CANCELLED
        with pytest.raises(RpcFault):
            await it.next(1)


@pytest.mark.requirement(
    "WMI-3.1.4.4.1-06", "WMI-3.1.4.4.2-15", "WMI-3.1.4.4.3-11", "WMI-3.1.4.4.4-07", "WMI-3.1.4.4.5-08"
)  # fmt: skip
async def test_anothers_enumerator_is_out_of_reach() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(2))
        it = await Enumerator.start(loop, 0x10)
        caller, loop.transport.caller = loop.transport.caller, OTHER
        for method, values in (
            ("Reset", {}),
            ("Next", {"timeout": 0, "count": 1}),
            ("NextAsync", {"count": 1, "sink": None}),
            ("Clone", {}),
            ("Skip", {"timeout": 0, "count": 1}),
        ):
            with pytest.raises(RpcFault) as caught:
                await it.call(method, **values)
            assert caught.value.status == WbemStatus.WBEM_E_ACCESS_DENIED
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
    "WMI-3.1.4.5-01", "WMI-3.1.4.5.1-01", "WMI-3.1.4.5.1-09", "WMI-3.1.4.5.1-10", "WMI-3.1.4.5.1-11",
    "WMI-3.1.4.5.1-14", "WMI-3.1.4.5.1-17", "WMI-3.1.4.5.4-01", "WMI-3.1.4.5.4-05", "WMI-3.1.4.5.4-06",
    "WMI-3.1.4.5.4-07", "WMI-3.1.4.5.4-11", "WMI-3.1.4.5.4-13",
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


@pytest.mark.requirement(
    "WMI-3.1.4.5.2-01", "WMI-3.1.4.5.2-09", "WMI-3.1.4.5.2-10", "WMI-3.1.4.5.2-11", "WMI-3.1.4.5.2-16",
    "WMI-3.1.4.5.2-19",
)  # fmt: skip
async def test_a_call_result_with_a_path() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(text='Thing.Id="a"')
        it = await Result.start(loop, "PutInstance")
        response = await it.call("GetResultString")
        assert (response.status, response.values) == (0, {"text": 'Thing.Id="a"'})
        response = await it.call("GetResultObject")
        assert (response.status, response.values) == (WbemStatus.WBEM_E_INVALID_OPERATION, {"object": None})


# The methods of IWbemCallResult that give something, and under which name.
GIVES = {"GetResultObject": "object", "GetResultString": "text", "GetResultServices": "services"}


@pytest.mark.requirement(
    "WMI-3.1.4.5.2-08", "WMI-3.1.4.5.2-17", "WMI-3.1.4.5.2-18", "WMI-3.1.4.5.2-20", "WMI-3.1.4.5.3-07",
    "WMI-3.1.4.5.3-16", "WMI-3.1.4.5.3-18", "WMI-3.1.4.5.1-16",
)  # fmt: skip
async def test_what_an_operation_does_not_give() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(text="a path")
        for started, given in (("PutInstance", "GetResultString"), ("GetObject", "GetResultObject")):
            if started == "GetObject":
                loop.namespace.produce = gives(thing("a"))
            it = await Result.start(loop, started)
            for method, name in GIVES.items():
                response = await it.call(method)
                if method == given:
                    assert response.status == 0
                else:
                    assert (response.status, response.values) == (WbemStatus.WBEM_E_INVALID_OPERATION, {name: None})


@pytest.mark.requirement(
    "WMI-3.1.4.5.1-02", "WMI-3.1.4.5.1-04", "WMI-3.1.4.5.1-05", "WMI-3.1.4.5.1-15", "WMI-3.1.4.5.1-18",
    "WMI-3.1.4.5.2-02", "WMI-3.1.4.5.2-15", "WMI-3.1.4.5.2-21", "WMI-3.1.4.5.3-02", "WMI-3.1.4.5.3-14",
    "WMI-3.1.4.5.3-19", "WMI-3.1.4.5.4-02", "WMI-3.1.4.5.4-10",
)  # fmt: skip
@pytest.mark.parametrize("timeout", [0, 1])
async def test_an_operation_that_still_runs(timeout: int) -> None:
    async with Loopback() as loop:
        held = loop.namespace.produce = Held(thing("a"), text="path")
        it = await Result.start(loop)
        await held.started.wait()
        for method, name in GIVES.items():
            response = await it.call(method, timeout)
            assert (response.status, response.values) == (MORE, {name: None})
        response = await it.call("GetCallStatus", timeout)
        assert (response.status, response.values) == (MORE, {"status": 0})
        held.go_on.set()
        assert (await it.call("GetResultString")).values == {"text": "path"}
        response = await it.call("GetResultObject", 0)
        assert response.status == 0
        assert loop.objects.unmarshal(response.values["object"]) == thing("a")


@pytest.mark.requirement(
    "WMI-3.1.4.5.1-03", "WMI-3.1.4.5.1-13", "WMI-3.1.4.5.2-03", "WMI-3.1.4.5.2-14", "WMI-3.1.4.5.3-03",
    "WMI-3.1.4.5.3-13", "WMI-3.1.4.5.4-09",
)  # fmt: skip
@pytest.mark.parametrize("method", [*GIVES, "GetCallStatus"])
@pytest.mark.parametrize("timeout", [-1, 60_000])
async def test_waiting_for_the_end_of_an_operation(method: str, timeout: int) -> None:
    async with Loopback() as loop:
        held = loop.namespace.produce = Held(thing("a"), text="path")
        it = await Result.start(loop)
        waiting = asyncio.ensure_future(it.call(method, timeout))
        await held.started.wait()
        await settle()
        assert not waiting.done()
        held.go_on.set()
        expected = WbemStatus.WBEM_E_INVALID_OPERATION if method == "GetResultServices" else 0
        assert (await waiting).status == expected


@pytest.mark.requirement(
    "WMI-3.1.4.5.1-06", "WMI-3.1.4.5.1-19", "WMI-3.1.4.5.2-06", "WMI-3.1.4.5.2-20", "WMI-3.1.4.5.2-22",
    "WMI-3.1.4.5.3-05", "WMI-3.1.4.5.3-18", "WMI-3.1.4.5.3-20", "WMI-3.1.4.5.4-03", "WMI-3.1.1.1.2.2-05",
)  # fmt: skip
@pytest.mark.parametrize("method", ["GetObject", "PutInstance"])
async def test_an_operation_that_failed(method: str) -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(thing("a"), error=NotFound("it is gone"))
        it = await Result.start(loop, method)
        response = await it.call("GetCallStatus")
        assert (response.status, response.values) == (0, {"status": WbemStatus.WBEM_E_NOT_FOUND})
        explained = loop.objects.error_of(response.that)
        assert explained is not None
        assert explained["Description"] == "it is gone"
        for asked, name in GIVES.items():
            response = await it.call(asked)
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
