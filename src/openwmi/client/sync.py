"""The synchronous API: `openwmi.connect`, a facade over the asyncio one.

Nothing is done here. Each verb is its asyncio original, run by a portal (`openwmi.client.portal`): `blocking`,
`opening` and `starting` turn one into the other, and keep its name, its parameters with their types, and its
documentation. A session has one thread, which everything opened from it shares; results cross it a page at a time.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from openwmi import aio
from openwmi.cim import CimObject, Instance
from openwmi.cim.operation import Outcome, Progress
from openwmi.cim.operations import CallingMode, Principal
from openwmi.client import services
from openwmi.client.callbacks import Sink, refuse_inside
from openwmi.client.operation import AsyncOperation, CancelReason
from openwmi.client.pool import IDLE, LIMIT, AsyncPool
from openwmi.client.portal import Portal
from openwmi.client.services import AsyncEnumerator, AsyncServices
from openwmi.client.session import AsyncSession
from openwmi.client.verbs import Verbs
from openwmi.errors import CallerError, DeadlineExceeded
from openwmi.status import WbemStatus

__all__ = ["Enumerator", "Operation", "Pool", "Services", "Session", "Starting", "connect"]

A_co = TypeVar("A_co", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Facade(Generic[A_co]):
    """Something asyncio's, `wrapped`, and the portal through which it is used."""

    def __init__(self, portal: Portal, wrapped: A_co) -> None:
        self._portal = portal
        self._wrapped = wrapped
        self._from: object = None  # what must not be collected before this: a session ends with its last reference


def blocking(
    original: Callable[Concatenate[A_co, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Facade[A_co], P], T]:
    """The method that runs `original` in the portal."""
    name = original.__name__

    @functools.wraps(original)
    def method(self: Facade[A_co], /, *arguments: P.args, **named: P.kwargs) -> T:
        # By its name: a session may have its own way to do it.
        done: Coroutine[Any, Any, T] = getattr(self._wrapped, name)(*arguments, **named)
        return self._portal.run(done)

    return method


def opening(
    original: Callable[Concatenate[A_co, P], Coroutine[Any, Any, T]], facade: Callable[[Portal, T], R]
) -> Callable[Concatenate[Facade[A_co], P], R]:
    """The same for an `original` that gives something asyncio's, of which `facade` makes something synchronous."""
    waiting = blocking(original)

    @functools.wraps(original)
    def method(self: Facade[A_co], /, *arguments: P.args, **named: P.kwargs) -> R:
        found = facade(self._portal, waiting(self, *arguments, **named))
        if isinstance(found, Facade):
            found._from = self
        return found

    return method


def starting(
    original: Callable[Concatenate[A_co, P], Coroutine[Any, Any, AsyncOperation[T]]],
) -> Callable[Concatenate[Facade[A_co], P], Operation[T]]:
    """The same for a running operation. It has no second parameter so that mypy sees the overloads of `original`."""
    return opening(original, Operation)


def fetching(
    original: Callable[Concatenate[AsyncOperation[T], P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Facade[AsyncOperation[T]], P], R]:
    """The same for what takes results: a Ctrl-C meanwhile ends the operation.

    Results that came just then are lost with it, and what would come later must not pass for all that there is.
    """
    waiting = blocking(original)

    @functools.wraps(original)
    def method(self: Facade[AsyncOperation[T]], /, *arguments: P.args, **named: P.kwargs) -> R:
        try:
            return waiting(self, *arguments, **named)
        except KeyboardInterrupt:
            with contextlib.suppress(CallerError):  # the session may have been closed
                self._portal.run(_interrupt(self._wrapped))
            raise

    return method


async def _interrupt(operation: AsyncOperation[Any]) -> None:
    operation._spoil(Outcome(WbemStatus.WBEM_E_CALL_CANCELLED, detail="it was interrupted while results were fetched"))


class Operation(Facade[AsyncOperation[T]], Generic[T]):
    """A running operation, as `AsyncOperation` has it: iterate over it for its results, or take its one `result`.

    Closing it (``with``, or `close`) cancels it if it still runs and frees what it holds.
    """

    take = fetching(AsyncOperation.take)
    results = fetching(AsyncOperation.results)
    to_arrow = fetching(AsyncOperation.to_arrow)
    result = fetching(AsyncOperation.result)
    fetch = fetching(AsyncOperation.fetch)
    wait = blocking(AsyncOperation.wait)
    close = blocking(AsyncOperation.close)

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        return self._wrapped.outcome

    @property
    def is_cancelled(self) -> bool:
        """Whether a cancel ended it."""
        return self._wrapped.is_cancelled

    @property
    def error(self) -> Instance | None:
        """The `__ExtendedStatus` of a failure, if the server sent one."""
        return self._wrapped.error

    @property
    def progress(self) -> Progress | None:
        """How far it has come, as the server last reported."""
        return self._wrapped.progress

    @property
    def elapsed(self) -> float:
        """Seconds since it started."""
        return self._wrapped.elapsed

    @property
    def remaining(self) -> float | None:
        """Seconds until its deadline, 0 after it; None without one."""
        return self._wrapped.remaining

    def cancel(self, reason: CancelReason = CancelReason.NONE) -> None:
        """Ends it now, if it still runs; nothing is delivered after it but the end, which says so."""
        refuse_inside(self._wrapped, "cancelling")
        self._portal.run(_cancel(self._wrapped, reason))

    def __iter__(self) -> Iterator[T]:
        for page in self._pages():
            for item in page:
                if self._wrapped.is_cancelled:  # by another thread, say
                    break
                yield item

    def _pages(self) -> Iterator[list[T]]:
        while page := self.take(self._wrapped.page_size):
            yield page
        self.wait().raise_for_status()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The results as a stream of Arrow's batches, in constant memory: what pandas and others take columns from."""
        from openwmi.client.tables import record_batches

        return record_batches(self._pages()).__arrow_c_stream__(requested_schema)

    def __enter__(self) -> Operation[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._wrapped)


async def _cancel(operation: AsyncOperation[Any], reason: CancelReason) -> None:
    """In the loop, because an operation is no thread's but the loop's."""
    operation.cancel(reason)


class Starting(Facade[Verbs]):
    """All verbs of a session as running operations."""

    __call__ = starting(Verbs.__call__)
    get_instance = starting(Verbs.get_instance)
    enumerate_instances = starting(Verbs.enumerate_instances)
    query_instances = starting(Verbs.query_instances)
    associators = starting(Verbs.associators)
    references = starting(Verbs.references)
    create_instance = starting(Verbs.create_instance)
    modify_instance = starting(Verbs.modify_instance)
    put_instance = starting(Verbs.put_instance)
    delete_instance = starting(Verbs.delete_instance)
    invoke = starting(Verbs.invoke)
    get_class = starting(Verbs.get_class)
    enumerate_classes = starting(Verbs.enumerate_classes)
    put_class = starting(Verbs.put_class)
    delete_class = starting(Verbs.delete_class)
    test_connection = starting(Verbs.test_connection)


class Enumerator(Facade[AsyncEnumerator]):
    """A place in the results of a call, as `AsyncEnumerator` has it."""

    next = blocking(AsyncEnumerator.next)
    take = blocking(AsyncEnumerator.take)
    skip = blocking(AsyncEnumerator.skip)
    reset = blocking(AsyncEnumerator.reset)
    next_async = starting(AsyncEnumerator.next_async)
    close = blocking(AsyncEnumerator.close)

    def clone(self) -> Enumerator:
        """Another enumerator of the same results, at the same place."""
        return Enumerator(self._portal, self._portal.run(self._wrapped.clone()))

    def __iter__(self) -> Iterator[CimObject]:
        while page := self.take(self._wrapped.page_size):
            yield from page

    def __enter__(self) -> Enumerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Synchronous(Facade[services.Synchronous]):
    """The calls of IWbemServices that return when the server is done."""

    get_object = blocking(services.Synchronous.get_object)
    put_class = blocking(services.Synchronous.put_class)
    delete_class = blocking(services.Synchronous.delete_class)
    put_instance = blocking(services.Synchronous.put_instance)
    delete_instance = blocking(services.Synchronous.delete_instance)
    exec_method = blocking(services.Synchronous.exec_method)
    create_class_enum = opening(services.Synchronous.create_class_enum, Enumerator)
    create_instance_enum = opening(services.Synchronous.create_instance_enum, Enumerator)
    exec_query = opening(services.Synchronous.exec_query, Enumerator)


class Semisynchronous(Facade[services.Semisynchronous]):
    """The calls that return at once."""

    get_object = starting(services.Semisynchronous.get_object)
    put_class = starting(services.Semisynchronous.put_class)
    delete_class = starting(services.Semisynchronous.delete_class)
    put_instance = starting(services.Semisynchronous.put_instance)
    delete_instance = starting(services.Semisynchronous.delete_instance)
    exec_method = starting(services.Semisynchronous.exec_method)
    create_class_enum = opening(services.Semisynchronous.create_class_enum, Enumerator)
    create_instance_enum = opening(services.Semisynchronous.create_instance_enum, Enumerator)
    exec_query = opening(services.Semisynchronous.exec_query, Enumerator)


class Asynchronous(Facade[services.Asynchronous]):
    """The calls whose results go to a sink."""

    get_object = starting(services.Asynchronous.get_object)
    put_class = starting(services.Asynchronous.put_class)
    delete_class = starting(services.Asynchronous.delete_class)
    put_instance = starting(services.Asynchronous.put_instance)
    delete_instance = starting(services.Asynchronous.delete_instance)
    exec_method = starting(services.Asynchronous.exec_method)
    create_class_enum = starting(services.Asynchronous.create_class_enum)
    create_instance_enum = starting(services.Asynchronous.create_instance_enum)
    exec_query = starting(services.Asynchronous.exec_query)


class Services(Facade[AsyncServices]):
    """One namespace's IWbemServices, as `AsyncServices` has it."""

    cancel_async_call = blocking(AsyncServices.cancel_async_call)

    @property
    def synchronous(self) -> Synchronous:
        """The calls that return when the server is done."""
        return Synchronous(self._portal, self._wrapped.synchronous)

    @property
    def semisynchronous(self) -> Semisynchronous:
        """The calls that return at once."""
        return Semisynchronous(self._portal, self._wrapped.semisynchronous)

    def asynchronous(self, sink: Sink | None = None) -> Asynchronous:
        """The calls whose results go to a sink, whose methods run in a thread; without one, to the operation."""
        return Asynchronous(self._portal, self._wrapped.asynchronous(sink))

    def open_namespace(self, path: str | None, *, mode: CallingMode = CallingMode.SEMISYNCHRONOUS) -> Services:
        """A namespace below this one."""
        return Services(self._portal, self._portal.run(self._wrapped.open_namespace(path, mode=mode)))

    @property
    def namespace(self) -> str:
        r"""The namespace's name, such as ``root\cimv2``."""
        return self._wrapped.namespace

    def __repr__(self) -> str:
        return f"<Services {self.namespace}>"


def _opened(portal: Portal, session: AsyncSession) -> Session:
    return Session(portal, session)


class Session(Facade[AsyncSession]):
    """One open namespace, as `AsyncSession` has it. It may be used from several threads."""

    get = blocking(AsyncSession.get)
    get_instance = blocking(AsyncSession.get_instance)
    enumerate_instances = starting(AsyncSession.enumerate_instances)
    query_instances = starting(AsyncSession.query_instances)
    query = starting(AsyncSession.query)
    check_query = blocking(AsyncSession.check_query)
    associators = starting(AsyncSession.associators)
    references = starting(AsyncSession.references)
    create_instance = blocking(AsyncSession.create_instance)
    modify_instance = blocking(AsyncSession.modify_instance)
    put_instance = blocking(AsyncSession.put_instance)
    delete_instance = blocking(AsyncSession.delete_instance)
    invoke = blocking(AsyncSession.invoke)
    get_class = blocking(AsyncSession.get_class)
    enumerate_classes = starting(AsyncSession.enumerate_classes)
    put_class = blocking(AsyncSession.put_class)
    delete_class = blocking(AsyncSession.delete_class)
    test_connection = blocking(AsyncSession.test_connection)
    subscribe = starting(AsyncSession.subscribe)
    compile_mof = blocking(AsyncSession.compile_mof)
    compile_sources = blocking(AsyncSession.compile_sources)
    backup = blocking(AsyncSession.backup)
    restore = blocking(AsyncSession.restore)
    pause = blocking(AsyncSession.pause)
    resume = blocking(AsyncSession.resume)
    namespace = opening(AsyncSession.namespace, _opened)
    services = opening(AsyncSession.services, Services)

    # Of the session that `connect` gave, whose portal it is: what happens if nobody closes it.
    _abandoned: weakref.finalize[[], Session] | None = None

    def __init__(self, portal: Portal, wrapped: AsyncSession) -> None:
        super().__init__(portal, wrapped)
        wrapped.facade = weakref.ref(self)

    @property
    def start(self) -> Starting:
        """All verbs as running operations."""
        return Starting(self._portal, self._wrapped.start)

    @property
    def scope(self) -> str:
        r"""The namespace that is open, such as ``root\cimv2``."""
        return self._wrapped.scope

    @property
    def principal(self) -> Principal:
        """Who the session acts for."""
        return self._wrapped.principal

    def close(self) -> None:
        """Gives everything back and ends the thread; what was opened from this session ends with it."""
        if self._abandoned is not None:
            self._abandoned.detach()
            self._portal.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Session {self.scope}>"


def _connecting(original: Callable[P, Coroutine[Any, Any, AsyncSession]]) -> Callable[P, Session]:
    """`connect`: the one that opens a portal, and whose session closes it."""

    @functools.wraps(original)
    def connect(*arguments: P.args, **named: P.kwargs) -> Session:
        portal = Portal()

        async def open_session() -> AsyncSession:
            # In the loop, so that no Ctrl-C comes between the session and its end.
            opened = await original(*arguments, **named)
            portal.at_end(opened.close, opened.context.peer)
            return opened

        try:
            session = Session(portal, portal.run(open_session()))
            session._abandoned = weakref.finalize(session, portal.abandon)
        except BaseException:
            with contextlib.suppress(DeadlineExceeded):  # it must not hide why there is no session
                portal.close()
            raise
        return session

    return connect


connect = _connecting(aio.connect)


class _PooledSession(Session):
    """A session of a pool, which gets it back."""

    close = blocking(AsyncSession.close)


def _lent(portal: Portal, session: AsyncSession) -> _PooledSession:
    return _PooledSession(portal, session)


class Pool(Facade[AsyncPool]):
    """Sessions over log-ons that stay, as `AsyncPool` has them. It may be used from several threads."""

    connect = opening(AsyncPool.connect, _lent)

    def __init__(self, *, limit: int = LIMIT, idle: float = IDLE) -> None:
        """At most `limit` log-ons for each host; one that nobody has used for `idle` seconds is given back."""
        pool = AsyncPool(limit=limit, idle=idle)
        super().__init__(Portal(), pool)
        self._portal.at_end(pool.close, "the pool")
        self._abandoned = weakref.finalize(self, self._portal.abandon)

    def close(self) -> None:
        """Gives every log-on back, also those in use, and ends the thread."""
        self._abandoned.detach()
        self._portal.close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._wrapped)
