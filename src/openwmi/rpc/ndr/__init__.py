"""NDR, the transfer syntax of DCE/RPC (C706 chapter 14, MS-RPCE 2.2.4), as declared types.

A type is declared once and interpreted in both directions; values are plain Python values and frozen
dataclasses. Writing is little-endian, reading takes both byte orders. Malformed octets are `DecodeError` with
the field's name and the offset, a value that does not fit its type is `CallerError`.
"""

from __future__ import annotations

from openwmi.rpc.ndr.arrays import (
    Array,
    CharString,
    ConformantArray,
    ConformantBytes,
    ConformantVaryingArray,
    ConformantVaryingBytes,
    FixedBytes,
    VaryingArray,
    VaryingString,
    WideString,
)
from openwmi.rpc.ndr.automation import Bstr, MInterfacePointer
from openwmi.rpc.ndr.pointers import Full, Lazy, Ref, ResultPointer, Slot, Unique
from openwmi.rpc.ndr.serialization import deserialize_type, serialize_type
from openwmi.rpc.ndr.stream import Count, Reader, Scope, Writer
from openwmi.rpc.ndr.structures import COUNTED, Struct, Tagged, Union, structure
from openwmi.rpc.ndr.types import (
    Boolean,
    Double,
    Enum16,
    Enum32,
    Float,
    Guid,
    Int8,
    Int16,
    Int32,
    Int64,
    NdrType,
    Primitive,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    type_of,
)

__all__ = [
    "COUNTED",
    "Array",
    "Boolean",
    "Bstr",
    "CharString",
    "ConformantArray",
    "ConformantBytes",
    "ConformantVaryingArray",
    "ConformantVaryingBytes",
    "Count",
    "Double",
    "Enum16",
    "Enum32",
    "FixedBytes",
    "Float",
    "Full",
    "Guid",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Lazy",
    "MInterfacePointer",
    "NdrType",
    "Primitive",
    "Reader",
    "Ref",
    "ResultPointer",
    "Scope",
    "Slot",
    "Struct",
    "Tagged",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Union",
    "Unique",
    "VaryingArray",
    "VaryingString",
    "WideString",
    "Writer",
    "deserialize_type",
    "serialize_type",
    "structure",
    "type_of",
]
