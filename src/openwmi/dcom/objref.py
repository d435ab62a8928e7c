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
from openwmi.dcom.contexts import Context
from openwmi.dcom.types import StdObjRef
from openwmi.errors import DecodeError
from openwmi.rpc.ndr import Struct

__all__ = ["CustomObjRef", "ExtendedObjRef", "HandlerObjRef", "ObjRef", "StandardObjRef", "decode_objref"]

SIGNATURE: Final = 0x574F454D  # "MEOW"
_HEADER: Final = struct.Struct("<II16s")
_STD_SIZE: Final = 40
_ELEMENTS: Final = struct.Struct("<II16sII")
_EXTENDED_SIGNATURE: Final = 0x4E535956
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


@dataclass(frozen=True, slots=True)
class ExtendedObjRef:
    """OBJREF_EXTENDED (2.2.18.7): a standard reference, and the envoy context of the object."""

    FLAGS: ClassVar[int] = 0x8
    iid: UUID
    std: StdObjRef
    resolver: DualStringArray
    context: Context

    def encode(self) -> bytes:
        """The OBJREF's octets."""
        data = self.context.encode()
        rounded = (len(data) + 7) & ~7
        return b"".join(
            (
                _header(self.FLAGS, self.iid),
                _STD.encode(self.std),
                struct.pack("<I", _EXTENDED_SIGNATURE),
                self.resolver.to_bytes(),
                _ELEMENTS.pack(1, _EXTENDED_SIGNATURE, self.context.id.bytes_le, len(data), rounded),
                data.ljust(rounded, b"\0"),
            )
        )


ObjRef: TypeAlias = StandardObjRef | HandlerObjRef | CustomObjRef | ExtendedObjRef


def _header(flags: int, iid: UUID) -> bytes:
    return _HEADER.pack(SIGNATURE, flags, iid.bytes_le)


def decode_objref(octets: bytes, name: str = "OBJREF") -> ObjRef:
    """The reference in `octets`; raises `DecodeError`."""
    if len(octets) < _HEADER.size:
        raise DecodeError(name, 0, f"need {_HEADER.size} bytes, have {len(octets)}")
    signature, flags, iid_octets = _HEADER.unpack_from(octets)
    if signature != SIGNATURE:
        raise DecodeError(f"{name}.signature", 0, f"is 0x{signature:08X}")
    iid = UUID(bytes_le=iid_octets)
    if flags == CustomObjRef.FLAGS:
        return _custom(octets, iid, name)
    if flags not in (StandardObjRef.FLAGS, HandlerObjRef.FLAGS, ExtendedObjRef.FLAGS):
        raise DecodeError(f"{name}.flags", 4, f"is 0x{flags:X}, which is not a kind of reference known here")
    at = _HEADER.size
    std = _STD.decode(_window(octets, at, _STD_SIZE, f"{name}.std"), name=f"{name}.std")
    at += _STD_SIZE
    clsid = None
    if flags == HandlerObjRef.FLAGS:
        clsid = UUID(bytes_le=_window(octets, at, 16, f"{name}.clsid"))
        at += 16
    if flags == ExtendedObjRef.FLAGS:
        (signature,) = struct.unpack("<I", _window(octets, at, 4, f"{name}.Signature1"))
        if signature != _EXTENDED_SIGNATURE:
            raise DecodeError(f"{name}.Signature1", at, f"is 0x{signature:08X}")
        at += 4
    resolver, at = DualStringArray.of_bytes(octets, at, f"{name}.saResAddr")
    if flags == ExtendedObjRef.FLAGS:
        return ExtendedObjRef(iid, std, resolver, _envoy(octets, at, name))
    if at != len(octets):
        raise DecodeError(name, at, f"{len(octets) - at} bytes are left over")
    return StandardObjRef(iid, std, resolver) if clsid is None else HandlerObjRef(iid, std, clsid, resolver)


def _custom(octets: bytes, iid: UUID, name: str) -> CustomObjRef:
    at = _HEADER.size
    clsid = UUID(bytes_le=_window(octets, at, 16, f"{name}.clsid"))
    _window(octets, at + 16, 8, f"{name}.cbExtension")
    # cbExtension and `reserved` are ignored on receipt: what is there is the data.
    return CustomObjRef(iid, clsid, octets[at + 24 :])


def _envoy(octets: bytes, at: int, name: str) -> Context:
    """The envoy context in the one element that follows the bindings (2.2.18.8)."""
    elements = _window(octets, at, _ELEMENTS.size, f"{name}.ElmArray")
    count, signature, id_, size, rounded = _ELEMENTS.unpack(elements)
    if count != 1:
        raise DecodeError(f"{name}.nElms", at, f"is {count}, not 1")
    if signature != _EXTENDED_SIGNATURE:
        raise DecodeError(f"{name}.Signature2", at + 4, f"is 0x{signature:08X}")
    if not any(id_):
        raise DecodeError(f"{name}.dataID", at + 8, "is GUID_NULL")
    if not size or rounded != (size + 7) & ~7:
        raise DecodeError(f"{name}.cbRounded", at + 28, f"is {rounded} for {size} bytes")
    at += _ELEMENTS.size
    data = _window(octets, at, rounded, f"{name}.Data")
    if at + rounded != len(octets):
        raise DecodeError(name, at + rounded, f"{len(octets) - at - rounded} bytes are left over")
    return Context.decode(data[:size], f"{name}.Data")


def _window(octets: bytes, at: int, size: int, name: str) -> bytes:
    if len(octets) - at < size:
        raise DecodeError(name, at, f"need {size} bytes, have {max(0, len(octets) - at)}")
    return octets[at : at + size]
