"""Type serialization version 1 (MS-RPCE 2.2.6): one constructed type with its own headers, as activation uses it."""

from __future__ import annotations

import struct
from typing import Any, Final

from openwmi.errors import DecodeError
from openwmi.rpc.ndr.stream import Malformed, Reader, Scope, Writer, named
from openwmi.rpc.ndr.types import type_of

__all__ = ["deserialize_type", "serialize_type"]

# Version, Endianness, CommonHeaderLength and Filler; ObjectBufferLength and Filler.
_COMMON: Final = struct.Struct("<BBHI")
_LITTLE, _BIG = 0x10, 0x00
_HEADERS: Final = 16


def serialize_type(kind: Any, value: Any) -> bytes:
    """`value` as a constructed top-level type: common header, private header, NDR, padded to 8 octets."""
    writer = Writer()
    writer.complete(type_of(kind), value, Scope())
    writer.align(8)
    body = bytes(writer.buffer)
    return _COMMON.pack(1, _LITTLE, 8, 0xCCCCCCCC) + struct.pack("<II", len(body), 0) + body


def deserialize_type(kind: Any, data: bytes, *, name: str = "") -> tuple[Any, int]:
    """The value at the start of `data`, and how many octets it took, headers and padding included.

    The value ends where ObjectBufferLength says, except for up to seven octets of padding. Raises `DecodeError`.
    """
    kind = type_of(kind)
    name = name or repr(kind)
    if len(data) < _HEADERS:
        raise DecodeError(f"{name}.CommonHeader", 0, f"need {_HEADERS} bytes, have {len(data)}")
    version, endianness, header_length, _ = _COMMON.unpack_from(data)
    if version != 1:
        raise DecodeError(f"{name}.Version", 0, f"is {version}, not 1")
    if endianness not in (_LITTLE, _BIG):
        raise DecodeError(f"{name}.Endianness", 1, f"is {endianness:#x}")
    if header_length != 8:
        raise DecodeError(f"{name}.CommonHeaderLength", 2, f"is {header_length}, not 8")
    little = endianness == _LITTLE
    (length,) = struct.unpack_from("<I" if little else ">I", data, 8)
    if length > len(data) - _HEADERS:
        raise DecodeError(f"{name}.ObjectBufferLength", 8, f"is {length}, have {len(data) - _HEADERS}")
    reader = Reader(data[_HEADERS : _HEADERS + length], little_endian=little)
    with named(name):
        value = reader.complete(kind, Scope())
        if reader.remaining > 7:
            raise Malformed(reader.offset, f"{reader.remaining} bytes are left over")
    return value, _HEADERS + length
