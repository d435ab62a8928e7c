"""Callbacks: an operation's results and its end told instead of fetched (MI_OperationCallbacks).

    def seen(result: Result) -> None:
        if result.instance is not None:
            print(result.instance["Name"])
        if not result.more:
            print("done:", result.status)

    session.start.delete_instance(path, callbacks=Callbacks(instance=seen))

A plain function runs in a thread of the operation's own, so it may block; a coroutine function runs in the loop. They
are called one at a time, in order; the last call of `instance`, and only that one, has `more` False. From inside one,
the operation can be neither cancelled nor closed: return, and let whoever started it do that.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from openwmi.cim import CimObject, Instance
from openwmi.cim.delivery import StatusType
from openwmi.cim.notices import Hears, Message, Prompt
from openwmi.cim.operation import Outcome, Progress
from openwmi.client.completion import completion_details
from openwmi.errors import CallerError, WbemError

__all__ = ["Callbacks", "Result", "Sink", "Teller", "end_of", "refuse_inside"]

T = TypeVar("T")

Told: TypeAlias = Sequence[Any] | Progress | Message | Outcome
"""What happens to an operation that nobody has to answer."""


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """One result of an operation, or its end.

    `instance` is None for an end without a result. `more` says whether further results may follow; where it is False,
    `status` is how the operation ended (0 for success), `message` says why it failed, and `details` is its CIM_Error.
    """

    instance: T | None
    more: bool
    status: int = 0
    message: str = ""
    details: Instance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """Who is told of what; each may be a coroutine function.

    `message` hears what a provider has to say. `prompt` is asked whether to go on, and so is `error`, about something
    that failed without being the end; both return the answer.

    `progress` needs calls back from the server, so over DCOM it makes an operation an asynchronous one. DCOM carries no
    more of these: IWbemObjectSink (MS-WMI 3.1.4.2) has no call for the others. A provider behind it finds nobody to
    ask, and goes on, unless what it asks is critical.
    """

    instance: Callable[[Result[Any]], Awaitable[None] | None] | None = None
    progress: Callable[[Progress], Awaitable[None] | None] | None = None
    message: Callable[[Message], Awaitable[None] | None] | None = None
    prompt: Callable[[Prompt], Awaitable[bool] | bool] | None = None
    error: Callable[[WbemError], Awaitable[bool] | bool] | None = None

    @property
    def hears(self) -> Hears:
        """What the callbacks take beside results and progress."""
        heard = Hears.NOTHING
        for callback, what in (
            (self.message, Hears.MESSAGES),
            (self.prompt, Hears.PROMPTS),
            (self.error, Hears.ERRORS),
        ):
            if callback is not None:
                heard |= what
        return heard


class Sink(Protocol):
    """IWbemObjectSink (MS-WMI 3.1.4.2) as a Python object; either method may be a coroutine function."""

    def indicate(self, objects: Sequence[CimObject], /) -> Awaitable[None] | None:
        """Takes results, one or more."""
        ...

    def set_status(self, kind: int, status: int, text: str | None, error: Instance | None, /) -> Awaitable[None] | None:
        """Takes progress (`StatusType.PROGRESS`: `status` is the total << 16 | the current) or the end (`COMPLETE`)."""
        ...


_inside: Final[contextvars.ContextVar[object]] = contextvars.ContextVar("openwmi_callback", default=None)
# A thread may outlive its operation's deadline, if a callback blocks: its context says which operation it belongs to.


def refuse_inside(operation: object, what: str) -> None:
    """Raises `CallerError` inside a callback of `operation`: `what` would wait for the callback itself."""
    if _inside.get() is operation:
        raise CallerError(f"{what} is not possible inside a callback of the operation: return from it first")


class Teller:
    """Calls one operation's callbacks, each outside the loop unless it is a coroutine function."""

    def __init__(self, operation: object, told: Callbacks | Sink) -> None:
        self._operation = operation
        self._told = told
        self._thread: ThreadPoolExecutor | None = None

    def calls(self, event: Told) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Which callbacks an event calls, and with what: results, progress, a message, or the end."""
        return (_of_callbacks if isinstance(self._told, Callbacks) else _of_sink)(event)

    async def tell(self, name: str, *event: Any) -> Any:
        """Calls the callback `name`, if there is one, and waits for it; what it returned."""
        callback = getattr(self._told, name, None)
        if callback is None:
            return None
        context = contextvars.copy_context()
        context.run(_inside.set, self._operation)
        if inspect.iscoroutinefunction(callback):
            return await asyncio.get_running_loop().create_task(callback(*event), context=context)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="openwmi-callback")
        return await asyncio.get_running_loop().run_in_executor(self._thread, context.run, callback, *event)

    def close(self) -> None:
        """Ends the thread once the callback that it runs has returned."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None


def _of_callbacks(event: Told) -> Iterator[tuple[str, tuple[Any, ...]]]:
    if isinstance(event, Progress):
        yield "progress", (event,)
    elif isinstance(event, Message):
        yield "message", (event,)
    elif isinstance(event, Outcome):
        yield "instance", (end_of(event),)
    else:
        for found in event:
            yield "instance", (Result(found, more=True),)


def _of_sink(event: Told) -> Iterator[tuple[str, tuple[Any, ...]]]:
    if isinstance(event, Progress):
        yield "set_status", (StatusType.PROGRESS, event.position, event.text, None)
    elif isinstance(event, Message):
        return  # IWbemObjectSink has no method for it
    elif isinstance(event, Outcome):
        yield "set_status", (StatusType.COMPLETE, event.status, event.text, event.extended)
    else:
        yield "indicate", (event,)


def end_of(outcome: Outcome) -> Result[Any]:
    """The end of an operation, as its last result."""
    if outcome.succeeded:
        return Result(None, more=False, status=outcome.status)
    error = outcome.error or outcome.to_error()
    return Result(None, more=False, status=outcome.status, message=str(error), details=completion_details(outcome))
