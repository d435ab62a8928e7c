"""`session.services()`: IWbemServices (MS-WMI 3.1.4.3) call by call, for those who know it.

    services = await session.services()
    async with await services.semisynchronous.exec_query("SELECT * FROM Win32_Process") as enumerator:
        found, status = await enumerator.next(100, timeout=5.0)

Every method is there in each calling mode (3.1.1.1):

- `synchronous`: when the call returns, the server is done. It gives the object, the path, or an enumerator that has
  everything;
- `semisynchronous`: it returns at once, with an operation (what IWbemCallResult tells) or an enumerator that fills;
- `asynchronous(sink)`: the sink is told. Without one the operation that is given is the sink: iterate over it.

Paths, queries, flags and context values reach the server as they are, and what it refuses at once is raised at once.
Over DCOM each mode is the call of its name; a repository in this process has the same modes without the wire. What
belongs to events (ExecNotificationQuery, QueryObjectSink) follows with them.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, runtime_checkable

from openwmi.cim import CimObject, Class, Instance
from openwmi.cim.operation import Operation, Outcome
from openwmi.cim.operations import (
    CallContext,
    CallingMode,
    DeleteClass,
    DeleteInstance,
    EnumerateClasses,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    GetObject,
    Operations,
    PutClass,
    PutInstance,
    Request,
)
from openwmi.cim.results import Enumerator, enumerator_of
from openwmi.client.callbacks import Sink
from openwmi.client.objects import bound
from openwmi.client.operation import AsyncOperation, expires_of, in_time
from openwmi.client.options import OperationOptions, context_of
from openwmi.errors import DeadlineExceeded, NotFound, WbemError
from openwmi.status import WbemStatus

if TYPE_CHECKING:
    from openwmi.client.session import AsyncSession

__all__ = ["AsyncEnumerator", "AsyncServices", "Asynchronous", "Semisynchronous", "Synchronous"]

P = ParamSpec("P")
T = TypeVar("T")

Values = Mapping[str, Any] | None
"""The values of an IWbemContext (2.2.13), by name; None for NULL."""


class AsyncServices:
    """One namespace's IWbemServices; see the module. It is its session's, and ends with it."""

    def __init__(self, session: AsyncSession, operations: Operations) -> None:
        self._session = session
        self._operations = operations
        self._caller = _Caller(session, operations)

    @property
    def synchronous(self) -> Synchronous:
        """The calls that return when the server is done."""
        return Synchronous(self._caller, CallingMode.SYNCHRONOUS)

    @property
    def semisynchronous(self) -> Semisynchronous:
        """The calls that return at once."""
        return Semisynchronous(self._caller, CallingMode.SEMISYNCHRONOUS)

    def asynchronous(self, sink: Sink | None = None) -> Asynchronous:
        """The calls whose results go to a sink, or without one to the operation that is given."""
        return Asynchronous(self._caller, CallingMode.ASYNCHRONOUS, sink)

    async def cancel_async_call(self, sink: Sink) -> None:
        """Ends every operation that tells this sink (3.1.4.3.2), which hears so. WBEM_E_NOT_FOUND if there is none."""
        running = self._caller.running(sink)
        if not running:
            raise NotFound("no running operation uses this sink")
        for operation in running:
            operation.cancel()

    async def open_namespace(
        self, path: str | None, *, mode: CallingMode = CallingMode.SEMISYNCHRONOUS
    ) -> AsyncServices:
        """A namespace below this one (3.1.4.3.1), which has no asynchronous mode."""
        if mode is CallingMode.ASYNCHRONOUS:
            raise WbemError.of(WbemStatus.WBEM_E_NOT_SUPPORTED, "OpenNamespace has no asynchronous form")
        context = self._caller.context(mode, 0, None)
        opening = self._operations.open_namespace(path, context)
        return AsyncServices(self._session, await in_time(context, "OpenNamespace", opening))

    @property
    def namespace(self) -> str:
        r"""The namespace's name, such as ``root\cimv2``."""
        return self._operations.namespace

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.namespace}>"


class _Caller:
    """What the modes are made of: the calls in one namespace, and the operations that tell sinks."""

    def __init__(self, session: AsyncSession, operations: Operations) -> None:
        self._session = session
        self._operations = operations
        self._told: list[tuple[Sink, AsyncOperation[Any]]] = []

    def context(self, mode: CallingMode, flags: int, values: Values) -> CallContext:
        """The context of a call."""
        return context_of(self._session.context, OperationOptions(mode=mode, flags=flags, values=values or {}))

    async def start(
        self,
        request: Request,
        context: CallContext,
        conclude: Callable[[Outcome, CimObject | None], Any] | None = None,
        sink: Sink | None = None,
    ) -> AsyncOperation[Any]:
        """Makes the call of the context's mode; the running operation."""
        expires = expires_of(context)
        running = await in_time(context, request.METHOD, self._operations.start(request, context))
        return self.watched(running, expires, conclude, sink)

    async def enumerate(self, request: Request, context: CallContext) -> AsyncEnumerator:
        """The same for a call that gives an enumerator."""
        place = await in_time(context, request.METHOD, self._place(request, context))
        return AsyncEnumerator(self, place, context)

    async def _place(self, request: Request, context: CallContext) -> _Place:
        if isinstance(self._operations, _Enumerates):
            return await self._operations.enumerate(request, context)
        return _LocalPlace(await enumerator_of(await self._operations.start(request, context)), request, context)

    def watched(
        self,
        running: Operation,
        expires: float | None,
        conclude: Callable[[Outcome, CimObject | None], Any] | None = None,
        sink: Sink | None = None,
    ) -> AsyncOperation[Any]:
        """A running operation as its caller has it."""
        operation = AsyncOperation[Any](running, self.object, conclude, expires=expires, callbacks=sink)
        if sink is not None:
            self._told = [entry for entry in self._told if entry[1].outcome is None]
            self._told.append((sink, operation))
        return operation

    def running(self, sink: Sink) -> list[AsyncOperation[Any]]:
        """The running operations that tell this sink."""
        return [operation for told, operation in self._told if told is sink and operation.outcome is None]

    def object(self, found: CimObject) -> CimObject:
        """What the server gave, as a session's users have it."""
        return bound(found, self._session.origin)


class _Mode:
    """A calling mode; `sink` is told what comes of its calls."""

    def __init__(self, caller: _Caller, mode: CallingMode, sink: Sink | None = None) -> None:
        self._caller = caller
        self._mode = mode
        self._sink = sink

    async def _start(
        self,
        request: Request,
        flags: int,
        context: Values,
        conclude: Callable[[Outcome, CimObject | None], Any] | None = None,
    ) -> AsyncOperation[Any]:
        called = self._caller.context(self._mode, flags, context)
        return await self._caller.start(request, called, conclude, self._sink)

    async def _enumerate(self, request: Request, flags: int, context: Values) -> AsyncEnumerator:
        return await self._caller.enumerate(request, self._caller.context(self._mode, flags, context))


class _Singles(_Mode):
    """The methods with one result or none, each as a running operation."""

    async def get_object(self, path: str | None, flags: int = 0, context: Values = None) -> AsyncOperation[CimObject]:
        """A class or an instance by its path (3.1.4.3.4)."""
        return await self._start(GetObject(path), flags, context, self._object)

    async def put_class(self, cls: Class | None, flags: int = 0, context: Values = None) -> AsyncOperation[None]:
        """Creates or changes a class (3.1.4.3.6)."""
        return await self._start(PutClass(cls), flags, context, _nothing)

    async def delete_class(self, name: str | None, flags: int = 0, context: Values = None) -> AsyncOperation[None]:
        """Deletes a class (3.1.4.3.8)."""
        return await self._start(DeleteClass(name), flags, context, _nothing)

    async def put_instance(
        self, instance: Instance | None, flags: int = 0, context: Values = None
    ) -> AsyncOperation[str | None]:
        """Creates or changes an instance (3.1.4.3.12); its path, where the mode lets the server tell it."""
        return await self._start(PutInstance(instance), flags, context, _text)

    async def delete_instance(self, path: str | None, flags: int = 0, context: Values = None) -> AsyncOperation[None]:
        """Deletes an instance by its path (3.1.4.3.14)."""
        return await self._start(DeleteInstance(path), flags, context, _nothing)

    async def exec_method(
        self,
        path: str | None,
        method: str | None,
        parameters: Instance | None = None,
        flags: int = 0,
        context: Values = None,
    ) -> AsyncOperation[CimObject | None]:
        """Calls a method (3.1.4.3.22); its out-parameters, if it has any, are an instance of ``__PARAMETERS``."""
        return await self._start(ExecMethod(path, method, parameters), flags, context, self._object_or_none)

    def _object(self, outcome: Outcome, found: CimObject | None) -> CimObject:
        if found is None:
            raise NotFound("the server gave nothing")
        return self._caller.object(found)

    def _object_or_none(self, outcome: Outcome, found: CimObject | None) -> CimObject | None:
        return None if found is None else self._caller.object(found)


class _Enumerations(_Mode):
    """The methods with many results, each of which gives an enumerator."""

    async def create_class_enum(
        self, superclass: str | None = None, flags: int = 0, context: Values = None
    ) -> AsyncEnumerator:
        """The subclasses of a class, or all classes (3.1.4.3.10)."""
        return await self._enumerate(EnumerateClasses(superclass), flags, context)

    async def create_instance_enum(
        self, class_name: str | None, flags: int = 0, context: Values = None
    ) -> AsyncEnumerator:
        """The instances of a class (3.1.4.3.16)."""
        return await self._enumerate(EnumerateInstances(class_name), flags, context)

    async def exec_query(
        self, query: str | None, flags: int = 0, context: Values = None, *, language: str | None = "WQL"
    ) -> AsyncEnumerator:
        """What a query selects (3.1.4.3.18)."""
        return await self._enumerate(ExecQuery(query, language), flags, context)


class Semisynchronous(_Singles, _Enumerations):
    """The calls that return at once; see the module."""


def _waited(
    method: Callable[Concatenate[_Singles, P], Coroutine[Any, Any, AsyncOperation[T]]],
) -> Callable[Concatenate[Synchronous, P], Coroutine[Any, Any, T]]:
    """The synchronous method: the same call, waited for."""

    @functools.wraps(method)
    async def waited(self: Synchronous, /, *arguments: P.args, **named: P.kwargs) -> T:
        async with await method(self._singles, *arguments, **named) as operation:
            return await operation.result()

    return waited


class Synchronous(_Enumerations):
    """The calls that return when the server is done; see the module."""

    @property
    def _singles(self) -> _Singles:
        return _Singles(self._caller, self._mode)

    get_object = _waited(_Singles.get_object)
    put_class = _waited(_Singles.put_class)
    delete_class = _waited(_Singles.delete_class)
    put_instance = _waited(_Singles.put_instance)
    delete_instance = _waited(_Singles.delete_instance)
    exec_method = _waited(_Singles.exec_method)


class Asynchronous(_Singles):
    """The calls whose results go to a sink; see the module."""

    async def create_class_enum(
        self, superclass: str | None = None, flags: int = 0, context: Values = None
    ) -> AsyncOperation[CimObject]:
        """The subclasses of a class, or all classes (3.1.4.3.11)."""
        return await self._start(EnumerateClasses(superclass), flags, context)

    async def create_instance_enum(
        self, class_name: str | None, flags: int = 0, context: Values = None
    ) -> AsyncOperation[CimObject]:
        """The instances of a class (3.1.4.3.17)."""
        return await self._start(EnumerateInstances(class_name), flags, context)

    async def exec_query(
        self, query: str | None, flags: int = 0, context: Values = None, *, language: str | None = "WQL"
    ) -> AsyncOperation[CimObject]:
        """What a query selects (3.1.4.3.19)."""
        return await self._start(ExecQuery(query, language), flags, context)


# -- enumerators


class _Place(Protocol):
    """A place in results: `openwmi.wmi.client.RemoteEnumerator` has it over DCOM."""

    async def next(self, count: int, timeout: float | None) -> tuple[list[CimObject], int]: ...
    async def skip(self, count: int, timeout: float | None) -> int: ...
    async def reset(self) -> None: ...
    async def clone(self) -> _Place: ...
    async def next_async(self, count: int) -> Operation: ...
    async def close(self) -> None: ...


@runtime_checkable
class _Enumerates(Protocol):
    """Operations with an enumerator of their own."""

    def enumerate(self, request: Request, context: CallContext) -> Awaitable[_Place]: ...


class _LocalPlace:
    """A place in the results of an operation in this process."""

    def __init__(self, enumerator: Enumerator, request: Request, context: CallContext) -> None:
        self._enumerator = enumerator
        self._request = request
        self._context = context
        self.next = enumerator.next
        self.skip = enumerator.skip
        self.reset = enumerator.reset
        self.close = enumerator.close

    async def clone(self) -> _LocalPlace:
        return _LocalPlace(await self._enumerator.clone(), self._request, self._context)

    async def next_async(self, count: int) -> Operation:
        async def producer(running: Operation) -> None:
            found, status = await self._enumerator.next(count, None)
            if found:
                await running.deliver(found)
            running.finish(Outcome(status))

        return await Operation(self._request, self._context).begin(producer)


class AsyncEnumerator:
    """IEnumWbemClassObject (3.1.4.4): a place in the results of a call. Closing it gives it back."""

    def __init__(self, caller: _Caller, place: _Place, context: CallContext) -> None:
        self._caller = caller
        self._place = place
        self._context = context

    async def next(self, count: int, timeout: float | None = None) -> tuple[list[CimObject], int]:
        """Up to `count` objects and a status: S_NO_ERROR (all of them), S_FALSE (the end), S_TIMEDOUT (too few yet).

        The server waits for at most `timeout` seconds, without limit for None (3.1.4.4.2). After S_TIMEDOUT there may
        be more: ask again. Raises the `WbemError` of a failed operation once its results are out.
        """
        found, status = await self._place.next(count, timeout)
        return [self._caller.object(one) for one in found], status

    async def skip(self, count: int, timeout: float | None = None) -> int:
        """Passes over `count` objects; the status is as `next` has it (3.1.4.4.5)."""
        return await self._place.skip(count, timeout)

    async def reset(self) -> None:
        """Back to the first object (3.1.4.4.1). WBEM_E_INVALID_OPERATION if it can only go forward."""
        await self._place.reset()

    async def clone(self) -> AsyncEnumerator:
        """Another enumerator of the same results, at the same place (3.1.4.4.4)."""
        return AsyncEnumerator(self._caller, await self._place.clone(), self._context)

    async def next_async(self, count: int, sink: Sink | None = None) -> AsyncOperation[CimObject]:
        """The next `count` objects, to a sink (3.1.4.4.3); without one the operation is iterated over."""
        return self._caller.watched(await self._place.next_async(count), expires_of(self._context), sink=sink)

    @property
    def page_size(self) -> int:
        """How many results are asked for at a time."""
        return self._context.page_size

    async def take(self, maximum: int) -> list[CimObject]:
        """At least one and at most `maximum` objects; none at the end. `DeadlineExceeded` if they take too long."""
        found, status = await self.next(maximum, self._context.timeout)
        if not found and status == WbemStatus.WBEM_S_TIMEDOUT:
            timeout, where = self._context.timeout, self._context.peer
            raise DeadlineExceeded.after(timeout, where, "Next gave no object", status=WbemStatus.WBEM_E_TIMED_OUT)
        return found

    async def __aiter__(self) -> AsyncIterator[CimObject]:
        while page := await self.take(self.page_size):
            for one in page:
                yield one

    async def close(self) -> None:
        """Gives it back; a second time does nothing."""
        await self._place.close()

    async def __aenter__(self) -> AsyncEnumerator:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _nothing(outcome: Outcome, found: CimObject | None) -> None:
    """The result of a call whose end is all there is."""


def _text(outcome: Outcome, found: CimObject | None) -> str | None:
    return outcome.text
