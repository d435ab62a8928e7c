"""OBJREF: references to objects as they travel (MS-DCOM 2.2.18).

An OBJREF is one of four kinds by its flags; each is a frozen dataclass with `encode`, and `decode_objref` reads any
of them. What is left over after one is an error.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias
from uuid import UUID

from openwmi.dcom.bindings import DualStringArray
from openwmi.dcom.types import StdObjRef
from openwmi.errors import DecodeError
from openwmi.rpc.ndr import Struct

__all__ = ["CustomObjRef", "HandlerObjRef", "ObjRef", "StandardObjRef", "decode_objref"]

SIGNATURE: Final = 0x574F454D  # "MEOW"
_HEADER: Final = struct.Struct("<II16s")
_STD_SIZE: Final = 40
_STD: Final = Struct(StdObjRef)


@dataclass(frozen=True, slots=True)
class StandardObjRef:
    """OBJREF_STANDARD (2.2.18.4): an object in an exporter, and where that exporter's resolver is."""

    FLAGS: ClassVar[int] = 0x1
    iid: UUID
    std: StdObjRef
    resolver: DualStringArray

    def encode(self) -> bytes:
        """The OBJREF's octets."""
        return _header(self.FLAGS, self.iid) + _STD.encode(self.std) + self.resolver.to_bytes()


@dataclass(frozen=True, slots=True)
class HandlerObjRef:
    """OBJREF_HANDLER (2.2.18.5): a standard reference, and the class of the handler in the client."""

    FLAGS: ClassVar[int] = 0x2
    iid: UUID
    std: StdObjRef
    clsid: UUID
    resolver: DualStringArray

    def encode(self) -> bytes:
        """The OBJREF's octets."""
        return _header(self.FLAGS, self.iid) + _STD.encode(self.std) + self.clsid.bytes_le + self.resolver.to_bytes()


@dataclass(frozen=True, slots=True)
class CustomObjRef:
    """OBJREF_CUSTOM (2.2.18.6): an object that marshals itself; `clsid` says who understands `data`."""

    FLAGS: ClassVar[int] = 0x4
    iid: UUID
    clsid: UUID
    data: bytes

    def encode(self) -> bytes:
        """The OBJREF's octets. `reserved` holds what Windows writes there: the size of the data and of itself."""
        return (
            _header(self.FLAGS, self.iid) + self.clsid.bytes_le + struct.pack("<II", 0, len(self.data) + 8) + self.data
        )


ObjRef: TypeAlias = StandardObjRef | HandlerObjRef | CustomObjRef


def _header(flags: int, iid: UUID) -> bytes:
    return _HEADER.pack(SIGNATURE, flags, iid.bytes_le)


def decode_objref(octets: bytes, name: str = "OBJREF") -> ObjRef:
    """The reference in `octets`; raises `DecodeError`. OBJREF_EXTENDED is refused: nobody sends it (2.2.18.7)."""
    if len(octets) < _HEADER.size:
        raise DecodeError(name, 0, f"need {_HEADER.size} bytes, have {len(octets)}")
    signature, flags, iid_octets = _HEADER.unpack_from(octets)
    if signature != SIGNATURE:
        raise DecodeError(f"{name}.signature", 0, f"is 0x{signature:08X}")
    iid = UUID(bytes_le=iid_octets)
    if flags == CustomObjRef.FLAGS:
        return _custom(octets, iid, name)
    if flags not in (StandardObjRef.FLAGS, HandlerObjRef.FLAGS):
        raise DecodeError(f"{name}.flags", 4, f"is 0x{flags:X}, which is not a kind of reference known here")
    at = _HEADER.size
    std = _STD.decode(_window(octets, at, _STD_SIZE, f"{name}.std"), name=f"{name}.std")
    at += _STD_SIZE
    clsid = None
    if flags == HandlerObjRef.FLAGS:
        clsid = UUID(bytes_le=_window(octets, at, 16, f"{name}.clsid"))
        at += 16
    resolver, at = DualStringArray.of_bytes(octets, at, f"{name}.saResAddr")
    if at != len(octets):
        raise DecodeError(name, at, f"{len(octets) - at} bytes are left over")
    return StandardObjRef(iid, std, resolver) if clsid is None else HandlerObjRef(iid, std, clsid, resolver)


def _custom(octets: bytes, iid: UUID, name: str) -> CustomObjRef:
    at = _HEADER.size
    clsid = UUID(bytes_le=_window(octets, at, 16, f"{name}.clsid"))
    _window(octets, at + 16, 8, f"{name}.cbExtension")
    # cbExtension and `reserved` are ignored on receipt: what is there is the data.
    return CustomObjRef(iid, clsid, octets[at + 24 :])


def _window(octets: bytes, at: int, size: int, name: str) -> bytes:
    if len(octets) - at < size:
        raise DecodeError(name, at, f"need {size} bytes, have {max(0, len(octets) - at)}")
    return octets[at : at + size]
