"""The numbers of MS-WMIO: types, flags, fixed structures, limits."""

from __future__ import annotations

import struct
from enum import IntFlag
from typing import Final, NamedTuple

from openwmi.cim import CimType

__all__ = ["Decoration", "ObjectFlags"]

SIGNATURE: Final = 0x12345678
NO_REFERENCE: Final = 0xFFFFFFFF  # a HeapRef to nothing: NULL (2.2.69)
DICTIONARY_FLAG: Final = 0x80000000
HEAP_FLAG: Final = 0x80000000
HEAP_LENGTH_MASK: Final = 0x7FFFFFFF

ARRAY: Final = 0x2000
INHERITED: Final = 0x4000
PROPAGATED: Final = 0x20  # WBEM_FLAVOR_ORIGIN_PROPAGATED, in a qualifier's flavor and a method's flags
KNOWN_FLAVORS: Final = 0xD3  # every bit of 2.2.62 but PROPAGATED, which the model keeps apart

MAX_DEPTH: Final = 16  # objects within objects
LENGTH_TOLERANCE: Final = 16  # see objects.decode_object

U32: Final = struct.Struct("<I")
UNIT_HEADER: Final = struct.Struct("<II")  # Signature ObjectEncodingLength
CLASS_HEADER: Final = struct.Struct("<IBII")  # EncodingLength ReservedOctet ClassNameRef NdTableValueTableLength
PROPERTY_LOOKUP: Final = struct.Struct("<II")  # PropertyNameRef PropertyInfoRef
PROPERTY_INFO: Final = struct.Struct("<IHII")  # PropertyType DeclarationOrder ValueTableOffset ClassOfOrigin
QUALIFIER: Final = struct.Struct("<IBI")  # QualifierName QualifierFlavor QualifierType
METHODS_HEADER: Final = struct.Struct("<IHH")  # EncodingLength MethodCount MethodCountPadding
# MethodName MethodFlags MethodPadding MethodOrigin MethodQualifiers InputSignature OutputSignature
METHOD: Final = struct.Struct("<IB3xIIII")
INSTANCE_HEADER: Final = struct.Struct("<IBI")  # EncodingLength InstanceFlags InstanceClassName

# 2.2.80; the ordinal is the place in the tuple
DICTIONARY: Final = ('"', "key", "", "read", "write", "volatile", "provider", "dynamic", "cimwin32", "DWORD", "CIMTYPE")
DICTIONARY_REFERENCES: Final = {text: DICTIONARY_FLAG | i for i, text in enumerate(DICTIONARY)}
# [Key] and [key] are one qualifier, and clients look for it by the dictionary's spelling.
DICTIONARY_SPELLINGS: Final = {text.lower(): text for text in DICTIONARY}

# 2.2.71: how a value stands in a value table, a qualifier or an array. "I" is a HeapRef where the type is one of
# REFERENCED; a boolean is 0 or 0xFFFF.
CODES: Final[dict[CimType, str]] = {
    CimType.SINT8: "b",
    CimType.UINT8: "B",
    CimType.SINT16: "h",
    CimType.UINT16: "H",
    CimType.SINT32: "i",
    CimType.UINT32: "I",
    CimType.SINT64: "q",
    CimType.UINT64: "Q",
    CimType.REAL32: "f",
    CimType.REAL64: "d",
    CimType.BOOLEAN: "H",
    CimType.CHAR16: "H",
    CimType.STRING: "I",
    CimType.DATETIME: "I",
    CimType.REFERENCE: "I",
    CimType.OBJECT: "I",
}
SINGLE: Final = {type_: struct.Struct("<" + code) for type_, code in CODES.items()}
TEXTS: Final = frozenset({CimType.STRING, CimType.DATETIME, CimType.REFERENCE})
REFERENCED: Final = TEXTS | {CimType.OBJECT}
FINISHED: Final = frozenset({CimType.BOOLEAN, CimType.CHAR16})  # numbers on the wire, but not in the model
TYPES: Final = {type_.value: type_ for type_ in CimType}


def code_of(type_: CimType, is_array: bool) -> str:
    """The struct code of one slot of a value table."""
    return "I" if is_array else CODES[type_]


class ObjectFlags(IntFlag):
    """What an ObjectBlock holds (2.2.6)."""

    NONE = 0
    CLASS = 0x01
    INSTANCE = 0x02
    DECORATED = 0x04
    PROTOTYPE = 0x10
    KEYS_MISSING = 0x40


class Decoration(NamedTuple):
    """Where an object comes from (2.2.7). None and the empty string are the same on the wire; it decodes as None."""

    server: str | None = None
    namespace: str | None = None
