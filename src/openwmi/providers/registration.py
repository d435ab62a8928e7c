"""What a namespace says of a provider: `__Win32Provider` and its registrations, as one row's worth of facts.

A registration chooses among the providers that the server's operator made known, by the CLSID or the name that those
have. It never names code: a client that may write registrations cannot have anything imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from openwmi.cim import fold
from openwmi.providers.runner import Offer

__all__ = ["OBJECTS", "PROPERTIES", "Registration", "offered", "takes_queries"]

# The registrations' properties, and the functions of `Provider` that they offer.
_INSTANCES: Final = {
    "SupportsGet": "get_instance",
    "SupportsPut": "put_instance",
    "SupportsDelete": "delete_instance",
    "SupportsEnumeration": "enumerate_instances",
}
_CLASSES: Final = {
    "SupportsGet": "get_class",
    "SupportsPut": "put_class",
    "SupportsDelete": "delete_class",
    "SupportsEnumeration": "enumerate_classes",
}
OBJECTS: Final[Mapping[str, Mapping[str, str]]] = {
    "__InstanceProviderRegistration": _INSTANCES,
    "__ClassProviderRegistration": _CLASSES,
}
PROPERTIES: Final[Mapping[str, str]] = {"SupportsGet": "get_property", "SupportsPut": "put_property"}

_QUERY_LEVELS: Final = frozenset({"wql:unaryselect", "wql:v1providerdefined", "wql:references", "wql:associators"})


@dataclass(frozen=True, slots=True)
class Registration:
    """A provider that a namespace registers: its ProviderId, and which known provider that is to be.

    `queries` are ResultSetQueries; `unsupported` takes from the classes that those describe (UnsupportedQueries).
    """

    namespace: str
    name: str
    clsid: str | None = None
    offer: Offer = field(default_factory=lambda: Offer(frozenset(), False))
    queries: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()


def offered(registrations: Iterable[tuple[str, Mapping[str, Any]]]) -> Offer:
    """What the registrations of one provider, each with the name of its class and its values, offer together."""
    functions: set[str] = set()
    methods = False
    for kind, values in registrations:
        columns = OBJECTS.get(kind, PROPERTIES if kind == "__PropertyProviderRegistration" else {})
        functions |= {function for column, function in columns.items() if values.get(column) is True}
        if kind == "__InstanceProviderRegistration" and takes_queries(values.get("QuerySupportLevels") or ()):
            functions.add("query_instances")
        if kind == "__ClassProviderRegistration":
            functions.add("is_class_supported")
        methods = methods or kind == "__MethodProviderRegistration"
    return Offer(frozenset(functions), methods)


def takes_queries(levels: Iterable[str | None]) -> bool:
    """Whether QuerySupportLevels says that queries are for the provider (3.1.1, 3.1.4.3.18)."""
    return any(fold(level) in _QUERY_LEVELS for level in levels if level)
