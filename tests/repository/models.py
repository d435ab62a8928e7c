"""The small schema that the repository's tests share."""

from __future__ import annotations

from openwmi.cim import CimType, Class, Flavor, NameMap, Property, Qualifier

SPREADS = Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS
KEY = NameMap([Qualifier.of("key", flavor=SPREADS)])
NS = "root\\cimv2"

BASE = Class(
    "Base",
    properties=NameMap(
        [Property("Id", CimType.UINT32, qualifiers=KEY), Property("Note", CimType.STRING, default="nothing")]
    ),
).rooted()
DERIVED = BASE.derive(Class("Derived", properties=NameMap([Property("Extra", CimType.UINT8, True)])))
SIBLING = BASE.derive(Class("Sibling"))
LEAF = DERIVED.derive(Class("Leaf"))
SCHEMA = (BASE, DERIVED, SIBLING, LEAF)
