"""Asking a host's endpoint mapper where an interface is (MS-RPCE 2.2.1.2.4, 2.2.1.2.5)."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from openwmi.dcom.bindings import Endpoint
from openwmi.errors import DecodeError, ProtocolError, RpcFault
from openwmi.net.rpc.transport import RpcTransport
from openwmi.rpc import SyntaxId
from openwmi.rpc.endpoints import NO_HANDLE, IEndpointMapper, TowerData
from openwmi.rpc.towers import Tower
from openwmi.status import HResult

__all__ = ["lookup_endpoints", "map_endpoint"]

_PAGE: Final = 100
_MOST_ENTRIES: Final = 10_000  # what one host may tell: more is no map, but a flood
_ALL_ENTRIES, _ALL_VERSIONS = 0, 1


async def _ask(
    transport: RpcTransport, mapper: Endpoint, name: str, values: dict[str, Any], timeout: float | None
) -> dict[str, Any]:
    method = IEndpointMapper[name]
    stub, little_endian = await transport.invoke(
        (mapper,), IEndpointMapper, method.opnum, method.encode_request(values), object_uuid=None, timeout=timeout
    )
    return method.decode_response(stub, request=values, little_endian=little_endian)


async def map_endpoint(
    transport: RpcTransport, mapper: Endpoint, interface: SyntaxId, *, timeout: float | None = 30.0
) -> Endpoint:
    """Where `interface` is on the host of `mapper`, over TCP. The address that the map names is not used: it may be
    one that only the host itself can reach.

    Raises `RpcFault` with EPT_S_NOT_REGISTERED if it is not there, and what `RpcTransport.invoke` raises.
    """
    wanted = TowerData(octets=Tower.tcp(interface, 0).encode())
    asked = {"object": None, "map_tower": wanted, "entry_handle": NO_HANDLE, "max_towers": 4}
    answer = await _ask(transport, mapper, "ept_map", asked, timeout)
    if answer["entry_handle"] != NO_HANDLE:
        await _ask(transport, mapper, "ept_lookup_handle_free", {"entry_handle": answer["entry_handle"]}, timeout)
    if answer["status"] not in (HResult.S_OK, HResult.DCE_EPT_S_NOT_REGISTERED):
        raise RpcFault(answer["status"], f"{mapper}: the endpoint map cannot be asked for {interface}")
    for data in answer["towers"]:
        port = None if data is None else _tower(mapper, data).port
        if port:
            return Endpoint(mapper.host, port)
    raise RpcFault(HResult.EPT_S_NOT_REGISTERED, f"{mapper} does not know where {interface} is")


async def lookup_endpoints(
    transport: RpcTransport, mapper: Endpoint, *, timeout: float | None = 30.0
) -> list[tuple[UUID, Tower, str]]:
    """The whole map: object (nil for none), tower and annotation of each entry."""
    found: list[tuple[UUID, Tower, str]] = []
    handle = NO_HANDLE
    while True:
        asked = {
            "inquiry_type": _ALL_ENTRIES,
            "object": None,
            "interface": None,
            "vers_option": _ALL_VERSIONS,
            "entry_handle": handle,
            "max_ents": _PAGE,
        }
        answer = await _ask(transport, mapper, "ept_lookup", asked, timeout)
        entries = [entry for entry in answer["entries"] if entry.tower is not None]
        found += [(entry.object, _tower(mapper, entry.tower), entry.annotation) for entry in entries]
        handle = answer["entry_handle"]
        if answer["status"] != HResult.S_OK or handle == NO_HANDLE:
            break
        if not entries or len(found) > _MOST_ENTRIES:
            raise ProtocolError(f"{mapper}: the endpoint map does not end")
    if answer["status"] not in (HResult.S_OK, HResult.DCE_EPT_S_NOT_REGISTERED):
        raise RpcFault(answer["status"], f"{mapper}: the endpoint map cannot be read")
    return found


def _tower(mapper: Endpoint, data: TowerData) -> Tower:
    try:
        return Tower.decode(data.octets)
    except DecodeError as error:
        raise ProtocolError(f"{mapper}: {error}") from error
