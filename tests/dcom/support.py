"""A small exported object, callers of every kind, and a transport that carries calls to a `Peer` in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from uuid import UUID

from openwmi.dcom.bindings import DualStringArray, Endpoint
from openwmi.dcom.interfaces import HRESULT, orpc_interface
from openwmi.dcom.objref import decode_objref
from openwmi.dcom.peer import Call, Caller, Peer, Refused
from openwmi.dcom.types import COM_VERSION, OrpcThis
from openwmi.errors import ConnectError, Error, RpcFault, Stage, WbemError
from openwmi.rpc.interface import In, InOut, Interface, Method, Out
from openwmi.rpc.ndr import MInterfacePointer, ResultPointer, Slot, UInt32, Unique
from openwmi.security.context import NTLM, AuthenticationLevel, ImpersonationLevel
from openwmi.security.principals import ADMINISTRATORS, Principal, Sid

ADA = Principal("HOST", "ada", Sid(5, (21, 1, 2, 3, 1000)), frozenset({ADMINISTRATORS}))
BOB = Principal("HOST", "bob", Sid(5, (21, 1, 2, 3, 1001)))
CALLER = Caller(
    ADA,
    AuthenticationLevel.PRIVACY,
    ImpersonationLevel.IMPERSONATE,
    address="192.0.2.7",
    connection="connection of ada",
    local_address="192.0.2.1",
)
OTHER = replace(CALLER, principal=BOB, address="192.0.2.8", connection="connection of bob")
NOBODY = Caller(None, AuthenticationLevel.NONE, ImpersonationLevel.ANONYMOUS, address="192.0.2.9")

EXPORTER = Endpoint("192.0.2.1", 5000)
RESOLVER = Endpoint("192.0.2.1", 135)
BINDINGS = DualStringArray.tcp(["192.0.2.1"], [NTLM])
HEADER = OrpcThis(version=COM_VERSION, flags=0, reserved1=0, cid=UUID(int=77))

ICalculator = orpc_interface(
    "ICalculator",
    UUID("11111111-2222-3333-4444-000000000001"),
    Method(3, "Add", (In("left", UInt32), In("right", UInt32), Out("sum", UInt32)), HRESULT),
    Method(
        4,
        "Fail",
        (
            In("status", UInt32),
            Out("total", UInt32),
            Out("pointer", Unique(MInterfacePointer)),
            InOut("slot", ResultPointer(MInterfacePointer)),
        ),
        HRESULT,
    ),
    Method(5, "Break", (), HRESULT),
    Method(6, "TakeObject", (In("object", Unique(MInterfacePointer)),), HRESULT),
    Method(7, "Unimplemented", (), HRESULT),
)
IMemory = orpc_interface(
    "IMemory", UUID("11111111-2222-3333-4444-000000000002"), Method(3, "Recall", (Out("last", UInt32),), HRESULT)
)
IUnheardOf = UUID("11111111-2222-3333-4444-0000000000ff")


class Calculator:
    """An object with two interfaces."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (ICalculator, IMemory)

    def __init__(self) -> None:
        self.last = 0
        self.calls: list[Call] = []
        self.is_released = False

    async def add(self, call: Call, *, left: int, right: int) -> dict[str, Any]:
        self.calls.append(call)
        self.last = (left + right) & 0xFFFFFFFF
        return {"sum": self.last}

    async def fail(self, call: Call, *, status: int, slot: Slot | None) -> None:
        raise WbemError.of(status, "it went wrong")

    async def break_(self, call: Call) -> None:
        raise KeyError("a mistake in the method")

    async def take_object(self, call: Call, *, object: bytes | None) -> None:
        decode_objref(object or b"", "object")

    async def recall(self, call: Call) -> dict[str, Any]:
        return {"last": self.last}

    async def released(self) -> None:
        self.is_released = True


# The handler's name of a method called Break would be a keyword.
setattr(Calculator, "break", Calculator.break_)


def make_peer(**settings: Any) -> tuple[Peer, list[Any]]:
    """A peer for calculators, and the list of what it has freed."""
    freed: list[Any] = []
    peer = Peer(interfaces=[ICalculator, IMemory], bindings=lambda caller: BINDINGS, freed=freed.append, **settings)
    return peer, freed


async def call_method(
    peer: Peer,
    interface: Interface,
    name: str,
    ipid: UUID | None = None,
    /,
    *,
    caller: Caller = CALLER,
    now: float = 0.0,
    header: OrpcThis = HEADER,
    **values: Any,
) -> dict[str, Any]:
    """One call in memory; the response's values."""
    method = interface[name]
    leading = {"orpc_this": header} if interface.leading else {}
    stub = method.encode_request(**leading, **values)
    answer = await peer.handle(interface.uuid, method.opnum, ipid, stub, caller, now=now)
    return method.decode_response(answer, request=values)


@dataclass(frozen=True)
class Invoked:
    """One call that went through a `MemoryTransport`."""

    endpoint: Endpoint
    method: str
    object_uuid: UUID | None
    timeout: float | None


class MemoryTransport:
    """`openwmi.dcom.importer.Transport` to peers in this process, as `caller`.

    `routes` says which peer answers where; endpoints that are not there cannot be connected to. `broken` makes the
    error of a call that is to fail.
    """

    def __init__(
        self, routes: dict[Endpoint, Peer], caller: Caller = CALLER, *, clock: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.routes = routes
        self.caller = caller
        self.calls: list[Invoked] = []
        self.tried: list[Endpoint] = []
        self.headers: list[OrpcThis] = []
        self.broken: Callable[[Invoked], Error | None] = lambda invoked: None
        self._clock = clock

    async def invoke(
        self,
        endpoints: tuple[Endpoint, ...],
        interface: Interface,
        opnum: int,
        stub: bytes,
        *,
        object_uuid: UUID | None,
        timeout: float | None,
    ) -> tuple[bytes, bool]:
        self.tried += endpoints
        found = next((e for e in endpoints if e in self.routes), None)
        if found is None:
            raise ConnectError(f"nobody is at {', '.join(map(str, endpoints))}", stage=Stage.CONNECT)
        method = interface.method(opnum)
        name = method.name if method is not None else str(opnum)
        invoked = Invoked(found, name, object_uuid, timeout)
        self.calls.append(invoked)
        if method is not None and interface.leading:
            self.headers.append(method.decode_request(stub)["orpc_this"])
        error = self.broken(invoked)
        if error is not None:
            raise error
        try:
            answer = await self.routes[found].handle(
                interface.uuid, opnum, object_uuid, stub, self.caller, now=self._clock()
            )
        except Refused as refusal:
            raise RpcFault(refusal.status, refusal.reason) from None
        return answer, True

    @property
    def methods(self) -> list[str]:
        """The methods that were called, in order."""
        return [call.method for call in self.calls]
