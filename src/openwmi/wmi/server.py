"""The server's stubs: login, namespaces, enumerators, call results (MS-WMI 3.1.4), over `openwmi.cim.operations`.

A stub decodes what is in a parameter (an object, a context, a reference to a sink), asks the namespace, and picks
the delivery that the calling mode wants. It checks nothing that an operation checks: that is the namespace's, for
every caller alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Final

from openwmi.cim import CimObject, CimType, Class, Instance, TypedValue, fold
from openwmi.cim.delivery import AsyncOperationTable, CallResult, ResultSet
from openwmi.cim.operation import Operation, Outcome
from openwmi.cim.operations import (
    IGNORED_FLAGS,
    CallContext,
    CallingMode,
    DeleteClass,
    DeleteInstance,
    EnumerateClasses,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    Flags,
    GetObject,
    Namespaces,
    Operations,
    PutClass,
    PutInstance,
    Request,
)
from openwmi.dcom.importer import Importer, Reach
from openwmi.dcom.peer import Call, Caller
from openwmi.errors import InvalidParameter, WbemError
from openwmi.rpc.interface import RESULT, Interface
from openwmi.rpc.ndr import Slot
from openwmi.status import HResult, WbemStatus
from openwmi.wmi.context import decode_context
from openwmi.wmi.interfaces import IEnumWbemClassObject, IWbemCallResult, IWbemLevel1Login, IWbemServices
from openwmi.wmi.objects import ObjectMarshaller
from openwmi.wmi.sinks import SINK_TIMER, RemoteSink

__all__ = ["CallResultStub", "EnumeratorStub", "LoginStub", "ServicesStub", "WmiServer"]

# An answer to Next holds at most so many objects; a client that asked for more is told to call again.
_NEXT_AT_ONCE: Final = 1000
_GIVEN_BACK_AT_ONCE: Final = 64
_LARGE_OBJECT: Final = 64 * 1024
_RETURNS_IMMEDIATELY: Final = int(Flags.RETURN_IMMEDIATELY)


@dataclass(frozen=True, slots=True)
class WmiServer:
    """What all stubs of one server share.

    `extended` makes the `__ExtendedStatus` of a failure that a stub finds by itself, such as a NULL sink;
    `callbacks` gives the importer for calls back to a caller's sinks, authenticated as far as the server can;
    `spawn` runs a coroutine to its end, whatever becomes of the call that started it.
    """

    namespaces: Namespaces
    operations: AsyncOperationTable
    extended: Callable[[Request, WbemError], Instance]
    callbacks: Callable[[Caller], Importer]
    spawn: Callable[[Coroutine[Any, Any, None]], object]
    sink_timer: float = SINK_TIMER
    large_objects: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    async def activate(self, call: Call) -> LoginStub:
        """A new WbemLevel1Login object for this caller."""
        return LoginStub(self, call.caller)


class _Session:
    """What the stubs of one log-on share: the caller's account, its class parts, the way back to it."""

    def __init__(self, server: WmiServer, caller: Caller) -> None:
        self.server = server
        self._giving_back = 0
        self.objects = ObjectMarshaller()
        self.importer = server.callbacks(caller)
        # Calls go back to the address that the caller has, and nowhere else.
        self.reach = Reach(caller.address)

    def sink(self, octets: bytes) -> RemoteSink:
        """The caller's sink that an OBJREF refers to."""
        reference = self.importer.unmarshal(octets, self.reach, "pResponseHandler")
        return RemoteSink(reference, self.importer, self.reach, self.objects, timer=self.server.sink_timer)

    def give_back(self, sink: RemoteSink) -> None:
        """Releases what an OBJREF carried, without making the call wait for it.

        Not more than a few at a time: a caller whose sinks do not answer keeps what it sent until it is gone.
        """
        if self._giving_back < _GIVEN_BACK_AT_ONCE:
            self.server.spawn(self._give_back(sink))

    async def _give_back(self, sink: RemoteSink) -> None:
        self._giving_back += 1
        try:
            await sink.release()
        finally:
            self._giving_back -= 1

    def context(self, call: Call, flags: int, octets: bytes | None, **more: Any) -> CallContext:
        """The context of an operation for this call."""
        values = decode_context(octets, self.objects)
        return CallContext(
            principal=call.principal,
            level=call.caller.level,
            remote=True,
            flags=flags,
            values=values,
            correlation_id=_text(values, "__CorrelationId"),
            peer=call.caller.address,
            **more,
        )


def _text(values: dict[str, TypedValue], name: str) -> str:
    for key, typed in values.items():
        if fold(key) == fold(name) and typed.type is CimType.STRING:
            return str(typed.value)
    return ""


class LoginStub:
    """IWbemLevel1Login (3.1.4.1): the object that activation makes."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemLevel1Login,)

    def __init__(self, server: WmiServer, caller: Caller) -> None:
        self._server = server
        self._session = _Session(server, caller)

    async def establish_position(self, call: Call, *, reserved: str | None, flags: int) -> dict[str, Any]:
        """Answers with 1, which says that a log-on with an unknown locale succeeds (3.1.4.1.1)."""
        return {"locale_version": 1}

    async def request_challenge(self, call: Call, **reserved: Any) -> dict[str, Any]:
        """Reserved (3.1.4.1.2)."""
        return {"reserved3": bytes(16), RESULT: WbemStatus.WBEM_E_NOT_SUPPORTED}

    async def wbem_login(self, call: Call, **reserved: Any) -> dict[str, Any]:
        """Reserved (3.1.4.1.3)."""
        return {RESULT: HResult.E_NOTIMPL}

    async def ntlm_login(
        self,
        call: Call,
        *,
        network_resource: str | None,
        preferred_locale: str | None,
        flags: int,
        context: bytes | None,
    ) -> dict[str, Any]:
        """Opens a namespace (3.1.4.1.4)."""
        if network_resource is None:
            raise InvalidParameter("wszNetworkResource is NULL")
        if flags:
            raise InvalidParameter(f"lFlags is 0x{flags:X}, not 0")
        locales = tuple(part.strip() for part in (preferred_locale or "").split(",") if part.strip())
        opening = self._session.context(call, 0, context, locales=locales)
        namespace = await self._server.namespaces.connect(network_resource, opening)
        stub = ServicesStub(self._session, namespace, locales)
        return {"namespace": call.marshal(stub, IWbemServices.uuid)}

    async def released(self) -> None:
        """The client needs no further namespace."""


class ServicesStub:
    """IWbemServices (3.1.4.3): one open namespace."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemServices,)

    def __init__(self, session: _Session, namespace: Operations, locales: tuple[str, ...]) -> None:
        self._session = session
        self._namespace = namespace
        self._locales = locales

    # -- namespaces and cancelling

    async def open_namespace(
        self,
        call: Call,
        *,
        namespace: str | None,
        flags: int,
        context: bytes | None,
        working_namespace: Slot | None,
        call_result: Slot | None,
    ) -> dict[str, Any]:
        """A child namespace (3.1.4.3.1)."""
        if flags & ~IGNORED_FLAGS & ~_RETURNS_IMMEDIATELY:
            raise InvalidParameter(f"lFlags is 0x{flags:X}")
        if context is not None:
            raise InvalidParameter("pCtx must be NULL")
        immediately = bool(flags & _RETURNS_IMMEDIATELY)
        if (call_result if immediately else working_namespace) is None:
            raise InvalidParameter("the result pointer for this calling mode is NULL")
        opening = self._session.context(call, 0, None, locales=self._locales)
        opened = await self._namespace.open_namespace(namespace, opening)
        stub = ServicesStub(self._session, opened, self._locales)
        if immediately:
            result = CallResultStub(self._session, None, stub)
            return {"call_result": Slot(call.marshal(result, IWbemCallResult.uuid))}
        return {"working_namespace": Slot(call.marshal(stub, IWbemServices.uuid))}

    async def cancel_async_call(self, call: Call, *, sink: bytes | None) -> None:
        """Cancels what the caller runs with this sink (3.1.4.3.2)."""
        if sink is None:
            raise InvalidParameter("pSink is NULL")
        remote = self._session.sink(sink)
        try:
            self._session.server.operations.cancel(remote.identity, self._session.context(call, 0, None))
        finally:
            self._session.give_back(remote)

    async def query_object_sink(self, call: Call, *, flags: int) -> dict[str, Any]:
        """Events into the server are not taken yet (3.1.4.3.3)."""
        return {RESULT: WbemStatus.WBEM_E_NOT_SUPPORTED}

    # -- one object, or none

    async def get_object(self, call: Call, *, path: str | None, **rest: Any) -> dict[str, Any]:
        """A class or an instance (3.1.4.3.4)."""
        return await self._single(call, GetObject(path), **rest)

    async def get_object_async(self, call: Call, *, path: str | None, **rest: Any) -> None:
        """The same, to a sink (3.1.4.3.5)."""
        await self._asynchronous(call, partial(_request, GetObject(path)), **rest)

    async def put_class(self, call: Call, *, object: bytes | None, **rest: Any) -> dict[str, Any]:  # noqa: A002
        """Creates or changes a class (3.1.4.3.6)."""
        return await self._single(call, await self._put_class(object), **rest)

    async def put_class_async(self, call: Call, *, object: bytes | None, **rest: Any) -> None:  # noqa: A002
        """The same, to a sink (3.1.4.3.7)."""
        await self._asynchronous(call, partial(self._put_class, object), **rest)

    async def delete_class(self, call: Call, *, class_name: str | None, **rest: Any) -> dict[str, Any]:
        """Deletes a class (3.1.4.3.8)."""
        return await self._single(call, DeleteClass(class_name), **rest)

    async def delete_class_async(self, call: Call, *, class_name: str | None, **rest: Any) -> None:
        """The same, to a sink (3.1.4.3.9)."""
        await self._asynchronous(call, partial(_request, DeleteClass(class_name)), **rest)

    async def put_instance(self, call: Call, *, object: bytes | None, **rest: Any) -> dict[str, Any]:  # noqa: A002
        """Creates or changes an instance (3.1.4.3.12)."""
        return await self._single(call, await self._put_instance(object), **rest)

    async def put_instance_async(self, call: Call, *, object: bytes | None, **rest: Any) -> None:  # noqa: A002
        """The same, to a sink (3.1.4.3.13)."""
        await self._asynchronous(call, partial(self._put_instance, object), **rest)

    async def delete_instance(self, call: Call, *, path: str | None, **rest: Any) -> dict[str, Any]:
        """Deletes an instance (3.1.4.3.14)."""
        return await self._single(call, DeleteInstance(path), **rest)

    async def delete_instance_async(self, call: Call, *, path: str | None, **rest: Any) -> None:
        """Deletes an instance and tells a sink (3.1.4.3.15)."""
        await self._asynchronous(call, partial(_request, DeleteInstance(path)), **rest)

    async def exec_method(
        self, call: Call, *, path: str | None, method: str | None, parameters: bytes | None, **rest: Any
    ) -> dict[str, Any]:
        """Calls a method (3.1.4.3.22)."""
        return await self._single(call, await self._exec_method(path, method, parameters), **rest)

    async def exec_method_async(
        self, call: Call, *, path: str | None, method: str | None, parameters: bytes | None, **rest: Any
    ) -> None:
        """The same, to a sink (3.1.4.3.23)."""
        await self._asynchronous(call, partial(self._exec_method, path, method, parameters), **rest)

    # -- many objects

    async def create_class_enum(self, call: Call, *, superclass: str | None, **rest: Any) -> dict[str, Any]:
        """Classes (3.1.4.3.10)."""
        return await self._many(call, EnumerateClasses(superclass), **rest)

    async def create_class_enum_async(self, call: Call, *, superclass: str | None, **rest: Any) -> None:
        """The same, to a sink (3.1.4.3.11)."""
        await self._asynchronous(call, partial(_request, EnumerateClasses(superclass)), **rest)

    async def create_instance_enum(self, call: Call, *, class_name: str | None, **rest: Any) -> dict[str, Any]:
        """Instances (3.1.4.3.16)."""
        return await self._many(call, EnumerateInstances(class_name), **rest)

    async def create_instance_enum_async(self, call: Call, *, class_name: str | None, **rest: Any) -> None:
        """The same, to a sink (3.1.4.3.17)."""
        await self._asynchronous(call, partial(_request, EnumerateInstances(class_name)), **rest)

    async def exec_query(self, call: Call, *, language: str | None, query: str | None, **rest: Any) -> dict[str, Any]:
        """What a query selects (3.1.4.3.18)."""
        return await self._many(call, ExecQuery(query, language), **rest)

    async def exec_query_async(self, call: Call, *, language: str | None, query: str | None, **rest: Any) -> None:
        """The same, to a sink (3.1.4.3.19)."""
        await self._asynchronous(call, partial(_request, ExecQuery(query, language)), **rest)

    async def exec_notification_query(self, call: Call, **wanted: Any) -> dict[str, Any]:
        """Events are not there yet (3.1.4.3.20)."""
        return {RESULT: WbemStatus.WBEM_E_NOT_SUPPORTED}

    async def exec_notification_query_async(self, call: Call, *, sink: bytes | None, **wanted: Any) -> dict[str, Any]:
        """Events are not there yet (3.1.4.3.21)."""
        if sink is not None:
            self._session.give_back(self._session.sink(sink))
        return {RESULT: WbemStatus.WBEM_E_NOT_SUPPORTED}

    async def released(self) -> None:
        """The client is done with the namespace; operations that it started go on."""

    # -- the calling modes

    async def _single(
        self,
        call: Call,
        request: Request,
        *,
        flags: int,
        context: bytes | None,
        call_result: Slot | None,
        object: Slot | None = None,  # noqa: A002
    ) -> dict[str, Any]:
        """Synchronous, or semisynchronous with an IWbemCallResult (3.1.1.1.1, 3.1.1.1.2.2)."""
        immediately = bool(flags & _RETURNS_IMMEDIATELY)
        mode = CallingMode.SEMISYNCHRONOUS if immediately else CallingMode.SYNCHRONOUS
        started = self._session.context(call, flags, context, mode=mode, locales=self._locales)
        if immediately and call_result is None:
            raise self._refusal(request, "ppCallResult is NULL, and WBEM_FLAG_RETURN_IMMEDIATELY is set")
        if isinstance(request, ExecMethod) and not immediately and object is None:
            raise self._refusal(request, "ppOutParams is NULL")
        result = CallResult(await self._namespace.start(request, started))
        stub = CallResultStub(self._session, result, None)
        if immediately:
            return {"call_result": Slot(call.marshal(stub, IWbemCallResult.uuid))}
        outcome = await _ended(result)
        # GetObject alone answers a synchronous call without a call result, whatever was passed (3.1.4.3.4); the
        # others deliver what happened through it and succeed themselves (3.1.4.3.14: "regardless").
        if call_result is not None and not isinstance(request, GetObject):
            found: dict[str, Any] = {"call_result": Slot(call.marshal(stub, IWbemCallResult.uuid))}
        else:
            outcome.raise_for_status()
            found = {}
        if object is not None and outcome.succeeded and result.object is not None:
            found["object"] = Slot(self._session.objects.marshal(result.object))
        return found

    async def _many(self, call: Call, request: Request, *, flags: int, context: bytes | None) -> dict[str, Any]:
        """An enumerator; a synchronous call first waits until the results are there, as far as they are buffered."""
        immediately = bool(flags & _RETURNS_IMMEDIATELY)
        mode = CallingMode.SEMISYNCHRONOUS if immediately else CallingMode.SYNCHRONOUS
        started = self._session.context(call, flags, context, mode=mode, locales=self._locales)
        operation = await self._namespace.start(request, started)
        try:
            if not immediately:
                await _settled(operation)
            stub = EnumeratorStub(self._session, ResultSet(operation))
            return {"enumerator": call.marshal(stub, IEnumWbemClassObject.uuid)}
        except BaseException:
            # Nobody will ever fetch from it.
            await operation.close()
            raise

    async def _asynchronous(
        self,
        call: Call,
        make: Callable[[], Awaitable[Request]],
        *,
        flags: int,
        context: bytes | None,
        sink: bytes | None,
    ) -> None:
        """Starts the operation and answers; the results go to the sink (3.1.1.1.3).

        `make` decodes the request: whatever is wrong with it, the sink's references are given back.
        """
        if sink is None:
            raise self._refusal(await make(), "pResponseHandler is NULL")
        remote = self._session.sink(sink)
        try:
            request = await make()
            started = self._session.context(call, flags, context, mode=CallingMode.ASYNCHRONOUS, locales=self._locales)
            table = self._session.server.operations
            entry = await table.start(remote, started, lambda: self._namespace.start(request, started))
        except BaseException:
            self._session.give_back(remote)
            raise
        self._session.server.spawn(table.deliver(entry))

    def _refusal(self, request: Request, reason: str) -> WbemError:
        error = InvalidParameter(reason)
        error.extended = self._session.server.extended(request, error)
        return error

    async def _put_class(self, octets: bytes | None) -> PutClass:
        return PutClass(await self._class(octets))

    async def _put_instance(self, octets: bytes | None) -> PutInstance:
        return PutInstance(await self._instance(octets))

    async def _exec_method(self, path: str | None, method: str | None, parameters: bytes | None) -> ExecMethod:
        return ExecMethod(path, method, await self._instance(parameters))

    async def _class(self, octets: bytes | None) -> Class | None:
        found = await self._object(octets, "pObject")
        if isinstance(found, Instance):
            raise InvalidParameter("pObject is an instance, where a class is due")
        return found

    async def _instance(self, octets: bytes | None) -> Instance | None:
        found = await self._object(octets, "pInst")
        if isinstance(found, Class):
            raise InvalidParameter("pInst is a class, where an instance is due")
        return found

    async def _object(self, octets: bytes | None, name: str) -> CimObject | None:
        """The object in a parameter. A large one is decoded in a thread, a few at a time: the loop is everybody's."""
        if octets is None:
            return None
        if len(octets) <= _LARGE_OBJECT:
            return self._session.objects.unmarshal(octets, name)
        async with self._session.server.large_objects:
            return await asyncio.to_thread(ObjectMarshaller().unmarshal, octets, name)


async def _request(request: Request) -> Request:
    """A request in which nothing is left to decode."""
    return request


async def _ended(result: CallResult) -> Outcome:
    outcome = await result.outcome(None)
    assert outcome is not None  # there was no time limit
    return outcome


async def _settled(operation: Operation) -> None:
    """Waits until the operation has ended or its buffer is full; raises the failure of one that gave nothing."""
    outcome = await operation.settled()
    if outcome is not None and not outcome.succeeded and not operation.has_results:
        outcome.raise_for_status()


def _seconds(timeout: int) -> float | None:
    """lTimeout in milliseconds; WBEM_INFINITE is -1."""
    return None if timeout < 0 else timeout / 1000


class EnumeratorStub:
    """IEnumWbemClassObject (3.1.4.4), forward only so far."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IEnumWbemClassObject,)

    def __init__(self, session: _Session, results: ResultSet) -> None:
        self._session = session
        self._results = results
        self._turn = asyncio.Lock()

    async def next(self, call: Call, *, timeout: int, count: int) -> dict[str, Any]:
        """The next objects (3.1.4.4.2): at most 1,000, and WBEM_S_TIMEDOUT if more were asked for and are there."""
        if count == 0:
            raise InvalidParameter("uCount is 0")
        async with self._turn:
            found, status = await self._results.next(min(count, _NEXT_AT_ONCE), _seconds(timeout))
        if status == WbemStatus.WBEM_S_NO_ERROR and len(found) < count:
            status = WbemStatus.WBEM_S_TIMEDOUT
        objects = tuple(self._marshal(o) for o in found)
        return {"objects": objects, "returned": len(objects), RESULT: status}

    def _marshal(self, obj: CimObject) -> bytes:
        return self._session.objects.marshal(obj)

    async def reset(self, call: Call) -> dict[str, Any]:
        """Going back is not there yet (3.1.4.4.1)."""
        return {RESULT: WbemStatus.WBEM_E_NOT_SUPPORTED}

    async def next_async(self, call: Call, *, count: int, sink: bytes | None) -> dict[str, Any]:
        """Results to a sink are not there yet (3.1.4.4.3)."""
        if sink is not None:
            self._session.give_back(self._session.sink(sink))
        return {RESULT: WbemStatus.WBEM_E_NOT_SUPPORTED}

    async def clone(self, call: Call) -> dict[str, Any]:
        """Going back is not there yet (3.1.4.4.4)."""
        return {RESULT: WbemStatus.WBEM_E_NOT_SUPPORTED}

    async def skip(self, call: Call, *, timeout: int, count: int) -> dict[str, Any]:
        """Passes over `count` objects (3.1.4.4.5)."""
        async with self._turn:
            left = count
            status: int = WbemStatus.WBEM_S_NO_ERROR
            while left and status == WbemStatus.WBEM_S_NO_ERROR:
                found, status = await self._results.next(min(left, _NEXT_AT_ONCE), _seconds(timeout))
                left -= len(found)
        return {RESULT: status}

    async def released(self) -> None:
        """Nobody wants the rest."""
        await self._results.close()


class CallResultStub:
    """IWbemCallResult (3.1.4.5): what became of one semisynchronous call. `result` None is an OpenNamespace's."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemCallResult,)

    def __init__(self, session: _Session, result: CallResult | None, services: ServicesStub | None) -> None:
        self._session = session
        self._result = result
        self._services = services

    async def _outcome(self, timeout: int) -> Outcome | None:
        if self._result is None:
            return Outcome()
        return await self._result.outcome(_seconds(timeout))

    async def get_call_status(self, call: Call, *, timeout: int) -> dict[str, Any]:
        """The operation's status (3.1.4.5.4), or WBEM_S_TIMEDOUT. The call itself succeeds."""
        outcome = await self._outcome(timeout)
        if outcome is None:
            return {RESULT: WbemStatus.WBEM_S_TIMEDOUT}
        # A failure's error object comes along, though this call succeeds: GetErrorInfo gives it to a COM caller.
        failure = {} if outcome.succeeded else {"orpc_that": call.peer.explain(outcome.to_error())}
        return {"status": outcome.status, **failure}

    async def get_result_object(self, call: Call, *, timeout: int) -> dict[str, Any]:
        """The object that the operation gave (3.1.4.5.1)."""
        outcome = await self._outcome(timeout)
        if outcome is None:
            return {RESULT: WbemStatus.WBEM_S_TIMEDOUT}
        outcome.raise_for_status()
        if self._result is None or self._result.object is None:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OPERATION, "this operation gives no object")
        return {"object": self._session.objects.marshal(self._result.object)}

    async def get_result_string(self, call: Call, *, timeout: int) -> dict[str, Any]:
        """The path that PutInstance gave (3.1.4.5.2)."""
        outcome = await self._outcome(timeout)
        if outcome is None:
            return {RESULT: WbemStatus.WBEM_S_TIMEDOUT}
        outcome.raise_for_status()
        if outcome.text is None:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OPERATION, "this operation gives no text")
        return {"text": outcome.text}

    async def get_result_services(self, call: Call, *, timeout: int) -> dict[str, Any]:
        """The namespace that OpenNamespace gave (3.1.4.5.3)."""
        if self._services is None:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OPERATION, "this operation opens no namespace")
        return {"services": call.marshal(self._services, IWbemServices.uuid)}

    async def released(self) -> None:
        """The client wants to know no more."""
        if self._result is not None:
            await self._result.close()
