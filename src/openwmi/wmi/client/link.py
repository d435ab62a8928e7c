"""What the proxies of one log-on share: calls and their errors, references, and sinks for what is called back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from openwmi.cim.delivery import Reception
from openwmi.cim.operation import Operation, undisturbed
from openwmi.dcom.importer import Importer, Reach, Reference, Response
from openwmi.errors import InvalidParameter, PeerError, ProtocolError, RpcFault, WbemError
from openwmi.rpc.interface import Interface
from openwmi.status import succeeded
from openwmi.wmi.objects import ObjectMarshaller
from openwmi.wmi.sinks import SinkStub

__all__ = ["POLL", "Link", "SinkExporter", "milliseconds"]

# The server is asked to answer in so many seconds, with whatever it has, so that a silent one is noticed.
POLL: Final = 15.0
# How long a cancelled operation's sink stays for the server's last call to it, which nobody waits for any more.
_LAST_WORD: Final = 1.0
# How long the answer to a release is waited for. A slow server has the call by then, and does what it says; one that is
# gone finds out by itself, as nobody pings for it.
_GIVING_BACK: Final = 1.0
_INFINITE: Final = -1


class SinkExporter(Protocol):
    """Where a client's sinks live: an exporter that the server can reach."""

    async def export(self, stub: SinkStub) -> bytes:
        """The sink as an OBJREF, listening."""
        ...

    def revoke(self, stub: SinkStub) -> None:
        """The sink is done with."""
        ...


@dataclass(frozen=True, slots=True)
class Link:
    """One log-on's way to the server. `timeout` is how long, in seconds, one call may take to be answered.

    `optimized` says whether enumerators are asked for their optimized form.
    """

    importer: Importer
    reach: Reach
    objects: ObjectMarshaller
    sinks: SinkExporter | None
    timeout: float
    optimized: bool = True
    receptions: set[Reception] = field(default_factory=set)

    async def call(
        self,
        target: Reference,
        interface: Interface,
        method: str,
        values: dict[str, Any] | None = None,
        *,
        patience: float | None = 0.0,
    ) -> Response:
        """Calls a method; raises the `WbemError` of a failure, with the error object that came along.

        `patience` is how long the server was asked to wait at most, on top of the time for an answer; None is without
        limit, for as long as the connection lives.
        """
        limit = None if patience is None else self.timeout + patience
        response = await self.importer.call(target, interface, method, values or {}, reach=self.reach, timeout=limit)
        if not succeeded(response.status):
            raise self.error(response.status, response)
        return response

    def error(self, status: int, response: Response) -> WbemError:
        """The error for a status, explained as far as the server did."""
        extended = self.objects.error_of(response.that)
        detail = extended.get("Description") if extended is not None else None
        return WbemError.of(status, detail or "", extended=extended)

    def reference(self, octets: bytes | None) -> Reference:
        """The reference that a call gave."""
        if octets is None:
            raise ProtocolError("the server answered with success and a NULL interface pointer")
        return self.importer.unmarshal(octets, self.reach)

    async def interface(self, target: Reference, interface: Interface) -> Reference | None:
        """Another interface of an object; None if the server does not give it, for whatever reason."""
        try:
            return await self.importer.query_interface(target, interface.uuid, reach=self.reach, timeout=self.timeout)
        except (WbemError, RpcFault):
            return None

    async def release(self, *targets: Reference) -> None:
        """Gives references back, even while the operation that held them is being cancelled."""
        patience = min(self.timeout, _GIVING_BACK)
        await undisturbed(self.importer.release(*targets, reach=self.reach, timeout=patience))

    async def receive(
        self,
        operation: Operation,
        call: Callable[[bytes], Awaitable[object]],
        cancel: Callable[[bytes], Awaitable[object]] | None = None,
    ) -> Callable[[Operation], Awaitable[str | None]]:
        """Makes a sink, hands its OBJREF to `call`, and gives the producer that waits for what the sink is told.

        If the operation is cancelled before the end has come, `cancel` is called with one more OBJREF of the sink.
        Raises what `call` raises; the operation is over then.
        """
        sinks = self.sinks
        if sinks is None:
            raise InvalidParameter("this connection has no place for sinks")
        reception = Reception(operation)
        stub = SinkStub(reception, self.objects)
        self.receptions.add(reception)

        def forget() -> None:
            self.receptions.discard(reception)
            sinks.revoke(stub)

        async def producer(_: Operation) -> str | None:
            try:
                outcome = await reception.outcome()
            finally:
                if not reception.has_ended and cancel is not None:
                    await self._cancel(reception, cancel, await sinks.export(stub))
                forget()
            outcome.raise_for_status()
            operation.finish(outcome)  # as it is: one success is not like another
            return None

        try:
            await call(await sinks.export(stub))
        except BaseException:
            operation.cancel()
            forget()
            raise
        return producer

    async def _cancel(
        self, reception: Reception, cancel: Callable[[bytes], Awaitable[object]], reference: bytes
    ) -> None:
        try:
            await cancel(reference)
        except (WbemError, PeerError):
            # It ended by itself meanwhile, or the server is gone: either way nothing runs any more.
            return
        await reception.last_word(_LAST_WORD)

    def connection_lost(self, reason: PeerError) -> None:
        """The connection has ended: operations that wait for a sink will wait in vain."""
        for reception in tuple(self.receptions):
            reception.lost(reason)


def milliseconds(timeout: float | None) -> int:
    """Seconds as lTimeout; None is WBEM_INFINITE."""
    return _INFINITE if timeout is None else min(int(timeout * 1000), 0x7FFFFFFF)
