"""IWbemServices (MS-WMI 3.1.4.3): one open namespace, its methods in all their calling modes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar, Final

from openwmi.cim import Class, Instance
from openwmi.cim.delivery import CallResult
from openwmi.cim.operation import Outcome
from openwmi.cim.operations import (
    IGNORED_FLAGS,
    CallingMode,
    DeleteClass,
    DeleteInstance,
    EnumerateClasses,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    Flags,
    GetObject,
    Operations,
    PutClass,
    PutInstance,
    Request,
)
from openwmi.cim.results import enumerator_of
from openwmi.dcom.peer import Call
from openwmi.errors import InvalidParameter, WbemError
from openwmi.rpc.interface import RESULT, Interface
from openwmi.rpc.ndr import Slot
from openwmi.status import WbemStatus
from openwmi.wmi.interfaces import IEnumWbemClassObject, IWbemCallResult, IWbemServices
from openwmi.wmi.refreshing import IWbemRefreshingServices, RefreshingStub
from openwmi.wmi.server.call_result import CallResultStub
from openwmi.wmi.server.enumerator import EnumeratorStub
from openwmi.wmi.server.session import Session

__all__ = ["ServicesStub"]

_RETURNS_IMMEDIATELY: Final = int(Flags.RETURN_IMMEDIATELY)


class ServicesStub(RefreshingStub):
    """IWbemServices (3.1.4.3): one open namespace."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemServices, IWbemRefreshingServices)

    def __init__(self, session: Session, namespace: Operations, locales: tuple[str, ...]) -> None:
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
            result = CallResultStub(self._session, stub)
            return {"call_result": Slot(call.marshal(result, IWbemCallResult.uuid))}
        return {"working_namespace": Slot(call.marshal(stub, IWbemServices.uuid))}

    async def cancel_async_call(self, call: Call, *, sink: bytes | None) -> None:
        """Cancels what the caller runs with this sink (3.1.4.3.2)."""
        if sink is None:
            raise InvalidParameter("pSink is NULL")
        remote = self._session.sink(call, sink)
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
            self._session.give_back(self._session.sink(call, sink))
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
        stub = CallResultStub(self._session, result)
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
        """An enumerator; a synchronous call first waits until all results are there (3.1.1.1.1)."""
        immediately = bool(flags & _RETURNS_IMMEDIATELY)
        mode = CallingMode.SEMISYNCHRONOUS if immediately else CallingMode.SYNCHRONOUS
        started = self._session.context(call, flags, context, mode=mode, locales=self._locales)
        operation = await self._namespace.start(request, started)
        enumerator = await enumerator_of(operation, self._session.server.spools.open(call.principal))
        stub = EnumeratorStub(self._session, enumerator)
        try:
            return {"enumerator": call.marshal(stub, IEnumWbemClassObject.uuid)}
        except BaseException:
            # Nobody will ever fetch from it.
            await enumerator.close()
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
        remote = self._session.sink(call, sink)
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
        found = await self._session.object(octets, "pObject")
        if isinstance(found, Instance):
            raise InvalidParameter("pObject is an instance, where a class is due")
        return found

    async def _instance(self, octets: bytes | None) -> Instance | None:
        found = await self._session.object(octets, "pInst")
        if isinstance(found, Class):
            raise InvalidParameter("pInst is a class, where an instance is due")
        return found


async def _request(request: Request) -> Request:
    """A request in which nothing is left to decode."""
    return request


async def _ended(result: CallResult) -> Outcome:
    outcome = await result.outcome(None)
    assert outcome is not None  # there was no time limit
    return outcome
