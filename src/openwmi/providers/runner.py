"""`ProviderRunner`: a loaded provider as the object manager sees it (MS-WMI 3.1.4.17), wherever its code runs.

`running.ThreadRunner` has the code in this process, `isolated.IsolatedRunner` in a process of its own. Whatever a
provider does wrong ends its own call, with a `WbemError`: a `ProviderFailure` for an exception that is none and for a
result that does not fit, WBEM_E_PROVIDER_TIMED_OUT past the deadline, WBEM_E_PROVIDER_NOT_CAPABLE for what is not
supported, and for what the provider's registration does not offer.
"""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from openwmi.cim import Class, Instance, Method, Property
from openwmi.cim.operation import Report
from openwmi.errors import WbemError
from openwmi.providers.call import DynamicProperty, ProviderCall
from openwmi.status import WbemStatus

__all__ = [
    "Batches",
    "ClassBatches",
    "Offer",
    "OnReport",
    "ProviderFailure",
    "ProviderRunner",
    "not_capable",
    "trace_of",
]

Batches: TypeAlias = AsyncGenerator[list[Instance], None]
"""Instances, a few at a time; close it when they are not taken to the end."""

ClassBatches: TypeAlias = AsyncGenerator[list[Class], None]
"""Classes, a few at a time."""

OnReport: TypeAlias = Callable[[Report], object]
"""Who hears what a provider says beside its results."""


class ProviderFailure(WbemError):
    """A provider's own mistake: WBEM_E_PROVIDER_FAILURE, or the code of what it ran into.

    `trace` is the traceback as text, "" if there is none. It may show what only administrators are to see.
    """

    def __init__(self, detail: str, trace: str = "", status: int = WbemStatus.WBEM_E_PROVIDER_FAILURE) -> None:
        super().__init__(status, detail)
        self.trace = trace


def trace_of(error: BaseException) -> str:
    """The traceback of `error` as text."""
    return "".join(traceback.format_exception(error))


def not_capable(provider: str, what: str) -> WbemError:
    """WBEM_E_PROVIDER_NOT_CAPABLE."""
    return WbemError.of(WbemStatus.WBEM_E_PROVIDER_NOT_CAPABLE, f"the provider {provider} does not support {what}")


@dataclass(frozen=True, slots=True)
class Offer:
    """What a registration says that a provider may be asked: names of `Provider`'s functions, and methods."""

    functions: frozenset[str]
    methods: bool


class ProviderRunner(ABC):
    """A loaded provider. `offer` narrows what it is asked to what its registration declares; None is all of it."""

    def __init__(self, name: str, offer: Offer | None = None) -> None:
        self.name = name
        self._offer = offer

    def supports(self, function: str) -> bool:
        """Whether `function`, one of `Provider`'s, is there and offered (SupportsGet ... of 3.1.1)."""
        return (self._offer is None or function in self._offer.functions) and self.implements(function)

    def need(self, function: str) -> None:
        """WBEM_E_PROVIDER_NOT_CAPABLE unless `function` is supported."""
        if not self.supports(function):
            raise not_capable(self.name, function)

    @property
    def offers_methods(self) -> bool:
        """Whether the registration, if there is one, is one for methods too."""
        return self._offer is None or self._offer.methods

    @abstractmethod
    def implements(self, function: str) -> bool:
        """Whether the provider overrides `function`."""

    # -- instances

    @abstractmethod
    async def get(self, call: ProviderCall, keys: Mapping[str, Any], on_report: OnReport) -> Instance:
        """The instance with these keys; `NotFound` if the provider has none."""

    @abstractmethod
    async def put(self, call: ProviderCall, instance: Instance, on_report: OnReport) -> None:
        """Has the provider create or change the instance."""

    @abstractmethod
    async def delete(self, call: ProviderCall, keys: Mapping[str, Any], on_report: OnReport) -> None:
        """Has the provider delete the instance."""

    @abstractmethod
    def enumerate(self, call: ProviderCall, on_report: OnReport) -> Batches:
        """The instances of `call.cls`, in batches, as fast as they are taken."""

    @abstractmethod
    def query(self, call: ProviderCall, query: str, on_report: OnReport) -> Batches:
        """The instances that the provider has for a query."""

    @abstractmethod
    async def invoke(
        self,
        call: ProviderCall,
        method: Method,
        keys: Mapping[str, Any],
        arguments: Mapping[str, Any],
        on_report: OnReport,
    ) -> Instance | None:
        """Calls a method; the instance of its out-parameters, None where it has none.

        `arguments` are all in-parameters by their declared names. Raises WBEM_E_METHOD_NOT_IMPLEMENTED.
        """

    # -- properties

    @abstractmethod
    async def get_property(self, call: ProviderCall, declared: Property, what: DynamicProperty) -> Any:
        """The value of one property, as one of the type that is declared."""

    @abstractmethod
    async def put_property(self, call: ProviderCall, declared: Property, what: DynamicProperty, value: Any) -> None:
        """Has the provider change the value."""

    # -- classes

    @abstractmethod
    async def get_class(self, call: ProviderCall, name: str) -> Class | None:
        """The class of that name as the provider declares it, not resolved; None if it has none."""

    @abstractmethod
    def enumerate_classes(self, call: ProviderCall, superclass: str | None) -> ClassBatches:
        """The classes below `superclass`, at any depth; all for None. There may be others among them."""

    @abstractmethod
    async def put_class(self, call: ProviderCall, cls: Class) -> None:
        """Has the provider create or change the class."""

    @abstractmethod
    async def delete_class(self, call: ProviderCall, name: str) -> None:
        """Has the provider delete the class."""

    @abstractmethod
    async def is_class_supported(self, call: ProviderCall, name: str) -> bool:
        """Whether the provider takes the class for its own (3.1.4.17.14)."""

    # -- its end

    @abstractmethod
    async def close(self) -> None:
        """Unloads the provider (3.1.6.3). A provider that does not close in time is left to itself."""
