"""The enumerator: an operation's results, handed out as somebody asks for them (IEnumWbemClassObject, MS-WMI 3.1.4.4).

`ResultSet` is the SemiSinkResultSetObject of 3.1.1, `Enumerator` an entry of its EnumWbemClassObjectTable: a place in
the results. A result set keeps what has to be kept in a `Spool`: everything, for Reset and Clone, unless the operation
is forward only, whose results go once they are handed out.

While an operation runs, its results are taken when they are asked for, so a producer that runs ahead of its reader
waits. When it has ended, what it still holds moves to the spool: there it is counted with everything else that waits
for a reader who may never come. A set that exceeds the spool's bounds ends with the spool's error after what it has.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from openwmi.cim.delivery import ObjectSink, StatusType
from openwmi.cim.instances import CimObject
from openwmi.cim.operation import CANCELLED, Operation, Outcome
from openwmi.cim.operations import CallingMode, Flags
from openwmi.cim.spool import Spool, Spools
from openwmi.errors import Error, WbemError
from openwmi.status import WbemStatus

__all__ = ["Enumerator", "ResultSet", "enumerator_of"]

_log = logging.getLogger("openwmi.delivery")

_PIECE: Final = 256  # objects that are moved before others have their turn
_MOST_WAITING: Final = 64  # calls of NextAsync on one enumerator at a time


class ResultSet:
    """The results of an operation, for the enumerators that share them."""

    def __init__(self, operation: Operation, *, forward_only: bool = False, spool: Spool | None = None) -> None:
        """`forward_only` results are freed once they are handed out; there is no way back to them."""
        self.operation = operation
        self.forward_only = forward_only
        self.spool = spool if spool is not None else Spools().open()
        self._enumerators = 0
        self._failure: Outcome | None = None
        operation.on_finish(lambda _: self._keep(operation.available()))

    def enumerator(self, position: int = 0) -> Enumerator:
        """One more enumerator; when the last of them is closed, so is this."""
        self._enumerators += 1
        return Enumerator(self, position)

    @property
    def outcome(self) -> Outcome | None:
        """How the operation ended, once all results are in the spool; None while more may come."""
        return self._failure or self.operation.outcome

    async def reach(self, wanted: int, deadline: float | None, reader: Enumerator) -> None:
        """Waits until `wanted` results have come, counted from the first, the operation has ended, or the time is up.

        `deadline` is by the running loop's clock; a `reader` that is closed meanwhile waits no longer.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while len(self.spool) < wanted and self.outcome is None and not reader.closed:
                    found = self.operation.available(wanted - len(self.spool))
                    if found:
                        self._keep(found, awaited=self.forward_only)
                    else:
                        await self.operation.changed()

    async def collect(self) -> None:
        """Takes all results: a synchronous operation is complete before its call returns (3.1.1.1.1).

        Raises the `WbemError` of one that failed.
        """
        while self.outcome is None:
            found = self.operation.available(_PIECE)
            if found:
                self._keep(found)
                await asyncio.sleep(0)
            else:
                await self.operation.changed()
        self.outcome.raise_for_status()

    def _keep(self, found: list[CimObject], *, awaited: bool = False) -> None:
        """Adds results. Part of them is never taken for all, whatever goes wrong."""
        if not found or self._failure is not None:
            return
        try:
            self.spool.append(found, awaited=awaited)
        except WbemError as error:
            self._fail(error)
        except Exception:
            _log.exception("results of %s cannot be kept", self.operation.request.METHOD)
            detail = "the results cannot be kept; the server's log has the reason"
            self._fail(WbemError(WbemStatus.WBEM_E_UNEXPECTED, detail))

    def _fail(self, error: WbemError) -> None:
        self._failure = self.operation.explained(Outcome.of_error(error))
        self.operation.cancel(self._failure)

    def discard(self, before: int) -> None:
        """Results before that index have been handed out; a forward-only set frees them."""
        if self.forward_only:
            self.spool.discard(before)

    async def release(self) -> None:
        """An enumerator is closed. Without any, nobody will ever fetch the results."""
        self._enumerators -= 1
        if self._enumerators == 0:
            await self.close()

    async def close(self) -> None:
        """Cancels what still runs and frees the results."""
        self.operation.cancel()
        self.spool.close()
        await self.operation.close()


async def enumerator_of(operation: Operation, spool: Spool | None = None) -> Enumerator:
    """The enumerator of a running operation, forward only if its flags say so, and complete if it is synchronous.

    Raises the `WbemError` of a synchronous operation that failed; nothing is left of it then.
    """
    context = operation.context
    results = ResultSet(operation, forward_only=bool(context.flags & Flags.FORWARD_ONLY), spool=spool)
    try:
        if context.mode is CallingMode.SYNCHRONOUS:
            await results.collect()
    except BaseException:
        await results.close()
        raise
    return results.enumerator()


class Enumerator:
    """A place in a result set. Its calls work one after another, in the order in which they were made (3.1.4.4.3)."""

    def __init__(self, results: ResultSet, position: int) -> None:
        self._results = results
        self._position = position
        self._line = _Line()
        self._waiting = 0
        self.closed = False

    async def next(self, count: int, timeout: float | None) -> tuple[list[CimObject], int]:
        """Up to `count` objects and a status: S_NO_ERROR (all of them), S_FALSE (the end), S_TIMEDOUT (too few yet).

        It waits for at most `timeout` seconds, without limit for None (3.1.4.4.2), and loses nothing when it is
        cancelled. Raises the `WbemError` of a failed operation once its results are out.
        """
        deadline = _deadline(timeout)
        try:
            async with self._line.turn(deadline):
                await self._results.reach(self._position + count, deadline, self)
                found = self._peek(count)
                self._move(len(found))
        except TimeoutError:
            return [], WbemStatus.WBEM_S_TIMEDOUT
        if 0 < len(found) < count and self._has_failed:
            # S_FALSE would be the end: nobody would come back for the failure.
            return found, WbemStatus.WBEM_S_TIMEDOUT
        return found, self._status(count - len(found))

    async def skip(self, count: int, timeout: float | None) -> int:
        """Passes over `count` objects; the status is as `next` has it (3.1.4.4.5).

        Raises the `WbemError` of an operation that failed before there were as many.
        """
        deadline, left = _deadline(timeout), count
        try:
            async with self._line.turn(deadline):
                while left:
                    wanted = min(left, _PIECE)
                    await self._results.reach(self._position + wanted, deadline, self)
                    passed = max(min(wanted, len(self._results.spool) - self._position), 0)
                    self._move(passed)
                    left -= passed
                    if passed < wanted:
                        break
        except TimeoutError:
            return WbemStatus.WBEM_S_TIMEDOUT
        return self._status(left)

    async def reset(self) -> None:
        """Back to the first object (3.1.4.4.1). WBEM_E_INVALID_OPERATION if it can only go forward."""
        self._need_to_go_back()
        async with self._line.turn():
            self._position = 0

    async def clone(self) -> Enumerator:
        """Another enumerator of the same results, at the same place (3.1.4.4.4).

        WBEM_E_INVALID_OPERATION if this one can only go forward; the `WbemError` of an operation that has failed.
        """
        self._need_to_go_back()
        async with self._line.turn():
            if self.closed or self._has_failed:
                self._outcome.raise_for_status()
            return self._results.enumerator(self._position)

    def next_async(self, count: int, sink: ObjectSink) -> Coroutine[Any, Any, None] | None:
        """Takes its place in the SinkQueue (3.1.4.4.3) and gives what delivers to the sink: run it as a task.

        None for a `count` of 0, which is WBEM_S_FALSE: the sink stays the caller's. Raises WBEM_E_QUOTA_VIOLATION.
        Up to 256 objects are delivered when they are all there; more than that in pieces of as many.
        """
        if count == 0:
            return None
        if self._waiting >= _MOST_WAITING:
            raise WbemError.of(
                WbemStatus.WBEM_E_QUOTA_VIOLATION,
                f"{_MOST_WAITING} calls of NextAsync wait for this enumerator already",
            )
        self._waiting += 1
        return self._deliver(self._line.take_place(), count, sink)

    async def _deliver(self, place: asyncio.Future[None], count: int, sink: ObjectSink) -> None:
        try:
            async with self._line.at(place):
                outcome = await self._indicate(count, sink)
                extended = None if outcome.succeeded else outcome.extended
                await sink.set_status(StatusType.COMPLETE, outcome.status, None, extended)
        except Error as error:
            _log.warning("NextAsync of %s: its sink failed: %s", self._results.operation.request.METHOD, error)
        finally:
            self._waiting -= 1
            try:
                await sink.release()
            except Error as error:
                _log.debug("releasing the sink of NextAsync failed: %s", error)

    async def _indicate(self, count: int, sink: ObjectSink) -> Outcome:
        """Delivers the objects, and says what SetStatus says."""
        left = count
        while left:
            wanted = min(left, _PIECE)
            await self._results.reach(self._position + wanted, None, self)
            if self.closed:
                return CANCELLED
            found = self._peek(wanted)
            if found:
                await sink.indicate(found)
                self._move(len(found))
                left -= len(found)
            if len(found) < wanted:
                outcome = self._outcome
                return Outcome(WbemStatus.WBEM_S_FALSE) if outcome.succeeded else outcome
        return Outcome()

    async def close(self) -> None:
        """The enumerator is released: calls that still wait end with WBEM_E_CALL_CANCELLED."""
        if not self.closed:
            self.closed = True
            self._results.operation.wake()
            await self._results.release()

    # -- the place

    def _peek(self, count: int) -> list[CimObject]:
        return [] if self.closed else self._results.spool.read(self._position, self._position + count)

    def _move(self, count: int) -> None:
        self._position += count
        self._results.discard(self._position)

    @property
    def _outcome(self) -> Outcome:
        """How the enumeration ended, for one that has."""
        return CANCELLED if self.closed else self._results.outcome or CANCELLED

    @property
    def _has_failed(self) -> bool:
        outcome = self._results.outcome
        return outcome is not None and not outcome.succeeded

    def _status(self, missing: int) -> int:
        """What says that so many of the objects asked for are missing. Raises the `WbemError` of a failure."""
        if not missing:
            return WbemStatus.WBEM_S_NO_ERROR
        if self._results.outcome is None and not self.closed:
            return WbemStatus.WBEM_S_TIMEDOUT
        self._outcome.raise_for_status()
        return WbemStatus.WBEM_S_FALSE

    def _need_to_go_back(self) -> None:
        if self._results.forward_only:
            raise WbemError.of(
                WbemStatus.WBEM_E_INVALID_OPERATION, "the enumerator was made with WBEM_FLAG_FORWARD_ONLY"
            )


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else asyncio.get_running_loop().time() + timeout


class _Line:
    """Who stands in line: a place is taken by a plain call, so that the order is that of the calls."""

    def __init__(self) -> None:
        self._places: deque[asyncio.Future[None]] = deque()

    def take_place(self) -> asyncio.Future[None]:
        """A place behind everybody who came before; it is done when it is their turn."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._places.append(place)
        if self._places[0] is place:
            place.set_result(None)
        return place

    @asynccontextmanager
    async def turn(self, deadline: float | None = None) -> AsyncIterator[None]:
        """Takes a place and waits for the turn. Raises TimeoutError at the deadline."""
        async with self.at(self.take_place(), deadline):
            yield

    @asynccontextmanager
    async def at(self, place: asyncio.Future[None], deadline: float | None = None) -> AsyncIterator[None]:
        """The turn of whoever took that place."""
        try:
            async with asyncio.timeout_at(deadline):
                await place
            yield
        finally:
            self._places.remove(place)
            # One whose wait was cancelled is done too: it leaves by itself, and lets the next one in then.
            if self._places and not self._places[0].done():
                self._places[0].set_result(None)
