"""Result sets and their enumerators: who gets which objects, when, and what stays behind (MS-WMI 3.1.4.4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import CimType, Class, Instance, NameMap, Property
from openwmi.cim.operation import Operation, Outcome
from openwmi.cim.operations import CallContext, EnumerateInstances
from openwmi.cim.results import Enumerator, ResultSet
from openwmi.cim.spool import Spools
from openwmi.errors import ConnectionLost, NotFound, OperationCancelled, WbemError
from openwmi.status import WbemStatus

MORE, END, DONE = WbemStatus.WBEM_S_TIMEDOUT, WbemStatus.WBEM_S_FALSE, WbemStatus.WBEM_S_NO_ERROR
THING = Class("Thing", properties=NameMap([Property("Id", CimType.UINT32)]))
EXTENDED = Class("__ExtendedStatus").new()


class Somebody:
    name = "HOST\\somebody"
    is_administrator = False


def things(count: int, first: int = 0) -> list[Instance]:
    return [THING.new(Id=first + n) for n in range(count)]


def ids(found: Sequence[Any]) -> list[int]:
    return [one["Id"] for one in found]


def operation(capacity: int = 1_000) -> Operation:
    return Operation(EnumerateInstances("Thing"), CallContext(principal=Somebody()), capacity=capacity)


def delivering(count: int, *, capacity: int = 1_000, error: WbemError | None = None) -> Operation:
    async def produce(running: Operation) -> None:
        for first in range(0, count, 10):
            await running.deliver(things(min(10, count - first), first))
        if error is not None:
            raise error

    return operation(capacity).launch(produce, error_object=lambda error: error.extended or EXTENDED)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Sink:
    """Writes down every call; `fails` names the one that raises."""

    def __init__(self, fails: str = "", blocks: asyncio.Event | None = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fails = fails
        self.blocks = blocks

    @property
    def identity(self) -> Hashable:
        return id(self)

    async def _call(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments))
        if self.blocks is not None:
            await self.blocks.wait()
        if name == self.fails:
            raise ConnectionLost("the client is gone")

    async def indicate(self, objects: Sequence[Any]) -> None:
        await self._call("indicate", ids(objects))

    async def set_status(self, kind: int, status: int, text: str | None, error: Instance | None) -> None:
        assert (kind, text) == (0, None)
        await self._call("set_status", status, error)

    async def release(self) -> None:
        await self._call("release")


RELEASED = ("release",)


def next_async(it: Enumerator, count: int, sink: Sink) -> asyncio.Task[None]:
    delivery = it.next_async(count, sink)
    assert delivery is not None
    return asyncio.get_running_loop().create_task(delivery)


@pytest.fixture(params=["in memory", "on disk"])
async def spools(request: pytest.FixtureRequest) -> AsyncIterator[Spools]:
    """Spools that hold nothing at the test's end."""
    made = Spools() if request.param == "in memory" else Spools(in_memory=0)
    yield made
    assert (made.memory_used, made.disk_used) == (0, 0)


# -- next and skip


@pytest.mark.parametrize("forward_only", [True, False])
async def test_portions_and_the_end(spools: Spools, forward_only: bool) -> None:
    running = operation()
    it = ResultSet(running, forward_only=forward_only, spool=spools.open()).enumerator()
    assert await it.next(2, 0) == ([], MORE)
    await running.deliver(things(5))
    found, status = await it.next(2, None)
    assert (ids(found), status) == ([0, 1], DONE)
    found, status = await it.next(2, 0)
    assert (ids(found), status) == ([2, 3], DONE)
    found, status = await it.next(2, 0)
    assert (ids(found), status) == ([4], MORE)
    running.finish(Outcome())
    assert await it.next(2, None) == ([], END)
    await it.close()


async def test_waiting_ends_with_the_last_object_the_end_or_the_time() -> None:
    running = operation()
    it = ResultSet(running).enumerator()
    waiting = asyncio.ensure_future(it.next(3, None))
    await running.deliver(things(2))
    await settle()
    assert not waiting.done()
    await running.deliver(things(2, 2))
    found, status = await waiting
    assert (ids(found), status) == ([0, 1, 2], DONE)
    found, status = await it.next(3, 0.001)
    assert (ids(found), status) == ([3], MORE)
    waiting = asyncio.ensure_future(it.next(3, None))
    await settle()
    running.finish(Outcome())
    assert await waiting == ([], END)
    await it.close()


@pytest.mark.parametrize("forward_only", [True, False])
async def test_a_failure_comes_after_the_results(spools: Spools, forward_only: bool) -> None:
    running = delivering(12, error=NotFound("gone"))
    it = ResultSet(running, forward_only=forward_only, spool=spools.open()).enumerator()
    found, status = await it.next(10, None)
    assert (len(found), status) == (10, DONE)
    found, status = await it.next(5, None)
    # The end would be S_FALSE, and nobody would come back.
    assert (len(found), status) == (2, MORE)
    for _ in range(2):
        with pytest.raises(NotFound):
            await it.next(1, None)
        with pytest.raises(NotFound):
            await it.skip(1, None)
    await it.close()


async def test_a_cancelled_caller_loses_nothing() -> None:
    running = operation()
    it = ResultSet(running).enumerator()
    await running.deliver(things(2))
    waiting = asyncio.ensure_future(it.next(5, None))
    await settle()
    waiting.cancel()
    await asyncio.wait({waiting})
    found, status = await it.next(2, 0)
    assert (ids(found), status) == ([0, 1], DONE)
    await it.close()


async def test_skipping(spools: Spools) -> None:
    running = operation()
    it = ResultSet(running, spool=spools.open()).enumerator()
    await running.deliver(things(900))
    assert await it.skip(600, None) == DONE
    assert ids((await it.next(1, 0))[0]) == [600]
    assert await it.skip(0, 0) == DONE
    assert await it.skip(300, 0) == MORE
    waiting = asyncio.ensure_future(it.skip(3, None))
    await settle()
    await running.deliver(things(2, 900))
    await settle()
    assert not waiting.done()
    running.finish(Outcome())
    assert await waiting == END
    assert await it.skip(1, None) == END
    await it.reset()
    assert await it.skip(902, None) == DONE
    assert await it.next(1, None) == ([], END)
    await it.close()


async def test_a_turn_that_does_not_come_in_time() -> None:
    running = operation()
    it = ResultSet(running).enumerator()
    first = asyncio.ensure_future(it.next(5, None))
    await settle()
    await running.deliver(things(2))
    # The first in line wants five, so those two are not the others'.
    assert await it.next(1, 0) == ([], MORE)
    assert await it.skip(1, 0) == MORE
    await running.deliver(things(4, 2))
    assert ids((await first)[0]) == [0, 1, 2, 3, 4]
    assert ids((await it.next(1, 0))[0]) == [5]
    await it.close()


# -- going back


async def test_reset(spools: Spools) -> None:
    it = ResultSet(delivering(300), spool=spools.open()).enumerator()
    for count in (5, 300, 301):
        found, status = await it.next(count, None)
        assert ids(found) == list(range(min(count, 300)))
        assert status == (DONE if count <= 300 else END)
        await it.reset()
    await it.close()


async def test_clones_go_their_own_ways_and_the_last_one_frees_the_results() -> None:
    spools = Spools()
    running = delivering(100, capacity=10)
    results = ResultSet(running, spool=spools.open())
    first = results.enumerator()
    await first.next(20, None)
    second = await first.clone()
    third = await second.clone()
    assert ids((await second.next(3, None))[0]) == [20, 21, 22]
    assert ids((await first.next(2, None))[0]) == [20, 21]
    await third.reset()
    assert ids((await third.next(1, None))[0]) == [0]
    await first.close()
    await third.close()
    await third.close()  # once is enough
    assert spools.memory_used > 0
    assert running.outcome is None
    found, status = await second.next(100, None)
    assert (ids(found), status) == (list(range(23, 100)), END)
    await second.close()
    assert spools.memory_used == 0


async def test_forward_only_cannot_go_back_and_frees_what_it_handed_out() -> None:
    spools = Spools()
    results = ResultSet(delivering(640), forward_only=True, spool=spools.open())
    it = results.enumerator()
    for going_back in (it.reset, it.clone):
        with pytest.raises(WbemError) as caught:
            await going_back()
        assert caught.value.status == WbemStatus.WBEM_E_INVALID_OPERATION
    await results.collect()
    full = spools.memory_used
    assert len((await it.next(320, None))[0]) == 320
    assert spools.memory_used <= full * 0.6
    await it.skip(320, None)
    assert spools.memory_used == 0
    assert await it.next(1, None) == ([], END)
    await it.close()


async def test_what_only_goes_forward_needs_no_room_while_somebody_reads() -> None:
    spools = Spools(in_memory=0, on_disk=0)
    it = ResultSet(delivering(1_000, capacity=5), forward_only=True, spool=spools.open()).enumerator()
    for first in range(0, 990, 90):
        assert ids((await it.next(90, None))[0]) == list(range(first, first + 90))
    assert spools.memory_used < 90 * 400
    await it.close()
    assert (spools.memory_used, spools.disk_used) == (0, 0)


async def test_a_failed_operation_has_no_clones() -> None:
    it = ResultSet(delivering(1, error=NotFound("gone"))).enumerator()
    await it.next(1, None)
    await settle()
    with pytest.raises(NotFound):
        await it.clone()
    await it.close()
    with pytest.raises(OperationCancelled):
        await it.clone()


# -- where results wait


async def test_a_producer_waits_for_its_reader() -> None:
    running = delivering(100, capacity=10)
    it = ResultSet(running).enumerator()
    await settle()
    assert running.outcome is None
    assert len((await it.next(60, None))[0]) == 60
    assert running.outcome is None
    assert len((await it.next(100, None))[0]) == 40
    await it.close()


async def test_what_an_operation_leaves_is_counted() -> None:
    spools = Spools()
    it = ResultSet(delivering(100), forward_only=True, spool=spools.open()).enumerator()
    assert spools.memory_used == 0
    await settle()
    before = spools.memory_used
    assert before > 0
    # An operation that ended before anybody looked is no different.
    running = delivering(100)
    await running.wait()
    other = ResultSet(running, spool=spools.open()).enumerator()
    assert spools.memory_used == before * 2
    assert len((await other.next(200, None))[0]) == 100
    await it.close()
    await other.close()
    assert spools.memory_used == 0


async def test_collecting_everything(spools: Spools) -> None:
    results = ResultSet(delivering(5_000, capacity=10), spool=spools.open())
    it = results.enumerator()
    await results.collect()
    found, status = await it.next(5_000, 0)
    assert (ids(found), status) == (list(range(5_000)), DONE)
    await it.close()


async def test_collecting_what_fails() -> None:
    results = ResultSet(delivering(50, error=NotFound("gone")))
    with pytest.raises(NotFound):
        await results.collect()
    await results.close()


@pytest.mark.parametrize("when", ["read", "collected", "left behind"])
async def test_results_that_exceed_the_bounds_fail_the_operation(when: str) -> None:
    spools = Spools(in_memory=0, on_disk=2_000)
    running = delivering(1_000, capacity=2_000 if when == "left behind" else 10)
    results = ResultSet(running, spool=spools.open())
    it = results.enumerator()
    if when == "collected":
        with pytest.raises(WbemError) as caught:
            await results.collect()
    else:
        if when == "left behind":
            await running.wait()
        found, status = await it.next(1_000, None)
        # What is there is handed out, and nobody takes it for everything.
        assert status == MORE or not found
        assert len(found) < 1_000
        with pytest.raises(WbemError) as caught:
            await it.next(1_000, None)
    assert caught.value.status == WbemStatus.WBEM_E_QUOTA_VIOLATION
    assert caught.value.extended is EXTENDED
    await it.close()
    assert spools.disk_used == 0


async def test_objects_that_cannot_be_kept_fail_the_operation(caplog: pytest.LogCaptureFixture) -> None:
    running = operation()
    it = ResultSet(running, spool=Spools(in_memory=0).open()).enumerator()
    await running.deliver([Instance.of_values(THING.shape, [lambda: None])])
    with pytest.raises(WbemError) as caught:
        await it.next(1, None)
    assert caught.value.status == WbemStatus.WBEM_E_UNEXPECTED
    assert "cannot be kept" in caplog.text
    await it.close()


async def test_closing_cancels_what_runs_and_whoever_waits() -> None:
    running = operation()
    it = ResultSet(running).enumerator()
    waiting = [asyncio.ensure_future(it.next(5, None)), asyncio.ensure_future(it.skip(5, None))]
    await running.deliver(things(2))
    await settle()
    await it.close()
    assert running.outcome is not None
    assert running.outcome.status == WbemStatus.WBEM_E_CALL_CANCELLED
    for each in waiting:
        with pytest.raises(OperationCancelled):
            await each
    with pytest.raises(OperationCancelled):
        await it.next(1, None)


async def test_closing_one_of_two_ends_only_its_own_calls() -> None:
    running = operation()
    it = ResultSet(running).enumerator()
    other = await it.clone()
    sink = Sink()
    delivering_ = next_async(it, 1, sink)
    waiting, elsewhere = asyncio.ensure_future(it.next(1, None)), asyncio.ensure_future(other.next(1, None))
    await settle()
    await it.close()
    with pytest.raises(OperationCancelled):
        await waiting
    await delivering_
    assert [call[:2] for call in sink.calls] == [("set_status", WbemStatus.WBEM_E_CALL_CANCELLED), RELEASED]
    await running.deliver(things(1))
    assert ids((await elsewhere)[0]) == [0]
    await other.close()


# -- NextAsync


async def test_objects_to_a_sink(spools: Spools) -> None:
    running = operation()
    it = ResultSet(running, spool=spools.open()).enumerator()
    sink = Sink()
    task = next_async(it, 3, sink)
    await running.deliver(things(2))
    await settle()
    assert sink.calls == []  # until there are three
    await running.deliver(things(2, 2))
    await task
    assert sink.calls == [("indicate", [0, 1, 2]), ("set_status", DONE, None), RELEASED]
    running.finish(Outcome())
    sink = Sink()
    await next_async(it, 3, sink)
    assert sink.calls == [("indicate", [3]), ("set_status", END, None), RELEASED]
    sink = Sink()
    await next_async(it, 3, sink)
    assert sink.calls == [("set_status", END, None), RELEASED]
    await it.close()


async def test_none_to_a_sink() -> None:
    it = ResultSet(delivering(1)).enumerator()
    assert it.next_async(0, Sink()) is None
    assert ids((await it.next(1, None))[0]) == [0]
    await it.close()


async def test_many_objects_to_a_sink_come_in_pieces() -> None:
    it = ResultSet(delivering(600, capacity=50)).enumerator()
    sink = Sink()
    await next_async(it, 0xFFFFFFFF, sink)
    *indicated, status, _ = sink.calls
    assert [len(call[1]) for call in indicated] == [256, 256, 88]
    assert [n for call in indicated for n in call[1]] == list(range(600))
    assert status == ("set_status", END, None)
    await it.close()


async def test_a_failure_is_told_to_the_sink_with_its_error_object() -> None:
    it = ResultSet(delivering(2, error=NotFound("gone"))).enumerator()
    sink = Sink()
    await next_async(it, 5, sink)
    assert sink.calls == [("indicate", [0, 1]), ("set_status", WbemStatus.WBEM_E_NOT_FOUND, EXTENDED), RELEASED]
    await it.close()


@pytest.mark.parametrize("fails", ["indicate", "set_status", "release"])
async def test_a_sink_that_fails_harms_only_itself(fails: str) -> None:
    it = ResultSet(delivering(4)).enumerator()
    sink = Sink(fails)
    await next_async(it, 2, sink)
    assert sink.calls[-1] == RELEASED
    assert [call[0] for call in sink.calls].count("set_status") == (fails != "indicate")
    # What a sink did not take is the next one's.
    assert ids((await it.next(1, None))[0]) == [0 if fails == "indicate" else 2]
    await it.close()


async def test_the_order_is_the_order_of_the_calls() -> None:
    running = operation()
    it = ResultSet(running).enumerator()
    sinks = [Sink(), Sink()]
    # The deliveries are tasks that have not begun when the next call is made.
    tasks = [next_async(it, 2, sink) for sink in sinks]
    reading = asyncio.ensure_future(it.next(1, None))
    resetting = asyncio.ensure_future(it.reset())
    cloning = asyncio.ensure_future(it.clone())
    await settle()
    assert not any(each.done() for each in (reading, resetting, cloning))
    await running.deliver(things(6))
    await asyncio.gather(*tasks)
    assert [sink.calls[0] for sink in sinks] == [("indicate", [0, 1]), ("indicate", [2, 3])]
    assert ids((await reading)[0]) == [4]
    await resetting
    clone = await cloning
    assert ids((await clone.next(1, None))[0]) == [0]
    await clone.close()
    await it.close()


async def test_an_enumerator_has_only_so_many_sinks_at_a_time() -> None:
    running = operation()
    it = ResultSet(running).enumerator()
    tasks = [next_async(it, 1, Sink()) for _ in range(64)]
    with pytest.raises(WbemError) as caught:
        it.next_async(1, Sink())
    assert caught.value.status == WbemStatus.WBEM_E_QUOTA_VIOLATION
    running.finish(Outcome())
    await asyncio.gather(*tasks)
    assert it.next_async(0, Sink()) is None
    await next_async(it, 1, Sink())
    await it.close()


async def test_whoever_leaves_the_line_lets_the_next_one_in() -> None:
    running = operation()
    it = ResultSet(running).enumerator()
    first, second, third = (asyncio.ensure_future(it.next(1, None)) for _ in range(3))
    await settle()
    second.cancel()
    first.cancel()
    await asyncio.wait({first, second})
    await running.deliver(things(1))
    assert ids((await third)[0]) == [0]
    await it.close()


# -- everything at once


@given(
    st.integers(0, 400),
    st.lists(st.tuples(st.sampled_from(["next", "skip", "reset", "clone"]), st.integers(1, 300)), max_size=12),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_an_enumerator_is_a_place_in_a_list(total: int, steps: list[tuple[str, int]], on_disk: bool) -> None:
    async def run() -> None:
        results = ResultSet(delivering(total, capacity=30), spool=Spools(in_memory=0 if on_disk else 1 << 20).open())
        it, place = results.enumerator(), 0
        opened = [it]
        for step, count in steps:
            left = min(count, total - place)
            if step == "next":
                found, status = await it.next(count, None)
                assert ids(found) == list(range(place, place + left))
            elif step == "skip":
                status = await it.skip(count, None)
            else:
                status = DONE
                if step == "reset":
                    await it.reset()
                    place = left = 0
                else:
                    it = await it.clone()
                    opened.append(it)
                    left = 0
            place += left
            assert status == (END if step in ("next", "skip") and left < count else DONE)
        for each in opened:
            await each.close()

    asyncio.run(run())
