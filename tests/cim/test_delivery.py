"""The deliveries: what reaches a sink, an enumerator and a call result, and when (MS-WMI 3.1.1, 3.1.4.2-5)."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from openwmi.cim import Class, Instance
from openwmi.cim.delivery import AsyncOperation, AsyncOperationTable, CallResult, StatusType
from openwmi.cim.operation import Operation, Outcome, Progress
from openwmi.cim.operations import CallContext, DeleteInstance, EnumerateInstances, Flags, Request
from openwmi.errors import ConnectionLost, NotFound
from openwmi.status import WbemStatus

OBJECTS = [Class("C").new() for _ in range(5)]
EXTENDED = Class("__ExtendedStatus").new()


@dataclass(frozen=True)
class Somebody:
    name: str = "HOST\\somebody"
    is_administrator: bool = False


class Sink:
    """Writes down every call; `fails` names the one that raises."""

    def __init__(self, identity: Hashable = 1, fails: str = "", blocks: asyncio.Event | None = None) -> None:
        self.identity = identity
        self.calls: list[tuple[Any, ...]] = []
        self.fails = fails
        self.blocks = blocks

    async def _call(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments))
        if self.blocks is not None:
            await self.blocks.wait()
        if name == self.fails:
            raise ConnectionLost("the client is gone")

    async def indicate(self, objects: Sequence[Any]) -> None:
        await self._call("indicate", len(objects))

    async def set_status(self, kind: int, status: int, text: str | None, error: Instance | None) -> None:
        await self._call("set_status", kind, status, text, error)

    async def release(self) -> None:
        await self._call("release")


DONE = ("set_status", StatusType.COMPLETE, 0, None, None)
CANCELLED = ("set_status", StatusType.COMPLETE, WbemStatus.WBEM_E_CALL_CANCELLED, None, None)
RELEASED = ("release",)


def context(flags: int = 0, name: str = "HOST\\somebody") -> CallContext:
    return CallContext(principal=Somebody(name), flags=flags)


def operation(request: Request | None = None) -> Operation:
    return Operation(request or EnumerateInstances("C"), context())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def entered(
    table: AsyncOperationTable, sink: Sink, running: Operation, with_: CallContext | None = None
) -> AsyncOperation:
    async def start() -> Operation:
        return running

    return await table.start(sink, with_ or context(), start)


async def test_results_and_one_final_status() -> None:
    table, sink, running = AsyncOperationTable(), Sink(), operation()
    entry = await entered(table, sink, running)
    assert list(table) == [entry]
    await running.deliver(OBJECTS)
    running.report(Progress(1, 2))
    task = asyncio.ensure_future(table.deliver(entry))
    await settle()
    running.finish(Outcome(text="C.K=1"))
    await task
    assert sink.calls == [("indicate", 5), ("set_status", 0, 0, "C.K=1", None), RELEASED]
    assert len(table) == 0


async def test_a_failure_brings_its_error_object_and_a_success_none() -> None:
    for outcome, expected in (
        (Outcome(WbemStatus.WBEM_E_NOT_FOUND, extended=EXTENDED), EXTENDED),
        (Outcome(WbemStatus.WBEM_S_FALSE, extended=EXTENDED), None),
    ):
        table, sink, running = AsyncOperationTable(), Sink(), operation()
        running.finish(outcome)
        await table.deliver(await entered(table, sink, running))
        assert sink.calls == [("set_status", 0, outcome.status, None, expected), RELEASED]


async def test_progress_for_those_who_asked() -> None:
    table, sink, running = AsyncOperationTable(), Sink(), operation()
    task = asyncio.ensure_future(table.deliver(await entered(table, sink, running, context(Flags.SEND_STATUS))))
    running.report(Progress(2, 7, "two"))
    await settle()
    running.finish(Outcome())
    await task
    assert sink.calls == [("set_status", StatusType.PROGRESS, 7 << 16 | 2, "two", None), DONE, RELEASED]


async def test_a_start_that_is_refused_leaves_the_sink_untouched() -> None:
    table, sink = AsyncOperationTable(), Sink()

    async def start() -> Operation:
        assert len(table) == 1
        raise NotFound("gone")

    with pytest.raises(NotFound):
        await table.start(sink, context(), start)
    assert sink.calls == []
    assert len(table) == 0


@pytest.mark.requirement("WMI-3.1.4.3.2-01")
async def test_cancelling_ends_every_operation_of_a_sink() -> None:
    table, sinks = AsyncOperationTable(), [Sink(1), Sink(1), Sink(2)]
    running = [operation() for _ in sinks]
    tasks = []
    for sink, each in zip(sinks, running, strict=True):
        await each.deliver(OBJECTS[:1])
        tasks.append(asyncio.ensure_future(table.deliver(await entered(table, sink, each))))
    assert table.cancel(1, context()) == 2
    await asyncio.gather(*tasks[:2])
    assert [sink.calls for sink in sinks[:2]] == [[CANCELLED, RELEASED]] * 2
    running[2].finish(Outcome())
    await tasks[2]
    assert sinks[2].calls == [("indicate", 1), DONE, RELEASED]
    with pytest.raises(NotFound):
        table.cancel(1, context())


async def test_nobody_cancels_anothers_operation() -> None:
    table, running = AsyncOperationTable(), operation()
    await entered(table, Sink(), running)
    for identity, name in ((1, "HOST\\other"), (2, "HOST\\somebody")):
        with pytest.raises(NotFound):
            table.cancel(identity, context(name=name))
    assert running.outcome is None


@pytest.mark.requirement("WMI-3.2.4.1.1-07")
async def test_cancelling_while_it_starts() -> None:
    table, sink, running = AsyncOperationTable(), Sink(), operation()
    go = asyncio.Event()

    async def start() -> Operation:
        await go.wait()
        return running

    starting = asyncio.ensure_future(table.start(sink, context(), start))
    await settle()
    assert table.cancel(1, context()) == 1
    go.set()
    await table.deliver(await starting)
    assert sink.calls == [CANCELLED, RELEASED]


@pytest.mark.requirement("WMI-3.2.4.1.1-06")
async def test_cancelling_during_a_call_waits_for_it() -> None:
    table, running, go = AsyncOperationTable(), operation(), asyncio.Event()
    sink = Sink(blocks=go)
    entry = await entered(table, sink, running)
    await running.deliver(OBJECTS)
    task = asyncio.ensure_future(table.deliver(entry))
    await settle()
    assert entry.callback_in_progress
    table.cancel(1, context())
    go.set()
    await task
    assert not entry.callback_in_progress
    assert entry.set_status_with_final_result_called
    assert sink.calls == [("indicate", 5), CANCELLED, RELEASED]


async def test_no_cancel_once_the_final_status_is_on_its_way() -> None:
    table, running, go = AsyncOperationTable(), operation(), asyncio.Event()
    sink = Sink(blocks=go)
    running.finish(Outcome())
    task = asyncio.ensure_future(table.deliver(await entered(table, sink, running)))
    await settle()
    with pytest.raises(NotFound):
        table.cancel(1, context())
    go.set()
    await task
    assert sink.calls == [DONE, RELEASED]


@pytest.mark.parametrize("fails", ["indicate", "set_status", "release"])
async def test_a_sink_that_fails_cancels_its_operation_and_nothing_else(fails: str) -> None:
    table, sink, running = AsyncOperationTable(), Sink(fails=fails), operation()
    await running.deliver(OBJECTS)
    task = asyncio.ensure_future(table.deliver(await entered(table, sink, running)))
    await settle()
    running.finish(Outcome())
    await task
    final = CANCELLED if fails == "indicate" else DONE
    assert sink.calls == [("indicate", 5), final, RELEASED]
    assert len(table) == 0


async def test_closing_the_table_ends_everything() -> None:
    table, sink, running = AsyncOperationTable(), Sink(), operation()
    task = asyncio.ensure_future(table.deliver(await entered(table, sink, running)))
    await table.close()
    await task
    assert sink.calls == [("set_status", 0, WbemStatus.WBEM_E_SHUTTING_DOWN, None, None), RELEASED]


async def test_a_call_result() -> None:
    running = operation(DeleteInstance("C.K=1"))
    result = CallResult(running)
    assert await result.outcome(0) is None
    await running.deliver(OBJECTS[:1])
    running.finish(Outcome(text="x"))
    assert await result.outcome(None) == Outcome(text="x")
    assert result.object is OBJECTS[0]


async def test_letting_go_of_a_call_result() -> None:
    write, read = operation(DeleteInstance("C.K=1")), operation()
    await CallResult(write).close()
    await CallResult(read).close()
    assert write.outcome is None
    assert read.outcome is not None
