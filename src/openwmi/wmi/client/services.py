"""IWbemServices (MS-WMI 3.1.4.3) as a client has it: requests as methods of the calling mode that is wanted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, TypeAlias

from openwmi.cim import CimObject
from openwmi.cim.operation import Operation
from openwmi.cim.operations import (
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
    PutClass,
    PutInstance,
    Request,
)
from openwmi.dcom.importer import Reference, Response
from openwmi.rpc.ndr import Slot
from openwmi.wmi.client.call_result import RemoteCallResult
from openwmi.wmi.client.enumerator import RemoteEnumerator
from openwmi.wmi.client.link import Link
from openwmi.wmi.context import encode_context
from openwmi.wmi.interfaces import IWbemServices
from openwmi.wmi.objects import ObjectMarshaller

__all__ = ["RemoteNamespace"]

Producer: TypeAlias = Callable[[Operation], Awaitable[str | None]]


class RemoteNamespace:
    """`openwmi.cim.operations.Operations` over one IWbemServices.

    `opened` is where it is entered as long as it is open.
    """

    def __init__(self, link: Link, services: Reference, namespace: str, opened: set[RemoteNamespace]) -> None:
        self._link = link
        self._services = services
        self._namespace = namespace
        self._running: set[Operation] = set()
        self._opened = opened
        opened.add(self)

    @property
    def namespace(self) -> str:
        """The namespace's name as it was asked for."""
        return self._namespace

    async def start(self, request: Request, context: CallContext) -> Operation:
        """Calls the server. Raises what it refuses at once."""
        operation = Operation(request, context)
        if context.mode is CallingMode.ASYNCHRONOUS:
            producer = await self._asynchronous(operation)
        elif request.RETURNS_MANY:
            producer = await self._enumeration(operation)
        elif context.mode is CallingMode.SYNCHRONOUS:
            producer = self._synchronous
        else:
            producer = await self._semisynchronous(operation)
        return await self._begin(operation, producer)

    async def enumerate(self, request: Request, context: CallContext) -> RemoteEnumerator:
        """The results as an enumerator on the server, which can go back unless the context says FORWARD_ONLY.

        It is for requests with many results. A synchronous call waits until all of them are there.
        """
        flags = 0 if context.mode is CallingMode.SYNCHRONOUS else Flags.RETURN_IMMEDIATELY
        response = await self._call(request, context, flags, {})
        return await RemoteEnumerator.of(
            self._link, self._link.reference(response.values["enumerator"]), request, context
        )

    async def open_namespace(self, path: str | None, context: CallContext) -> RemoteNamespace:
        """A child of this namespace."""
        immediately = context.mode is not CallingMode.SYNCHRONOUS
        values = {
            "namespace": path,
            "flags": int(Flags.RETURN_IMMEDIATELY) if immediately else 0,
            "context": None,
            "working_namespace": None if immediately else Slot(),
            "call_result": Slot() if immediately else None,
        }
        response = await self._link.call(self._services, IWbemServices, "OpenNamespace", values)
        if immediately:
            result = RemoteCallResult(self._link, self._link.reference(_content(response.values["call_result"])))
            try:
                services = await result.services()
            finally:
                await result.close()
        else:
            services = self._link.reference(_content(response.values["working_namespace"]))
        return RemoteNamespace(self._link, services, f"{self._namespace}\\{path}", self._opened)

    async def close(self) -> None:
        """Cancels what still runs, and gives the namespace back, once."""
        if self not in self._opened:
            return
        self._opened.remove(self)
        running = tuple(self._running)
        for operation in running:
            operation.cancel()
        for operation in running:
            await operation.close()
        await self._link.release(self._services)

    async def _begin(self, operation: Operation, producer: Producer) -> Operation:
        async def run(running: Operation) -> str | None:
            try:
                return await producer(running)
            finally:
                self._running.discard(operation)

        self._running.add(operation)
        return await operation.begin(run)

    # -- the calling modes

    async def _call(
        self, request: Request, context: CallContext, flags: int, results: dict[str, Any], *, suffix: str = ""
    ) -> Response:
        """Calls the request's method with what is its own and what every method takes; `results` is where they go."""
        values = {
            **_PARAMETERS[type(request)](request, self._link.objects),
            "flags": context.flags | flags,
            "context": encode_context(context.values, self._link.objects),
            **results,
        }
        return await self._link.call(self._services, IWbemServices, request.METHOD + suffix, values)

    async def _enumeration(self, operation: Operation) -> Producer:
        forward = replace(operation.context, flags=operation.context.flags | Flags.FORWARD_ONLY)
        enumerator = await self.enumerate(operation.request, forward)

        async def producer(running: Operation) -> None:
            try:
                await enumerator.fetch(running)
            finally:
                await enumerator.close()

        return producer

    async def _synchronous(self, operation: Operation) -> None:
        results: dict[str, Any] = {"call_result": None}
        if operation.request.RETURNS_OBJECT:
            results["object"] = Slot()
        response = await self._call(operation.request, operation.context, 0, results)
        octets = _content(response.values.get("object"))
        if octets is not None:
            await operation.deliver([self._link.objects.unmarshal(octets)])

    async def _semisynchronous(self, operation: Operation) -> Producer:
        request = operation.request
        results: dict[str, Any] = {"call_result": Slot()}
        if request.RETURNS_OBJECT:
            results["object"] = None
        response = await self._call(request, operation.context, Flags.RETURN_IMMEDIATELY, results)
        result = RemoteCallResult(self._link, self._link.reference(_content(response.values["call_result"])))

        async def producer(running: Operation) -> str | None:
            try:
                if request.RETURNS_OBJECT:
                    found = await result.object()
                    if found is not None:
                        await running.deliver([found])
                elif isinstance(request, PutInstance):
                    return await result.text()
                else:
                    await result.wait()
                return None
            finally:
                await result.close()

        return producer

    async def _asynchronous(self, operation: Operation) -> Producer:
        request = operation.request

        async def call(sink: bytes) -> None:
            await self._call(request, operation.context, 0, {"sink": sink}, suffix="Async")

        async def cancel(sink: bytes) -> None:
            await self._link.call(self._services, IWbemServices, "CancelAsyncCall", {"sink": sink})

        return await self._link.receive(operation, call, cancel)


def _content(slot: Slot | None) -> bytes | None:
    octets: bytes | None = None if slot is None else slot.content
    return octets


def _marshalled(obj: CimObject | None, objects: ObjectMarshaller) -> bytes | None:
    return None if obj is None else objects.marshal(obj)


# The parameters that are a request's own; what they are called is the interface table's business.
_PARAMETERS: Final[dict[type[Request], Callable[[Any, ObjectMarshaller], dict[str, Any]]]] = {
    GetObject: lambda r, o: {"path": r.path},
    PutClass: lambda r, o: {"object": _marshalled(r.cls, o)},
    DeleteClass: lambda r, o: {"class_name": r.name},
    EnumerateClasses: lambda r, o: {"superclass": r.superclass},
    PutInstance: lambda r, o: {"object": _marshalled(r.instance, o)},
    DeleteInstance: lambda r, o: {"path": r.path},
    EnumerateInstances: lambda r, o: {"class_name": r.class_name},
    ExecQuery: lambda r, o: {"language": r.language, "query": r.query},
    ExecMethod: lambda r, o: {"path": r.path, "method": r.method, "parameters": _marshalled(r.parameters, o)},
}
