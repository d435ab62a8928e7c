"""One running operation (keystone 3): a stream of results, progress, one final outcome, a deadline and a cancel.

The producer (the object manager, or a client that fetches from a server) fills it; a delivery empties it. The stream
is bounded: a producer that runs ahead of its consumer waits in `deliver`. The operation is finished exactly once, by
its producer, by `cancel` or by its deadline, whichever comes first; what the others say after that counts for nothing.

`undisturbed` is for what such a producer must do to the end, such as giving back what it holds elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, TypeVar

from openwmi.cim.instances import CimObject, Instance
from openwmi.cim.notices import Hears, Message, Prompt, Question
from openwmi.cim.operations import CallContext, Request
from openwmi.errors import DeadlineExceeded, Error, PeerError, WbemError
from openwmi.status import WbemStatus, succeeded

__all__ = ["Operation", "Outcome", "Progress", "Report", "undisturbed"]

_log = logging.getLogger("openwmi.operation")

DEFAULT_CAPACITY: Final = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an operation ended: a status, a text (PutInstance's path), what went wrong, and the error object.

    `error` is the exception where it was no WMI status that ended the operation, but a lost connection, say.
    """

    status: int = WbemStatus.WBEM_S_NO_ERROR
    text: str | None = None
    detail: str = ""
    extended: Instance | None = None
    error: Error | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the status is a success code."""
        return succeeded(self.status)

    def raise_for_status(self) -> None:
        """Raises the `WbemError` for a failure, or what else ended the operation."""
        if self.error is not None:
            raise self.error
        if not self.succeeded:
            raise self.to_error()

    def to_error(self) -> WbemError:
        """The failure as an exception."""
        return WbemError.of(self.status, self.detail, extended=self.extended)

    @classmethod
    def of_error(cls, error: Error) -> Outcome:
        """The outcome that an error makes: with itself, and the status next to it, where it is no WMI status."""
        if isinstance(error, WbemError):
            return cls(error.status, detail=error.detail, extended=error.extended)
        status = WbemStatus.WBEM_E_TRANSPORT_FAILURE if isinstance(error, PeerError) else WbemStatus.WBEM_E_FAILED
        if isinstance(error, DeadlineExceeded):
            status = WbemStatus.WBEM_E_TIMED_OUT
        return cls(status, detail=str(error), error=error)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operation has come: `current` of `total` steps (0 to 65,535 each), and a text."""

    current: int
    total: int
    text: str | None = None

    @property
    def position(self) -> int:
        """Both numbers in one, as SetStatus has them: the total is the high word (MS-WMI 3.1.4.2.2)."""
        return min(self.total, 0xFFFF) << 16 | min(self.current, 0xFFFF)


Report: TypeAlias = Progress | Message | Question
"""What a producer says beside its results."""

CANCELLED: Final = Outcome(WbemStatus.WBEM_E_CALL_CANCELLED, detail="the operation was cancelled")


class Operation:
    """A running operation. Iterate over it for its results, await `wait()` for its outcome, or `cancel()` it.

    Closing it (`async with`, or `close`) cancels it if it still runs and frees what it holds.
    """

    def __init__(self, request: Request, context: CallContext, *, capacity: int = DEFAULT_CAPACITY) -> None:
        self.request = request
        self.context = context
        self.started = time.monotonic()
        self._capacity = capacity
        self._results: deque[CimObject] = deque()
        self._progress: Progress | None = None
        self._untold = False
        self._outcome: Outcome | None = None
        self._notices: deque[Message | Question] = deque()
        self._questions: set[Question] = set()
        self._wakers: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._on_finish: list[Callable[[Outcome], None]] = []
        self._error_object: Callable[[WbemError], Instance | None] = lambda error: error.extended

    # -- the producer's side

    def launch(
        self,
        producer: Callable[[Operation], Awaitable[str | None]],
        *,
        error_object: Callable[[WbemError], Instance | None] | None = None,
    ) -> Operation:
        """Runs `producer(operation)` in a task; what it returns is the outcome's text, what it raises the failure.

        `error_object` makes the `__ExtendedStatus` of a failure that has none.
        """
        if error_object is not None:
            self._error_object = error_object
        self._task = asyncio.get_running_loop().create_task(self._run(producer))
        # A task that is cancelled before its first step never comes to `_run`'s own ends.
        self._task.add_done_callback(lambda _: self.finish(CANCELLED))
        return self

    async def begin(self, producer: Callable[[Operation], Awaitable[str | None]]) -> Operation:
        """Launches the operation and lets its producer take the first step: one that never began gives nothing back."""
        self.launch(producer)
        try:
            await asyncio.sleep(0)
        except BaseException:
            self.cancel()
            raise
        return self

    async def _run(self, producer: Callable[[Operation], Awaitable[str | None]]) -> None:
        if self.context.timeout is not None:
            self.end_by(asyncio.get_running_loop().time() + self.context.timeout)
        try:
            text = await producer(self)
        except (WbemError, PeerError) as error:
            self.finish(Outcome.of_error(error))
        except asyncio.CancelledError:
            self.finish(CANCELLED)
            raise
        except Error as error:
            # What the producer itself did wrong is not the caller's mistake, so the caller gets the code and the text.
            self.fail(WbemError(WbemStatus.WBEM_E_FAILED, str(error)))
        except Exception:
            # A mistake of ours ends this operation, not the server; the log has the traceback, the caller a code.
            _log.exception("%s failed unexpectedly", self.request.METHOD)
            self.fail(WbemError(WbemStatus.WBEM_E_UNEXPECTED, "an unexpected failure; the server's log has it"))
        else:
            self.finish(Outcome(text=text))

    def end_by(self, when: float) -> None:
        """Ends the operation with `DeadlineExceeded` at `when`, by the running loop's clock, if it has not ended then.

        From its launch on it has its context's `timeout`. Whoever counts the time before it, too, sets an earlier end.
        """
        alarm = asyncio.get_running_loop().call_at(when, self._expire)
        self.on_finish(lambda _: alarm.cancel())

    def _expire(self) -> None:
        """Ends the operation at its deadline; what its producer does to clean up keeps nobody waiting."""
        asked, name = self.context, f"{self.request.METHOD} did not end"
        late = DeadlineExceeded.after(asked.timeout, asked.peer, name, status=WbemStatus.WBEM_E_TIMED_OUT)
        self.finish(Outcome.of_error(late))
        self._stop()

    def _stop(self) -> None:
        """Cancels the producer; once, so that a second cancel does not interrupt what it does to clean up."""
        if self._task is not None and not self._stopping:
            self._stopping = True
            self._task.cancel()

    async def deliver(self, objects: Sequence[CimObject]) -> None:
        """Hands on results, waiting while the consumer is behind.

        Once the operation has ended it raises the `WbemError` it ended with, or OperationCancelled.
        """
        for start in range(0, len(objects), self._capacity):
            while len(self._results) >= self._capacity and self._outcome is None:
                await self.changed()
            if self._outcome is not None:
                status = WbemStatus.WBEM_E_CALL_CANCELLED if self._outcome.succeeded else self._outcome.status
                raise WbemError.of(status, "the operation has ended already")
            self._results.extend(objects[start : start + self._capacity])
            self.wake()

    def report(self, said: Report) -> None:
        """Reports progress, or passes a notice on to a caller who hears it.

        Progress that nobody has taken yet is replaced by newer. A notice is dropped where the caller is too far behind,
        and a question answered by its default.
        """
        if isinstance(said, Progress):
            if self._outcome is None:
                self._progress, self._untold = said, True
                self.wake()
        elif self._outcome is None and _needed(said) & self.context.hears and len(self._notices) < self._capacity:
            self._notices.append(said)
            if isinstance(said, Question):
                self._questions.add(said)
                said.on_answer(lambda _: self._questions.discard(said))
            self.wake()
        elif isinstance(said, Question):
            said.answer(self._outcome is None and said.default)

    def fail(self, error: WbemError) -> None:
        """Ends the operation with an error."""
        self.finish(Outcome.of_error(error))

    def finish(self, outcome: Outcome) -> None:
        """Ends the operation; only the first end counts."""
        if self._outcome is not None:
            return
        self._outcome = outcome = self.explained(outcome)
        if outcome.status == WbemStatus.WBEM_E_CALL_CANCELLED:
            self._results.clear()
            self._notices.clear()
        for question in tuple(self._questions):
            question.answer(False)
        self.wake()
        callbacks, self._on_finish = self._on_finish, []
        for callback in callbacks:
            try:
                callback(outcome)
            except Exception:
                # One listener's mistake must not keep the end from the others.
                _log.exception("a listener to the end of %s failed", self.request.METHOD)

    def explained(self, outcome: Outcome) -> Outcome:
        """The outcome with the error object that this operation gives a failure."""
        if outcome.succeeded or outcome.extended is not None:
            return outcome
        return replace(outcome, extended=self._error_object(WbemError.of(outcome.status, outcome.detail)))

    # -- the consumer's side

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        return self._outcome

    @property
    def elapsed(self) -> float:
        """Seconds since the operation started."""
        return time.monotonic() - self.started

    @property
    def progress(self) -> Progress | None:
        """The newest report; None if there was none."""
        return self._progress

    def on_finish(self, callback: Callable[[Outcome], None]) -> None:
        """Calls `callback` with the outcome when the operation ends; at once if it has."""
        if self._outcome is not None:
            callback(self._outcome)
        else:
            self._on_finish.append(callback)

    async def next_event(self) -> Sequence[CimObject] | Report | Outcome:
        """The next thing there is: a notice, a batch of results, progress, or, after all results, the outcome.

        A cancelled or failed operation gives the results that came before first, but not after a cancel.
        """
        while True:
            while self._notices:
                notice = self._notices.popleft()
                if not (isinstance(notice, Question) and notice.is_answered):
                    return notice
            if self._results:
                return self.available()
            if self._outcome is not None:
                return self._outcome
            if self._untold and self._progress is not None:
                self._untold = False
                return self._progress
            await self.changed()

    async def take(self, maximum: int) -> list[CimObject]:
        """At least one and at most `maximum` results, as soon as there are any; none at the end. Skips progress."""
        while not self._results and self._outcome is None:
            await self.changed()
        return self.available(maximum)

    def available(self, maximum: int | None = None) -> list[CimObject]:
        """At most `maximum` of the results that are there (None: all of them), without waiting for any."""
        if maximum is None or maximum >= len(self._results):
            taken = list(self._results)
            self._results.clear()
        else:
            taken = [self._results.popleft() for _ in range(maximum)]
        if taken:
            self.wake()
        return taken

    async def wait(self) -> Outcome:
        """Waits for the outcome without taking results: for operations that give none or one."""
        while self._outcome is None:
            await self.changed()
        return self._outcome

    async def collect(self) -> list[CimObject]:
        """All results; raises the `WbemError` of a failure. For results that are known to be few."""
        return [item async for item in self]

    async def result(self) -> CimObject | None:
        """The one result of an operation that has one (None if it has none); raises the `WbemError` of a failure."""
        found = await self.collect()
        return found[0] if found else None

    async def __aiter__(self) -> AsyncIterator[CimObject]:
        while batch := await self.take(self._capacity):
            for item in batch:
                yield item
        (await self.wait()).raise_for_status()

    def cancel(self, outcome: Outcome = CANCELLED) -> None:
        """Ends the operation now, if it still runs, and stops its producer. Nothing is delivered after it."""
        if self._outcome is None:
            self._results.clear()
        self.finish(outcome)
        self._stop()

    async def close(self) -> None:
        """Cancels what still runs, waits until it has stopped, and frees the results."""
        self.cancel()
        self._results.clear()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def __aenter__(self) -> Operation:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "running" if self._outcome is None else f"0x{self._outcome.status:08X}"
        return f"<Operation {self.request.METHOD} {state}>"

    async def changed(self) -> None:
        """Waits until results have come or were taken, there is progress, or the operation has ended."""
        waker: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._wakers.add(waker)
        try:
            await waker
        finally:
            self._wakers.discard(waker)

    def wake(self) -> None:
        """Lets everybody look again who waits for something to change."""
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)
        self._wakers.clear()


def _needed(notice: Message | Question) -> Hears:
    """Who is to be told."""
    if isinstance(notice, Message):
        return Hears.MESSAGES
    return Hears.PROMPTS if isinstance(notice.about, Prompt) else Hears.ERRORS


async def undisturbed(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` to its end even if whoever waits for it is cancelled meanwhile, which takes effect after that."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
