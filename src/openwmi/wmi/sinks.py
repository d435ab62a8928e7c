"""IWbemObjectSink on both sides: the server's proxy of a client's sink, and the client's sink as an exported object.

The server calls back through `RemoteSink`, which owns the sink timer: 30 seconds for each call (MS-WMI 3.1.2).
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, Final, Protocol

from openwmi.cim import CimObject, Instance
from openwmi.cim.delivery import StatusType
from openwmi.dcom.importer import Importer, Reach, Reference
from openwmi.dcom.peer import Call
from openwmi.errors import DecodeError, InvalidParameter, ProtocolError
from openwmi.rpc.interface import RESULT, Interface
from openwmi.status import WbemStatus, name_of, succeeded
from openwmi.wmi.interfaces import IWbemObjectSink
from openwmi.wmi.objects import ObjectMarshaller

__all__ = ["SINK_TIMER", "RemoteSink", "SinkReceiver", "SinkStub"]

_log = logging.getLogger("openwmi.wmi")

SINK_TIMER: Final = 30.0  # seconds
_INDICATED_AT_ONCE: Final = 100


class RemoteSink:
    """A client's sink, as the server calls it (MS-WMI 3.2.4.1)."""

    def __init__(
        self,
        reference: Reference,
        importer: Importer,
        reach: Reach,
        objects: ObjectMarshaller,
        *,
        timer: float = SINK_TIMER,
    ) -> None:
        self._reference = reference
        self._importer = importer
        self._reach = reach
        self._objects = objects
        self._timer = timer

    @property
    def identity(self) -> Hashable:
        """Equal for two references to one sink object."""
        return self._reference.identity

    async def indicate(self, objects: Sequence[CimObject]) -> None:
        """Hands over results, at most a hundred in a call."""
        for start in range(0, len(objects), _INDICATED_AT_ONCE):
            octets = tuple(self._objects.marshal(o) for o in objects[start : start + _INDICATED_AT_ONCE])
            await self._call("Indicate", {"objects": octets})

    async def set_status(self, kind: int, status: int, text: str | None, error: Instance | None) -> None:
        """Reports progress or the end."""
        octets = None if error is None else self._objects.marshal(error)
        await self._call("SetStatus", {"flags": kind, "status": status, "text": text, "error": octets})

    async def release(self) -> None:
        """Gives back what the OBJREF carried."""
        await self._importer.release(self._reference, reach=self._reach, timeout=self._timer)

    async def _call(self, method: str, values: dict[str, Any]) -> None:
        response = await self._importer.call(
            self._reference, IWbemObjectSink, method, values, reach=self._reach, timeout=self._timer
        )
        if not succeeded(response.status):
            raise ProtocolError(f"the sink answered {method} with {name_of(response.status)}")


class SinkReceiver(Protocol):
    """What a client's sink hands its calls to."""

    async def indicate(self, objects: Sequence[CimObject]) -> None:
        """Results."""
        ...

    async def progress(self, current: int, total: int, text: str | None) -> None:
        """Progress: `current` of `total`."""
        ...

    async def finished(self, status: int, text: str | None, error: Instance | None) -> None:
        """The end; exactly once."""
        ...

    def abandoned(self) -> None:
        """The server has given its references back, and never told the end."""
        ...


class SinkStub:
    """A client's sink as an exported object: decodes the server's calls for a `SinkReceiver` (3.1.4.2)."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemObjectSink,)

    def __init__(self, receiver: SinkReceiver, objects: ObjectMarshaller) -> None:
        self._receiver = receiver
        self._objects = objects
        self._finished = False

    async def indicate(self, call: Call, *, count: int, objects: tuple[bytes | None, ...]) -> None:
        """Results arrive. What comes after the end is taken and forgotten, as a delete's Indicate would be."""
        if not self._finished:
            await self._receiver.indicate([self._objects.unmarshal(o) for o in objects if o is not None])

    async def set_status(
        self, call: Call, *, flags: int, status: int, text: str | None, error: bytes | None
    ) -> dict[str, Any] | None:
        """Progress or the end; any other flag is an error (3.1.4.2.2)."""
        if flags not in (StatusType.COMPLETE, StatusType.PROGRESS):
            raise InvalidParameter(f"SetStatus with lFlags 0x{flags:X}")
        if self._finished:
            return {RESULT: WbemStatus.WBEM_E_UNEXPECTED}
        if flags == StatusType.PROGRESS:
            await self._receiver.progress(status & 0xFFFF, status >> 16, text)
            return None
        self._finished = True
        await self._receiver.finished(status, text, None if error is None else self._error_object(error))
        return None

    def _error_object(self, octets: bytes) -> Instance | None:
        try:
            decoded = self._objects.unmarshal(octets, "pObjParam")
        except DecodeError as problem:
            # The end must be told, whatever is wrong with its explanation: somebody waits for it.
            _log.warning("an error object cannot be read: %s", problem)
            return None
        return decoded if isinstance(decoded, Instance) else None

    async def released(self) -> None:
        """The server has given its references back: nothing comes after that."""
        if not self._finished:
            self._finished = True
            self._receiver.abandoned()
