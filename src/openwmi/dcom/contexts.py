"""Contexts: what the place an object is made for, or lives in, asks of a call (MS-DCOM 2.2.20).

A context travels by value: in an activation inside an OBJREF_CUSTOM (`openwmi.dcom.activation.marshal_context`), in an
OBJREF_EXTENDED as it is. WMI gives its contexts no properties, but whoever decodes one must step over them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid4

from openwmi.dcom.types import NULL_GUID, com_guid
from openwmi.errors import DecodeError

__all__ = ["CLSID_CONTEXT_MARSHALER", "IID_CONTEXT", "Context", "ContextProperty"]

CLSID_CONTEXT_MARSHALER: Final = com_guid(0x33B)
IID_CONTEXT: Final = com_guid(0x1C0)

_HEADER: Final = struct.Struct("<HH16sIIIIIII")
_PROPERTY: Final = struct.Struct("<16s16sII")
_VERSION: Final = (1, 1)
_BY_VALUE: Final = 0x2  # CTXMSHLFLAGS_BYVAL


@dataclass(frozen=True, slots=True)
class ContextProperty:
    """PROPMARSHALHEADER (2.2.20.1). `clsid` is null where `data` is an OBJREF."""

    policy: UUID
    flags: int
    data: bytes
    clsid: UUID = NULL_GUID


@dataclass(frozen=True, slots=True)
class Context:
    """Context (2.2.20): its identifier and its properties."""

    id: UUID = field(default_factory=uuid4)
    properties: tuple[ContextProperty, ...] = ()

    def encode(self) -> bytes:
        """The context's octets."""
        head = _HEADER.pack(*_VERSION, self.id.bytes_le, _BY_VALUE, 0, 0, 0, 0, len(self.properties), 1)
        rows = (
            _PROPERTY.pack(p.clsid.bytes_le, p.policy.bytes_le, p.flags, len(p.data)) + p.data for p in self.properties
        )
        return head + b"".join(rows)

    @classmethod
    def decode(cls, octets: bytes, name: str = "Context") -> Context:
        """The context in `octets`, which nothing follows. Raises `DecodeError`."""
        if len(octets) < _HEADER.size:
            raise DecodeError(name, 0, f"need {_HEADER.size} bytes, have {len(octets)}")
        major, minor, id_, flags, _, extents, extent_size, _, count, _ = _HEADER.unpack_from(octets)
        if (major, minor) != _VERSION:
            raise DecodeError(f"{name}.MajorVersion", 0, f"is {major}.{minor}, not 1.1")
        if flags != _BY_VALUE:
            raise DecodeError(f"{name}.Flags", 20, f"is 0x{flags:X}: a context travels by value")
        if extents or extent_size:
            raise DecodeError(f"{name}.dwNumExtents", 28, f"{extents} extents of {extent_size} bytes, not none")
        at = _HEADER.size
        if count * _PROPERTY.size > len(octets) - at:
            raise DecodeError(f"{name}.Count", 40, f"is {count}, have {len(octets) - at} bytes")
        properties = []
        for index in range(count):
            field_name = f"{name}.PropMarshalHeader[{index}]"
            if len(octets) - at < _PROPERTY.size:
                raise DecodeError(field_name, at, f"need {_PROPERTY.size} bytes, have {len(octets) - at}")
            clsid, policy, flags, size = _PROPERTY.unpack_from(octets, at)
            at += _PROPERTY.size
            if len(octets) - at < size:
                raise DecodeError(f"{field_name}.ctxProperty", at, f"need {size} bytes, have {len(octets) - at}")
            data = octets[at : at + size]
            properties.append(ContextProperty(UUID(bytes_le=policy), flags, data, UUID(bytes_le=clsid)))
            at += size
        if at != len(octets):
            raise DecodeError(name, at, f"{len(octets) - at} bytes are left over")
        return cls(UUID(bytes_le=id_), tuple(properties))
