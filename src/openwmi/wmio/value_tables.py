"""NdTable and InstanceData (2.2.26-2.2.29, 2.2.56): the values of one instance, both ways.

This is the inner loop of every enumeration. The table is read and written in one step, by the plan's `struct.Struct`,
and only the slots that hold something else than a number are touched one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from openwmi.cim import DEFAULT, CimType, DateTime, Unset
from openwmi.wmio.layout import NO_REFERENCE
from openwmi.wmio.plans import Plan, Slot
from openwmi.wmio.reading import Cursor, Heap
from openwmi.wmio.writing import HeapWriter, mismatch

__all__ = ["ValueTable", "unset_in", "write_values"]

# What two bits of an NdTable say of a property that has no value of its own; no bits, and it has one.
_STATES: Final = (None, None, DEFAULT, DEFAULT)
# The same for each octet: (place, state) of its properties without a value.
_OCTETS: Final = tuple(
    tuple((i, _STATES[octet >> 2 * i & 3]) for i in range(4) if octet >> 2 * i & 3) for octet in range(256)
)


# -- reading


class ValueTable:
    """One instance's table as it stands in the bytes; what it refers to is read when it is asked for."""

    __slots__ = ("_heap", "_name_at", "_nd", "_plan", "_raw")
    _heap: Heap

    def __init__(self, cursor: Cursor, plan: Plan) -> None:
        """Reads NdTable and InstanceData where `cursor` stands, which moves behind them."""
        size = len(plan.plain)
        at = cursor.skip(size + plan.table.size, "NdTable and InstanceData")
        raw = plan.table.unpack_from(cursor.data, at + size)
        self._plan = plan
        self._raw = raw if plan.from_table is None else plan.from_table(raw)
        self._nd = cursor.data[at : at + size]

    def attach(self, heap: Heap, name_at: int = NO_REFERENCE) -> None:
        """Says which heap, that comes later, the references point into, and where in it the class name stands."""
        self._heap = heap
        self._name_at = name_at

    def one(self, index: int) -> Any:
        """The value of one property, or DEFAULT. It is not kept, nor compared with others for overlap."""
        bits = self._nd[index >> 2] >> 2 * (index & 3) & 3
        if bits:
            return _STATES[bits]
        slot = self._plan.slots[index]
        return self._follow(self._raw[index], slot, self._heap.again())

    def all(self, *, again: bool = False) -> list[Any]:
        """All values. Raises `DecodeError` for an item outside the heap, and for two that overlap.

        `again` for a table of which they may be asked for more than once.
        """
        plan = self._plan
        heap = self._heap.again() if again else self._heap
        values = list(self._raw)
        if self._nd != plan.plain:
            self._mark(values)
        self._read_texts(values, heap)
        for slot in plan.others:
            raw = values[slot.index]
            if raw is not None and raw is not DEFAULT:
                values[slot.index] = self._follow(raw, slot, heap)
        if heap.late:
            self._claim_texts(values, heap)
            heap.close()
        for index in plan.datetimes:
            if values[index].__class__ is str:
                values[index] = heap.as_datetime(values[index], plan.slots[index].label)
        return values

    def _mark(self, values: list[Any]) -> None:
        """Puts the state of each property without a value into its slot."""
        first = 0
        last = len(values)
        for octet in self._nd:
            if octet:
                for place, state in _OCTETS[octet]:
                    if first + place < last:  # the bits of the last octet that belong to no property may be anything
                        values[first + place] = state
            first += 4

    def _follow(self, raw: Any, slot: Slot, heap: Heap) -> Any:
        # Nothing may share the class name's heap item (2.2.66). A client in wide use writes the reference to it, 0, for
        # a NULL array or object without saying so in the NdTable.
        if raw == self._name_at and slot.is_reference and not slot.is_text:
            return None
        return heap.value(raw, slot.type, slot.is_array, slot.label)

    def _read_texts(self, values: list[Any], heap: Heap) -> None:
        """Puts the strings in the place of the references to them.

        Almost all of them are of one-byte characters, so the heap is turned into text once, and these are slices of it.
        What is read like that is claimed in `_claim_texts`, if it must be at all.
        """
        slots = self._plan.slots
        start = heap.start
        octets = heap.data[start : heap.end]
        text = octets.decode("latin-1")
        find = text.index
        edge = heap.edge - start
        for index in self._plan.texts:
            reference = values[index]
            if reference.__class__ is not int:
                continue  # NULL, or defaulted
            try:
                if not octets[reference]:
                    stop = find("\0", reference + 1)
                    values[index] = text[reference + 1 : stop]
                    if reference >= edge:
                        edge = stop + 1
                    else:
                        heap.claim_late(start + reference, start + stop + 1, slots[index].label)
                    continue
            except (IndexError, ValueError):
                pass  # not in the heap, or without an end: the long way says so
            heap.edge = start + edge
            values[index] = heap.string(reference, slots[index].label)
            edge = heap.edge - start
        heap.edge = start + edge

    def _claim_texts(self, values: list[Any], heap: Heap) -> None:
        """Claims what `_read_texts` has read without claiming it."""
        for index in self._plan.texts:
            reference, value = self._raw[index], values[index]
            if value.__class__ is str and reference < heap.end - heap.start and heap.data[heap.start + reference] == 0:
                at = heap.start + reference
                heap.claims.append((at, at + len(value) + 2, self._plan.slots[index].label))


# -- writing


def unset_in(values: Sequence[Any]) -> list[int]:
    """Which properties have no value of their own: NULL, DEFAULT or ABSENT."""
    return [i for i, value in enumerate(values) if value is None or value.__class__ is Unset]


def write_values(values: Sequence[Any], unset: list[int], plan: Plan, heap: HeapWriter) -> bytes:
    """NdTable and InstanceData; `unset` are those without a value, whose slots are zero, as Windows has it."""
    raw = list(values)
    nd = plan.plain
    if unset:
        nd = _clear(unset, raw, plan)
    _write_texts(raw, values, plan, heap)
    for slot in plan.others:
        value = values[slot.index]
        if value is not None and value is not DEFAULT:
            raw[slot.index] = heap.value(value, slot.type, slot.is_array, slot.label)
    try:
        return nd + plan.table.pack(*(raw if plan.to_table is None else plan.to_table(raw)))
    except (struct.error, OverflowError) as problem:
        raise _culprit(values, plan, problem) from problem


def _clear(unset: list[int], raw: list[Any], plan: Plan) -> bytes:
    """Zeroes the slots without a value of their own; the NdTable that tells of them."""
    nd = bytearray(plan.plain)
    for i in unset:
        bits = 1 if raw[i] is None else 3 if plan.shape.properties[i].default is None else 2
        nd[i >> 2] |= bits << 2 * (i & 3)
        raw[i] = 0
    return bytes(nd)


def _write_texts(raw: list[Any], values: Sequence[Any], plan: Plan, heap: HeapWriter) -> None:
    """Puts references in the place of the strings: all at once if they are of one-byte characters."""
    for i in plan.datetimes:
        if (value := values[i]).__class__ is DateTime:
            raw[i] = value.text
        elif value is not None and value is not DEFAULT:
            raise mismatch(plan.slots[i].label, value, CimType.DATETIME, False)
    found = [i for i in plan.texts if raw[i].__class__ is not int or values[i].__class__ is int]
    texts = [raw[i] for i in found]
    try:
        octets = ("\0" + "\0\0".join(texts) + "\0").encode("latin-1")
    except (UnicodeEncodeError, TypeError):
        octets = b""
    if octets.count(0) != 2 * len(found):  # wide characters, or a NUL in one of them, or none at all
        for i in found:
            raw[i] = heap.value(raw[i], CimType.STRING, False, plan.slots[i].label)
        return
    at = heap.put(octets)
    for i, text in zip(found, texts, strict=True):
        raw[i] = at
        at += len(text) + 2


def _culprit(values: Sequence[Any], plan: Plan, problem: Exception) -> Exception:
    """The error that names the property whose number does not fit."""
    for declared, value in zip(plan.shape.properties, values, strict=True):
        if not declared.is_array and isinstance(value, int | float | str | tuple | bytes):
            try:
                declared.conform(value)
            except Exception as found:
                return found
    return mismatch(f"{plan.shape.cls.name}: {problem}", values, CimType.OBJECT, False)
