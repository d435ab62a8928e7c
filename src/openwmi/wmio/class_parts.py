"""ClassPart: a class's name, derivation, qualifiers and properties (2.2.15-2.2.37), both ways.

Two things are as real bytes have them, not as the text of the specification does: ClassOfOrigin counts from the *top*
of the derivation (0 is the root class, the class itself comes last), and the NdTable is in the order of declaration,
not in that of the PropertyLookupTable.

A property that the class overrides is Inherited all the same, since it first stood in an ancestor (2.2.32). What tells
it from one that came down unchanged is a default or a qualifier, CIMTYPE too, of the class's own.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from openwmi.cim import CimType, CimValue, Class, NameMap, Property, Shape, fold
from openwmi.errors import DecodeError
from openwmi.wmio.layout import (
    ARRAY,
    CLASS_HEADER,
    INHERITED,
    PROPERTY_INFO,
    PROPERTY_LOOKUP,
    SINGLE,
    U32,
    Decoration,
    code_of,
)
from openwmi.wmio.plans import PLAN, Plan, lookup_order
from openwmi.wmio.qualifiers import read_qualifiers, read_type, split_cimtype, with_cimtype
from openwmi.wmio.reading import Cursor, Scope, open_heap
from openwmi.wmio.writing import HeapWriter, Nesting, encode_class_name, encode_string, qualifier_set_size

__all__ = ["plan_of", "read_class_part"]

_NOWHERE: Final = Decoration()
_AFTER_LENGTH: Final = struct.Struct("<BII")  # of the ClassHeader: ReservedOctet ClassNameRef NdTableValueTableLength


# -- reading


def read_class_part(cursor: Cursor, scope: Scope, decoration: Decoration = _NOWHERE) -> Plan:
    """The plan of the ClassPart that begins where `cursor` stands; its shape's class has no methods.

    Read once for the same bytes, as far as the scope's cache reaches. Between the end of the heap and that of the
    part there may be bytes that mean nothing: Windows does not shrink a heap before it sends it.
    """
    at = cursor.at
    plan = scope.cache.recent(cursor.data, at, cursor.end, decoration)
    if plan is not None:
        cursor.at += len(plan.part)
        return plan
    window = cursor.window("ClassPart")
    part = cursor.data[at : window.end]
    plan = scope.cache.find(part, decoration)
    if plan is None:
        plan = _Reader(window, scope).read(decoration, part)
        scope.cache.add(plan, decoration)
    return plan


class _Found(NamedTuple):
    """A property with its places: in the declaration and in the value table."""

    declared: Property
    order: int
    offset: int
    at: int


class _Reader:
    """Reads one ClassPart: first what follows in a row, then what that refers to in the heap."""

    def __init__(self, cursor: Cursor, scope: Scope) -> None:
        _reserved, name, nd_and_table = cursor.unpack(_AFTER_LENGTH, "ClassHeader")
        self.at = cursor.at
        self.derivation = _read_derivation(cursor.window("DerivationList"))
        self.class_qualifiers = cursor.window("ClassQualifierSet")
        count = cursor.u32("PropertyCount")
        lookups = cursor.skip(count * PROPERTY_LOOKUP.size, f"PropertyCount of {count}")
        self.lookups = [PROPERTY_LOOKUP.unpack_from(cursor.data, lookups + 8 * i) for i in range(count)]
        nd_size = (count + 3) // 4
        if nd_and_table < nd_size or (nd_and_table and not count):
            raise DecodeError("ClassPart.NdTableValueTableLength", self.at, f"{nd_and_table} for {count} properties")
        self.nd_at = cursor.skip(nd_and_table, "NdTable and ValueTable")
        self.table_at = self.nd_at + nd_size
        self.table_end = self.nd_at + nd_and_table
        self.heap = open_heap(cursor, scope)
        self.data = cursor.data
        self.name_reference = name

    def read(self, decoration: Decoration, part: bytes) -> Plan:
        self.name = self.heap.string(self.name_reference, "ClassPart.ClassNameRef") or ""
        qualifiers = read_qualifiers(self.class_qualifiers, self.heap)
        found = sorted((self._property(*lookup) for lookup in self.lookups), key=lambda f: f.order)
        self.heap.close()
        try:
            properties = NameMap(f.declared for f in found)
        except ValueError as problem:
            raise DecodeError(self._field("PropertyLookupTable"), self.nd_at, str(problem)) from None
        cls = Class(
            self.name,
            self.derivation[0] if self.derivation else None,
            self.derivation,
            qualifiers,
            properties,
            server=decoration.server,
            namespace=decoration.namespace,
        )
        return Plan.of(cls.shape, part, encode_class_name(self.name), self._table_order(found))

    def _field(self, name: str) -> str:
        return f"{self.name or 'ClassPart'}.{name}"

    def _property(self, name_reference: int, info_reference: int) -> _Found:
        name = self.heap.name(name_reference, self._field("PropertyNameRef"))
        field = self._field(name)
        cursor = self.heap.cursor(info_reference, f"{field}.PropertyInfo")
        at = cursor.at
        number, order, offset, origin = cursor.unpack(PROPERTY_INFO, "PropertyType")
        window = cursor.window("PropertyQualifierSet")
        self.heap.claim(at, window.end, cursor.field)
        type_, is_array = read_type(number & ~INHERITED, at, f"{field}.PropertyType")
        window.field = field
        written = read_qualifiers(window, self.heap)
        type_, class_name, qualifiers = split_cimtype(type_, written)
        if order >= len(self.lookups):
            raise DecodeError(f"{field}.DeclarationOrder", at, f"{order} of {len(self.lookups)} properties")
        state = self.data[self.nd_at + order // 4] >> order % 4 * 2
        default = self._default(type_, is_array, bool(state & 1), offset, field, at)
        inherits = bool(number & INHERITED and state & 2)
        unchanged = inherits and all(q.propagated for q in written.each())
        origin_name = self._origin(origin, unchanged)
        declared = Property(
            name, type_, is_array, default, class_name, qualifiers, origin_name, unchanged, inherits and not unchanged
        )
        return _Found(declared, order, offset, at)

    def _origin(self, index: int, propagated: bool) -> str:
        """The class at `index`. A projection may lack its derivation (MS-WMI 2.2.4.1): then there is none to name."""
        if index < len(self.derivation):
            return self.derivation[-1 - index]
        return "" if propagated else self.name

    def _default(self, type_: CimType, is_array: bool, null: bool, offset: int, field: str, at: int) -> CimValue:
        slot = U32 if is_array else SINGLE[type_]
        if offset + slot.size > self.table_end - self.table_at:
            raise DecodeError(f"{field}.ValueTableOffset", at, f"{offset} is outside the value table")
        if null:
            return None
        (raw,) = slot.unpack_from(self.data, self.table_at + offset)
        return self.heap.value(raw, type_, is_array, field)

    def _table_order(self, found: Sequence[_Found]) -> list[int]:
        """The properties in the order of their slots, which must fill the value table without gap or overlap."""
        for place, item in enumerate(found):
            if item.order != place:
                field = self._field(item.declared.name)
                raise DecodeError(f"{field}.DeclarationOrder", item.at, f"{item.order} is there twice")
        order = sorted(range(len(found)), key=lambda i: found[i].offset)
        expected = 0
        for i in order:
            declared, _, offset, at = found[i]
            if offset != expected:
                raise DecodeError(
                    f"{self._field(declared.name)}.ValueTableOffset", at, f"{offset}, though {expected} comes next"
                )
            expected += struct.calcsize("<" + code_of(declared.type, declared.is_array))
        if expected != self.table_end - self.table_at:
            raise DecodeError(self._field("ValueTable"), self.table_at + expected, "bytes that belong to no property")
        return order


def _read_derivation(cursor: Cursor) -> tuple[str, ...]:
    """The names of the superclasses, nearest first (2.2.17)."""
    names = []
    while cursor.at < cursor.end:
        at = cursor.at
        names.append(cursor.string("ClassNameEncoding"))
        size = cursor.at - at
        length = cursor.u32("EncodingLength")
        # "in character count" says 2.2.18: for a name in two-byte characters that is not the count of bytes.
        if length not in (size, (size + 1) // 2):
            raise DecodeError("DerivationList.EncodingLength", cursor.at - 4, f"{length} after a name of {size} bytes")
    return tuple(names)


# -- writing


def plan_of(shape: Shape, nesting: Nesting) -> Plan:
    """The plan of a shape, encoded the first time it is asked for."""
    known: Plan | None = shape.plans.get(PLAN)
    if known is not None:
        return known
    name = encode_class_name(shape.cls.name)
    return Plan.of(shape, _Writer(shape, nesting).write(), name, range(len(shape.properties)))


class _Writer:
    """Writes one ClassPart, in the order in which Windows fills the heap of a class that is just made."""

    def __init__(self, shape: Shape, nesting: Nesting) -> None:
        self.shape = shape
        self.cls = shape.cls
        self.heap = HeapWriter(nesting)
        self.origins = {fold(name): i for i, name in enumerate(reversed(self.cls.derivation))}

    def write(self) -> bytes:
        cls, heap = self.cls, self.heap
        name = heap.class_name(cls.name)
        derivation = b"".join(_encode_derived(ancestor) for ancestor in cls.derivation)
        qualifiers = heap.qualifier_set(cls.qualifiers)
        offsets, table_size = self._offsets()
        lookups = [self._property(i, offsets[i]) for i in lookup_order(self.shape)]
        table = self._null_and_default() + self._values()
        body = b"".join(
            (
                U32.pack(4 + len(derivation)),
                derivation,
                qualifiers,
                U32.pack(len(lookups)),
                *lookups,
                table,
                *heap.parts(),
            )
        )
        assert len(table) == (len(lookups) + 3) // 4 + table_size
        return CLASS_HEADER.pack(CLASS_HEADER.size + len(body), 0, name, len(table)) + body

    def _offsets(self) -> tuple[list[int], int]:
        offsets, size = [], 0
        for declared in self.shape.properties:
            offsets.append(size)
            size += struct.calcsize("<" + code_of(declared.type, declared.is_array))
        return offsets, size

    def _property(self, order: int, offset: int) -> bytes:
        declared = self.shape.properties[order]
        qualifiers = with_cimtype(declared)
        name = self.heap.name(declared.name)
        info = self.heap.put(bytes(PROPERTY_INFO.size + qualifier_set_size(qualifiers)))
        origin = self.origins.get(fold(declared.origin), len(self.origins))
        inherited = declared.propagated or origin < len(self.origins)
        type_ = declared.type | (ARRAY if declared.is_array else 0) | (INHERITED if inherited else 0)
        written = PROPERTY_INFO.pack(type_, order, offset, origin) + self.heap.qualifier_set(qualifiers)
        self.heap.data[info : info + len(written)] = written
        return PROPERTY_LOOKUP.pack(name, info)

    def _null_and_default(self) -> bytes:
        bits = 0
        for i, declared in enumerate(self.shape.properties):
            inherited = declared.propagated or declared.inherits_default
            bits |= ((declared.default is None) | inherited << 1) << 2 * i
        return bits.to_bytes((len(self.shape.properties) + 3) // 4, "little")

    def _values(self) -> bytes:
        parts = []
        for p in self.shape.properties:
            if p.default is None:
                parts.append(b"\xff" * struct.calcsize("<" + code_of(p.type, p.is_array)))  # NoValue, 2.2.74
            else:
                parts.append(self.heap.inline(p.default, p.type, p.is_array, f"{self.cls.name}.{p.name}"))
        return b"".join(parts)


def _encode_derived(name: str) -> bytes:
    encoded = encode_string(name)
    return encoded + U32.pack(len(encoded))
