"""Plans: what is worked out once for a class part, and then serves every instance of it.

A `Plan` has the bytes of one ClassPart (2.2.15), the shape that they declare, and how a value table of that shape is
read and written: one `struct.Struct`, and the slots that hold something else than a number. It goes both ways, so an
instance that was read is written with the very class part it came with, as 2.3.4 demands of clients.

A `ClassPartCache` keeps the plans of class parts that were read, by their bytes.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from openwmi.cim import CimType, Shape, fold
from openwmi.wmio.layout import REFERENCED, Decoration, code_of

__all__ = ["ClassPartCache", "Plan", "Slot"]

PLAN: Final = "wmio"  # the key in Shape.plans
_PLAIN_TEXTS: Final = frozenset({CimType.STRING, CimType.REFERENCE})
_COMPLEX: Final = frozenset({CimType.DATETIME, CimType.OBJECT, CimType.BOOLEAN, CimType.CHAR16})


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of the value table that holds neither a number nor a string. `index` counts the shape's properties."""

    index: int
    type: CimType
    is_array: bool
    label: str

    @property
    def is_reference(self) -> bool:
        """Whether it holds a HeapRef."""
        return self.is_array or self.type in REFERENCED


@dataclass(frozen=True, slots=True)
class Plan:
    """How instances with one class part are laid out."""

    shape: Shape
    part: bytes  # the ClassPart, its EncodingLength included
    name: bytes  # the class name as an Encoded-String, b"" if it has none
    nd_size: int
    table: struct.Struct
    order: tuple[int, ...] | None  # for each table slot its property; None if they are in the same order
    texts: tuple[int, ...]  # the properties that are strings or references
    others: tuple[Slot, ...]  # those that are anything else than a plain number
    lookup: tuple[int, ...]  # the properties in the order of the PropertyLookupTable

    @classmethod
    def of(cls, shape: Shape, part: bytes, name: bytes, order: Sequence[int]) -> Plan:
        """The plan for `shape`, whose value table holds the properties in that `order`; remembered by the shape."""
        properties = shape.properties
        slots = [Slot(i, p.type, p.is_array, f"{shape.cls.name}.{p.name}") for i, p in enumerate(properties)]
        codes = "".join(code_of(properties[i].type, properties[i].is_array) for i in order)
        made = cls(
            shape=shape,
            part=part,
            name=name,
            nd_size=(len(properties) + 3) // 4,
            table=struct.Struct("<" + codes),
            order=None if list(order) == list(range(len(properties))) else tuple(order),
            texts=tuple(s.index for s in slots if s.type in _PLAIN_TEXTS and not s.is_array),
            others=tuple(s for s in slots if s.type in _COMPLEX or s.is_array),
            lookup=lookup_order(shape),
        )
        shape.plans[PLAN] = made
        return made

    def label(self, index: int) -> str:
        """How errors name a property."""
        return f"{self.shape.cls.name}.{self.shape.properties[index].name}"

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


class ClassPartCache:
    """The plans of the class parts read lately, least recently used first; for one session, or one server.

    `entries` and `size` (bytes of class parts) bound it. Not safe for threads.
    """

    def __init__(self, entries: int = 512, size: int = 4 << 20) -> None:
        self._entries = entries
        self._size = size
        self._used = 0
        self._plans: OrderedDict[tuple[bytes, Decoration], Plan] = OrderedDict()
        self._last: tuple[bytes, Decoration, Plan] | None = None

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
