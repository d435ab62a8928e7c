"""A server and a client of MS-WMI in one process, with nothing between them but their octets.

`Loopback` has the server's stubs over a `FakeNamespace`, the client's proxies, and a place for the client's sinks.
Every call is encoded, handled by the other side's `Peer` and decoded again, but no socket, no clock and no
authentication is in the way. What the namespace does with a request is the test's: `produce` runs it, `refuse`
refuses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, ClassVar

from openwmi.cim import CimType, Class, Flavor, Instance, NameMap, Property, Qualifier
from openwmi.cim.delivery import AsyncOperationTable
from openwmi.cim.operation import Operation
from openwmi.cim.operations import CallContext, CallingMode, Request
from openwmi.cim.spool import Spools
from openwmi.dcom.activator import Activator
from openwmi.dcom.bindings import DualStringArray, Endpoint
from openwmi.dcom.importer import Importer, Reach, Reference, Response
from openwmi.dcom.peer import Call, Caller, Peer
from openwmi.dcom.resolver import ObjectResolver
from openwmi.errors import InvalidNamespace, WbemError
from openwmi.rpc.interface import RESULT, Interface
from openwmi.security.context import NTLM
from openwmi.wmi.client import RemoteNamespace, RemoteNamespaces
from openwmi.wmi.interfaces import CLSID_WBEM_LEVEL1_LOGIN, IWbemObjectSink, IWbemServices
from openwmi.wmi.objects import ObjectMarshaller
from openwmi.wmi.server import INERT_CLASSES, WMI_INTERFACES, WmiServer
from openwmi.wmi.sinks import SinkStub
from tests.dcom.support import CALLER, EXPORTER, NOBODY, RESOLVER, MemoryTransport

CLIENT = Endpoint("192.0.2.7", 6000)
NAMESPACE = "root\\test"

_KEY = Qualifier.of("key", True, Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS)
THING = Class(
    "Thing",
    properties=NameMap(
        [
            Property("Id", CimType.STRING, qualifiers=NameMap([_KEY]), origin="Thing"),
            Property("Size", CimType.UINT32, default=7, origin="Thing"),
        ]
    ),
    namespace=NAMESPACE,
    server="HERE",
)
EXTENDED = Class(
    "__ExtendedStatus",
    properties=NameMap(
        [
            Property("Description", CimType.STRING, origin="__ExtendedStatus"),
            Property("StatusCode", CimType.UINT32, origin="__ExtendedStatus"),
            Property("Operation", CimType.STRING, origin="__ExtendedStatus"),
        ]
    ),
)


def thing(name: str, size: int = 1) -> Instance:
    return THING.new(Id=name, Size=size)


def things(count: int) -> list[Instance]:
    return [thing(f"thing {n}", n) for n in range(count)]


def extended(request: Request, error: WbemError) -> Instance:
    """The error object of a failure."""
    return EXTENDED.new(Description=error.detail, StatusCode=error.status, Operation=request.METHOD)


async def _nothing(operation: Operation) -> str | None:
    return None


class FakeNamespace:
    """`openwmi.cim.operations.Operations` that writes down what it is asked, and does what the test says."""

    def __init__(self, name: str = NAMESPACE) -> None:
        self.name = name
        self.requests: list[tuple[Request, CallContext]] = []
        self.operations: list[Operation] = []
        self.children: dict[str, FakeNamespace] = {}
        self.produce: Callable[[Operation], Awaitable[str | None]] = _nothing
        self.refuse: WbemError | None = None

    @property
    def namespace(self) -> str:
        return self.name

    @property
    def last(self) -> tuple[Request, CallContext]:
        return self.requests[-1]

    async def start(self, request: Request, context: CallContext) -> Operation:
        self.requests.append((request, context))
        if self.refuse is not None:
            self.refuse.extended = extended(request, self.refuse)
            raise self.refuse
        operation = Operation(request, context)
        self.operations.append(operation)
        return operation.launch(self.produce, error_object=lambda error: extended(request, error))

    async def open_namespace(self, path: str | None, context: CallContext) -> FakeNamespace:
        if path not in self.children:
            raise InvalidNamespace(f"no namespace {path}")
        return self.children[path or ""]


def gives(*objects: Any, text: str | None = None, error: WbemError | None = None) -> Any:
    """A producer that delivers `objects` and ends, with `text` or with `error`."""

    async def produce(operation: Operation) -> str | None:
        await operation.deliver(objects)
        if error is not None:
            raise error
        return text

    return produce


class Held:
    """A producer that delivers nothing and does not end until it is told to, nor when it is cancelled before."""

    def __init__(self, *first: Any, error: WbemError | None = None, text: str | None = None) -> None:
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        self._first = first
        self._error = error
        self._text = text

    async def __call__(self, operation: Operation) -> str | None:
        await operation.deliver(self._first)
        self.started.set()
        await self.go_on.wait()
        if self._error is not None:
            raise self._error
        return self._text


class RecordingSink:
    """An IWbemObjectSink that writes down what is called; `answer` is what it answers."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemObjectSink,)

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answer = 0
        self.ended = asyncio.Event()
        self.called = asyncio.Event()
        self.freed = asyncio.Event()
        self._objects = ObjectMarshaller()

    async def indicate(self, call: Call, *, count: int, objects: tuple[bytes, ...]) -> dict[str, Any]:
        decoded = [self._objects.unmarshal(octets) for octets in objects]
        self.calls.append(("indicate", [found.to_dict() for found in decoded if isinstance(found, Instance)]))
        self.called.set()
        return {RESULT: self.answer}

    async def set_status(
        self, call: Call, *, flags: int, status: int, text: str | None, error: bytes | None
    ) -> dict[str, Any]:
        found = None if error is None else self._objects.unmarshal(error)
        self.calls.append(("set_status", flags, status, text, found.to_dict() if isinstance(found, Instance) else None))
        self.called.set()
        if flags == 0:
            self.ended.set()
        return {RESULT: self.answer}

    async def released(self) -> None:
        self.freed.set()

    @property
    def told(self) -> list[tuple[Any, ...]]:
        """The calls in short: the keys of what was indicated, and statuses."""
        return [
            (name, [found["Id"] for found in rest[0]] if name == "indicate" else rest[1]) for name, *rest in self.calls
        ]


class Loopback:
    """Both sides. Use it with `async with`: the end checks that nothing is left running."""

    def __init__(self, caller: Caller = CALLER, *, optimized: bool = True) -> None:
        self.namespace = FakeNamespace()
        self.connected: list[tuple[str | None, CallContext]] = []
        self.operations = AsyncOperationTable()
        self.objects = ObjectMarshaller()
        self.caller = caller
        self._tasks: set[asyncio.Task[Any]] = set()
        self.server = self._server()
        self.client = self._client()
        self.callbacks = MemoryTransport(
            {CLIENT: self.client}, replace(caller, address=EXPORTER.host, connection="back")
        )
        self.ways_back: list[Caller] = []  # those whose sinks were to be called
        self.spools = Spools()
        self.wmi = WmiServer(
            namespaces=self,
            operations=self.operations,
            extended=extended,
            callbacks=self._way_back,
            spawn=self.spawn,
            offload=asyncio.to_thread,
            spools=self.spools,
        )
        self.transport = MemoryTransport({EXPORTER: self.server, RESOLVER: self.server}, caller)
        self.importer = Importer(self.transport)
        self.namespaces = RemoteNamespaces(self.importer, EXPORTER.host, RESOLVER.port, sinks=self, optimized=optimized)

    def _way_back(self, caller: Caller) -> Importer:
        self.ways_back.append(caller)
        return Importer(self.callbacks)

    def _server(self) -> Peer:
        peer = Peer(
            interfaces=WMI_INTERFACES,
            bindings=lambda caller: DualStringArray.tcp([RESOLVER.host], [NTLM]),
            freed=lambda gone: self.spawn(gone.released()),
            error_info=lambda error: None if error.extended is None else self.objects.marshal_error(error.extended),
        )
        endpoint = DualStringArray.tcp([EXPORTER], [NTLM])
        peer.add_service(
            ObjectResolver(
                peer.exporter, exporter_bindings=lambda caller: endpoint, resolver_bindings=lambda caller: endpoint
            )
        )
        classes = {CLSID_WBEM_LEVEL1_LOGIN: lambda call: self.wmi.activate(call), **INERT_CLASSES}
        peer.add_service(Activator(peer.exporter, classes, lambda caller: endpoint))
        return peer

    def _client(self) -> Peer:
        bindings = DualStringArray.tcp([CLIENT], [NTLM])
        peer = Peer(
            interfaces=(IWbemObjectSink,),
            bindings=lambda caller: bindings,
            freed=lambda gone: self.spawn(gone.released()),
        )
        peer.add_service(
            ObjectResolver(
                peer.exporter, exporter_bindings=lambda caller: bindings, resolver_bindings=lambda caller: bindings
            )
        )
        return peer

    # -- what the server needs

    async def connect(self, namespace: str | None, context: CallContext) -> FakeNamespace:
        self.connected.append((namespace, context))
        if namespace is None or not namespace.lower().endswith(self.namespace.name):
            raise InvalidNamespace(f"no namespace {namespace}")
        return self.namespace

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- what the client needs: `SinkExporter`

    async def export(self, stub: SinkStub) -> bytes:
        return self.sink(stub)

    def revoke(self, stub: SinkStub) -> None:
        self.client.exporter.revoke(stub)

    # -- for tests

    def sink(self, sink: Any) -> bytes:
        """One more reference to a sink of the client's."""
        return self.client.marshal(sink, IWbemObjectSink.uuid, NOBODY, float("inf"))

    @property
    def references(self) -> int:
        """How many references the server holds to the client's sinks."""
        return sum(entry.references for entry in self.client.exporter._by_ipid.values())

    def context(self, mode: CallingMode = CallingMode.SEMISYNCHRONOUS, **values: Any) -> CallContext:
        assert self.caller.principal is not None
        return CallContext(principal=self.caller.principal, mode=mode, **values)

    async def open(self) -> RemoteNamespace:
        """The namespace as a client has it."""
        return await self.namespaces.connect(NAMESPACE, self.context())

    async def services(self) -> Services:
        """The namespace for calls exactly as a test says."""
        return Services(self, (await self.open())._services)

    async def quiet(self) -> None:
        """Until nothing runs in the background."""
        while self._tasks:
            await asyncio.wait_for(asyncio.wait(set(self._tasks)), 10)

    async def __aenter__(self) -> Loopback:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.namespaces.close()
        await self.operations.close()
        self.server.exporter.close()
        self.client.exporter.close()
        await self.quiet()
        for operation in self.namespace.operations:
            await operation.close()
        assert len(self.operations) == 0
        assert (self.spools.memory_used, self.spools.disk_used) == (0, 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


class Services:
    """IWbemServices with nothing between it and the test."""

    def __init__(self, loop: Loopback, reference: Reference) -> None:
        self.loop = loop
        self.reference = reference

    async def call(self, method: str, /, **values: Any) -> Response:
        """One call; the HRESULT is for the test to judge."""
        return await self.on(self.reference, IWbemServices, method, **values)

    async def on(self, reference: Reference, interface: Interface, method: str, /, **values: Any) -> Response:
        loop = self.loop
        reach = loop.namespaces._link.reach
        return await loop.importer.call(reference, interface, method, values, reach=reach, timeout=5.0)

    async def refused(self, method: str, /, **values: Any) -> int:
        """The status of an asynchronous call that is refused: the sink is not called, and its references are back."""
        sink = RecordingSink()
        kept = self.loop.sink(sink)
        before = self.loop.references
        response = await self.call(method, sink=self.loop.sink(sink), **values)
        await self.loop.quiet()
        assert sink.calls == []
        assert self.loop.references == before
        assert len(self.loop.operations) == 0
        assert kept
        return response.status

    def unmarshal(self, octets: bytes | None) -> Reference:
        assert octets is not None
        return self.loop.importer.unmarshal(octets, Reach(EXPORTER.host))
