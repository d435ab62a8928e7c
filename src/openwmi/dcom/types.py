"""DCOM's wire structures as declared types (MS-DCOM 2.2), and its well-known GUIDs (1.9)."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from openwmi.rpc.ndr import (
    COUNTED,
    ConformantArray,
    ConformantBytes,
    Count,
    Guid,
    UInt16,
    UInt32,
    UInt64,
    Unique,
    structure,
)

__all__ = [
    "COM_VERSION",
    "ComVersion",
    "DualStringArrayData",
    "OrpcExtent",
    "OrpcExtentArray",
    "OrpcThat",
    "OrpcThis",
    "RemInterfaceRef",
    "RemQiResult",
    "StdObjRef",
    "com_guid",
]


def com_guid(number: int) -> UUID:
    """One of COM's own GUIDs, ``{xxxxxxxx-0000-0000-C000-000000000046}``."""
    return UUID(f"{number:08x}-0000-0000-c000-000000000046")


IID_IUNKNOWN: Final = com_guid(0)
IID_IREM_UNKNOWN: Final = com_guid(0x131)
IID_IREM_UNKNOWN2: Final = com_guid(0x143)
CLSID_ERROR_EXTENSION: Final = com_guid(0x31C)
NULL_GUID: Final = UUID(int=0)

# NCACN_IP_TCP as a protocol sequence identifier (C706 appendix I).
TOWER_TCP: Final = 7


@structure
class ComVersion:
    """COMVERSION (2.2.11)."""

    # unsigned short MajorVersion;
    major: Annotated[int, UInt16]
    # unsigned short MinorVersion;
    minor: Annotated[int, UInt16]


COM_VERSION: Final = ComVersion(major=5, minor=7)
OLDEST_VERSION: Final = ComVersion(major=5, minor=1)


@structure
class OrpcExtent:
    """ORPC_EXTENT (2.2.13.1). The data is padded to a multiple of eight; `size` says how much of it counts."""

    # GUID id;
    id: Annotated[UUID, Guid]
    # unsigned long size;
    size: Annotated[int, UInt32]
    # [size_is((size+7)&~7)] byte data[];
    data: Annotated[bytes, ConformantBytes(size_is=Count("size", lambda n: (n + 7) & ~7))]

    @classmethod
    def of(cls, id_: UUID, data: bytes) -> OrpcExtent:
        """An extent that carries `data`."""
        return cls(id=id_, size=len(data), data=data + bytes(-len(data) % 8))

    @property
    def content(self) -> bytes:
        """The data without its padding."""
        return self.data[: self.size]


@structure
class OrpcExtentArray:
    """ORPC_EXTENT_ARRAY (2.2.13.2). The array of pointers has an even number of places, the last may be empty."""

    # unsigned long size;
    size: Annotated[int, UInt32]
    # unsigned long reserved;
    reserved: Annotated[int, UInt32]
    # [size_is((size+1)&~1,), unique] ORPC_EXTENT **extent;
    extents: Annotated[
        tuple[OrpcExtent | None, ...] | None,
        Unique(ConformantArray(Unique(OrpcExtent), size_is=Count("size", lambda n: (n + 1) & ~1))),
    ]

    @classmethod
    def of(cls, *extents: OrpcExtent) -> OrpcExtentArray:
        """An array of these extents."""
        places: tuple[OrpcExtent | None, ...] = extents
        if len(extents) % 2:
            places = (*extents, None)
        return cls(size=len(extents), reserved=0, extents=places)


@structure
class OrpcThis:
    """ORPCTHIS (2.2.13.3): what goes before every ORPC request. `cid` identifies the causality."""

    # COMVERSION version;
    version: ComVersion
    # unsigned long flags;
    flags: Annotated[int, UInt32]
    # unsigned long reserved1;
    reserved1: Annotated[int, UInt32]
    # CID cid;
    cid: Annotated[UUID, Guid]
    # [unique] ORPC_EXTENT_ARRAY *extensions;
    extensions: Annotated[OrpcExtentArray | None, Unique(OrpcExtentArray)] = None


@structure
class OrpcThat:
    """ORPCTHAT (2.2.13.4): what goes before every ORPC response."""

    # unsigned long flags;
    flags: Annotated[int, UInt32] = 0
    # [unique] ORPC_EXTENT_ARRAY *extensions;
    extensions: Annotated[OrpcExtentArray | None, Unique(OrpcExtentArray)] = None

    def extent(self, id_: UUID) -> bytes | None:
        """The content of the extension with that identifier, or None."""
        for extent in (self.extensions.extents or ()) if self.extensions else ():
            if extent is not None and extent.id == id_:
                return extent.content
        return None


@structure
class StdObjRef:
    """STDOBJREF (2.2.18.1): a reference to one interface of one object; 40 octets wherever it stands."""

    # unsigned long flags;
    flags: Annotated[int, UInt32]
    # unsigned long cPublicRefs;
    public_refs: Annotated[int, UInt32]
    # OXID oxid;
    oxid: Annotated[int, UInt64]
    # OID oid;
    oid: Annotated[int, UInt64]
    # IPID ipid;
    ipid: Annotated[UUID, Guid]

    @property
    def is_pinged(self) -> bool:
        """Whether the object must be pinged to stay alive (SORF_NOPING is not set)."""
        return not self.flags & SORF_NOPING


SORF_NOPING: Final = 0x1000


@structure
class RemQiResult:
    """REMQIRESULT (2.2.24)."""

    # HRESULT hResult;
    result: Annotated[int, UInt32]
    # STDOBJREF std;
    std: StdObjRef


@structure
class RemInterfaceRef:
    """REMINTERFACEREF (2.2.23): how many references to add to, or take from, an interface."""

    # IPID ipid;
    ipid: Annotated[UUID, Guid]
    # unsigned long cPublicRefs;
    public_refs: Annotated[int, UInt32]
    # unsigned long cPrivateRefs;
    private_refs: Annotated[int, UInt32]


@structure
class DualStringArrayData:
    """DUALSTRINGARRAY as a parameter (2.2.19.2); `openwmi.dcom.bindings` knows what is in it."""

    # unsigned short wNumEntries;
    entries: Annotated[int, UInt16] = COUNTED
    # unsigned short wSecurityOffset;
    security_offset: Annotated[int, UInt16]
    # [size_is(wNumEntries)] unsigned short aStringArray[];
    strings: Annotated[tuple[int, ...], ConformantArray(UInt16, size_is="entries")]


# What a REMQIRESULT refers to where there is nothing.
NO_REFERENCE: Final[Any] = StdObjRef(flags=0, public_refs=0, oxid=0, oid=0, ipid=NULL_GUID)
