"""One request in the making: who asks what, where, and what everybody who serves it needs.

The checks before an operation starts are synchronous functions of a `Job`; they run in the store's thread, raise what
the specification says, and return the producer that is the rest of the operation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from openwmi.cim import Class, ObjectPath, fold
from openwmi.cim.operation import Operation
from openwmi.cim.operations import CallContext, Flags, Request
from openwmi.errors import (
    InvalidObjectPath,
    InvalidParameter,
    SyntaxProblem,
    WbemError,
)
from openwmi.manager.static import StaticObjects
from openwmi.providers.call import ProviderCall
from openwmi.providers.runner import ProviderFailure, ProviderRunner
from openwmi.security.access import AccessRight
from openwmi.security.descriptor import Acl
from openwmi.status import WbemStatus

if TYPE_CHECKING:
    from openwmi.manager.dynamic import DynamicClasses
    from openwmi.manager.manager import ObjectManager

__all__ = ["Job", "Producer"]

Producer: TypeAlias = Callable[[Operation], Awaitable[str | None]]
"""The rest of an operation: delivers results, raises the failure, returns the outcome's text."""

R = TypeVar("R", bound=Request)
S = TypeVar("S", bound=Request)


@dataclass(frozen=True)
class Job(Generic[R]):
    """A request, in a namespace, by a caller whose rights there are `granted`; `sacl` says which uses are recorded.

    `dynamic` are the classes that class providers add to those in the repository, as far as the request is about them.
    """

    manager: ObjectManager
    namespace: str
    request: R
    context: CallContext
    granted: AccessRight
    sacl: Acl | None = None
    dynamic: DynamicClasses | None = None

    def of(self, request: S) -> Job[S]:
        """The same caller's job with another request."""
        return Job(self.manager, self.namespace, request, self.context, self.granted, self.sacl, self.dynamic)

    def below(self, namespace: str) -> Job[R]:
        """The same request in another namespace, with the caller's rights there. Use it in the store's thread."""
        granted, sacl = self.manager.admitted(namespace, self.context)
        return Job(self.manager, namespace, self.request, self.context, granted, sacl)

    @cached_property
    def static(self) -> StaticObjects:
        """The namespace's static objects. Use it in the store's thread."""
        return StaticObjects(self.manager, self.namespace, self.context, self.dynamic)

    @property
    def flags(self) -> int:
        """The request's flags without those that are ignored on receipt (2.2.6)."""
        return self.context.flags & ~int(self.request.IGNORED)

    def has(self, flag: Flags) -> bool:
        """Whether the caller set `flag`."""
        return bool(self.flags & flag)

    # -- checks

    def need(self, right: AccessRight, why: str) -> None:
        """Raises `AccessDenied` unless the caller has all of `right` in the namespace."""
        missing = right & ~self.granted
        self.manager.audit(self.context, self.namespace, self.sacl, right, granted=not missing)
        if missing:
            names = " and ".join(f"WBEM_{flag.name}" for flag in AccessRight if flag & missing)
            raise self.manager.refusal(self.context, f"{names} in {self.namespace} is missing: {why}")

    def name_of_class(self, name: str | None) -> str:
        """A class's name as a parameter; NULL is WBEM_E_INVALID_PARAMETER, one too long WBEM_E_QUOTA_VIOLATION."""
        if name is None:
            raise InvalidParameter("the name of the class is NULL")
        check_length(name, self.manager.limits.class_name, "the name of the class")
        return name

    def path(self, text: str | None) -> ObjectPath:
        r"""An object path as a parameter: of an object in this namespace.

        Raises WBEM_E_INVALID_PARAMETER for NULL, WBEM_E_QUOTA_VIOLATION for one that is too long,
        WBEM_E_INVALID_OBJECT_PATH for one that is malformed, and WBEM_E_NOT_SUPPORTED for one that leads elsewhere.

        MS-WMI 2.2.2 lets a path name its machine and its namespace, and ``__PATH`` has both, so a path that names this
        machine and the connected namespace is as good as a relative one. The operations, however, are on objects
        "from the current namespace" (3.1.4.3.4, 3.1.4.3.14), and the caller's rights were checked for that one only. A
        path into another namespace or machine is well formed, so it is not WBEM_E_INVALID_OBJECT_PATH ("not
        syntactically valid"), and WBEM_E_INVALID_NAMESPACE would tell which namespaces there are; what it asks for is
        simply not supported. That is the answer whether or not the other namespace exists.
        """
        if text is None:
            raise InvalidParameter("the object path is NULL")
        check_length(text, self.manager.limits.object_path, "the object path")
        try:
            path = ObjectPath.parse(text)
        except SyntaxProblem as problem:
            raise InvalidObjectPath(problem.message) from None
        if path.server is not None and not self.manager.is_own_name(path.server):
            raise self._elsewhere(f"on the machine {path.server}")
        if path.namespace is not None and fold(path.namespace) != fold(self.namespace):
            raise self._elsewhere(f"in the namespace {path.namespace}")
        if not path.class_name:
            raise InvalidObjectPath(f"{text[:200]!r} names a namespace, not an object in one")
        return path.relative

    def _elsewhere(self, where: str) -> WbemError:
        return WbemError.of(
            WbemStatus.WBEM_E_NOT_SUPPORTED,
            f"the object is {where}, and this connection is to {self.namespace} on {self.manager.server}",
        )

    # -- providers

    async def runner(self, cls: Class) -> ProviderRunner:
        """The provider of the class's instances, loaded (3.1.4). Raises WBEM_E_PROVIDER_LOAD_FAILURE."""
        assert cls.provider is not None
        return await self.runner_named(cls.provider)

    async def runner_named(self, name: str) -> ProviderRunner:
        """A provider by its ProviderId, found by the algorithm of 3.1.4 and loaded."""
        await self.manager.registrations.review()
        try:
            return await self.manager.providers.find(name, self.context.values, self.namespace).load()
        except WbemError as error:
            raise self.failed(error, name) from error

    def call(
        self, cls: Class, path: ObjectPath | None = None, properties: frozenset[str] | None = None
    ) -> ProviderCall:
        """The callback object for a call of that class's provider."""
        return ProviderCall(
            cls,
            self.context,
            namespace=self.namespace,
            server=self.manager.server,
            path=path,
            properties=properties,
            flags=self.flags,
        )

    def failed(self, error: WbemError, provider: str) -> WbemError:
        """A provider's failure as the operation's: with the error object that names the provider.

        A new exception, since the provider may raise one and the same again and again. Only an administrator is shown
        where the provider's code failed: a traceback can tell what the server's files, paths and settings are.
        """
        trace = error.trace if isinstance(error, ProviderFailure) and self.context.principal.is_administrator else ""
        extended = self.manager.extended(self.request, error, namespace=self.namespace, provider=provider, trace=trace)
        return WbemError.of(error.status, error.detail, extended=extended)

    async def in_store(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs `function` in the store's thread."""
        return await self.manager.in_store(function, *arguments)


def check_length(text: str, limit: int, what: str) -> None:
    """WBEM_E_QUOTA_VIOLATION for more than `limit` UTF-16 code units."""
    if len(text) > limit or len(text) + sum(character > "\uffff" for character in text) > limit:
        raise WbemError.of(WbemStatus.WBEM_E_QUOTA_VIOLATION, f"{what} is longer than {limit:,} characters")


def instance_path(cls: Class, keys: Mapping[str, Any]) -> ObjectPath:
    """The path of the instance of `cls` with these keys, each with its name."""
    path = cls.new(dict(keys)).relative_path
    assert path is not None
    return path
