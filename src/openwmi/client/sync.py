"""The synchronous API: `openwmi.connect`, a facade over the asyncio one.

Nothing is done here. Each verb is its asyncio original, run by a portal (`openwmi.client.portal`): `blocking` turns
one into the other, and keeps its name, its parameters with their types, and its documentation. A session has one
thread, which everything opened from it shares; results cross it a page at a time.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar, overload

from openwmi import aio
from openwmi.cim import CimObject
from openwmi.cim.operation import Operation, Outcome
from openwmi.cim.operations import Principal
from openwmi.client.portal import Portal
from openwmi.client.session import AsyncSession

__all__ = ["RunningOperation", "Session", "connect"]

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_PAGE: Final = 1000


class Facade(Generic[A]):
    """Something asyncio's, `wrapped`, and the portal through which it is used."""

    def __init__(self, portal: Portal, wrapped: A) -> None:
        self._portal = portal
        self._wrapped = wrapped


@overload
def blocking(
    original: Callable[Concatenate[A, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Facade[A], P], T]: ...


@overload
def blocking(
    original: Callable[Concatenate[A, P], Coroutine[Any, Any, T]], facade: Callable[[Portal, T], R]
) -> Callable[Concatenate[Facade[A], P], R]: ...


def blocking(
    original: Callable[Concatenate[A, P], Coroutine[Any, Any, Any]], facade: Callable[[Portal, Any], Any] | None = None
) -> Callable[Concatenate[Facade[A], P], Any]:
    """The method that runs `original` in the portal; `facade` makes something synchronous of what comes back."""

    @functools.wraps(original)
    def method(self: Facade[A], /, *arguments: P.args, **named: P.kwargs) -> Any:
        result = self._portal.run(original(self._wrapped, *arguments, **named))
        return result if facade is None else facade(self._portal, result)

    return method


class RunningOperation(Facade[Operation]):
    """A running operation: iterate over it for its results, `wait()` for its outcome, or `close()` it.

    Closing it (``with``, or `close`) cancels it if it still runs and frees what it holds.
    """

    next_event = blocking(Operation.next_event)
    take = blocking(Operation.take)
    wait = blocking(Operation.wait)
    collect = blocking(Operation.collect)
    result = blocking(Operation.result)
    close = blocking(Operation.close)

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        return self._wrapped.outcome

    @property
    def elapsed(self) -> float:
        """Seconds since the operation started."""
        return self._wrapped.elapsed

    def cancel(self) -> None:
        """Ends the operation now, if it still runs. Nothing is delivered after it."""
        self._portal.run(_cancel(self._wrapped))

    def __iter__(self) -> Iterator[CimObject]:
        while page := self.take(_PAGE):
            yield from page
        self.wait().raise_for_status()

    def __enter__(self) -> RunningOperation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._wrapped)


async def _cancel(operation: Operation) -> None:
    """In the loop, because an operation is no thread's but the loop's."""
    operation.cancel()


def _opened(portal: Portal, session: AsyncSession) -> Session:
    return Session(portal, session)


class Session(Facade[AsyncSession]):
    """One open namespace, as `AsyncSession` has it. It may be used from several threads."""

    start = blocking(AsyncSession.start, RunningOperation)
    query = blocking(AsyncSession.query, RunningOperation)
    instances = blocking(AsyncSession.instances, RunningOperation)
    classes = blocking(AsyncSession.classes, RunningOperation)
    get = blocking(AsyncSession.get)
    get_class = blocking(AsyncSession.get_class)
    put = blocking(AsyncSession.put)
    delete = blocking(AsyncSession.delete)
    delete_class = blocking(AsyncSession.delete_class)
    invoke = blocking(AsyncSession.invoke)
    compile_mof = blocking(AsyncSession.compile_mof)
    open = blocking(AsyncSession.open, _opened)

    _finish: Callable[[], Any] | None = None

    @property
    def namespace(self) -> str:
        """The namespace that is open."""
        return self._wrapped.namespace

    @property
    def principal(self) -> Principal:
        """Who the session acts for."""
        return self._wrapped.principal

    def close(self) -> None:
        """Gives everything back and ends the thread; what was opened from this session ends with it."""
        if self._finish is not None:
            self._finish()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Session {self.namespace}>"


def _connecting(original: Callable[P, Coroutine[Any, Any, AsyncSession]]) -> Callable[P, Session]:
    """`connect`: the one that opens a portal, and whose session closes it."""

    @functools.wraps(original)
    def connect(*arguments: P.args, **named: P.kwargs) -> Session:
        portal = Portal()
        try:
            opened = portal.run(original(*arguments, **named))
        except BaseException:
            portal.close()
            raise
        portal.at_end(opened.close)
        session = Session(portal, opened)
        # Also for a session that nobody closes: the portal does not keep it alive.
        session._finish = weakref.finalize(session, portal.close)
        return session

    return connect


connect = _connecting(aio.connect)
