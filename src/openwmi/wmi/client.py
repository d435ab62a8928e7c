"""The client's proxies: `openwmi.cim.operations` over MS-WMI.

`RemoteNamespaces` logs on and `RemoteNamespace` turns each request into the method of IWbemServices that the calling
mode wants: the synchronous one, the semisynchronous one whose enumerator or call result is then fetched from, or the
asynchronous one with a sink. The result is the same `Operation` for all three.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from openwmi.cim import CimObject, Instance
from openwmi.cim.operation import Operation, Outcome, Progress
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
from openwmi.cim.upkeep import Backup, Pause, RestoreFrom, Resume
from openwmi.dcom.importer import Importer, Reach, Reference, Response
from openwmi.errors import InvalidParameter, PeerError, ProtocolError, WbemError
from openwmi.rpc.interface import Interface
from openwmi.rpc.ndr import Slot
from openwmi.status import WbemStatus, succeeded
from openwmi.wmi.backup import RemoteUpkeep
from openwmi.wmi.context import encode_context
from openwmi.wmi.interfaces import (
    CLSID_WBEM_LEVEL1_LOGIN,
    IEnumWbemClassObject,
    IWbemCallResult,
    IWbemLevel1Login,
    IWbemServices,
)
from openwmi.wmi.objects import ObjectMarshaller
from openwmi.wmi.sinks import SinkStub

__all__ = ["RemoteNamespace", "RemoteNamespaces", "SinkExporter"]

# The server is asked to answer in so many seconds, with whatever it has, so that a silent one is noticed.
_POLL: Final = 15.0
_ANSWER: Final = 30.0
# A page is empty when the server had to wait; one that never waits and never gives anything is making fun of us.
_MOST_EMPTY_PAGES: Final = 10_000
# How long a cancelled operation's sink stays for the server's last call to it, which nobody waits for any more.
_LAST_WORD: Final = 1.0
_ENUMERATION: Final = Flags.RETURN_IMMEDIATELY | Flags.FORWARD_ONLY


class SinkExporter(Protocol):
    """Where a client's sinks live: an exporter that the server can reach."""

    async def export(self, stub: SinkStub) -> bytes:
        """The sink as an OBJREF, listening."""
        ...

    def revoke(self, stub: SinkStub) -> None:
        """The sink is done with."""
        ...


@dataclass(frozen=True, slots=True)
class _Link:
    """What the proxies of one log-on share."""

    importer: Importer
    reach: Reach
    objects: ObjectMarshaller
    sinks: SinkExporter | None
    timeout: float
    opened: list[RemoteNamespace] = field(default_factory=list)

    async def call(
        self,
        target: Reference,
        interface: Interface,
        method: str,
        values: dict[str, Any] | None = None,
        *,
        patience: float = 0.0,
    ) -> Response:
        """Calls a method; raises the `WbemError` of a failure, with the error object that came along.

        `patience` is how long the server was asked to wait at most, on top of the time for an answer.
        """
        limit = self.timeout + patience
        response = await self.importer.call(target, interface, method, values or {}, reach=self.reach, timeout=limit)
        if not succeeded(response.status):
            raise self.error(response.status, response)
        return response

    def error(self, status: int, response: Response) -> WbemError:
        """The error for a status, explained as far as the server did."""
        extended = self.objects.error_of(response.that)
        detail = extended.get("Description") if extended is not None else None
        return WbemError.of(status, detail or "", extended=extended)

    async def release(self, target: Reference) -> None:
        """Gives the reference back, even while the operation that held it is being cancelled."""
        giving = asyncio.ensure_future(self.importer.release(target, reach=self.reach, timeout=self.timeout))
        try:
            await asyncio.shield(giving)
        except asyncio.CancelledError:
            await asyncio.wait({giving})
            raise


class RemoteNamespaces:
    """`openwmi.cim.operations.Namespaces` on a server: activation and log-on (MS-WMI 3.2.3)."""

    def __init__(
        self,
        importer: Importer,
        host: str,
        port: int,
        *,
        sinks: SinkExporter | None = None,
        timeout: float = _ANSWER,
    ) -> None:
        """`timeout` is how long, in seconds, one call may take to be answered."""
        self._link = _Link(importer, Reach(host, anywhere=True), ObjectMarshaller(), sinks, timeout)
        self._port = port
        self._login: Reference | None = None

    async def connect(self, namespace: str | None, context: CallContext) -> RemoteNamespace:
        """Opens a namespace; activates the log-on object the first time."""
        link = self._link
        if self._login is None:
            found = await link.importer.activate(
                CLSID_WBEM_LEVEL1_LOGIN, (IWbemLevel1Login.uuid,), link.reach, self._port, timeout=link.timeout
            )
            if not isinstance(found[0], Reference):
                raise ProtocolError("the activation gave no IWbemLevel1Login")
            self._login = found[0]
        resource = namespace if namespace is None or namespace[:2] in ("\\\\", "//") else f"\\\\.\\{namespace}"
        values = {
            "network_resource": resource,
            "preferred_locale": ",".join(context.locales) or None,
            "flags": 0,
            "context": encode_context(context.values, link.objects),
        }
        response = await link.call(self._login, IWbemLevel1Login, "NTLMLogin", values)
        return RemoteNamespace(link, _reference(link, response.values["namespace"]), namespace or "")

    async def perform(self, request: Backup | RestoreFrom | Pause | Resume, context: CallContext) -> None:
        """Backup, restore, pause or resume (`openwmi.cim.upkeep.Upkeep`)."""
        await RemoteUpkeep(self._link, self._port).perform(request, context)

    def connection_lost(self, reason: PeerError) -> None:
        """The connection has ended: operations that wait for a sink will wait in vain."""
        for namespace in self._link.opened:
            namespace.connection_lost(reason)

    async def close(self) -> None:
        """Gives everything back."""
        for namespace in tuple(self._link.opened):
            await namespace.close()
        if self._login is not None:
            await self._link.release(self._login)
            self._login = None


def _reference(link: _Link, octets: bytes | None) -> Reference:
    if octets is None:
        raise ProtocolError("the server answered with success and a NULL interface pointer")
    return link.importer.unmarshal(octets, link.reach)


class RemoteNamespace:
    """`openwmi.cim.operations.Operations` over one IWbemServices."""

    def __init__(self, link: _Link, services: Reference, namespace: str) -> None:
        self._link = link
        self._services = services
        self._namespace = namespace
        self._running: set[Operation] = set()
        self._waiting: set[_SinkReceiver] = set()
        link.opened.append(self)

    @property
    def namespace(self) -> str:
        """The namespace's name as it was asked for."""
        return self._namespace

    async def start(self, request: Request, context: CallContext) -> Operation:
        """Calls the server. Raises what it refuses at once."""
        operation = Operation(request, context)
        if context.mode is CallingMode.ASYNCHRONOUS:
            return await self._start_asynchronous(operation)
        if request.RETURNS_MANY:
            return await self._start_enumeration(operation)
        if context.mode is CallingMode.SYNCHRONOUS:
            return await self._launch(operation, self._synchronous)
        return await self._start_semisynchronous(operation)

    async def open_namespace(self, path: str | None, context: CallContext) -> RemoteNamespace:
        """A child of this namespace."""
        values = {"namespace": path, "flags": 0, "context": None, "working_namespace": Slot(), "call_result": None}
        response = await self._link.call(self._services, IWbemServices, "OpenNamespace", values)
        found: Slot | None = response.values["working_namespace"]
        name = f"{self._namespace}\\{path}"
        return RemoteNamespace(self._link, _reference(self._link, found.content if found else None), name)

    def connection_lost(self, reason: PeerError) -> None:
        """Ends the operations that wait for a call back."""
        for receiver in tuple(self._waiting):
            receiver.lost(reason)

    async def close(self) -> None:
        """Cancels what still runs, and gives the namespace back, once."""
        if self not in self._link.opened:
            return
        self._link.opened.remove(self)
        await asyncio.gather(*(operation.close() for operation in self._running))
        await self._link.release(self._services)

    async def _launch(self, operation: Operation, producer: Callable[[Operation], Awaitable[str | None]]) -> Operation:
        """Launches the operation, and has its producer begin: one that never began could not give anything back."""

        async def run(running: Operation) -> str | None:
            try:
                return await producer(running)
            finally:
                self._running.discard(operation)

        self._running.add(operation)
        operation.launch(run)
        try:
            await asyncio.sleep(0)
        except BaseException:
            operation.cancel()
            raise
        return operation

    # -- the calling modes

    def _values(self, operation: Operation, flags: int) -> dict[str, Any]:
        request, context = operation.request, operation.context
        values = _PARAMETERS[type(request)](request, self._link.objects)
        return {
            **values,
            "flags": context.flags | flags,
            "context": encode_context(context.values, self._link.objects),
        }

    async def _start_enumeration(self, operation: Operation) -> Operation:
        mode = operation.context.mode
        flags = _ENUMERATION if mode is CallingMode.SEMISYNCHRONOUS else Flags.FORWARD_ONLY
        values = self._values(operation, flags)
        response = await self._link.call(self._services, IWbemServices, operation.request.METHOD, values)
        enumerator = _reference(self._link, response.values["enumerator"])
        return await self._launch(operation, lambda running: self._fetch(running, enumerator))

    async def _fetch(self, operation: Operation, enumerator: Reference) -> None:
        """Fetches page after page until the server has no more (3.2.4.2.8)."""
        link = self._link
        values = {"timeout": int(_POLL * 1000), "count": operation.context.page_size}
        empty = 0
        try:
            while True:
                response = await link.call(enumerator, IEnumWbemClassObject, "Next", values, patience=_POLL)
                page = [link.objects.unmarshal(o) for o in response.values["objects"] if o is not None]
                if page:
                    await operation.deliver(page)
                empty = 0 if page else empty + 1
                if empty > (0 if response.status == WbemStatus.WBEM_S_NO_ERROR else _MOST_EMPTY_PAGES):
                    raise ProtocolError("the server answers Next without objects, and says that there are more")
                if response.status not in (WbemStatus.WBEM_S_NO_ERROR, WbemStatus.WBEM_S_TIMEDOUT):
                    return
        finally:
            await link.release(enumerator)

    async def _synchronous(self, operation: Operation) -> None:
        values = {**self._values(operation, 0), "call_result": None}
        if _gives_object(operation.request):
            values["object"] = Slot()
        response = await self._link.call(self._services, IWbemServices, operation.request.METHOD, values)
        found: Slot | None = response.values.get("object")
        if found is not None and found.content is not None:
            await operation.deliver([self._link.objects.unmarshal(found.content)])

    async def _start_semisynchronous(self, operation: Operation) -> Operation:
        values = {**self._values(operation, Flags.RETURN_IMMEDIATELY), "call_result": Slot()}
        if _gives_object(operation.request):
            values["object"] = None
        response = await self._link.call(self._services, IWbemServices, operation.request.METHOD, values)
        found: Slot | None = response.values["call_result"]
        result = _reference(self._link, found.content if found else None)
        return await self._launch(operation, lambda running: self._await_result(running, result))

    async def _await_result(self, operation: Operation, result: Reference) -> str | None:
        """Asks the call result until the operation has ended, then for what it gave (3.2.4.2.7)."""
        link = self._link
        values = {"timeout": int(_POLL * 1000)}
        try:
            while True:
                response = await link.call(result, IWbemCallResult, "GetCallStatus", values, patience=_POLL)
                if response.status != WbemStatus.WBEM_S_TIMEDOUT:
                    break
            status = response.values["status"]
            if not succeeded(status):
                raise link.error(status, response)
            if _gives_object(operation.request):
                octets = await self._result(result, "GetResultObject", "object")
                if octets is not None:
                    await operation.deliver([link.objects.unmarshal(octets)])
            if isinstance(operation.request, PutInstance):
                text: str | None = await self._result(result, "GetResultString", "text")
                return text
            return None
        finally:
            await link.release(result)

    async def _result(self, result: Reference, method: str, name: str) -> Any:
        """What an operation that has succeeded gave; None if it gave nothing, such as a method without results."""
        values = {"timeout": int(_POLL * 1000)}
        try:
            response = await self._link.call(result, IWbemCallResult, method, values, patience=_POLL)
        except WbemError as error:
            if error.status == WbemStatus.WBEM_E_INVALID_OPERATION:
                return None
            raise
        return response.values[name]

    async def _start_asynchronous(self, operation: Operation) -> Operation:
        sinks = self._link.sinks
        if sinks is None:
            raise InvalidParameter("this connection has no place for sinks")
        receiver = _SinkReceiver(operation)
        stub = SinkStub(receiver, self._link.objects)
        self._waiting.add(receiver)
        try:
            values = {**self._values(operation, 0), "sink": await sinks.export(stub)}
            await self._link.call(self._services, IWbemServices, f"{operation.request.METHOD}Async", values)
        except BaseException:
            operation.cancel()
            self._forget(receiver, stub, sinks)
            raise
        return await self._launch(operation, lambda running: self._await_sink(receiver, stub, sinks))

    def _forget(self, receiver: _SinkReceiver, stub: SinkStub, sinks: SinkExporter) -> None:
        self._waiting.discard(receiver)
        sinks.revoke(stub)

    async def _await_sink(self, receiver: _SinkReceiver, stub: SinkStub, sinks: SinkExporter) -> str | None:
        """Waits for the server's SetStatus. Who cancels the operation cancels it on the server."""
        try:
            outcome = await asyncio.shield(receiver.ended)
        except asyncio.CancelledError:
            if not receiver.ended.done():
                await self._cancel(receiver, await sinks.export(stub))
            raise
        finally:
            self._forget(receiver, stub, sinks)
        outcome.raise_for_status()
        return outcome.text

    async def _cancel(self, receiver: _SinkReceiver, reference: bytes) -> None:
        try:
            await self._link.call(self._services, IWbemServices, "CancelAsyncCall", {"sink": reference})
        except (WbemError, PeerError):
            # It ended by itself meanwhile, or the server is gone: either way nothing runs any more.
            return
        await asyncio.wait({receiver.ended}, timeout=_LAST_WORD)


class _SinkReceiver:
    """Takes what the server calls the sink with, for one operation."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self.ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    async def indicate(self, objects: Sequence[CimObject]) -> None:
        await self._operation.deliver(objects)

    async def progress(self, current: int, total: int, text: str | None) -> None:
        self._operation.report(Progress(current, total, text))

    async def finished(self, status: int, text: str | None, error: Instance | None) -> None:
        detail = error.get("Description") if error is not None else None
        self._end(Outcome(status, text, detail or "", error))

    def abandoned(self) -> None:
        self.lost(ProtocolError("the server let go of the sink without telling it the end"))

    def lost(self, reason: PeerError) -> None:
        """The connection has ended."""
        self._end(Outcome(WbemStatus.WBEM_E_TRANSPORT_FAILURE, error=reason))

    def _end(self, outcome: Outcome) -> None:
        if not self.ended.done():
            self.ended.set_result(outcome)


def _gives_object(request: Request) -> bool:
    return isinstance(request, GetObject | ExecMethod)


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
