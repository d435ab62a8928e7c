"""A small service behind a real listener on 127.0.0.1, and clients with real NTLM."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar
from uuid import UUID

from openwmi.dcom.bindings import DualStringArray, Endpoint
from openwmi.dcom.interfaces import HRESULT, IObjectExporter, orpc_interface
from openwmi.dcom.objref import StandardObjRef, decode_objref
from openwmi.dcom.peer import Call, Caller, Peer
from openwmi.dcom.resolver import ObjectResolver
from openwmi.dcom.types import COM_VERSION, OrpcThis
from openwmi.net.rpc import RpcListener, RpcTransport
from openwmi.rpc import ConnectionLimits
from openwmi.rpc.interface import In, Interface, Method, Out
from openwmi.rpc.ndr import MInterfacePointer, UInt32, Unique
from openwmi.security.acceptors import LocalAcceptors
from openwmi.security.accounts import Accounts
from openwmi.security.context import NTLM, AuthenticationLevel, ImpersonationLevel, SecurityContext
from openwmi.security.ntlm import NtlmInitiator, ServerNames
from openwmi.security.throttle import Throttle

HOST = "127.0.0.1"
PASSWORD = "Correct-Horse-7"
WRONG = "Wrong-Battery-8"

IEcho = orpc_interface(
    "IEcho",
    UUID("22222222-0000-0000-0000-000000000001"),
    Method(3, "Repeat", (In("count", UInt32), Out("octets", Unique(MInterfacePointer))), HRESULT),
    Method(4, "Hang", (), HRESULT),
    Method(5, "Fault", (), HRESULT),
    Method(6, "Measure", (In("octets", Unique(MInterfacePointer)), Out("size", UInt32)), HRESULT),
)
IOther = orpc_interface("IOther", UUID("22222222-0000-0000-0000-000000000002"), *IEcho.methods[:0])
IUnoffered = orpc_interface("IUnoffered", UUID("22222222-0000-0000-0000-0000000000ff"), Method(3, "Any", (), HRESULT))


class Echo:
    """The object that is called."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IEcho, IOther)

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.hanging = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def repeat(self, call: Call, *, count: int) -> dict[str, Any]:
        self.callers.append(call.caller)
        return {"octets": bytes(n & 0xFF for n in range(min(count, 200_000)))}

    async def measure(self, call: Call, *, octets: bytes | None) -> dict[str, Any]:
        return {"size": len(octets or b"")}

    async def hang(self, call: Call) -> None:
        self.hanging.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def fault(self, call: Call) -> None:
        raise KeyError("a mistake in the method")

    async def released(self) -> None:
        return


class RecordingThrottle(Throttle):
    """Writes down what it is told; waits hardly at all."""

    def __init__(self) -> None:
        super().__init__(first=0.001, cap=0.002, free=0)
        self.told: list[tuple[str, str, str]] = []
        self.is_blocked = 0.0
        self.delays: list[float] = []

    def failed(self, account: str, address: str, now: float) -> float:
        self.told.append(("failed", account, address))
        self.delays.append(super().failed(account, address, now))
        return self.delays[-1]

    def succeeded(self, account: str, address: str) -> None:
        self.told.append(("succeeded", account, address))
        super().succeeded(account, address)

    def blocked(self, account: str, address: str, now: float) -> float:
        return self.is_blocked if super().blocked(account, address, now) or self.is_blocked else 0.0


class Network:
    """A listener and its clients."""

    def __init__(self, limits: ConnectionLimits | None, keys: Any = None, **settings: Any) -> None:
        self.accounts = Accounts()
        self.accounts.add("ada", PASSWORD, administrator=True)
        self.echo = Echo()
        self.freed: list[Any] = []
        self.peer = Peer(interfaces=[IEcho, IOther], bindings=lambda c: self.bindings, freed=self.freed.append)
        self.peer.add_service(
            ObjectResolver(
                self.peer.exporter,
                exporter_bindings=lambda c: self.bindings,
                resolver_bindings=lambda c: self.bindings,
            )
        )
        self.throttle = RecordingThrottle()
        self.listener = RpcListener(
            self.peer,
            self.peer.service_interfaces | self.peer.object_interfaces,
            LocalAcceptors(self.accounts, ServerNames.of("test-host"), keys=keys),
            throttle=self.throttle,
            limits=limits,
            **settings,
        )
        nobody = Caller(None, AuthenticationLevel.NONE, ImpersonationLevel.ANONYMOUS, address=HOST)
        reference = decode_objref(self.peer.marshal(self.echo, IEcho.uuid, nobody, float("inf")))
        assert isinstance(reference, StandardObjRef)
        self.ipid = reference.std.ipid
        self.clients = AsyncExitStack()

    @property
    def bindings(self) -> DualStringArray:
        return DualStringArray.tcp([self.endpoint], [NTLM])

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(HOST, self.listener.port)

    def transport(
        self,
        level: AuthenticationLevel = AuthenticationLevel.PRIVACY,
        password: str = PASSWORD,
        *,
        user: str = "ada",
        impersonation: ImpersonationLevel = ImpersonationLevel.IMPERSONATE,
        **settings: Any,
    ) -> RpcTransport:
        """A client; at level NONE one without authentication."""

        def initiator(host: str) -> SecurityContext:
            return NtlmInitiator(user, password, target=host, level=level, impersonation=impersonation)

        made: Callable[[str], SecurityContext] | None = initiator
        if level is AuthenticationLevel.NONE:
            made = None
        transport = RpcTransport(made, level=level, **settings)
        self.clients.push_async_callback(transport.close)
        return transport

    async def call(
        self, transport: RpcTransport, name: str, timeout: float | None = 10.0, **values: Any
    ) -> dict[str, Any]:
        """Calls the object."""
        return await self.call_interface(transport, IEcho, name, timeout, self.ipid, **values)

    async def call_interface(
        self,
        transport: RpcTransport,
        interface: Interface,
        name: str,
        timeout: float | None = 10.0,
        ipid: UUID | None = None,
        **values: Any,
    ) -> dict[str, Any]:
        method = interface[name]
        if interface.leading:
            values["orpc_this"] = OrpcThis(version=COM_VERSION, flags=0, reserved1=0, cid=UUID(int=1))
        octets, little = await transport.invoke(
            (self.endpoint,), interface, method.opnum, method.encode_request(values), object_uuid=ipid, timeout=timeout
        )
        return method.decode_response(octets, little_endian=little)

    async def repeats(self, transport: RpcTransport, count: int = 3) -> bool:
        """Whether a call gives what it should."""
        answer = await self.call(transport, "Repeat", count=count)
        return bool(answer["octets"] == bytes(n & 0xFF for n in range(count)))

    async def alive(self, transport: RpcTransport) -> bool:
        """ServerAlive2."""
        answer = await self.call_interface(transport, IObjectExporter, "ServerAlive2")
        return bool(answer["version"] == COM_VERSION)

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self.listener._sessions._running)

    async def connections(self, expected: int) -> None:
        """Waits until so many connections are open."""
        async with asyncio.timeout(10):
            while self.open != expected:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def network(limits: ConnectionLimits | None = None, **settings: Any) -> AsyncIterator[Network]:
    """A listener; at the end everything is closed, and no task may be left."""
    made = Network(limits, **settings)
    await made.listener.start(HOST, 0)
    try:
        yield made
    finally:
        await made.clients.aclose()
        await made.listener.close()
    assert made.open == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
