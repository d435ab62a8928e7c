"""How an operation's results reach whoever asked: WMI's calling modes as deliveries over the one `Operation`.

    synchronous, one object   `CallResult`, waited for before the call returns
    semisynchronous           `CallResult` (IWbemCallResult); `openwmi.cim.results` (IEnumWbemClassObject)
    asynchronous              `AsyncOperationTable.deliver`, which drives an `ObjectSink`

Nothing here knows a protocol: a DCOM stub and a caller in this process use the same deliveries. `Reception` is the
other end of the last one: what a sink is told becomes an `Operation` again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from openwmi.cim.instances import CimObject, Instance
from openwmi.cim.notices import Message, Question, unheard
from openwmi.cim.operation import Operation, Outcome, Progress
from openwmi.cim.operations import CallContext, Flags
from openwmi.errors import Error, NotFound, PeerError, ProtocolError, WbemError
from openwmi.status import WbemStatus

__all__ = ["AsyncOperation", "AsyncOperationTable", "CallResult", "ObjectSink", "Reception", "StatusType"]

_log = logging.getLogger("openwmi.delivery")


class StatusType:
    """WBEM_STATUS_TYPE (MS-WMI 2.2.7): what a SetStatus call says."""

    COMPLETE: Final = 0
    PROGRESS: Final = 2


class ObjectSink(Protocol):
    """IWbemObjectSink (MS-WMI 3.1.4.2) as the server sees it, remote or local.

    A call that fails or is not answered in time raises an `openwmi.Error`; whoever implements a remote sink owns the
    sink timer (3.1.2), a local one is waited for without limit. `identity` tells one sink from another.
    """

    @property
    def identity(self) -> Hashable:
        """Equal for two references to one sink object."""
        ...

    async def indicate(self, objects: Sequence[CimObject]) -> None:
        """Takes results; never called with none."""
        ...

    async def set_status(self, kind: int, status: int, text: str | None, error: Instance | None) -> None:
        """Takes progress (`StatusType.PROGRESS`; `status` holds current and total) or the end (`COMPLETE`)."""
        ...

    async def release(self) -> None:
        """Gives the reference back; nothing is called after it."""
        ...


@dataclass(eq=False)
class AsyncOperation:
    """One entry of the table (MS-WMI 3.1.1): ClientSyncPointer and the three flags, by the specification's names."""

    sink: ObjectSink
    context: CallContext
    operation: Operation | None = None
    callback_in_progress: bool = False
    call_cancelled: bool = False
    set_status_with_final_result_called: bool = False


class AsyncOperationTable:
    """AsyncOperationTable: which asynchronous operations run, and for which sinks.

    The delivery makes one call at a time to a sink, exactly one final SetStatus as the last, progress only if the
    caller asked for it, and none but that final one after a cancel. A sink that fails or stays silent cancels
    its operation (3.1.5, 3.2.4.1).
    """

    def __init__(self, *, limit_per_caller: int = 1_000) -> None:
        """So many entries one account may have: a sink that does not answer keeps its own for a while."""
        self._limit = limit_per_caller
        self._entries: set[AsyncOperation] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[AsyncOperation]:
        return iter(tuple(self._entries))

    async def start(
        self, sink: ObjectSink, context: CallContext, start: Callable[[], Awaitable[Operation]]
    ) -> AsyncOperation:
        """Enters the sink, then awaits `start()`. If that raises, the entry is gone, the sink untouched (3.1.1.1.3)."""
        if sum(entry.context.principal == context.principal for entry in self._entries) >= self._limit:
            raise WbemError.of(
                WbemStatus.WBEM_E_QUOTA_VIOLATION, f"this account has {self._limit:,} asynchronous operations already"
            )
        entry = AsyncOperation(sink, context)
        self._entries.add(entry)
        try:
            entry.operation = await start()
        except BaseException:
            self._entries.discard(entry)
            raise
        if entry.call_cancelled:  # while it was being started
            entry.operation.cancel()
        return entry

    async def deliver(self, entry: AsyncOperation) -> None:
        """Delivers everything that the entry's operation gives, and takes the entry out. Run it as a task."""
        operation = entry.operation
        assert operation is not None
        try:
            outcome = await self._stream(entry, operation)
            entry.set_status_with_final_result_called = True
            error = None if outcome.succeeded else outcome.extended
            await entry.sink.set_status(StatusType.COMPLETE, outcome.status, outcome.text, error)
        except Error as error:
            _log.warning("%s of %s: the final SetStatus failed: %s", operation.request.METHOD, _who(entry), error)
        finally:
            self._entries.discard(entry)
            await operation.close()
            await _release(entry)

    async def _stream(self, entry: AsyncOperation, operation: Operation) -> Outcome:
        wants_progress = bool(entry.context.flags & Flags.SEND_STATUS)
        while True:
            event = await operation.next_event()
            if isinstance(event, Outcome):
                return event
            if isinstance(event, Message | Question):
                unheard(event)  # a sink has no call for it
                continue
            if entry.call_cancelled or (isinstance(event, Progress) and not wants_progress):
                continue
            entry.callback_in_progress = True
            try:
                if isinstance(event, Progress):
                    await entry.sink.set_status(StatusType.PROGRESS, event.position, event.text, None)
                else:
                    await entry.sink.indicate(event)
            except Error as error:
                _log.warning("%s of %s is cancelled: its sink failed: %s", operation.request.METHOD, _who(entry), error)
                entry.call_cancelled = True
                operation.cancel(Outcome(WbemStatus.WBEM_E_CALL_CANCELLED, detail=f"the sink failed: {error}"))
            finally:
                entry.callback_in_progress = False

    def cancel(self, identity: Hashable, context: CallContext) -> int:
        """CancelAsyncCall (3.1.4.3.2): cancels every operation of this caller that uses the sink; how many there were.

        Raises `NotFound` if there is none. Another account's operations are none of the caller's.
        """
        mine = [
            entry
            for entry in self._entries
            if entry.sink.identity == identity
            and entry.context.principal == context.principal
            and not entry.set_status_with_final_result_called
        ]
        if not mine:
            raise NotFound("no running operation of yours uses this sink")
        for entry in mine:
            entry.call_cancelled = True
            if entry.operation is not None:
                entry.operation.cancel()
        return len(mine)

    async def close(self) -> None:
        """Cancels everything that runs: the server stops."""
        for entry in tuple(self._entries):
            entry.call_cancelled = True
            if entry.operation is not None:
                entry.operation.cancel(Outcome(WbemStatus.WBEM_E_SHUTTING_DOWN, detail="the server is shutting down"))


async def _release(entry: AsyncOperation) -> None:
    try:
        await entry.sink.release()
    except Error as error:
        _log.debug("releasing the sink of %s failed: %s", _who(entry), error)


def _who(entry: AsyncOperation) -> str:
    return f"{entry.context.principal.name} at {entry.context.peer}"


class CallResult:
    """The result of a semisynchronous operation with at most one object (IWbemCallResult, 3.1.4.5)."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self._object: CimObject | None = None

    async def outcome(self, timeout: float | None) -> Outcome | None:
        """How it ended, waiting at most `timeout` seconds (None: without limit); None if it still runs."""
        try:
            async with asyncio.timeout(timeout):
                while batch := await self.operation.take(1):
                    self._object = batch[0]
                return await self.operation.wait()
        except TimeoutError:
            return None

    @property
    def object(self) -> CimObject | None:
        """The operation's object, once `outcome` has told that it succeeded."""
        return self._object

    async def close(self) -> None:
        """The call result is released: the operation goes on to its end if it can without anybody's help.

        A write that was started is not undone by letting go of its result (3.1.4.5 says nothing of cancelling).
        """
        if self.operation.request.RETURNS_MANY:
            await self.operation.close()


class Reception:
    """The receiving end of an asynchronous call: what its sink is told feeds `operation` (MS-WMI 3.1.4.2).

    Its methods are what a sink's stub hands its calls to; only the first end counts.
    """

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._ended = asyncio.Event()
        self._outcome: Outcome | None = None

    async def indicate(self, objects: Sequence[CimObject]) -> None:
        """Results; waits while whoever takes them is behind."""
        await self._operation.deliver(objects)

    async def progress(self, current: int, total: int, text: str | None) -> None:
        """Progress: `current` of `total`."""
        self._operation.report(Progress(current, total, text))

    async def finished(self, status: int, text: str | None, error: Instance | None) -> None:
        """The end."""
        detail = error.get("Description") if error is not None else None
        self._end(Outcome(status, text, detail or "", error))

    def abandoned(self) -> None:
        """The server has given its references back, and never told the end."""
        self.lost(ProtocolError("the server let go of the sink without telling it the end"))

    def lost(self, reason: PeerError) -> None:
        """The connection has ended, so nothing more will come."""
        self._end(Outcome(WbemStatus.WBEM_E_TRANSPORT_FAILURE, error=reason))

    def _end(self, outcome: Outcome) -> None:
        if self._outcome is None:
            self._outcome = outcome
            self._ended.set()

    @property
    def has_ended(self) -> bool:
        """Whether the sink has been told the end."""
        return self._outcome is not None

    async def outcome(self) -> Outcome:
        """Waits for the end."""
        await self._ended.wait()
        assert self._outcome is not None
        return self._outcome

    async def last_word(self, patience: float) -> None:
        """Waits for the end of a cancelled operation, `patience` seconds at most: it changes nothing any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._ended.wait()
