"""What may be sent twice after a connection has ended: reads before their first result, writes never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from openwmi.cim import CimObject, Class, Instance
from openwmi.cim.operation import Operation, Outcome, Progress
from openwmi.cim.operations import (
    CallContext,
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
)
from openwmi.client.reconnecting import ReconnectingNamespaces
from openwmi.client.session import AsyncSession
from openwmi.errors import CallerError, ConnectError, ConnectionLost, DeadlineExceeded, NotFound, PeerError, Stage
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, context
from tests.wire import within

THING = Class("Thing")
READS = (GetObject("Thing"), EnumerateClasses(""), EnumerateInstances("Thing"), ExecQuery("SELECT * FROM Thing"))
WRITES = (
    PutClass(THING),
    DeleteClass("Thing"),
    PutInstance(THING.new()),
    DeleteInstance("Thing=1"),
    ExecMethod("Thing", "Turn"),
)
LOST, REFUSED, LATE = ConnectionLost("cut"), ConnectError("nobody there"), DeadlineExceeded("too late")
DEAF = DeadlineExceeded("nobody answers", stage=Stage.CONNECT)


def name(request: Any) -> str:
    return request.METHOD if isinstance(request, Request) else type(request).__name__


class Script:
    """Sessions whose operations do, one after another, what `steps` says; how many were opened and started."""

    def __init__(self, *steps: Exception | Callable[[Operation], Any]) -> None:
        self.steps = list(steps)
        self.sessions: list[Scripted] = []
        self.started: list[Request] = []
        self.namespaces = ReconnectingNamespaces(self.open)

    async def open(self, namespace: str) -> AsyncSession:
        self.sessions.append(Scripted(self))
        return cast("AsyncSession", self.sessions[-1])

    async def start(self, request: Request) -> Outcome:
        """One operation from beginning to end."""
        operations = await self.namespaces.connect(CIMV2, context())
        self.results: list[CimObject] = []
        async with await operations.start(request, context()) as operation:
            while batch := await within(operation.take(10)):
                self.results += batch
            return await within(operation.wait())


class Scripted:
    """A session with one namespace, as far as `ReconnectingNamespaces` uses it."""

    namespace = CIMV2

    def __init__(self, script: Script) -> None:
        self.script = script
        self.context = context()
        self.lost = self.closed = False

    async def operations_in(self, namespace: str) -> Scripted:
        return self

    async def start(self, request: Request, context: CallContext) -> Operation:
        self.script.started.append(request)
        step = self.script.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return await Operation(request, context).begin(step)

    async def close(self) -> None:
        self.closed = True


def gives(*steps: Instance | Exception) -> Callable[[Operation], Any]:
    """A producer of these results, which ends with the error, if there is one."""

    async def produce(operation: Operation) -> str | None:
        for step in steps:
            if isinstance(step, Exception):
                raise step
            await operation.deliver([step])
        return "done"

    return produce


async def forever(operation: Operation) -> None:
    """A producer that gives nothing, and ends only if somebody ends it."""
    while operation.outcome is None:
        await operation.changed()


@pytest.mark.parametrize("request_", READS, ids=name)
@pytest.mark.parametrize("error", [LOST, REFUSED, DEAF], ids=str)
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_read_is_started_once_more_over_a_new_log_on(
    request_: Request, error: PeerError, at_once: bool
) -> None:
    script = Script(error if at_once else gives(error), gives(THING.new()))
    outcome = await script.start(request_)
    assert (outcome.status, outcome.text, len(script.results)) == (0, "done", 1)
    assert script.started == [request_, request_]
    assert len(script.sessions) == 2


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_read_is_not_started_a_third_time(at_once: bool) -> None:
    script = Script(LOST if at_once else gives(LOST), gives(LOST))
    outcome = await script.start(READS[0])
    assert (outcome.status, outcome.error) == (WbemStatus.WBEM_E_TRANSPORT_FAILURE, LOST)
    assert len(script.started) == 2


async def test_what_gave_a_result_is_not_started_again() -> None:
    script = Script(gives(THING.new(), LOST))
    outcome = await script.start(READS[2])
    assert (outcome.error, len(script.results)) == (LOST, 1)
    assert len(script.started) == 1


@pytest.mark.parametrize("error", [LATE, NotFound("no such thing")], ids=name)
async def test_only_the_end_of_a_connection_is_a_reason_to_repeat(error: Exception) -> None:
    script = Script(gives(error))
    outcome = await script.start(READS[0])
    assert not outcome.succeeded
    assert (len(script.started), len(script.sessions)) == (1, 1)


@pytest.mark.parametrize("request_", WRITES, ids=name)
@pytest.mark.parametrize("error", [LOST, REFUSED, DEAF], ids=str)
async def test_a_write_is_sent_once(request_: Request, error: PeerError) -> None:
    script = Script(error)
    with pytest.raises(type(error)):
        await script.start(request_)
    assert script.started == [request_]

    script = Script(gives(error), gives())
    assert (await script.start(request_)).error is error
    assert script.started == [request_]
    # What comes after it finds a new log-on.
    assert (await script.start(request_)).succeeded
    assert len(script.sessions) == 2


@pytest.mark.parametrize("request_", [*READS, *WRITES], ids=name)
async def test_a_connection_that_ended_meanwhile_is_not_tried(request_: Request) -> None:
    script = Script(gives(), gives())
    await script.start(request_)
    script.sessions[0].lost = True
    assert (await script.start(request_)).succeeded
    assert (len(script.sessions), len(script.started)) == (2, 2)
    await script.namespaces.close()
    assert all(session.closed for session in script.sessions)


async def test_progress_is_passed_on() -> None:
    async def half(operation: Operation) -> None:
        operation.report(Progress(1, 2, "half"))
        await forever(operation)

    operations = await Script(half).namespaces.connect(CIMV2, context())
    async with await operations.start(READS[0], context()) as operation:
        assert await within(operation.next_event()) == Progress(1, 2, "half")


async def test_a_lost_log_on_stays_for_what_runs_over_it() -> None:
    script = Script(forever, gives(), gives())
    operations = await script.namespaces.connect(CIMV2, context())
    running = await operations.start(WRITES[0], context())
    script.sessions[0].lost = True
    await script.start(WRITES[0])
    assert not script.sessions[0].closed
    await running.close()
    await script.start(WRITES[0])
    await script.namespaces.close()
    assert [session.closed for session in script.sessions] == [True, True]


async def test_handed_on_it_starts_nothing_more() -> None:
    script = Script(forever)
    operations = await script.namespaces.connect(CIMV2, context())
    running = await operations.start(READS[2], context())
    successor = await script.namespaces.hand_on()
    assert (await within(running.wait())).status == WbemStatus.WBEM_E_CALL_CANCELLED
    with pytest.raises(CallerError, match="closed"):
        await operations.start(READS[0], context())
    assert not successor.is_lost
    await successor.connect(CIMV2, context())
    assert len(script.sessions) == 1
    await successor.close()
    assert script.sessions[0].closed
