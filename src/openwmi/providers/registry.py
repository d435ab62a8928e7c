"""Which providers there are: MS-WMI's ProviderTable (3.1.1), and how one is found and loaded (3.1.4, 3.1.6.2).

A ProviderTable belongs to one object manager. It has *known* providers, which the server's operator named (in code, in
the configuration, by an entry point), and rows. A row is there for every namespace, if code registered it, or for the
one whose `__Win32Provider` says so. A provider is made, in a thread or in a process of its own, when its first request
comes; one that cannot be is WBEM_E_PROVIDER_LOAD_FAILURE for that request, and is tried again for the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from openwmi.cim import Class, TypedValue, fold
from openwmi.errors import ConfigurationError, WbemError
from openwmi.providers.api import Provider
from openwmi.providers.isolated import IsolatedRunner, Isolation, reference_to
from openwmi.providers.registration import Registration
from openwmi.providers.runner import ProviderFailure, ProviderRunner, trace_of
from openwmi.providers.running import ThreadRunner
from openwmi.providers.threads import WorkerThreads
from openwmi.status import WbemStatus
from openwmi.wql import SchemaQuery, WqlError, analyse_schema, parse

__all__ = ["ARCHITECTURE", "ProviderEntry", "ProviderTable"]

_log = logging.getLogger("openwmi.providers")

ARCHITECTURE: Final = 64 if sys.maxsize > 2**32 else 32
"""The server's own architecture, which a request without ``__ProviderArchitecture`` gets."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A provider that may be used: what makes it (ProviderEntryPoint), and where it is to run."""

    name: str
    factory: Callable[[], Provider]
    architecture: int
    isolation: Isolation | None

    @property
    def clsid(self) -> str:
        return getattr(self.factory, "clsid", None) or ""


class ProviderEntry:
    """One row of the table: a ProviderId, an architecture, and the known provider behind it (None: there is none).

    `registration` is what a namespace says of it; a provider that code registered has none, and offers all it has.
    `is_class_provider` is IsClassProvider: whether it may have classes of its own.
    """

    def __init__(
        self,
        name: str,
        known: _Known | None,
        architecture: int,
        deadline: float | None,
        registration: Registration | None = None,
    ) -> None:
        self.name = name
        self.architecture = architecture
        self.registration = registration
        self.known = known
        self._deadline = deadline
        self._loading: asyncio.Task[ProviderRunner] | None = None
        self._runner: ProviderRunner | None = None
        queries: Iterable[str] = getattr(None if known is None else known.factory, "result_set_queries", ())
        self._has_class = _classes(queries if registration is None else registration.queries, name)
        self.is_class_provider = self._may_have_classes()
        self._lacks_class = _classes(() if registration is None else registration.unsupported, name)

    @property
    def loaded(self) -> ProviderRunner | None:
        """The provider, if it is loaded."""
        return self._runner

    def _may_have_classes(self) -> bool:
        if self.registration is not None:
            return "is_class_supported" in self.registration.offer.functions
        factory = None if self.known is None else self.known.factory
        if not (isinstance(factory, type) and issubclass(factory, Provider)):
            return False
        return any(map(factory.supports, ("get_class", "enumerate_classes", "put_class", "is_class_supported")))

    def may_have(self, cls: Class) -> bool:
        """Whether a WHERE clause of ResultSetQueries is true of the class (3.1.4), and none of UnsupportedQueries."""
        return any(holds(cls) for holds in self._has_class) and not any(holds(cls) for holds in self._lacks_class)

    async def load(self) -> ProviderRunner:
        """The provider, loaded now if it is not yet. Raises WBEM_E_PROVIDER_LOAD_FAILURE.

        All who wait for a provider wait for the same attempt, and one that gives up does not spoil it for the others.
        """
        if self._runner is not None:
            return self._runner
        if self._loading is None or self._loading.done():
            self._loading = asyncio.get_running_loop().create_task(self._load())
            self._loading.add_done_callback(_retrieved)
        return await asyncio.shield(self._loading)

    async def _load(self) -> ProviderRunner:
        if self.known is None:
            raise self._failure(
                "nothing on this server is known by that CLSID or name; its operator has to install it and allow it"
            )
        offer = None if self.registration is None else self.registration.offer
        try:
            async with asyncio.timeout(self._deadline):
                if self.known.isolation is not None:
                    reference = reference_to(self.known.factory)
                    runner: ProviderRunner = await IsolatedRunner.start(
                        reference, self.name, deadline=self._deadline, isolation=self.known.isolation, offer=offer
                    )
                else:
                    provider = await self._made()
                    runner = ThreadRunner(provider, self.name, deadline=self._deadline, offer=offer)
        except TimeoutError:
            raise self._failure("it did not load within its deadline") from None
        except ProviderFailure as error:
            _log.error("the provider %s cannot be loaded: %s\n%s", self.name, error.detail, error.trace)
            raise self._failure(error.detail, error.trace) from error
        except Exception as error:
            _log.exception("the provider %s cannot be loaded", self.name)
            raise self._failure(f"{type(error).__name__}: {error}", trace_of(error)) from error
        self._runner = runner
        return runner

    async def _made(self) -> Provider:
        starter = WorkerThreads(f"load {self.name}", 1)
        try:
            return await starter.run(self._make)
        finally:
            starter.close()

    def _make(self) -> Provider:
        assert self.known is not None
        provider = self.known.factory()
        if not isinstance(provider, Provider):
            raise TypeError(f"its factory made a {type(provider).__name__}")
        provider.load()
        return provider

    def _failure(self, what: str, trace: str = "") -> ProviderFailure:
        text = f"the provider {self.name} cannot be loaded: {what}"
        return ProviderFailure(text, trace, WbemStatus.WBEM_E_PROVIDER_LOAD_FAILURE)

    async def close(self) -> None:
        """Unloads the provider (3.1.6.3)."""
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
            with contextlib.suppress(asyncio.CancelledError, WbemError):
                await self._loading
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.close()


def _retrieved(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


def _classes(queries: Iterable[str], provider: str) -> list[Callable[[Class], bool]]:
    """Schema queries as predicates of classes. One that is none is in the log, and describes no class."""
    predicates = []
    for text in queries:
        try:
            query = parse(text)
            if isinstance(query, SchemaQuery):
                predicates.append(analyse_schema(query).predicate)
                continue
            problem: object = "it does not select from meta_class"
        except WqlError as error:
            problem = error
        _log.warning("the provider %s: %s is no query for classes: %s", provider, text, problem)
    return predicates


class ProviderTable:
    """The providers of one object manager, by ProviderId (without regard to case), architecture and namespace.

    `deadline` is the seconds that loading, and each call, may take unless the provider says otherwise.
    """

    def __init__(self, *, deadline: float | None = 60.0) -> None:
        self._deadline = deadline
        self._known: list[_Known] = []
        self._entries: dict[tuple[str, str, int], ProviderEntry] = {}  # "" stands for every namespace

    # -- which there are

    def allow(
        self,
        factory: Callable[[], Provider],
        name: str | None = None,
        *,
        architecture: int = ARCHITECTURE,
        isolation: Isolation | None = None,
    ) -> None:
        """Makes a provider known, for namespaces to register it. `register` does so as well.

        A name that is taken for that architecture, or none at all, is a `ConfigurationError`.
        """
        self._allow(factory, name, architecture, isolation)

    def register(
        self,
        factory: Callable[[], Provider],
        name: str | None = None,
        *,
        architecture: int = ARCHITECTURE,
        isolation: Isolation | None = None,
    ) -> ProviderEntry:
        """Enters a provider, for every namespace: a `Provider` subclass, or any function that makes one.

        `name` is its ProviderId. `isolation` gives it a process of its own. Raises `ConfigurationError` as `allow`
        does, and for a factory that another process could not find. Only a `Provider` subclass is seen to be a class
        provider before it is loaded.
        """
        known = self._allow(factory, name, architecture, isolation)
        entry = ProviderEntry(known.name, known, architecture, self._deadline)
        self._entries["", fold(known.name), architecture] = entry
        return entry

    def _allow(
        self, factory: Callable[[], Provider], name: str | None, architecture: int, isolation: Isolation | None
    ) -> _Known:
        name = name or getattr(factory, "name", "")
        if not name:
            raise ConfigurationError(f"the provider {factory!r} has no name")
        if architecture not in (32, 64):
            raise ConfigurationError(f"the provider {name}: an architecture is 32 or 64, not {architecture}")
        if any((fold(known.name), known.architecture) == (fold(name), architecture) for known in self._known):
            raise ConfigurationError(f"there are two providers named {name}")
        if isolation is not None:
            reference_to(factory)
        known = _Known(name, factory, architecture, isolation)
        self._known.append(known)
        return known

    def reconcile(self, namespace: str, registrations: Iterable[Registration]) -> list[ProviderEntry]:
        """Makes the rows of `namespace` what it says now; those that are gone, or changed, for the caller to close."""
        here = fold(namespace)
        wanted: dict[tuple[str, str, int], tuple[Registration, _Known | None]] = {}
        for registration in registrations:
            meant: list[_Known | None] = [*self._meant(registration)]
            for known in meant or [None]:
                architecture = ARCHITECTURE if known is None else known.architecture
                wanted[here, fold(registration.name), architecture] = registration, known
        gone = [
            self._entries.pop(key)
            for key, entry in list(self._entries.items())
            if key[0] == here and wanted.get(key) != (entry.registration, entry.known)
        ]
        for key, (registration, known) in wanted.items():
            if key not in self._entries:
                self._entries[key] = ProviderEntry(registration.name, known, key[2], self._deadline, registration)
        return gone

    def _meant(self, registration: Registration) -> list[_Known]:
        """The known providers that a registration means: by its CLSID, else by its name."""
        for text in (registration.clsid or "", registration.name):
            wanted = fold(text)
            found = [known for known in self._known if wanted and wanted in (fold(known.clsid), fold(known.name))]
            if found:
                return found
        return []

    def __iter__(self) -> Iterator[ProviderEntry]:
        return iter(tuple(self._entries.values()))

    # -- looking one up

    def has(self, name: str, namespace: str) -> bool:
        """Whether there is a row for that ProviderId, of whatever architecture."""
        wanted = {(fold(namespace), fold(name)), ("", fold(name))}
        return any(key[:2] in wanted for key in self._entries)

    def has_class_providers(self, namespace: str) -> bool:
        """Whether a class of the namespace may be a class provider's."""
        here = ("", fold(namespace))
        return any(entry.is_class_provider for (where, _, _), entry in self._entries.items() if where in here)

    def class_providers(self, values: Mapping[str, TypedValue], namespace: str) -> list[ProviderEntry]:
        """The entries with IsClassProvider, as `find` finds them, in the order in which they were registered."""
        here = ("", fold(namespace))
        names = {folded: entry.name for (where, folded, _), entry in self._entries.items() if where in here}
        found = []
        for name in names.values():
            try:
                entry = self.find(name, values, namespace)
            except WbemError as error:
                if error.status != WbemStatus.WBEM_E_PROVIDER_LOAD_FAILURE:
                    raise
                continue  # none of the architecture that is required
            if entry.is_class_provider:
                found.append(entry)
        return found

    def find(self, name: str, values: Mapping[str, TypedValue], namespace: str) -> ProviderEntry:
        """The entry for a ProviderId and a request's context, by the algorithm of 3.1.4.

        What the namespace itself registers goes before what there is for all. Raises WBEM_E_INVALID_PARAMETER for an
        architecture that is neither 32 nor 64, and WBEM_E_PROVIDER_LOAD_FAILURE if there is no entry.
        """
        context: dict[str, Any] = {fold(given): typed.value for given, typed in values.items()}
        wanted = context.get("__providerarchitecture")
        if wanted is not None and (isinstance(wanted, bool) or wanted not in (32, 64)):
            raise WbemError.of(
                WbemStatus.WBEM_E_INVALID_PARAMETER, f"__ProviderArchitecture is 32 or 64, not {wanted!r}"
            )
        order = [ARCHITECTURE, 96 - ARCHITECTURE]
        if wanted is not None:
            order = [wanted] if context.get("__requiredarchitecture") is True else [wanted, 96 - wanted]
        for where in (fold(namespace), ""):
            for architecture in order:
                entry = self._entries.get((where, fold(name), architecture))
                if entry is not None:
                    return entry
        only = f" for {order[0]} bits" if len(order) == 1 else ""
        raise WbemError.of(WbemStatus.WBEM_E_PROVIDER_LOAD_FAILURE, f"there is no provider named {name}{only}")

    async def close(self) -> None:
        """Unloads all providers."""
        for entry in self:
            await entry.close()
