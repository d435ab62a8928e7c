"""The operation as a stream: bounded, finished once, cancellable, never hanging."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from openwmi.cim import Class, Instance
from openwmi.cim.operation import Operation, Outcome, Progress
from openwmi.cim.operations import CallContext, EnumerateInstances
from openwmi.errors import (
    ConfigurationError,
    ConnectionLost,
    DeadlineExceeded,
    NotFound,
    OperationCancelled,
    Stage,
    WbemError,
)
from openwmi.status import WbemStatus


class Somebody:
    name = "HOST\\somebody"
    is_administrator = False


CLASS = Class("C")
OBJECTS = [CLASS.new() for _ in range(10)]
EXTENDED = Class("__ExtendedStatus").new()

Producer = Callable[[Operation], Awaitable[str | None]]


def operation(producer: Producer | None = None, *, capacity: int = 3, timeout: float | None = None) -> Operation:
    made = Operation(EnumerateInstances("C"), CallContext(principal=Somebody(), timeout=timeout), capacity=capacity)
    return made if producer is None else made.launch(producer)


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def settle() -> None:
    """Lets every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def same(found: Sequence[Any], expected: Sequence[Any]) -> bool:
    return len(found) == len(expected) and all(a is b for a, b in zip(found, expected, strict=True))


async def all_of(running: Operation) -> str | None:
    await running.deliver(OBJECTS)
    return "text"


async def test_results_come_in_order_and_then_the_outcome() -> None:
    running = operation(all_of)
    assert same(await running.collect(), OBJECTS)
    assert await running.wait() == Outcome(text="text") == running.outcome
    assert await running.take(5) == []
    assert await running.next_event() == running.outcome
    assert running.elapsed >= 0


async def test_a_producer_waits_for_its_consumer() -> None:
    done = asyncio.Event()

    async def producer(running: Operation) -> None:
        for item in OBJECTS:
            await running.deliver([item])
        done.set()

    running = operation(producer)
    await settle()
    assert len(running._results) == 3
    assert not done.is_set()
    assert same(await running.take(2), OBJECTS[:2])
    await settle()
    assert len(running._results) == 3
    assert same(await running.collect(), OBJECTS[2:])
    assert done.is_set()


async def test_one_large_batch_is_bounded_too() -> None:
    running = operation(all_of)
    await settle()
    assert len(running._results) == 3
    assert same(await running.collect(), OBJECTS)


async def test_taking_some() -> None:
    running = operation(all_of, capacity=100)
    assert same(await running.take(4), OBJECTS[:4])
    assert same(await running.take(100), OBJECTS[4:])
    assert await running.take(1) == []


async def test_one_result() -> None:
    async def producer(running: Operation) -> None:
        await running.deliver(OBJECTS[:1])

    async def nothing(running: Operation) -> None:
        pass

    assert await operation(producer).result() is OBJECTS[0]
    assert await operation(nothing).result() is None


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (NotFound("gone"), WbemStatus.WBEM_E_NOT_FOUND, "gone"),
        (WbemError(0x80041001, "failed"), WbemStatus.WBEM_E_FAILED, "failed"),
        (ConfigurationError("no such file"), WbemStatus.WBEM_E_FAILED, "no such file"),
        (ZeroDivisionError("secret"), WbemStatus.WBEM_E_UNEXPECTED, "an unexpected failure; the server's log has it"),
    ],
)
async def test_failures(error: Exception, status: int, detail: str) -> None:
    async def producer(running: Operation) -> None:
        await running.deliver(OBJECTS[:2])
        raise error

    running = operation(producer)
    assert same(await running.take(5), OBJECTS[:2])
    with pytest.raises(WbemError) as caught:
        await running.collect()
    assert (caught.value.status, caught.value.detail) == (status, detail)
    assert running.outcome == Outcome(status, detail=detail)
    assert not running.outcome.succeeded


async def test_a_lost_connection_stays_what_it_is() -> None:
    lost = ConnectionLost("the line is dead")

    async def producer(running: Operation) -> None:
        raise lost

    running = operation(producer)
    with pytest.raises(ConnectionLost) as caught:
        await running.collect()
    assert caught.value is lost
    assert running.outcome == Outcome(WbemStatus.WBEM_E_TRANSPORT_FAILURE, detail="the line is dead", error=lost)


async def test_the_error_object() -> None:
    asked: list[WbemError] = []

    def make(error: WbemError) -> Instance:
        asked.append(error)
        return EXTENDED

    async def fails(running: Operation) -> None:
        raise NotFound("gone")

    async def fails_with_its_own(running: Operation) -> None:
        raise NotFound("gone", extended=OBJECTS[0])

    outcome = await operation().launch(fails, error_object=make).wait()
    assert outcome.extended is EXTENDED
    assert len(asked) == 1
    with pytest.raises(NotFound) as caught:
        outcome.raise_for_status()
    assert caught.value.extended is EXTENDED
    outcome = await operation().launch(fails_with_its_own, error_object=make).wait()
    assert outcome.extended is OBJECTS[0]
    assert Outcome.of_error(caught.value) == Outcome(WbemStatus.WBEM_E_NOT_FOUND, detail="gone", extended=EXTENDED)


async def test_only_the_first_end_counts() -> None:
    running = operation()
    ends: list[Outcome] = []
    running.on_finish(ends.append)
    running.finish(Outcome(text="first"))
    running.finish(Outcome(WbemStatus.WBEM_E_FAILED))
    running.fail(NotFound("late"))
    running.cancel()
    running.on_finish(ends.append)
    assert ends == [Outcome(text="first")] * 2


async def test_a_listener_that_fails_keeps_the_end_from_nobody(caplog: pytest.LogCaptureFixture) -> None:
    running = operation()
    ends: list[Outcome] = []
    running.on_finish(lambda outcome: 1 / 0)  # type: ignore[arg-type]
    running.on_finish(ends.append)
    waiting = asyncio.ensure_future(running.wait())
    await settle()
    running.finish(Outcome())
    assert await waiting == Outcome()
    assert ends == [Outcome()]
    assert "a listener to the end of CreateInstanceEnum failed" in caplog.text


async def test_cancelling_stops_the_producer_and_drops_results() -> None:
    stopped = asyncio.Event()

    async def producer(running: Operation) -> None:
        await running.deliver(OBJECTS[:2])
        try:
            await forever()
        finally:
            stopped.set()

    running = operation(producer)
    await settle()
    running.cancel()
    assert await running.take(5) == []
    event = await running.next_event()
    assert isinstance(event, Outcome)
    assert event.status == WbemStatus.WBEM_E_CALL_CANCELLED
    with pytest.raises(OperationCancelled):
        await running.collect()
    await settle()
    assert stopped.is_set()


async def test_cancelling_with_another_outcome() -> None:
    async def producer(running: Operation) -> None:
        await running.deliver(OBJECTS[:2])
        await forever()

    running = operation(producer)
    await settle()
    running.cancel(Outcome(WbemStatus.WBEM_E_TRANSPORT_FAILURE))
    event = await running.next_event()
    assert event == Outcome(WbemStatus.WBEM_E_TRANSPORT_FAILURE)


async def test_cancelling_what_has_ended_changes_nothing() -> None:
    running = operation(all_of, capacity=100)
    assert (await running.wait()).succeeded
    running.cancel()
    assert same(await running.collect(), OBJECTS)


async def test_cancelling_before_the_first_step() -> None:
    async def never(running: Operation) -> None:
        pytest.fail("the producer was started")

    running = operation(never)
    assert running._task is not None
    running._task.cancel()  # as a loop that shuts down does
    assert (await running.wait()).status == WbemStatus.WBEM_E_CALL_CANCELLED


async def test_cancelling_the_task_from_outside() -> None:
    async def producer(running: Operation) -> None:
        await forever()

    running = operation(producer)
    await settle()
    assert running._task is not None
    running._task.cancel()
    assert (await running.wait()).status == WbemStatus.WBEM_E_CALL_CANCELLED


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome(), WbemStatus.WBEM_E_CALL_CANCELLED),
        (Outcome(WbemStatus.WBEM_E_NOT_FOUND), WbemStatus.WBEM_E_NOT_FOUND),
    ],
)
async def test_nothing_is_delivered_after_the_end(outcome: Outcome, status: int) -> None:
    running = operation()
    running.finish(outcome)
    running.report(Progress(1, 2))
    with pytest.raises(WbemError) as caught:
        await running.deliver(OBJECTS[:1])
    assert caught.value.status == status
    assert await running.next_event() == outcome


async def test_the_end_frees_a_producer_that_waits() -> None:
    running = operation()
    await running.deliver(OBJECTS[:3])
    waiting = asyncio.ensure_future(running.deliver(OBJECTS[3:4]))
    await settle()
    assert not waiting.done()
    running.cancel()
    with pytest.raises(OperationCancelled):
        await waiting


async def test_the_deadline() -> None:
    async def producer(running: Operation) -> None:
        await running.deliver(OBJECTS[:1])
        await forever()

    running = operation(producer, timeout=0)
    outcome = await running.wait()
    assert outcome.status == WbemStatus.WBEM_E_TIMED_OUT
    assert isinstance(outcome.error, DeadlineExceeded)
    assert outcome.error.stage is Stage.CALL
    assert str(outcome.error) == (
        "this process: CreateInstanceEnum did not end in 0 s; the time was up while waiting for the answer"
    )


@pytest.mark.parametrize("how", ["cancelled twice", "expired, then closed"])
async def test_cleaning_up_is_neither_waited_for_nor_interrupted(how: str) -> None:
    done: list[str] = []
    held = asyncio.Event()

    async def producer(running: Operation) -> None:
        try:
            await forever()
        finally:
            await held.wait()
            done.append("cleaned up")

    running = operation(producer, timeout=0 if how.startswith("expired") else None)
    await settle()
    if how == "cancelled twice":
        running.cancel()
    outcome = await running.wait()
    assert (outcome.succeeded, done) == (False, [])
    closing = asyncio.create_task(running.close())
    await settle()
    assert not closing.done()
    held.set()
    await closing
    assert done == ["cleaned up"]


async def test_progress_is_replaced_and_yields_to_results() -> None:
    running = operation()
    running.report(Progress(1, 3))
    running.report(Progress(2, 3, "two"))
    await running.deliver(OBJECTS[:1])
    first, second = await running.next_event(), await running.next_event()
    assert isinstance(first, list)
    assert same(first, OBJECTS[:1])
    assert second == Progress(2, 3, "two")
    running.report(Progress(3, 3))
    running.finish(Outcome())
    assert await running.next_event() == Outcome()


async def test_events_wake_whoever_waits() -> None:
    running = operation()
    waiting = [asyncio.ensure_future(running.next_event()) for _ in range(2)]
    await settle()
    running.report(Progress(1, 1))
    await settle()
    assert sorted(task.done() for task in waiting) == [False, True]
    running.finish(Outcome())
    assert Outcome() in await asyncio.gather(*waiting)
    assert not running._wakers


async def test_closing_waits_until_the_producer_has_stopped() -> None:
    cleaned = False

    async def producer(running: Operation) -> None:
        nonlocal cleaned
        try:
            await forever()
        finally:
            await settle()
            cleaned = True

    async with operation(producer) as running:
        await settle()
        assert repr(running) == "<Operation CreateInstanceEnum running>"
    assert cleaned
    assert repr(running) == "<Operation CreateInstanceEnum 0x80041032>"
    await running.close()
    await operation().close()


async def test_closing_can_be_cancelled_itself() -> None:
    release = asyncio.Event()

    async def producer(running: Operation) -> None:
        try:
            await forever()
        finally:
            await release.wait()

    running = operation(producer)
    await settle()
    closing = asyncio.ensure_future(running.close())
    await settle()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    release.set()
    await running.close()
