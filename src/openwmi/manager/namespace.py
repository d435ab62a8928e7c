"""One namespace as one caller has it open: the manager's implementation of `cim.operations.Operations`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from openwmi.cim import split_namespace
from openwmi.cim.operation import Operation
from openwmi.cim.operations import (
    CallContext,
    CallingMode,
    DeleteClass,
    DeleteInstance,
    EnumerateClasses,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    Flags,
    GetObject,
    PutClass,
    PutInstance,
    Request,
)
from openwmi.errors import InvalidNamespace, InvalidParameter, SyntaxProblem, WbemError
from openwmi.manager import classes, delete, instances, methods, query
from openwmi.manager.dynamic import with_dynamic_classes
from openwmi.manager.job import Job, Producer
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus

if TYPE_CHECKING:
    from openwmi.manager.manager import ObjectManager

__all__ = ["Namespace", "NamespaceConnection"]


class NamespaceConnection:
    """A namespace as all connections to it share it (NamespaceConnection, 3.1.1). Once `gone`, it is gone for good:
    another of the same name is another namespace, which its connections have not got (3.1.4).
    """

    __slots__ = ("__weakref__", "gone", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.gone = False


class Namespace:
    """One namespace, open for a caller. Get one from `ObjectManager.connect`."""

    def __init__(self, manager: ObjectManager, connection: NamespaceConnection) -> None:
        self._manager = manager
        self._connection = connection
        self._name = connection.name

    @property
    def namespace(self) -> str:
        r"""The namespace's full name, such as ``root\cimv2``."""
        return self._name

    @property
    def server(self) -> str:
        """The name of the machine, as it stands in paths."""
        return self._manager.server

    async def start(self, request: Request, context: CallContext) -> Operation:
        """Starts an operation.

        Raises, with an `__ExtendedStatus`, what the specification checks before an operation starts: in this order the
        server's state, the caller's security and rights, the flags, and the request's own parameters.
        """
        manager = self._manager
        try:
            await manager.admit(context)
            producer = await manager.in_store(self._checked, request, context)
            if isinstance(producer, Job):
                job = await with_dynamic_classes(producer)
                producer = await manager.in_store(_handler(request), job)
            # From here to the operation's registration nothing is awaited, so the limit holds.
            manager.check_capacity(context)
        except WbemError as error:
            error.extended = manager.extended(request, error, namespace=self._name)
            raise
        operation = Operation(request, context, capacity=manager.limits.results_buffered)
        manager.register_operation(operation)
        return operation.launch(
            producer, error_object=lambda error: manager.extended(request, error, namespace=self._name)
        )

    def _checked(self, request: Request, context: CallContext) -> Producer | Job[Any]:
        """The rest of the operation; or the job, if class providers have to be asked before its own checks."""
        manager = self._manager
        manager.check_running()
        if self._connection.gone:
            raise InvalidNamespace(f"the namespace {self._name} was deleted; connect anew")
        granted, sacl = manager.admitted(self._name, context)
        job: Job[Any] = Job(manager, self._name, request, context, granted, sacl)
        job.need(_access_to_start(request, context), request.METHOD)
        _check_flags(request, context)
        handler = _handler(request)
        if not manager.registrations.is_current or manager.providers.has_class_providers(self._name):
            return job
        return handler(job)

    async def open_namespace(self, path: str | None, context: CallContext) -> Namespace:
        """The namespace `path` below this one (3.1.4.3.1): relative to it, or by its full name."""
        if path is None:
            raise InvalidParameter("the namespace is NULL")
        below = self._manager.local_namespace(path)
        prefix = f"{self._name}\\"
        if not below.lower().startswith(prefix.lower()):
            try:
                below = prefix + "\\".join(split_namespace(path))
            except SyntaxProblem as problem:
                raise InvalidNamespace(problem.message) from None
        return await self._manager.connect(below, context)

    def __repr__(self) -> str:
        return f"<Namespace {self._name}>"


def _access_to_start(request: Request, context: CallContext) -> AccessRight:
    """What every method needs. ExecMethod asks for execution instead of WBEM_ENABLE, its Async form for both."""
    right = AccessRight.METHOD_EXECUTE if isinstance(request, ExecMethod) else AccessRight.ENABLE
    if context.mode is CallingMode.ASYNCHRONOUS:
        right |= AccessRight.ENABLE
    return right | AccessRight.REMOTE_ENABLE if context.remote else right


def _handler(request: Request) -> Callable[[Job[Any]], Producer]:
    handler = _HANDLERS.get(type(request))
    if handler is None:
        raise WbemError.of(WbemStatus.WBEM_E_NOT_SUPPORTED, f"{type(request).__name__} is not supported")
    return handler


def _check_flags(request: Request, context: CallContext) -> None:
    """Flags that "MUST be ignored on receipt" (2.2.6) are; any other that the method does not list is not valid."""
    allowed = request.FLAGS
    if context.mode is CallingMode.ASYNCHRONOUS:
        allowed |= Flags.SEND_STATUS
        if request.RETURNS_MANY:
            allowed &= ~Flags.FORWARD_ONLY  # there is no enumerator that could go forward
    else:
        allowed |= Flags.RETURN_IMMEDIATELY
    # As plain numbers: an IntFlag's complement has only the bits that have names.
    unknown = context.flags & ~int(request.IGNORED) & ~int(allowed)
    if unknown:
        raise InvalidParameter(f"{request.METHOD} has no flag 0x{unknown & 0xFFFFFFFF:X}")


_HANDLERS: Final[Mapping[type[Request], Callable[[Job[Any]], Producer]]] = MappingProxyType(
    {
        GetObject: instances.start_get,
        PutClass: classes.start_put,
        DeleteClass: classes.start_delete,
        EnumerateClasses: classes.start_enumeration,
        PutInstance: instances.start_put,
        DeleteInstance: delete.start,
        EnumerateInstances: instances.start_enumeration,
        ExecQuery: query.start,
        ExecMethod: methods.start,
    }
)
