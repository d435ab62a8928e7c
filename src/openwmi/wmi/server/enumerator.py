"""IEnumWbemClassObject (MS-WMI 3.1.4.4): the results of one operation, handed out as they are asked for."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from openwmi.cim.results import Enumerator
from openwmi.dcom.peer import Call
from openwmi.errors import InvalidParameter
from openwmi.rpc.interface import RESULT, Interface
from openwmi.status import WbemStatus
from openwmi.wmi.interfaces import IEnumWbemClassObject
from openwmi.wmi.server.session import Session, seconds

__all__ = ["EnumeratorStub"]

# An answer to Next holds at most so many objects; a client that asked for more is told to call again.
_NEXT_AT_ONCE: Final = 1000


class EnumeratorStub:
    """One enumerator; a clone is another."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IEnumWbemClassObject,)
    DENIED: ClassVar[int] = WbemStatus.WBEM_E_ACCESS_DENIED  # 3.1.4.4.1 and the others: for another account

    def __init__(self, session: Session, enumerator: Enumerator) -> None:
        self._session = session
        self._enumerator = enumerator

    async def reset(self, call: Call) -> None:
        """Back to the first object (3.1.4.4.1)."""
        await self._enumerator.reset()

    async def next(self, call: Call, *, timeout: int, count: int) -> dict[str, Any]:
        """The next objects (3.1.4.4.2): at most 1,000, and WBEM_S_TIMEDOUT if more were asked for and are there."""
        if count == 0:
            raise InvalidParameter("uCount is 0")
        found, status = await self._enumerator.next(min(count, _NEXT_AT_ONCE), seconds(timeout))
        if status == WbemStatus.WBEM_S_NO_ERROR and len(found) < count:
            status = WbemStatus.WBEM_S_TIMEDOUT
        objects = tuple(self._session.objects.marshal(o) for o in found)
        return {"objects": objects, "returned": len(objects), RESULT: status}

    async def next_async(self, call: Call, *, count: int, sink: bytes | None) -> dict[str, Any] | None:
        """The next objects to a sink (3.1.4.4.3); WBEM_S_FALSE, and no call to the sink, if none are asked for."""
        if sink is None:
            raise InvalidParameter("pSink is NULL")
        remote = self._session.sink(sink, "pSink")
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

    async def released(self) -> None:
        """Nobody wants the rest."""
        await self._enumerator.close()
