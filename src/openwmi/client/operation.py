"""`AsyncOperation`: a running operation as its caller has it (MI_Operation).

    async with await session.query("SELECT * FROM Win32_Process") as operation:
        async for process in operation:
            ...

There are three ways to its results, and an operation is used in one of them: iterate over it (or `results`, `result`),
`fetch` one after another, or have callbacks told. Whatever way, results come in constant memory, and an operation that
fails half-way says so after the results that it gave: part of them is never taken for all.

Closing an operation cancels it if it still runs and gives back what it holds on the server. (MI_Operation_Close waits
for the last result of an operation that nobody fetches from, for ever if need be; this one does not.)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from openwmi.cim import CimObject, Instance
from openwmi.cim.notices import Message, Prompt, Question
from openwmi.cim.operation import Operation, Outcome, Progress
from openwmi.cim.operations import CallContext
from openwmi.client.callbacks import Callbacks, Result, Sink, Teller, Told, end_of, refuse_inside
from openwmi.errors import CallerError, DeadlineExceeded, Error, Stage, stage_of
from openwmi.status import HResult, WbemStatus

__all__ = ["AsyncOperation", "CancelReason", "expires_of", "in_time"]

_log = logging.getLogger("openwmi.client")

T = TypeVar("T")
W = TypeVar("W")

_CLOSING: Final = 2.0  # seconds that a close waits for the server once the operation's own time is over


class CancelReason(Enum):
    """Why an operation is cancelled (MI_CancellationReason)."""

    NONE = "the caller cancelled it"
    TIMEOUT = "the caller's time was up"
    SHUTDOWN = "the client is shutting down"
    SERVICE_STOP = "the client's service is stopping"


class AsyncOperation(Generic[T]):
    """A running operation with results of type `T`; see the module.

    `convert` makes a result of what the server gave, `conclude` the one result of an operation that ended well out of
    its outcome and the object it gave, if any.
    """

    def __init__(
        self,
        running: Operation,
        convert: Callable[[CimObject], T],
        conclude: Callable[[Outcome, CimObject | None], T] | None = None,
        *,
        expires: float | None = None,
        callbacks: Callbacks | Sink | None = None,
    ) -> None:
        """`expires` is when it must have ended, by the running loop's clock."""
        self._running = running
        self._convert = convert
        self._conclude = conclude
        self._expires = expires
        self._told: asyncio.Task[None] | None = None
        # The end of an operation some of whose results have not reached the caller, though it may have ended well.
        self._spoilt: Outcome | None = None
        loop = asyncio.get_running_loop()
        self._now = loop.time
        if expires is not None:
            running.end_by(expires)
        if callbacks is not None:
            self._told = loop.create_task(self._tell(Teller(self, callbacks)))

    # -- results

    async def take(self, maximum: int) -> list[T]:
        """At least one and at most `maximum` results, as soon as there are any; none at the end."""
        return [self._convert(found) for found in await self._taken(maximum)]

    async def _taken(self, maximum: int) -> list[CimObject]:
        if self._told is not None:
            raise CallerError("callbacks take this operation's results: there is nothing left to fetch")
        return [] if self._spoilt else await self._running.take(maximum)

    async def _ended(self) -> Outcome:
        return self._spoilt or await self._running.wait()

    async def __aiter__(self) -> AsyncIterator[T]:
        while page := await self.take(self.page_size):
            for item in page:
                if self.is_cancelled:
                    break
                yield item
        (await self._ended()).raise_for_status()

    async def results(self) -> list[T]:
        """All results; raises the error of an operation that failed, whatever it gave before."""
        return [item async for item in self]

    async def to_arrow(self) -> Any:
        """All results as a `pyarrow.Table` (`openwmi.client.tables`). `ConfigurationError` if pyarrow is not there."""
        from openwmi.client.tables import table

        return table(await self.results())

    async def result(self) -> T:
        """The one result. Raises the error of an operation that failed, and `CallerError` for other than one result."""
        found = await self._taken(2)
        if self._conclude is None and len(found) > 1:
            raise CallerError(f"{self._running.request.METHOD} gave more than one result: iterate over the operation")
        outcome = await self._ended()
        outcome.raise_for_status()
        if self._conclude is not None:
            return self._conclude(outcome, found[0] if found else None)
        if not found:
            raise CallerError(f"{self._running.request.METHOD} gave no result: iterate over the operation")
        return self._convert(found[0])

    async def fetch(self) -> Result[T]:
        """The next result, or the end (MI_Operation_GetInstance): go on until one has `more` False.

        So it is for a cancelled operation too, whose end says that it was. After the end there is nothing to fetch.
        """
        found = await self._taken(1)
        if found:
            return Result(self._convert(found[0]), more=True)
        return end_of(await self._ended())

    # -- its life

    async def wait(self) -> Outcome:
        """Waits for the end without taking results, and for the last callback; how it ended."""
        refuse_inside(self, "waiting for the end")
        if self._told is not None:
            await asyncio.shield(self._told)
        return await self._ended()

    @property
    def page_size(self) -> int:
        """How many results are asked for at a time."""
        return self._running.context.page_size

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        return self._spoilt or self._running.outcome

    @property
    def is_cancelled(self) -> bool:
        """Whether a cancel ended it."""
        outcome = self.outcome
        return outcome is not None and outcome.status == WbemStatus.WBEM_E_CALL_CANCELLED

    @property
    def error(self) -> Instance | None:
        """The `__ExtendedStatus` of a failure, if the server sent one."""
        outcome = self.outcome
        return None if outcome is None else outcome.extended

    @property
    def progress(self) -> Progress | None:
        """How far it has come, as the server last reported."""
        return self._running.progress

    @property
    def elapsed(self) -> float:
        """Seconds since it started."""
        return self._running.elapsed

    @property
    def remaining(self) -> float | None:
        """Seconds until its deadline, 0 after it; None without one."""
        return None if self._expires is None else max(0.0, self._expires - self._now())

    def cancel(self, reason: CancelReason = CancelReason.NONE) -> None:
        """Ends it now, if it still runs; nothing is delivered after it but the end, which says so."""
        refuse_inside(self, "cancelling")
        self._running.cancel(Outcome(WbemStatus.WBEM_E_CALL_CANCELLED, detail=reason.value))

    async def close(self) -> None:
        """Cancels what still runs, gives back what it holds on the server, and waits for the last callback."""
        refuse_inside(self, "closing")
        remaining = self.remaining
        patience = None if remaining is None else max(remaining, _CLOSING)
        try:
            async with asyncio.timeout(patience):
                await self._running.close()
                if self._told is not None:
                    await asyncio.shield(self._told)
        except TimeoutError:
            _log.warning("%r did not end in %g s after it was closed", self._running, patience)

    async def __aenter__(self) -> AsyncOperation[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return repr(self._running)

    # -- callbacks

    async def _tell(self, teller: Teller) -> None:
        """Tells the callbacks everything, to the end; one that raises cancels the operation."""
        try:
            told: Told | None = None
            while not isinstance(told, Outcome):
                event = await self._running.next_event()
                if isinstance(event, Question):
                    asks = "prompt" if isinstance(event.about, Prompt) else "error"
                    event.answer(bool(await self._one(teller, asks, event.about)))
                    continue
                told = event if isinstance(event, Progress | Message | Outcome) else self._made(event)
                for name, arguments in teller.calls(told):
                    if isinstance(told, list) and self.is_cancelled:
                        break
                    await self._one(teller, name, *arguments)
        finally:
            teller.close()

    def _made(self, found: Sequence[CimObject]) -> list[T] | Outcome:
        """Results as callbacks are told of them; for one of which nothing can be made, the end."""
        try:
            return [self._convert(one) for one in found]
        except Error as error:
            return self._spoil(Outcome.of_error(error))
        except Exception as error:
            # The caller's own class, of which the result was to be made.
            _log.exception("a result of %r could not be made", self._running)
            detail = f"a result could not be made of what came: {type(error).__name__}: {error}"
            return self._spoil(Outcome(WbemStatus.WBEM_E_CALL_CANCELLED, detail=detail))

    def _spoil(self, outcome: Outcome) -> Outcome:
        """Has the operation end so, even if it ended well: some of its results are lost, and the rest is not all."""
        self._spoilt = outcome
        self._running.cancel(outcome)
        return outcome

    async def _one(self, teller: Teller, name: str, *event: Any) -> Any:
        """Calls one callback; what it returned, or None after a mistake of its own."""
        try:
            return await teller.tell(name, *event)
        except Exception as error:
            # The operation is the caller's, and so is the mistake: it ends, and the end says why.
            _log.exception("the callback for %s of %r failed", name, self._running)
            detail = f"its callback for {name} raised {type(error).__name__}: {error}"
            self._running.cancel(Outcome(WbemStatus.WBEM_E_CALL_CANCELLED, detail=detail))
            return None


def expires_of(context: CallContext) -> float | None:
    """When a call that begins now must have ended, by the running loop's clock; None for no limit."""
    return None if context.timeout is None else asyncio.get_running_loop().time() + context.timeout


async def in_time(context: CallContext, name: str, work: Coroutine[Any, Any, W]) -> W:
    """What `work` gives, which begins the call of that name. Raises `DeadlineExceeded` after the context's time-out."""
    try:
        async with asyncio.timeout(context.timeout):
            return await work
    except TimeoutError as late:
        raise _not_started(name, context, late) from None


def _not_started(name: str, context: CallContext, late: TimeoutError) -> DeadlineExceeded:
    """The error for a call of that name whose time was up before there was an operation."""
    stage = stage_of(late)
    # Without a stage it was the call itself, and not the way to the server.
    status = WbemStatus.WBEM_E_TIMED_OUT if stage in (None, Stage.CALL) else HResult.WSAETIMEDOUT
    what = f"{name} was not started"
    return DeadlineExceeded.after(context.timeout, context.peer, what, stage=stage or Stage.CALL, status=status)
