"""IWbemFetchSmartEnum and IWbemWCOSmartEnum (MS-WMI 3.1.4.6, 3.1.4.7) as a client has them."""

from __future__ import annotations

from uuid import UUID, uuid4

from openwmi.cim import CimObject
from openwmi.dcom.importer import Reference, Response
from openwmi.errors import ProtocolError, RpcFault, WbemError
from openwmi.wmi.client.link import Link, milliseconds
from openwmi.wmi.interfaces import IWbemFetchSmartEnum, IWbemWCOSmartEnum
from openwmi.wmi.object_array import ObjectArrayReader, PacketType

__all__ = ["RemoteSmartEnum"]


class RemoteSmartEnum:
    """The optimized form of an enumerator: each class comes once. `references` are what it holds at the server."""

    def __init__(self, link: Link, fetch: Reference, smart_enum: Reference) -> None:
        self.references = (fetch, smart_enum)
        self._link = link
        self._smart_enum = smart_enum
        self._delivery: tuple[UUID, ObjectArrayReader] | None = None

    @classmethod
    async def of(cls, link: Link, enumerator: Reference) -> RemoteSmartEnum | None:
        """The optimized form of that enumerator; None if the server has none, whatever it says (3.2.4.2.8)."""
        fetch = await link.interface(enumerator, IWbemFetchSmartEnum)
        if fetch is None:
            return None
        try:
            response = await link.call(fetch, IWbemFetchSmartEnum, "GetSmartEnum")
            return cls(link, fetch, link.reference(response.values["smart_enum"]))
        except BaseException as error:
            await link.release(fetch)
            if isinstance(error, WbemError | RpcFault):
                return None
            raise

    async def next(self, count: int, timeout: float | None) -> tuple[list[CimObject], int]:
        """As `RemoteEnumerator.next`."""
        # Each packet builds on the classes in those before it. So a call that is under way, or whose packet is lost,
        # keeps its proxy to itself: another call makes a new one, which has got no classes yet.
        proxy, reader = self._delivery or (uuid4(), ObjectArrayReader(PacketType.NEXT, self._link.objects.cache))
        self._delivery = None
        values = {"proxy": proxy, "timeout": milliseconds(timeout), "count": count}
        response = await self._link.call(self._smart_enum, IWbemWCOSmartEnum, "Next", values, patience=timeout)
        objects = _objects(response, reader)
        self._delivery = proxy, reader
        return objects, response.status


def _objects(response: Response, reader: ObjectArrayReader) -> list[CimObject]:
    packet = response.values["buffer"]
    objects = reader.decode(packet) if packet else []
    if len(objects) != response.values["returned"]:
        raise ProtocolError(f"puReturned is {response.values['returned']}, and {len(objects)} objects came")
    return objects
