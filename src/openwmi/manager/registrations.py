"""Providers that a namespace registers: `__Win32Provider` and the registrations, into the ProviderTable (3.1.1).

Creating, changing or deleting one of those instances, by whatever operation, changes the table: what is written marks
its namespace as `changed`, in the store's thread and perhaps in a transaction that is undone; whoever looks a provider
up has what changed read again first (`review`). So the table is what the repository says, and a provider that is no
longer registered is unloaded (3.1.6.3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from openwmi.cim import Class, Instance, ObjectPath, fold
from openwmi.errors import SyntaxProblem
from openwmi.providers.registration import Registration, offered

if TYPE_CHECKING:
    from openwmi.manager.manager import ObjectManager

__all__ = ["Registrations", "is_registration"]

_PROVIDER: Final = "__Win32Provider"
_REGISTRATIONS: Final = (
    "__InstanceProviderRegistration",
    "__ClassProviderRegistration",
    "__MethodProviderRegistration",
    "__PropertyProviderRegistration",
)


def is_registration(cls: Class) -> bool:
    """Whether instances of `cls` say which providers there are."""
    return cls.is_a(_PROVIDER) or cls.is_a("__ProviderRegistration")


class Registrations:
    """Keeps a manager's ProviderTable as its namespaces want it. Used in the manager's loop, but for `changed`."""

    def __init__(self, manager: ObjectManager) -> None:
        self._manager = manager
        self._changed: set[str] = set()
        self._reviewing = asyncio.Lock()

    def changed(self, namespace: str | None) -> None:
        """Says that a namespace's registrations may have changed, from any thread; None says it of all namespaces."""
        self._changed.add("" if namespace is None else namespace)

    @property
    def is_current(self) -> bool:
        """Whether nothing has changed since the last review."""
        return not self._changed

    async def review(self) -> None:
        """Brings the table up to date, and unloads the providers that are no longer in it."""
        if not self._changed:
            return
        async with self._reviewing:
            changed, self._changed = self._changed, set()
            if "" in changed:  # also of namespaces that are gone
                changed |= {entry.registration.namespace for entry in self._manager.providers if entry.registration}
            try:
                read = await self._manager.in_store(self._read, changed)
            except BaseException:
                self._changed |= changed
                raise
            for namespace, registrations in read.items():
                for entry in self._manager.providers.reconcile(namespace, registrations):
                    await entry.close()

    async def close(self) -> None:
        """Waits for a review that is under way."""
        async with self._reviewing:
            pass

    def _read(self, changed: set[str]) -> dict[str, list[Registration]]:
        """What those namespaces register; nothing, for one that is gone. In the store's thread."""
        here = self._manager.store.namespaces()
        if "" in changed:
            changed = changed | set(here)
        there = {fold(name) for name in here}
        wanted = {fold(name): name for name in changed if name}
        return {name: list(self._registered(name)) if folded in there else [] for folded, name in wanted.items()}

    def _registered(self, namespace: str) -> Iterator[Registration]:
        found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for kind in _REGISTRATIONS:
            for instance in self._instances(namespace, kind):
                name = _provider_of(instance)
                if name is not None:
                    found.setdefault(fold(name), []).append((kind, instance.to_dict()))
        for provider in self._instances(namespace, _PROVIDER):
            mine = found.get(fold(provider["Name"]), [])
            classes = [values for kind, values in mine if kind == "__ClassProviderRegistration"]
            yield Registration(
                namespace,
                provider["Name"],
                provider["CLSID"],
                offered(mine),
                tuple(query for values in classes for query in values["ResultSetQueries"] or () if query),
                tuple(query for values in classes for query in values["UnsupportedQueries"] or () if query),
            )

    def _instances(self, namespace: str, name: str) -> Iterator[Instance]:
        """The instances of a class and of all below it."""
        store = self._manager.store
        for each in (name, *store.class_names(namespace, name)):
            yield from store.instances(namespace, each)


def _provider_of(registration: Instance) -> str | None:
    """The name of the provider that a registration is about."""
    try:
        path = ObjectPath.parse(registration["provider"] or "")
    except SyntaxProblem:
        return None
    return next((value for _, value in path.keys or () if isinstance(value, str)), None)
