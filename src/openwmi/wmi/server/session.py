"""What the stubs of one log-on share, and what those of one server do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from openwmi.cim import CimObject, CimType, Instance, TypedValue, fold
from openwmi.cim.delivery import AsyncOperationTable
from openwmi.cim.operations import CallContext, Namespaces, Request
from openwmi.cim.spool import Spools
from openwmi.dcom.importer import Importer, Reach
from openwmi.dcom.peer import Call, Caller
from openwmi.errors import DecodeError, WbemError
from openwmi.status import WbemStatus
from openwmi.wmi.context import decode_context
from openwmi.wmi.objects import ObjectMarshaller
from openwmi.wmi.sinks import SINK_TIMER, RemoteSink

__all__ = ["Environment", "Session", "seconds"]

_GIVEN_BACK_AT_ONCE: Final = 64
_LARGE_OBJECT: Final = 64 * 1024

T = TypeVar("T")


class Offload(Protocol):
    """Runs a function that takes long where it keeps nobody else waiting."""

    def __call__(self, function: Callable[..., T], /, *arguments: Any) -> Awaitable[T]:
        """The function's result."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What all stubs of one server share.

    `extended` makes the `__ExtendedStatus` of a failure that a stub finds by itself, such as a NULL sink;
    `callbacks` gives the importer for calls back to a caller's sinks, authenticated as far as the server can;
    `spawn` runs a coroutine to its end, whatever becomes of the call that started it; `spools` bounds what results
    take that wait to be fetched.
    """

    namespaces: Namespaces
    operations: AsyncOperationTable
    extended: Callable[[Request, WbemError], Instance]
    callbacks: Callable[[Caller], Importer]
    spawn: Callable[[Coroutine[Any, Any, None]], object]
    offload: Offload
    spools: Spools = field(default_factory=Spools)
    sink_timer: float = SINK_TIMER


class Session:
    """One log-on: the caller's account, its class parts, the way back to it."""

    def __init__(self, server: Environment, caller: Caller) -> None:
        self.server = server
        self._giving_back = 0
        self.objects = ObjectMarshaller()
        # Calls go back to the address that the caller has, and nowhere else.
        self.reach = Reach(caller.address)

    def sink(self, call: Call, octets: bytes, name: str = "pResponseHandler") -> RemoteSink:
        """The caller's sink that an OBJREF refers to. It is called as well protected as this call is, or better."""
        importer = self.server.callbacks(call.caller)
        reference = importer.unmarshal(octets, self.reach, name)
        return RemoteSink(reference, importer, self.reach, self.objects, timer=self.server.sink_timer)

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

    async def object(self, octets: bytes | None, name: str) -> CimObject | None:
        """The object in a parameter; a large one is decoded where it keeps nobody waiting."""
        if octets is None:
            return None
        try:
            if len(octets) <= _LARGE_OBJECT:
                return self.objects.unmarshal(octets, name)
            return await self.server.offload(ObjectMarshaller().unmarshal, octets, name)
        except DecodeError as error:
            # 3.1.4 wants an HRESULT for an object that is none, where other bytes that make no sense are a fault.
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OBJECT, str(error)) from error

    def context(self, call: Call, flags: int, octets: bytes | None, **more: Any) -> CallContext:
        """The context of an operation for this call."""
        values = decode_context(octets, self.objects)
        return CallContext(
            principal=call.principal,
            level=call.caller.level,
            remote=call.caller.is_remote,
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


def seconds(timeout: int) -> float | None:
    """lTimeout in milliseconds; WBEM_INFINITE is -1."""
    return None if timeout < 0 else timeout / 1000
