"""An enumerator on the server: IEnumWbemClassObject, IWbemFetchSmartEnum and IWbemWCOSmartEnum (MS-WMI 3.1.4.4, 6, 7).

The optimized enumerator is an object of its own that hands out from the same place in the results, so it makes no
difference which of the two is asked.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, ClassVar, Final
from uuid import UUID

from openwmi.cim import CimObject
from openwmi.cim.results import Enumerator
from openwmi.dcom.peer import Call
from openwmi.errors import InvalidParameter
from openwmi.rpc.interface import RESULT, Interface
from openwmi.status import WbemStatus
from openwmi.wmi.interfaces import IEnumWbemClassObject, IWbemFetchSmartEnum, IWbemWCOSmartEnum
from openwmi.wmi.object_array import ObjectArrayWriter, PacketType
from openwmi.wmi.server.session import Session, seconds

__all__ = ["EnumeratorStub", "SmartEnumStub"]

# An answer to Next holds at most so many objects; a client that asked for more is told to call again.
_NEXT_AT_ONCE: Final = 1000
# Of so many proxies it is known which classes they have got. One that is forgotten gets them again.
_PROXIES: Final = 4


class _Place:
    """The place in the results that an enumerator and its optimized form share; closed when both are released."""

    def __init__(self, enumerator: Enumerator) -> None:
        self.enumerator = enumerator
        self._holders = 0

    def hold(self) -> _Place:
        """The place, for one more object that hands out from it."""
        self._holders += 1
        return self

    async def release(self) -> None:
        """One object less."""
        self._holders -= 1
        if self._holders == 0:
            await self.enumerator.close()

    async def next(self, count: int, timeout: int) -> tuple[list[CimObject], int]:
        """The next objects: at most 1,000, and WBEM_S_TIMEDOUT if more were asked for and are there."""
        if count == 0:
            raise InvalidParameter("uCount is 0")
        found, status = await self.enumerator.next(min(count, _NEXT_AT_ONCE), seconds(timeout))
        if status == WbemStatus.WBEM_S_NO_ERROR and len(found) < count:
            status = WbemStatus.WBEM_S_TIMEDOUT
        return found, status


class EnumeratorStub:
    """One enumerator; a clone is another."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IEnumWbemClassObject, IWbemFetchSmartEnum)
    DENIED: ClassVar[int] = WbemStatus.WBEM_E_ACCESS_DENIED  # 3.1.4.4.1 and the others: for another account

    def __init__(self, session: Session, enumerator: Enumerator) -> None:
        self._session = session
        self._enumerator = enumerator
        self._place = _Place(enumerator).hold()

    async def reset(self, call: Call) -> None:
        """Back to the first object (3.1.4.4.1)."""
        await self._enumerator.reset()

    async def next(self, call: Call, *, timeout: int, count: int) -> dict[str, Any]:
        """The next objects, each as an OBJREF of its own (3.1.4.4.2)."""
        found, status = await self._place.next(count, timeout)
        objects = tuple(self._session.objects.marshal(o) for o in found)
        return {"objects": objects, "returned": len(objects), RESULT: status}

    async def next_async(self, call: Call, *, count: int, sink: bytes | None) -> dict[str, Any] | None:
        """The next objects to a sink (3.1.4.4.3); WBEM_S_FALSE, and no call to the sink, if none are asked for."""
        if sink is None:
            raise InvalidParameter("pSink is NULL")
        remote = self._session.sink(call, sink, "pSink")
        try:
            delivery = self._enumerator.next_async(count, remote)
        except BaseException:
            self._session.give_back(remote)
            raise
        if delivery is None:
            self._session.give_back(remote)
            return {RESULT: WbemStatus.WBEM_S_FALSE}
        self._session.server.spawn(delivery)
        return None

    async def clone(self, call: Call) -> dict[str, Any]:
        """Another enumerator of the same results, at the same place (3.1.4.4.4)."""
        copy = await self._enumerator.clone()
        try:
            return {"enumerator": call.marshal(EnumeratorStub(self._session, copy), IEnumWbemClassObject.uuid)}
        except BaseException:
            await copy.close()
            raise

    async def skip(self, call: Call, *, timeout: int, count: int) -> dict[str, Any]:
        """Passes over `count` objects (3.1.4.4.5)."""
        return {RESULT: await self._enumerator.skip(count, seconds(timeout))}

    async def get_smart_enum(self, call: Call) -> dict[str, Any]:
        """The optimized form of this enumerator (3.1.4.6.1)."""
        smart = SmartEnumStub(self._place)
        reference = call.marshal(smart, IWbemWCOSmartEnum.uuid)
        self._place.hold()  # not before: an object that could not be exported is never released
        return {"smart_enum": reference}

    async def released(self) -> None:
        """Nobody wants the rest, unless the optimized form is still there."""
        await self._place.release()


class SmartEnumStub:
    """The optimized form of an enumerator: each class is sent once to a proxy (3.1.4.7)."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemWCOSmartEnum,)
    DENIED: ClassVar[int] = WbemStatus.WBEM_E_ACCESS_DENIED  # 3.1.4.7.1

    def __init__(self, place: _Place) -> None:
        self._place = place
        self._writers: OrderedDict[UUID, ObjectArrayWriter] = OrderedDict()

    async def next(self, call: Call, *, proxy: UUID, timeout: int, count: int) -> dict[str, Any]:
        """The next objects as an ObjectArray (3.1.4.7.1); no buffer if there are none."""
        found, status = await self._place.next(count, timeout)
        packet = self._writer(proxy).encode(found) if found else None
        return {"returned": len(found), "size": len(packet or b""), "buffer": packet, RESULT: status}

    def _writer(self, proxy: UUID) -> ObjectArrayWriter:
        writer = self._writers.setdefault(proxy, ObjectArrayWriter(PacketType.NEXT))
        self._writers.move_to_end(proxy)
        while len(self._writers) > _PROXIES:
            self._writers.popitem(last=False)
        return writer

    async def released(self) -> None:
        """Nobody wants the rest, unless the enumerator is still there."""
        await self._place.release()
