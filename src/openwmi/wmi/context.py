"""IWbemContext: the property bag that a caller sends along (MS-WMI 2.2.13), marshalled by value.

    IWbemContextBuffer   = NumGuids *GUID NumProps *IWbemContextProperty
    IWbemContextProperty = name flags(4) type(2) value

A scalar takes eight octets whatever its type; an array is a count, an element's size, and the elements. An object is
its OBJREF, as a pointer to it would be marshalled (2.2.4): nothing counts its octets but the EncodingUnit in it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from openwmi.cim import CimType, Class, Instance, TypedValue, fold
from openwmi.dcom.objref import CustomObjRef, decode_objref
from openwmi.errors import DecodeError, InvalidParameter
from openwmi.wmi.objects import ObjectMarshaller

__all__ = ["decode_context", "encode_context"]

IID_IWBEM_CONTEXT: Final = UUID("44aca674-e8fc-11d0-a07c-00c04fb68820")
CLSID_WBEM_CONTEXT: Final = UUID("674b6698-ee92-11d0-ad71-00c04fd8fdff")

_VT_NULL: Final = 1
_MAX_NULLS: Final = 1024  # elements of an array of VT_NULL, which take no octets
_VT_ARRAY: Final = 0x2000
_MAX_PROPERTIES: Final = 1024
_MAX_OCTETS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Variant:
    """One VARTYPE (MS-OAUT 2.2.7): its CIM type, and how one value is packed; None for strings and objects."""

    number: int
    type: CimType
    format: str | None
    array_size: int


_VARIANTS: Final = (
    _Variant(2, CimType.SINT16, "h", 2),
    _Variant(3, CimType.SINT32, "i", 4),
    # An element of an array of VT_R4 takes eight octets, four of them used (2.2.13.4).
    _Variant(4, CimType.REAL32, "f", 8),
    _Variant(5, CimType.REAL64, "d", 8),
    _Variant(8, CimType.STRING, None, 8),
    _Variant(11, CimType.BOOLEAN, "h", 2),
    _Variant(13, CimType.OBJECT, None, 8),
    _Variant(16, CimType.SINT8, "b", 1),
    _Variant(17, CimType.UINT8, "B", 1),
    _Variant(18, CimType.UINT16, "H", 2),
    _Variant(19, CimType.UINT32, "I", 4),
)
_BY_NUMBER: Final = {v.number: v for v in _VARIANTS}
_BY_TYPE: Final = {v.type: v for v in _VARIANTS}


def encode_context(values: Mapping[str, TypedValue], objects: ObjectMarshaller) -> bytes | None:
    """The values as an OBJREF; None (a NULL pointer) for none. `InvalidParameter` for a type a context cannot hold."""
    if not values:
        return None
    out = [struct.pack("<I", 1), UUID(int=0).bytes_le, struct.pack("<I", len(values))]
    for name, value in values.items():
        out.append(_string(name) + bytes(4))
        out.append(_encode_value(name, value, objects))
    return CustomObjRef(IID_IWBEM_CONTEXT, CLSID_WBEM_CONTEXT, b"".join(out)).encode()


def _string(text: str) -> bytes:
    octets = text.encode("utf-16-le", "surrogatepass")
    return struct.pack("<I", len(octets) // 2) + octets


def _encode_value(name: str, value: TypedValue, objects: ObjectMarshaller) -> bytes:
    if value.value is None:
        return struct.pack("<H", _VT_NULL)
    if value.type is None:
        return struct.pack("<HII", _VT_NULL | _VT_ARRAY, len(_nulls(name, value)), 0)
    variant = _BY_TYPE.get(value.type)
    if variant is None:
        raise InvalidParameter(f"a context cannot hold a {value.type.text}: {name}")
    if not value.is_array:
        octets = _encode_one(variant, value.value, objects)
        padding = b"" if variant.format is None else bytes(8 - len(octets))
        return struct.pack("<H", variant.number) + octets + padding
    items: Any = value.value
    head = struct.pack("<HII", variant.number | _VT_ARRAY, len(items), variant.array_size)
    width = 0 if variant.format is None else variant.array_size
    return head + b"".join(_encode_one(variant, item, objects).ljust(width, b"\0") for item in items)


def _nulls(name: str, value: TypedValue) -> tuple[None, ...]:
    """The elements of an array without a type, which are all NULL."""
    if not isinstance(value.value, tuple) or any(item is not None for item in value.value):
        raise InvalidParameter(f"a context cannot hold a value without a type: {name}")
    return value.value


def _encode_one(variant: _Variant, value: Any, objects: ObjectMarshaller) -> bytes:
    if variant.type is CimType.STRING and isinstance(value, str):
        return _string(value)
    if variant.type is CimType.OBJECT and isinstance(value, Class | Instance):
        return objects.marshal(value)
    if variant.format is None:
        raise InvalidParameter(f"{value!r} is no {variant.type.text}: an element of an array cannot be NULL here")
    if variant.type is CimType.BOOLEAN:
        return struct.pack("<h", -1 if value else 0)  # VARIANT_TRUE
    try:
        return struct.pack("<" + variant.format, value)
    except (struct.error, OverflowError) as error:
        raise InvalidParameter(f"{value!r} is no {variant.type.text}") from error


def decode_context(octets: bytes | None, objects: ObjectMarshaller) -> dict[str, TypedValue]:
    """The values in an OBJREF, by the names as they were spelled; none for NULL. Raises `DecodeError`."""
    if octets is None:
        return {}
    if len(octets) > _MAX_OCTETS:
        raise DecodeError("IWbemContext", 0, f"has {len(octets)} bytes, more than {_MAX_OCTETS}")
    reference = decode_objref(octets, "IWbemContext")
    if not isinstance(reference, CustomObjRef) or reference.clsid != CLSID_WBEM_CONTEXT:
        raise DecodeError("IWbemContext.clsid", 24, "is not marshalled as a context is")
    return _Reader(reference.data, objects).context()


class _Reader:
    """Reads a marshalled context from left to right; every read names its field."""

    def __init__(self, data: bytes, objects: ObjectMarshaller) -> None:
        self._data = data
        self._at = 0
        self._objects = objects

    def context(self) -> dict[str, TypedValue]:
        """IWbemContextBuffer."""
        guids = self._number("NumGuids")
        if guids != 1:
            raise DecodeError("IWbemContext.NumGuids", 0, f"is {guids}, not 1")
        self._take(16, "GuidArray")
        count = self._number("NumProps")
        if count > _MAX_PROPERTIES:
            raise DecodeError("IWbemContext.NumProps", self._at - 4, f"is {count}, more than {_MAX_PROPERTIES}")
        found: dict[str, TypedValue] = {}
        names = set()
        for _ in range(count):
            name = self._text("PropertyName")
            if fold(name) in names:
                raise DecodeError("IWbemContext.PropertyName", self._at, f"{name!r} is there twice")
            names.add(fold(name))
            self._take(4, f"{name}.PropertyFlags")
            found[name] = self._value(name)
        if self._at != len(self._data):
            raise DecodeError("IWbemContext", self._at, f"{len(self._data) - self._at} bytes are left over")
        return found

    def _value(self, name: str) -> TypedValue:
        (number,) = struct.unpack("<H", self._take(2, f"{name}.PropertyType"))
        if number == _VT_NULL:
            return TypedValue(None, None)
        if number == _VT_NULL | _VT_ARRAY:
            return TypedValue(None, self._nulls(name), True)
        variant = _BY_NUMBER.get(number & ~_VT_ARRAY)
        if variant is None:
            raise DecodeError(f"IWbemContext.{name}.PropertyType", self._at - 2, f"is {number}")
        if not number & _VT_ARRAY:
            value = self._one(variant, name, 8)
            return TypedValue(variant.type, value)
        count, size = self._number(f"{name}.ElementCount"), self._number(f"{name}.ElementSize")
        # A string or an object takes its length at least, which is four octets.
        least = variant.array_size if variant.format is not None else 4
        if variant.format is not None and size not in (variant.array_size, struct.calcsize(variant.format)):
            raise DecodeError(f"IWbemContext.{name}.ElementSize", self._at - 4, f"is {size}")
        width = size if variant.format is not None else least
        if count * width > len(self._data) - self._at:
            raise DecodeError(f"IWbemContext.{name}.ElementCount", self._at - 8, f"is {count}, which is too many")
        items = [self._one(variant, name, width) for _ in range(count)]
        whole: Any = bytes(items) if variant.type is CimType.UINT8 else tuple(items)
        return TypedValue(variant.type, whole, True)

    def _nulls(self, name: str) -> tuple[None, ...]:
        count = self._number(f"{name}.ElementCount")
        if count > _MAX_NULLS:
            raise DecodeError(f"IWbemContext.{name}.ElementCount", self._at - 4, f"is {count}, more than {_MAX_NULLS}")
        self._number(f"{name}.ElementSize")
        return (None,) * count

    def _one(self, variant: _Variant, name: str, width: int) -> Any:
        if variant.type is CimType.STRING:
            return self._text(name)
        if variant.type is CimType.OBJECT:
            found, self._at = self._objects.unmarshal_from(self._data, self._at, f"IWbemContext.{name}")
            return found
        (value,) = struct.unpack_from("<" + str(variant.format), self._take(width, name))
        return bool(value) if variant.type is CimType.BOOLEAN else value

    def _text(self, field: str) -> str:
        count = self._number(f"{field}.StringLength")
        return self._take(2 * count, field).decode("utf-16-le", "surrogatepass")

    def _number(self, field: str) -> int:
        value: int = struct.unpack("<I", self._take(4, field))[0]
        return value

    def _take(self, size: int, field: str) -> bytes:
        left = len(self._data) - self._at
        if size > left:
            raise DecodeError(f"IWbemContext.{field}", self._at, f"need {size} bytes, have {left}")
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken
