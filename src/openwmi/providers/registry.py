"""Which providers there are: MS-WMI's ProviderTable (3.1.1), and how one is found and loaded (3.1.4, 3.1.6.2).

A ProviderTable belongs to one object manager. A provider is made, in a thread, when its first request comes; one that
cannot be is WBEM_E_PROVIDER_LOAD_FAILURE for that request, and is tried again for the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from openwmi.cim import TypedValue, fold
from openwmi.errors import ConfigurationError, WbemError
from openwmi.providers.api import Provider
from openwmi.providers.running import ProviderRunner
from openwmi.providers.threads import WorkerThreads
from openwmi.status import WbemStatus

__all__ = ["ARCHITECTURE", "ProviderEntry", "ProviderTable"]

_log = logging.getLogger("openwmi.providers")

_CLOSING_SECONDS: Final = 5.0

ARCHITECTURE: Final = 64 if sys.maxsize > 2**32 else 32
"""The server's own architecture, which a request without ``__ProviderArchitecture`` gets."""


class ProviderEntry:
    """One row of the table: a ProviderId, an architecture, and what makes the provider (ProviderEntryPoint)."""

    def __init__(self, name: str, factory: Callable[[], Provider], architecture: int, deadline: float | None) -> None:
        self.name = name
        self.architecture = architecture
        self._factory = factory
        self._deadline = deadline
        self._loading: asyncio.Task[ProviderRunner] | None = None
        self._runner: ProviderRunner | None = None
        self._threads: WorkerThreads | None = None

    @property
    def loaded(self) -> Provider | None:
        """The provider, if it is loaded."""
        return None if self._runner is None else self._runner.provider

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
        starter = WorkerThreads(f"load {self.name}", 1)
        try:
            async with asyncio.timeout(self._deadline):
                provider = await starter.run(self._make)
        except TimeoutError:
            raise self._failure("it did not load within its deadline") from None
        except Exception as error:
            _log.exception("the provider %s cannot be loaded", self.name)
            raise self._failure(f"{type(error).__name__}: {error}") from error
        finally:
            starter.close()
        self._threads = WorkerThreads(f"provider {self.name}", max(1, provider.threads))
        self._runner = ProviderRunner(provider, self.name, deadline=self._deadline, threads=self._threads)
        return self._runner

    def _make(self) -> Provider:
        provider = self._factory()
        if not isinstance(provider, Provider):
            raise TypeError(f"its factory made a {type(provider).__name__}")
        provider.load()
        return provider

    def _failure(self, what: str) -> WbemError:
        return WbemError.of(
            WbemStatus.WBEM_E_PROVIDER_LOAD_FAILURE, f"the provider {self.name} cannot be loaded: {what}"
        )

    async def close(self) -> None:
        """Unloads the provider (3.1.6.3)."""
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
            with contextlib.suppress(asyncio.CancelledError, WbemError):
                await self._loading
        runner, self._runner = self._runner, None
        if runner is None or self._threads is None:
            return
        self._threads.close()
        closer = WorkerThreads(f"close {self.name}", 1)  # the provider's own threads may hang
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                await closer.run(runner.provider.close)
        except Exception:
            _log.exception("the provider %s did not close", self.name)
        finally:
            closer.close()


def _retrieved(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


class ProviderTable:
    """The providers of one object manager, by ProviderId (without regard to case) and architecture.

    `deadline` is the seconds that loading, and each call, may take unless the provider says otherwise.
    """

    def __init__(self, *, deadline: float | None = 60.0) -> None:
        self._deadline = deadline
        self._entries: dict[tuple[str, int], ProviderEntry] = {}

    def register(
        self, factory: Callable[[], Provider], name: str | None = None, *, architecture: int = ARCHITECTURE
    ) -> ProviderEntry:
        """Enters a provider: a `Provider` subclass, or any function that makes one. `name` is its ProviderId.

        A name that is taken for that architecture, or none at all, is a `ConfigurationError`.
        """
        name = name or getattr(factory, "name", "")
        if not name:
            raise ConfigurationError(f"the provider {factory!r} has no name")
        if architecture not in (32, 64):
            raise ConfigurationError(f"the provider {name}: an architecture is 32 or 64, not {architecture}")
        if (fold(name), architecture) in self._entries:
            raise ConfigurationError(f"there are two providers named {name}")
        entry = ProviderEntry(name, factory, architecture, self._deadline)
        self._entries[fold(name), architecture] = entry
        return entry

    def __iter__(self) -> Iterator[ProviderEntry]:
        return iter(tuple(self._entries.values()))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(key == fold(name) for key, _ in self._entries)

    def find(self, name: str, values: Mapping[str, TypedValue]) -> ProviderEntry:
        """The entry for a ProviderId and a request's context, by the algorithm of 3.1.4.

        Raises WBEM_E_INVALID_PARAMETER for an architecture that is neither 32 nor 64, and
        WBEM_E_PROVIDER_LOAD_FAILURE if there is no entry.
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
        for architecture in order:
            entry = self._entries.get((fold(name), architecture))
            if entry is not None:
                return entry
        only = f" for {order[0]} bits" if len(order) == 1 else ""
        raise WbemError.of(WbemStatus.WBEM_E_PROVIDER_LOAD_FAILURE, f"there is no provider named {name}{only}")

    async def close(self) -> None:
        """Unloads all providers."""
        for entry in self:
            await entry.close()
