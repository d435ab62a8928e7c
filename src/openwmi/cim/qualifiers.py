"""Qualifiers: what a declaration says about an element beyond its type (MS-WMIO 2.2.60-2.2.62)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Any

from openwmi.cim.names import NameMap
from openwmi.cim.types import CimType, CimValue, TypedValue, conform

__all__ = ["Flavor", "Qualifier", "Qualifiers", "flag"]


class Flavor(IntFlag):
    """How a qualifier spreads (MS-WMIO 2.2.62; the numbers are the wire's)."""

    NONE = 0
    TO_INSTANCE = 0x01
    TO_SUBCLASS = 0x02
    NOT_OVERRIDABLE = 0x10
    AMENDED = 0x80


@dataclass(frozen=True, slots=True)
class Qualifier:
    """One qualifier. `propagated` says that it came from a superclass rather than from this declaration."""

    name: str
    type: CimType
    value: CimValue
    is_array: bool = False
    flavor: Flavor = Flavor.NONE
    propagated: bool = False

    @classmethod
    def of(cls, name: str, value: Any = True, flavor: Flavor = Flavor.NONE) -> Qualifier:
        """A qualifier with the type that its value suggests; TRUE where no value is given."""
        typed = TypedValue.of(value)
        type_ = typed.type or CimType.STRING
        return cls(name, type_, conform(value, type_, typed.is_array, what=name), typed.is_array, flavor)

    def inherited(self) -> Qualifier:
        """The same qualifier as a subclass sees it."""
        if self.propagated:
            return self
        return Qualifier(self.name, self.type, self.value, self.is_array, self.flavor, True)


Qualifiers = NameMap[Qualifier]


def flag(qualifiers: Qualifiers, name: str) -> bool:
    """Whether the boolean qualifier `name` is there and TRUE."""
    found = qualifiers.get(name)
    return found is not None and found.value is True
