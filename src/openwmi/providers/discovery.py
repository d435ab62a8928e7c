"""Providers that installed packages bring along: the entry points of the group ``openwmi.providers``.

    [project.entry-points."openwmi.providers"]
    lamps = "acme.lamps:Lamps"

A package is not loaded for being installed: a server that runs with an administrator's rights runs a provider's code
only if its operator names the provider.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from openwmi.cim import fold
from openwmi.errors import ConfigurationError
from openwmi.providers.api import Provider

__all__ = ["GROUP", "installed", "load_installed"]

GROUP: Final = "openwmi.providers"


def installed() -> list[EntryPoint]:
    """The entry points of all installed packages, by name. Nothing is loaded."""
    return sorted(entry_points(group=GROUP), key=lambda entry: (fold(entry.name), entry.value))


def load_installed(name: str) -> Callable[[], Provider]:
    """What makes the provider with that entry point. Raises `ConfigurationError`, also for what cannot be imported."""
    found = [entry for entry in installed() if fold(entry.name) == fold(name)]
    if len(found) != 1:
        names = ", ".join(dict.fromkeys(entry.name for entry in installed())) or "none"
        problem = "is not installed" if not found else f"is brought along by {len(found)} packages"
        raise ConfigurationError(f"the provider {name} {problem}; installed are: {names}")
    try:
        factory = found[0].load()
    except Exception as error:
        raise ConfigurationError(
            f"the provider {name} ({found[0].value}) cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not callable(factory):
        raise ConfigurationError(f"the provider {name} ({found[0].value}) is neither a class nor a function")
    made: Callable[[], Provider] = factory
    return made
