"""The values of one instance: InstanceType without its CurrentClass (2.2.53-2.2.58, 2.2.65), both ways.

This is the inner loop of every enumeration, so it reads the value table in one step and then touches only the slots
that hold something else than a number.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from openwmi.cim import ABSENT, DEFAULT, CimType, Instance, NameMap, Qualifiers, Shape, fold
from openwmi.errors import DecodeError
from openwmi.wmio.layout import (
    DICTIONARY_FLAG,
    INSTANCE_HEADER,
    NO_REFERENCE,
    Decoration,
)
from openwmi.wmio.plans import Plan
from openwmi.wmio.qualifiers import read_qualifiers
from openwmi.wmio.reading import Cursor, Heap, Scope, open_heap
from openwmi.wmio.writing import HeapWriter, Nesting, mismatch

__all__ = ["present_shape", "read_instance_part", "write_instance_part"]

_NO_QUALIFIERS: Final = b"\x04\0\0\0\x01"  # an empty set, and no sets for properties
_WITHOUT_SETS, _WITH_SETS = 1, 2  # InstPropQualSetFlag

# For each octet of an NdTable, what it says: (place, state) of the properties that have no value of their own.
_STATES: Final = tuple(
    tuple((i, DEFAULT if bits & 2 else None) for i in range(4) if (bits := octet >> 2 * i & 3)) for octet in range(256)
)


# -- reading


def read_instance_part(cursor: Cursor, plan: Plan, scope: Scope, decoration: Decoration) -> Instance:
    """The instance of `plan`'s class whose InstancePart begins where `cursor` stands, which moves behind it."""
    data, at = cursor.data, cursor.at
    length, _flags, class_name = cursor.unpack(INSTANCE_HEADER, "InstanceType")
    if length > cursor.end - at:
        raise DecodeError(f"{cursor.field}.EncodingLength", at, f"{length} in {cursor.end - at} bytes")
    outer, cursor.end = cursor.end, at + length
    nd_at = cursor.skip(plan.nd_size + plan.table.size, "NdTable and InstanceData")
    values = _table(data, nd_at, plan)
    sets = _skip_qualifiers(cursor, plan)
    heap = open_heap(cursor, scope)
    _check_name(heap, class_name, plan)
    if plan.texts:
        _read_texts(values, plan, heap)
    for slot in plan.others:
        raw = values[slot.index]
        if raw is None or raw is DEFAULT:
            continue
        # Nothing may share the class name's heap item (2.2.66). A client in wide use writes the reference to it, 0, for
        # a NULL array or object without saying so in the NdTable.
        null = raw == class_name and slot.is_reference
        values[slot.index] = None if null else heap.value(raw, slot.type, slot.is_array, slot.label)
    made = Instance.of_values(plan.shape, values, namespace=decoration.namespace, server=decoration.server)
    if sets is not None:
        made.qualifiers = read_qualifiers(sets[0], heap)
        made.property_qualifiers = _property_qualifiers(sets[1:], plan, heap)
    cursor.at = cursor.end  # past whatever the heap's owner left behind it
    cursor.end = outer
    return made


def _table(data: bytes, nd_at: int, plan: Plan) -> list[Any]:
    """The slots as the table has them: numbers and references, or the state of a property without a value."""
    raw = plan.table.unpack_from(data, nd_at + plan.nd_size)
    if plan.order is None:
        values = list(raw)
    else:
        values = [None] * len(raw)
        for index, number in zip(plan.order, raw, strict=True):
            values[index] = number
    last = len(values)
    first = 0
    for octet in data[nd_at : nd_at + plan.nd_size]:
        if octet:
            for place, state in _STATES[octet]:
                if first + place < last:  # the bits of the last octet that belong to no property may be anything
                    values[first + place] = state
        first += 4
    return values


def _read_texts(values: list[Any], plan: Plan, heap: Heap) -> None:
    """Puts the strings in the place of the references to them.

    Almost all of them are of one-byte characters, so the heap is turned into text once, and these are slices of it.
    """
    text = heap.data[heap.start : heap.end].decode("latin-1")
    size = left = len(text)
    find = text.find
    for index in plan.texts:
        reference = values[index]
        if reference.__class__ is not int:
            continue  # NULL, or defaulted
        if reference < size and text[reference] == "\0":
            start = reference + 1
            stop = find("\0", start)
            left += reference - stop - 1
            if stop > 0 and left >= 0:
                values[index] = text[start:stop]
                continue
            left -= reference - stop - 1
        values[index] = heap.string(reference, plan.label(index))
    heap.spend(size - left, heap.start, "InstanceHeap")


def _check_name(heap: Heap, reference: int, plan: Plan) -> None:
    if not reference & DICTIONARY_FLAG and heap.data.startswith(plan.name, heap.start + reference, heap.end):
        heap.spend(len(plan.name), heap.start, "InstanceClassName")
        return
    name = heap.string(reference, "InstanceClassName") or ""
    if fold(name) != fold(plan.shape.cls.name):
        raise DecodeError("InstanceClassName", heap.start, f"{name} is not the class {plan.shape.cls.name}")


def _skip_qualifiers(cursor: Cursor, plan: Plan) -> list[Cursor] | None:
    """Cursors over the qualifier sets, the instance's own first: they refer to a heap that comes after them."""
    if cursor.end - cursor.at >= 5 and cursor.data.startswith(_NO_QUALIFIERS, cursor.at):
        cursor.at += 5
        return None
    sets = [cursor.window("InstanceQualifierSet")]
    at = cursor.skip(1, "InstPropQualSetFlag")
    flag = cursor.data[at]
    if flag == _WITH_SETS:
        sets += [cursor.window("InstancePropQualifierSet") for _ in plan.lookup]
    elif flag != _WITHOUT_SETS:
        raise DecodeError(f"{cursor.field}.InstPropQualSetFlag", at, f"{flag} is neither 1 nor 2")
    return sets


def _property_qualifiers(sets: list[Cursor], plan: Plan, heap: Heap) -> dict[str, Qualifiers]:
    found = {}
    for index, cursor in zip(plan.lookup, sets, strict=False):  # no sets at all where the flag says so
        if cursor.at < cursor.end:
            found[fold(plan.shape.properties[index].name)] = read_qualifiers(cursor, heap)
    return found


# -- writing


def present_shape(instance: Instance) -> Shape:
    """The shape without the properties that are absent: the wire cannot say that one is, but by leaving it out."""
    if not any(value is ABSENT for value in instance.values):
        return instance.shape
    return instance.shape.project(instance)


def write_instance_part(instance: Instance, plan: Plan, nesting: Nesting) -> bytes:
    """EncodingLength to InstanceHeap; `plan` is of the instance's `present_shape`."""
    heap = HeapWriter(nesting)
    cls = instance.shape.cls
    name = heap.name(cls.name) if cls.name else NO_REFERENCE
    values = instance.values
    if plan.shape is not instance.shape:
        values = [value for value in values if value is not ABSENT]
    table = _encode_table(values, plan, heap)
    sets = _encode_qualifiers(instance, plan, heap)
    items = heap.encode()
    length = INSTANCE_HEADER.size + len(table) + len(sets) + len(items)
    return b"".join((INSTANCE_HEADER.pack(length, 0, name), table, sets, items))


def _encode_table(values: list[Any], plan: Plan, heap: HeapWriter) -> bytes:
    """NdTable and ValueTable. A slot without a value of its own is zero, as Windows has it."""
    properties = plan.shape.properties
    nd = bytearray(plan.nd_size)
    raw: list[Any] = list(values)
    for i, value in enumerate(values):
        if value is None:
            nd[i >> 2] |= 1 << 2 * (i & 3)
            raw[i] = 0
        elif value is DEFAULT:
            nd[i >> 2] |= (3 if properties[i].default is None else 2) << 2 * (i & 3)
            raw[i] = 0
    _write_texts(raw, values, plan, heap)
    for slot in plan.others:
        value = values[slot.index]
        if value is not None and value is not DEFAULT:
            raw[slot.index] = heap.value(value, slot.type, slot.is_array, slot.label)
    if plan.order is not None:
        raw = [raw[i] for i in plan.order]
    try:
        return bytes(nd) + plan.table.pack(*raw)
    except (struct.error, OverflowError) as problem:
        raise _culprit(values, plan, problem) from problem


def _write_texts(raw: list[Any], values: list[Any], plan: Plan, heap: HeapWriter) -> None:
    """Puts references in the place of the strings: all at once if they are of one-byte characters."""
    found = [(i, value) for i in plan.texts if (value := values[i]) is not None and value is not DEFAULT]
    try:
        joined = "\0\0".join([value for _, value in found])
        octets = f"\0{joined}\0".encode("latin-1")
    except (UnicodeEncodeError, TypeError):
        octets = b""
    if octets.count(0) != 2 * len(found):  # wide characters, or a NUL in one of them, or none at all
        for i, value in found:
            raw[i] = heap.value(value, CimType.STRING, False, plan.label(i))
        return
    at = heap.put(octets)
    for i, value in found:
        raw[i] = at
        at += len(value) + 2


def _culprit(values: list[Any], plan: Plan, problem: Exception) -> Exception:
    """The error that names the property whose number does not fit."""
    for declared, value in zip(plan.shape.properties, values, strict=True):
        if not declared.is_array and isinstance(value, int | float | str | tuple | bytes):
            try:
                declared.conform(value)
            except Exception as found:
                return found
    return mismatch(f"{plan.shape.cls.name}: {problem}", values, CimType.OBJECT, False)


def _encode_qualifiers(instance: Instance, plan: Plan, heap: HeapWriter) -> bytes:
    own = instance.property_qualifiers
    if not own and not instance.qualifiers:
        return _NO_QUALIFIERS
    parts = [heap.qualifier_set(instance.qualifiers)]
    if not any(own.values()):
        parts.append(bytes([_WITHOUT_SETS]))
    else:
        none: Qualifiers = NameMap()
        names = (fold(plan.shape.properties[i].name) for i in plan.lookup)
        parts.append(bytes([_WITH_SETS]))
        parts += [heap.qualifier_set(own.get(name, none)) for name in names]
    return b"".join(parts)
