"""Qualifier sets as they are read (2.2.59-2.2.64), and CIMTYPE, which WMI keeps as a qualifier and the model does not.

Every property on the wire has a qualifier CIMTYPE that repeats its type, and says which class a reference or an
embedded object is of. The model has that in `Property.type` and `Property.class_name`, so CIMTYPE is taken out when
reading and put back when writing. One that says something else than the type does stays among the qualifiers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from openwmi.cim import CimType, Flavor, NameMap, Property, Qualifier, Qualifiers
from openwmi.errors import DecodeError
from openwmi.wmio.layout import ARRAY, KNOWN_FLAVORS, PROPAGATED, QUALIFIER, SINGLE, TYPES, U32
from openwmi.wmio.reading import Cursor, Heap

__all__ = ["TypeQualifier", "read_qualifiers", "read_type", "with_cimtype"]

_FLAVORS: Final = tuple(Flavor(bits & KNOWN_FLAVORS) for bits in range(256))
_CIMTYPE_FLAVOR: Final = Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS


def read_type(number: int, at: int, field: str) -> tuple[CimType, bool]:
    """A CimType (2.2.82): the base type, and whether it is an array. The upper 16 bits are not used."""
    type_ = TYPES.get(number & 0xFFFF & ~ARRAY)
    if type_ is None:
        raise DecodeError(field, at, f"{number & 0xFFFF} is no CimType")
    return type_, bool(number & ARRAY)


def read_qualifiers(cursor: Cursor, heap: Heap) -> Qualifiers:
    """The qualifiers that fill the rest of `cursor`, with what they refer to in `heap`."""
    at = cursor.at
    found = []
    while cursor.at < cursor.end:
        found.append(_read_qualifier(cursor, heap))
    return named(found, at, cursor.field)


def _read_qualifier(cursor: Cursor, heap: Heap) -> Qualifier:
    at = cursor.at
    reference, flavor, number = cursor.unpack(QUALIFIER, "Qualifier")
    field = f"{cursor.field}.QualifierName"
    name = heap.name(reference, field)
    field = f"{cursor.field}.{name}"
    type_, is_array = read_type(number, at + 5, field)
    (raw,) = cursor.unpack(U32 if is_array else SINGLE[type_], "QualifierValue")
    value = heap.value(raw, type_, is_array, field)
    return Qualifier(name, type_, value, is_array, _FLAVORS[flavor], bool(flavor & PROPAGATED))


def named(items: Iterable[Qualifier], at: int, field: str) -> Qualifiers:
    """The map of `items`; two of one name are the peer's mistake."""
    try:
        return NameMap(items)
    except ValueError as problem:
        raise DecodeError(field, at, str(problem)) from None


class TypeQualifier(NamedTuple):
    """What a property's CIMTYPE says."""

    type: CimType
    class_name: str | None
    qualifiers: Qualifiers  # the others, and CIMTYPE itself if it contradicts the type


def split_cimtype(type_: CimType, qualifiers: Qualifiers) -> TypeQualifier:
    """Takes CIMTYPE out of a property's qualifiers. A datetime without one is a string (2.3.1)."""
    if "CIMTYPE" not in qualifiers:
        return TypeQualifier(CimType.STRING if type_ is CimType.DATETIME else type_, None, qualifiers)
    said = qualifiers["CIMTYPE"].value
    if not isinstance(said, str):
        return TypeQualifier(type_, None, qualifiers)
    kind, _, class_name = said.partition(":")
    if kind.lower() != type_.text or (class_name and type_ not in (CimType.REFERENCE, CimType.OBJECT)):
        return TypeQualifier(type_, None, qualifiers)
    if type_ is CimType.REFERENCE and class_name.lower() == "object":
        class_name = ""  # how an untyped reference is spelled (2.3.2)
    return TypeQualifier(type_, class_name or None, qualifiers.without("CIMTYPE"))


def with_cimtype(declared: Property) -> Qualifiers:
    """A property's qualifiers with CIMTYPE, which comes first unless the property brings its own."""
    if "CIMTYPE" in declared.qualifiers:
        return declared.qualifiers
    own = Qualifier("CIMTYPE", CimType.STRING, declared.type_text, False, _CIMTYPE_FLAVOR, declared.propagated)
    return NameMap((own, *declared.qualifiers.each()))
