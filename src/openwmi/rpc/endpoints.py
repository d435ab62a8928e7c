"""The endpoint mapper: which port an interface is at (C706 appendix O, MS-RPCE 2.2.1.2).

`IEndpointMapper` is the interface's table, for both sides; `EndpointMapper` answers it from a list of towers that its
owner gives, and those that callers whom the owner trusts have registered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

from openwmi.errors import DecodeError
from openwmi.rpc.header import SyntaxId
from openwmi.rpc.interface import In, InOut, Interface, Method, Out
from openwmi.rpc.ndr import (
    COUNTED,
    ConformantArray,
    ConformantBytes,
    ConformantVaryingArray,
    Full,
    Guid,
    UInt16,
    UInt32,
    VaryingString,
    structure,
)
from openwmi.rpc.towers import MAX_TOWER, Tower
from openwmi.status import HResult

__all__ = [
    "NO_HANDLE",
    "ContextHandle",
    "EndpointEntry",
    "EndpointMapper",
    "IEndpointMapper",
    "MapEntry",
    "RpcIfId",
    "TowerData",
]

# MS-RPCE 2.2.1.2.4 and 2.2.1.2.5: the range of max_ents and max_towers.
_MOST: Final = 500
_MOST_REGISTERED: Final = 500
_NOBODY: Final = UUID(int=0)

_ALL, _BY_INTERFACE, _BY_OBJECT, _BY_BOTH = range(4)
_VERSIONS_ALL, _COMPATIBLE, _EXACT, _MAJOR_ONLY, _UP_TO = range(1, 6)


@structure
class RpcIfId:
    """RPC_IF_ID (C706 appendix N)."""

    # UUID uuid;
    uuid: Annotated[UUID, Guid]
    # unsigned short vers_major;
    major: Annotated[int, UInt16]
    # unsigned short vers_minor;
    minor: Annotated[int, UInt16]


@structure
class ContextHandle:
    """ept_lookup_handle_t, as a context handle is on the wire (C706 appendix N)."""

    # unsigned long context_handle_attributes;
    attributes: Annotated[int, UInt32]
    # UUID context_handle_uuid;
    uuid: Annotated[UUID, Guid]


NO_HANDLE: Final = ContextHandle(attributes=0, uuid=UUID(int=0))


@structure
class TowerData:
    """twr_t (2.2.1.2.2): a tower as octets."""

    # [range(0,2000)] unsigned long tower_length;
    length: Annotated[int, UInt32] = COUNTED
    # [size_is(tower_length)] BYTE tower_octet_string[];
    octets: Annotated[bytes, ConformantBytes(size_is="length")]


@structure
class EndpointEntry:
    """ept_entry_t (C706 appendix O)."""

    # UUID object;
    object: Annotated[UUID, Guid]
    # [ptr] twr_t *tower;
    tower: Annotated[TowerData | None, Full(TowerData)]
    # [string] char annotation[64];
    annotation: Annotated[str, VaryingString(64)]


_status: Final = Out("status", UInt32)
_handle: Final = InOut("entry_handle", ContextHandle)
_entries: Final = (
    In("num_ents", UInt32),
    In("entries", ConformantArray(EndpointEntry, size_is="num_ents")),
)

IEndpointMapper: Final = Interface(
    "ept",
    UUID("e1af8308-5d1f-11c9-91a4-08002b14a0fa"),
    (3, 0),
    (
        Method(0, "ept_insert", (*_entries, In("replace", UInt32), _status)),
        Method(1, "ept_delete", (*_entries, _status)),
        Method(
            2,
            "ept_lookup",
            (
                In("inquiry_type", UInt32),
                In("object", Full(Guid)),
                In("interface", Full(RpcIfId)),
                In("vers_option", UInt32),
                _handle,
                In("max_ents", UInt32),
                Out("num_ents", UInt32),
                Out("entries", ConformantVaryingArray(EndpointEntry, size_is="max_ents", length_is="num_ents")),
                _status,
            ),
        ),
        Method(
            3,
            "ept_map",
            (
                In("object", Full(Guid)),
                In("map_tower", Full(TowerData)),
                _handle,
                In("max_towers", UInt32),
                Out("num_towers", UInt32),
                Out("towers", ConformantVaryingArray(Full(TowerData), size_is="max_towers", length_is="num_towers")),
                _status,
            ),
        ),
        Method(4, "ept_lookup_handle_free", (_handle, _status)),
        Method(5, "ept_inq_object", (Out("ept_object", Guid), _status)),
        Method(
            6,
            "ept_mgmt_delete",
            (In("object_speced", UInt32), In("object", Full(Guid)), In("tower", Full(TowerData)), _status),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class MapEntry:
    """What the map knows: where an interface is, a word about it, and for which object (nil: for any)."""

    tower: Tower
    annotation: str = ""
    object: UUID = _NOBODY

    @classmethod
    def of(cls, entry: EndpointEntry) -> MapEntry:
        """What a caller wants to register. `DecodeError` if it leads nowhere."""
        octets = b"" if entry.tower is None else entry.tower.octets
        tower = Tower.decode(octets[: MAX_TOWER + 1])
        if tower.interface is None or len(octets) > MAX_TOWER:
            raise DecodeError("tower", 0, f"{len(octets)} bytes do not name an interface")
        return cls(tower, entry.annotation, entry.object)

    def is_for(self, wanted: UUID | None) -> bool:
        """Whether a client that asks for this object (None or nil: for none) is served."""
        return self.object in (_NOBODY, wanted)

    def to_entry(self) -> EndpointEntry:
        """As ept_lookup gives it."""
        tower = TowerData(octets=self.tower.encode())
        return EndpointEntry(object=self.object, tower=tower, annotation=self.annotation[:63])


class EndpointMapper:
    """The endpoint mapper's side. `entries` gives, for a call, what is to be found: the addresses may depend on it.
    `may_register` says whether a caller may add to it, and take away what was added.

    A lookup handle is the number of entries that the client has had: nothing is kept for it, so nothing can run out.
    """

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IEndpointMapper,)
    OPEN: ClassVar[frozenset[str]] = frozenset({"ept_lookup", "ept_map", "ept_lookup_handle_free"})

    def __init__(
        self,
        entries: Callable[[Any], Sequence[MapEntry]],
        may_register: Callable[[Any], bool] = lambda call: False,
    ) -> None:
        self._entries = entries
        self._may_register = may_register
        self._registered: dict[MapEntry, None] = {}

    def _known(self, call: Any) -> list[MapEntry]:
        return [*self._entries(call), *self._registered]

    async def ept_lookup(
        self,
        call: Any,
        *,
        inquiry_type: int,
        object: UUID | None,  # noqa: A002  (the parameter's name)
        interface: RpcIfId | None,
        vers_option: int,
        entry_handle: ContextHandle,
        max_ents: int,
    ) -> dict[str, Any]:
        """The entries that an inquiry matches, at most `max_ents` at a time (2.2.1.2.4)."""
        if inquiry_type > _BY_BOTH or max_ents > _MOST:
            return _REFUSED
        found = self._known(call)
        if inquiry_type in (_BY_INTERFACE, _BY_BOTH):
            if interface is None or not _VERSIONS_ALL <= vers_option <= _UP_TO:
                return _REFUSED
            found = [entry for entry in found if _is_wanted(entry.tower.interface, interface, vers_option)]
        if inquiry_type in (_BY_OBJECT, _BY_BOTH):
            found = [entry for entry in found if entry.object == (object or _NOBODY)]
        page, handle, status = _page(found, entry_handle, max_ents)
        entries = tuple(entry.to_entry() for entry in page)
        return {"entry_handle": handle, "num_ents": len(entries), "entries": entries, "status": status}

    async def ept_map(
        self,
        call: Any,
        *,
        object: UUID | None,  # noqa: A002
        map_tower: TowerData | None,
        entry_handle: ContextHandle,
        max_towers: int,
    ) -> dict[str, Any]:
        """The towers that lead to the interface of `map_tower` in its way (2.2.1.2.5); its addresses do not matter."""
        if map_tower is None or map_tower.length > MAX_TOWER or max_towers > _MOST:
            return _REFUSED
        try:
            wanted = Tower.decode(map_tower.octets)
        except DecodeError:
            return _REFUSED
        found = [entry for entry in self._known(call) if entry.is_for(object) and _leads_to(entry.tower, wanted)]
        page, handle, status = _page(found, entry_handle, max_towers)
        towers = tuple(TowerData(octets=entry.tower.encode()) for entry in page)
        return {"entry_handle": handle, "num_towers": len(towers), "towers": towers, "status": status}

    async def ept_lookup_handle_free(self, call: Any, *, entry_handle: ContextHandle) -> dict[str, Any]:
        """The client will not go on (2.2.1.2.8)."""
        return {"entry_handle": NO_HANDLE}

    async def ept_insert(
        self, call: Any, *, num_ents: int, entries: tuple[EndpointEntry, ...], replace: int
    ) -> dict[str, Any]:
        """Registers endpoints on this machine; the towers' addresses do not matter (3.1.3.5.3)."""
        if not self._may_register(call) or len(self._registered) + num_ents > _MOST_REGISTERED:
            return {"status": HResult.EPT_S_CANT_PERFORM_OP}
        for made in [MapEntry.of(entry) for entry in entries]:
            if replace:
                self._drop(lambda old, made=made: _same_place(old, made))  # type: ignore[misc]
            self._registered[made] = None
        return {}

    async def ept_delete(self, call: Any, *, num_ents: int, entries: tuple[EndpointEntry, ...]) -> dict[str, Any]:
        """Takes away what was registered."""
        if not self._may_register(call):
            return {"status": HResult.EPT_S_CANT_PERFORM_OP}
        gone = [MapEntry.of(entry) for entry in entries]
        keys = {(entry.tower, entry.object) for entry in gone}
        dropped = self._drop(lambda old: (old.tower, old.object) in keys)
        return {"status": HResult.S_OK if dropped else HResult.DCE_EPT_S_NOT_REGISTERED}

    def _drop(self, is_meant: Callable[[MapEntry], bool]) -> int:
        """Forgets registered entries; how many there were."""
        meant = [entry for entry in self._registered if is_meant(entry)]
        for entry in meant:
            del self._registered[entry]
        return len(meant)

    async def ept_inq_object(self, call: Any, **_: Any) -> dict[str, Any]:
        """MS-RPCE has removed this one and ept_mgmt_delete (2.2.1.2.9, 2.2.1.2.10)."""
        return {"status": HResult.EPT_S_CANT_PERFORM_OP}

    ept_mgmt_delete = ept_inq_object

    async def released(self) -> None:
        """The endpoint mapper lives as long as its server."""


_REFUSED: Final = {"entry_handle": NO_HANDLE, "status": HResult.EPT_S_CANT_PERFORM_OP}


def _same_place(one: MapEntry, other: MapEntry) -> bool:
    """Whether two entries are the same interface by the same way, so that one replaces the other."""
    return (one.object, one.tower.interface, one.tower.transfer, one.tower.protocols) == (
        other.object,
        other.tower.interface,
        other.tower.transfer,
        other.tower.protocols,
    )


def _page(found: Sequence[MapEntry], handle: ContextHandle, most: int) -> tuple[Sequence[MapEntry], ContextHandle, int]:
    """The entries from where the handle stands, the handle for what follows, and the status."""
    begin = handle.uuid.int
    page = found[begin : begin + most]
    end = begin + len(page)
    if not page:
        return (), NO_HANDLE, HResult.DCE_EPT_S_NOT_REGISTERED
    # A page that is not full is the last one. After a full one clients ask on until they are told that nothing is left.
    handle = NO_HANDLE if len(page) < most else ContextHandle(attributes=0, uuid=UUID(int=end))
    return page, handle, HResult.S_OK


def _is_wanted(known: SyntaxId | None, wanted: RpcIfId, option: int) -> bool:
    """Whether a version is one that the option lets through (the table of vers_option in 2.2.1.2.4)."""
    if known is None or known.uuid != wanted.uuid:
        return False
    version = (wanted.major, wanted.minor)
    return {
        _VERSIONS_ALL: True,
        _COMPATIBLE: known.version[0] == wanted.major and known.version[1] >= wanted.minor,
        _EXACT: known.version == version,
        _MAJOR_ONLY: known.version[0] == wanted.major,
        _UP_TO: known.version <= version,
    }[option]


def _leads_to(known: Tower, wanted: Tower) -> bool:
    """Whether a client that asks for `wanted` can go by `known`."""
    if wanted.interface is None or wanted.transfer != known.transfer or wanted.protocols != known.protocols:
        return False
    id_ = RpcIfId(uuid=wanted.interface.uuid, major=wanted.interface.version[0], minor=wanted.interface.version[1])
    return _is_wanted(known.interface, id_, _COMPATIBLE)
