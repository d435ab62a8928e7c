"""Plans: what is worked out once for a class part, and then serves every instance of it.

A `Plan` has the bytes of one ClassPart (2.2.15), the shape that they declare, and how a value table of that shape is
read and written: one `struct.Struct`, and the slots that hold something else than a number. It goes both ways, so an
instance that was read is written with the very class part it came with, as 2.3.4 demands of clients.

A `ClassPartCache` keeps the plans of class parts that were read, by their bytes.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Final, NamedTuple

from openwmi.cim import CimType, Shape, fold
from openwmi.wmio.layout import FINISHED, REFERENCED, TEXTS, Decoration, code_of

__all__ = ["ClassPartCache", "Plan", "Slot", "Start"]

PLAN: Final = "wmio"  # the key in Shape.plans
Arrangement = Callable[[Sequence[Any]], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Slot:
    """What one property's slot of the value table holds. `index` counts the shape's properties."""

    index: int
    type: CimType
    is_array: bool
    label: str  # how errors name the property
    is_reference: bool  # whether it is a HeapRef
    is_text: bool  # whether that leads to an Encoded-String


@dataclass(frozen=True, slots=True)
class Plan:
    """How instances with one class part are laid out."""

    shape: Shape
    part: bytes  # the ClassPart, its EncodingLength included
    name: bytes  # the class name as an Encoded-String, b"" if it has none
    plain: bytes  # an NdTable that says of every property that it has a value
    table: struct.Struct
    to_table: Arrangement | None  # puts the properties into the order of the table's slots; None if that is theirs
    from_table: Arrangement | None  # and back
    slots: tuple[Slot, ...]  # by property
    texts: tuple[int, ...]  # the properties that are strings, references or datetimes
    datetimes: tuple[int, ...]
    others: tuple[Slot, ...]  # those that are anything else than a plain number
    lookup: tuple[int, ...]  # the properties in the order of the PropertyLookupTable

    @classmethod
    def of(cls, shape: Shape, part: bytes, name: bytes, order: Sequence[int]) -> Plan:
        """The plan for `shape`, whose value table holds the properties in that `order`; remembered by the shape."""
        properties = shape.properties
        slots = tuple(
            Slot(
                index=i,
                type=p.type,
                is_array=p.is_array,
                label=f"{shape.cls.name}.{p.name}",
                is_reference=p.is_array or p.type in REFERENCED,
                is_text=not p.is_array and p.type in TEXTS,
            )
            for i, p in enumerate(properties)
        )
        codes = "".join(code_of(properties[i].type, properties[i].is_array) for i in order)
        same = list(order) == list(range(len(properties)))
        made = cls(
            shape=shape,
            part=part,
            name=name,
            plain=bytes((len(properties) + 3) // 4),
            table=struct.Struct("<" + codes),
            to_table=None if same else itemgetter(*order),
            from_table=None if same else itemgetter(*sorted(range(len(order)), key=order.__getitem__)),
            slots=slots,
            texts=tuple(s.index for s in slots if s.is_text),
            datetimes=tuple(s.index for s in slots if s.is_text and s.type is CimType.DATETIME),
            others=tuple(s for s in slots if not s.is_text and (s.is_reference or s.type in FINISHED)),
            lookup=lookup_order(shape),
        )
        shape.plans[PLAN] = made
        return made

    def at(self, shape: Shape) -> Plan:
        """This plan for an equal shape, of the class as found elsewhere or with its methods."""
        made = replace(self, shape=shape)
        shape.plans[PLAN] = made
        return made


def lookup_order(shape: Shape) -> tuple[int, ...]:
    """The properties in the order of the PropertyLookupTable (2.2.21): by name, without regard to case."""
    return tuple(sorted(range(len(shape.properties)), key=lambda i: _collated(shape.properties[i].name)))


def _collated(name: str) -> bytes:
    return fold(name).encode("utf-16-be", "surrogatepass")


class Start(NamedTuple):
    """ObjectFlags and Decoration as they stood in front of an object, and what they say."""

    octets: bytes
    is_class: bool
    decoration: Decoration


class ClassPartCache:
    """The plans of the class parts read lately, least recently used first; for one session, or one server.

    `start` is the beginning of the object read last: most objects in a row come from one place.

    `entries` and `size` (bytes of class parts) bound it. Not safe for threads.
    """

    def __init__(self, entries: int = 512, size: int = 4 << 20) -> None:
        self._entries = entries
        self._size = size
        self._used = 0
        self._plans: OrderedDict[tuple[bytes, Decoration], Plan] = OrderedDict()
        self._last: tuple[bytes, Decoration, Plan] | None = None
        self.start: Start | None = None

    def __len__(self) -> int:
        return len(self._plans)

    def recent(self, data: bytes, at: int, end: int, decoration: Decoration) -> Plan | None:
        """The plan asked for last, if its class part stands at `at` once more.

        Objects of one class come in a row, and comparing is much cheaper than hashing: it needs no copy.
        """
        if self._last is None:
            return None
        part, where, plan = self._last
        return plan if data.startswith(part, at, end) and where == decoration else None

    def find(self, part: bytes, decoration: Decoration) -> Plan | None:
        """The plan for a class part of an object from `decoration`."""
        key = (part, decoration)
        found = self._plans.get(key)
        if found is not None:
            self._plans.move_to_end(key)
            self._last = (*key, found)
        return found

    def add(self, plan: Plan, decoration: Decoration) -> None:
        """Keeps a plan, at the cost of those that were not used for the longest time."""
        if len(plan.part) > self._size:
            return
        key = (plan.part, decoration)
        if key not in self._plans:
            self._used += len(plan.part)
        self._plans[key] = plan
        self._last = (*key, plan)
        while len(self._plans) > self._entries or self._used > self._size:
            (part, _), _ = self._plans.popitem(last=False)
            self._used -= len(part)
