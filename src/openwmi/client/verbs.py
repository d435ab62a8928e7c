"""What a session can ask for, each as a running operation: `session.start.delete_instance(path)`.

The verbs are MI's (`MI_Session_DeleteInstance` is `delete_instance`). Each is written once, here: a session's own verb
is the same one waited for, and the synchronous API runs the same ones in its portal.

An instance or a path that says which namespace it is in is looked for there; a class name with keys, and everything
else, in the session's own namespace, or the one that the option `namespace` names.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, cast, overload

from openwmi.cim import CimObject, CimType, Class, ObjectPath, TypedValue, fold
from openwmi.cim import Instance as CimInstance
from openwmi.cim.operation import Operation, Outcome
from openwmi.cim.operations import (
    CallContext,
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
from openwmi.client.mapping import Mapped, class_name_of
from openwmi.client.methods import MethodResult, prepared, with_objects
from openwmi.client.objects import Instance, bound
from openwmi.client.operation import AsyncOperation, expires_of, in_time
from openwmi.client.options import OperationOptions, checked_namespace, context_of
from openwmi.errors import (
    Error,
    InvalidObjectPath,
    InvalidParameter,
    NotFound,
    SyntaxProblem,
    WbemError,
)
from openwmi.status import WbemStatus
from openwmi.wql import AssociatorsQuery, ReferencesQuery, WqlError, parse

if TYPE_CHECKING:
    from openwmi.client.session import AsyncSession

__all__ = ["Target", "Verbs"]

_log: Final = logging.getLogger("openwmi.client")

T = TypeVar("T")

Target = str | ObjectPath | CimInstance | Class
"""What an operation is about: a path, an instance, or (with keys) a class."""


class Verbs:
    """The verbs of one session, each of which starts an operation.

    They raise what is wrong with the call itself (`InvalidParameter`); what the server refuses, at once or later, the
    operation ends with.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._has_warned = False

    async def __call__(self, request: Request, **options: Unpack[OperationOptions]) -> AsyncOperation[CimObject]:
        """Starts any request: the one way that all verbs take."""
        return await self._start(request, options, self._object)

    # -- instances

    async def get_instance(
        self, target: Target, keys: Mapping[str, Any] | None = None, **options: Unpack[OperationOptions]
    ) -> AsyncOperation[Instance]:
        """The instance that a path names, or the one of a class with these keys."""
        path, namespace = _located(target, keys)
        return await self._start(GetObject(path), options, self._instance, self._one_instance, namespace=namespace)

    async def enumerate_instances(
        self, class_name: str, **options: Unpack[OperationOptions]
    ) -> AsyncOperation[Instance]:
        """The instances of a class and, unless `polymorphism` is "shallow", of its subclasses."""
        return await self._start(EnumerateInstances(class_name), options, self._instance)

    @overload
    async def query_instances(
        self, query: str, *parameters: Any, **options: Unpack[OperationOptions]
    ) -> AsyncOperation[Instance]: ...

    @overload
    async def query_instances(
        self, query: type[T], *parameters: Any, **options: Unpack[OperationOptions]
    ) -> AsyncOperation[T]: ...

    async def query_instances(self, query: Any, *parameters: Any, **options: Unpack[OperationOptions]) -> Any:
        """What a WQL query selects. Each ``?`` stands for a parameter, quoted as its type needs.

        A query for classes (``SELECT * FROM meta_class``) gives `Class` objects. In place of the query there may be a
        dataclass and the WHERE clause, and the results are objects of that dataclass (`openwmi.client.mapping`).
        """
        if isinstance(query, str):
            text = str(parse(query, parameters)) if parameters else query
            return await self._start(ExecQuery(text), options, self._selected)
        scope = OperationOptions(namespace=options["namespace"]) if "namespace" in options else {}
        mapped = Mapped(query, await self._session.get_class(class_name_of(query), **scope))
        condition, given = (parameters[0], parameters[1:]) if parameters else ("", ())
        text = str(parse(mapped.query(condition), given))
        return await self._start(ExecQuery(text), options, lambda found: mapped(self._instance(found)))

    async def associators(
        self,
        target: Target,
        *,
        association_class: str | None = None,
        result_class: str | None = None,
        role: str | None = None,
        result_role: str | None = None,
        required_qualifier: str | None = None,
        required_association_qualifier: str | None = None,
        **options: Unpack[OperationOptions],
    ) -> AsyncOperation[Instance]:
        """The objects that associations connect with an instance; of a class, the classes at the associations' ends.

        Each comes as often as it is associated. `association_class` and `required_association_qualifier` are about the
        associations, `result_class` and `required_qualifier` about the results; `role` is the reference that names
        `target`, `result_role` the one that names a result. This is the query ASSOCIATORS OF (MS-WMI 2.2.1.1).
        """
        path, namespace = _parsed(target)
        query = AssociatorsQuery(
            path,
            association_class,
            result_class,
            result_role,
            role,
            required_qualifier,
            required_association_qualifier,
            options.get("keys_only", False),
            schema_only=path.is_class,
        )
        return await self._associations(query, options, namespace)

    async def references(
        self,
        target: Target,
        *,
        result_class: str | None = None,
        role: str | None = None,
        required_qualifier: str | None = None,
        **options: Unpack[OperationOptions],
    ) -> AsyncOperation[Instance]:
        """The associations in which an instance stands; of a class, the classes of associations in which it can stand.

        This is the query REFERENCES OF (MS-WMI 2.2.1.1), and the words mean what they mean in `associators`.
        """
        path, namespace = _parsed(target)
        keys_only = options.get("keys_only", False)
        query = ReferencesQuery(path, result_class, role, required_qualifier, keys_only, schema_only=path.is_class)
        return await self._associations(query, options, namespace)

    async def _associations(
        self, query: AssociatorsQuery | ReferencesQuery, options: OperationOptions, namespace: str | None
    ) -> AsyncOperation[Instance]:
        text = str(query)
        try:
            understood = parse(text)
        except WqlError:
            understood = None
        if understood != query:
            # The name of a machine may hold what braces cannot.
            raise InvalidObjectPath(f"{query.path} cannot stand in a query")
        options = options.copy()
        options.pop("keys_only", None)  # the query says it
        return await self._start(ExecQuery(text), options, self._selected, namespace=namespace)

    async def create_instance(
        self, instance: CimInstance, **options: Unpack[OperationOptions]
    ) -> AsyncOperation[ObjectPath]:
        """Creates an instance; the path that it got. WBEM_E_ALREADY_EXISTS if there is one with its keys.

        Wherever it is from, it is created in the session's namespace, or the one that the option `namespace` names.
        """
        return await self._put(instance, options, Flags.CREATE_ONLY)

    async def modify_instance(
        self, instance: CimInstance, **options: Unpack[OperationOptions]
    ) -> AsyncOperation[ObjectPath]:
        """Changes an instance, or of it only what the option `properties` names; `NotFound` if there is none."""
        return await self._put(instance, options, Flags.UPDATE_ONLY, namespace=instance.namespace)

    async def put_instance(
        self, instance: CimInstance, **options: Unpack[OperationOptions]
    ) -> AsyncOperation[ObjectPath]:
        """Creates an instance, or changes the one with its keys; in the namespace that it is from, if any."""
        return await self._put(instance, options, 0, namespace=instance.namespace)

    async def _put(
        self, instance: CimInstance, options: OperationOptions, flags: int, *, namespace: str | None = None
    ) -> AsyncOperation[ObjectPath]:
        options = options.copy()
        names = options.pop("properties", None)
        if names is not None:
            partial = {
                "__PUT_EXTENSIONS": TypedValue(CimType.BOOLEAN, True),
                "__PUT_EXT_STRICT_NULLS": TypedValue(CimType.BOOLEAN, True),
                "__PUT_EXT_PROPERTIES": TypedValue(CimType.STRING, tuple(names), is_array=True),
            }
            options["values"] = {**options.get("values", {}), **partial}
        return await self._start(
            PutInstance(instance), options, _no_object, _path_of(instance), flags=flags, namespace=namespace
        )

    async def delete_instance(
        self, target: Target, keys: Mapping[str, Any] | None = None, **options: Unpack[OperationOptions]
    ) -> AsyncOperation[None]:
        """Deletes an instance, given by itself, by its path, or by its class and keys.

        There is one result, without an instance. No flags are valid (MI_Session_DeleteInstance):
        WBEM_E_INVALID_PARAMETER for any, and for a namespace with a computer's name or a backslash.
        """
        if options.get("flags"):
            raise InvalidParameter(f"flags=0x{options['flags']:X}: deleting an instance takes none")
        path, namespace = _located(target, keys)
        return await self._start(DeleteInstance(path), options, _no_object, _nothing, namespace=namespace)

    async def invoke(
        self,
        target: Target,
        method: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        options: OperationOptions | None = None,
        **more: Any,
    ) -> AsyncOperation[MethodResult]:
        """Calls a method of a class or an instance: its out-parameters by name, ReturnValue among them.

        The arguments, in `arguments` or by name, are given the types that the class declares; a mapping for an embedded
        object becomes one of the class that its parameter is declared with. WBEM_E_INVALID_METHOD if
        there is no such method, WBEM_E_INVALID_METHOD_PARAMETERS for an argument that it does not have.
        """
        options = options or OperationOptions()
        given = {**(arguments or {}), **more}
        path, namespace = _located(target, None, allow_class=True)
        where = _namespace(options.get("namespace"), namespace)
        find = functools.partial(self._session.get_class, namespace=None if where is None else _slashed(where))
        cls = target if isinstance(target, Class) else await find(ObjectPath.parse(path).class_name)
        request = ExecMethod(path, *prepared(cls, method, await with_objects(cls, method, given, find)))
        origin = self._session.origin

        def conclude(outcome: Outcome, found: CimObject | None) -> MethodResult:
            values = Instance.bound(found, origin).to_dict() if isinstance(found, CimInstance) else {}
            return MethodResult(values, f"{cls.name}.{request.method}")

        return await self._start(request, options, _no_object, conclude, namespace=namespace)

    # -- classes

    async def get_class(self, name: str, **options: Unpack[OperationOptions]) -> AsyncOperation[Class]:
        """The class of that name."""
        return await self._start(GetObject(name), options, _class, _one_class(name))

    async def enumerate_classes(
        self, superclass: str = "", **options: Unpack[OperationOptions]
    ) -> AsyncOperation[Class]:
        """The subclasses of a class, of none all classes; only the immediate ones if `polymorphism` is "shallow"."""
        return await self._start(EnumerateClasses(superclass), options, _class)

    async def put_class(self, cls: Class, **options: Unpack[OperationOptions]) -> AsyncOperation[None]:
        """Creates a class, or changes it as `flags` allow."""
        return await self._start(PutClass(cls), options, _no_object, _nothing)

    async def delete_class(self, name: str, **options: Unpack[OperationOptions]) -> AsyncOperation[None]:
        """Deletes a class with its instances and subclasses."""
        return await self._start(DeleteClass(name), options, _no_object, _nothing)

    async def test_connection(self, **options: Unpack[OperationOptions]) -> AsyncOperation[None]:
        """Asks the server for next to nothing, all the way to its object manager."""
        return await self._start(GetObject("__SystemClass"), options, _no_object, _nothing)

    # -- the one way

    def _object(self, found: CimObject) -> CimObject:
        return bound(found, self._session.origin)

    def _selected(self, found: CimObject) -> Instance:
        # A class, if the query was for classes: whoever asks that knows.
        return cast("Instance", bound(found, self._session.origin))

    def _instance(self, found: CimObject) -> Instance:
        if isinstance(found, Class):
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OBJECT_PATH, f"{found.name} is a class, not an instance")
        return Instance.bound(found, self._session.origin)

    def _one_instance(self, outcome: Outcome, found: CimObject | None) -> Instance:
        if found is None:
            raise NotFound("the server gave nothing")
        return self._instance(found)

    async def _start(
        self,
        request: Request,
        options: OperationOptions,
        convert: Callable[[CimObject], T],
        conclude: Callable[[Outcome, CimObject | None], T] | None = None,
        *,
        flags: int = 0,
        namespace: str | None = None,
    ) -> AsyncOperation[T]:
        context = context_of(self._session.context, options, flags=flags)
        if context.remote and context.hears and not self._has_warned:
            self._has_warned = True
            names = " or ".join(str(what.name).lower() for what in context.hears)
            _log.warning("%s: DCOM carries no %s, so these callbacks of the session stay silent", context.peer, names)
        expires = expires_of(context)
        where = _namespace(options.get("namespace"), namespace)
        try:
            running = await in_time(context, request.METHOD, self._launch(where, request, context))
        except Error as error:
            running = _refused(request, context, error)
        return AsyncOperation(running, convert, conclude, expires=expires, callbacks=options.get("callbacks"))

    async def _launch(self, namespace: str | None, request: Request, context: CallContext) -> Operation:
        operations = await self._session.operations_in(namespace)
        return await operations.start(request, context)


def _namespace(wanted: str | None, named: str | None) -> str | None:
    """The namespace for an operation: the one that the caller wants, or that the target names; None without either."""
    if wanted is None:
        return named
    asked = checked_namespace(wanted)
    if named is not None and fold(named) != fold(asked):
        raise InvalidParameter(f"the object is in {named}, and not in {asked}")
    return asked


def _refused(request: Request, context: CallContext, error: Error) -> Operation:
    """An operation that the server did not start.

    What is refused at once by one server, or in one mode, comes later from another. Here it comes with the result.
    """
    operation = Operation(request, context)
    operation.finish(Outcome.of_error(error))
    return operation


# -- what an operation is about


def _located(target: Target, keys: Mapping[str, Any] | None, *, allow_class: bool = False) -> tuple[str, str | None]:
    """The text of a path, and the namespace that it names."""
    if isinstance(target, Class):
        if keys is None and not allow_class:
            raise InvalidParameter(f"{target.name} is a class: give the keys of the instance")
        target = target.name
    if keys is not None:
        if not isinstance(target, str):
            raise InvalidParameter("keys go with the name of a class")
        return str(ObjectPath.of(target, **keys)), None
    try:
        path, namespace = _parsed(target)
    except InvalidObjectPath:
        if isinstance(target, CimInstance):
            raise
        # What is wrong with it is for the server to say, as it says it to everybody.
        return str(target), None
    return str(path), namespace


def _path(text: str) -> ObjectPath:
    try:
        return ObjectPath.parse(text)
    except SyntaxProblem as problem:
        raise InvalidObjectPath(problem.message) from None


def _parsed(target: Target) -> tuple[ObjectPath, str | None]:
    """The path, relative unless it names a computer, and the namespace that it names."""
    if isinstance(target, CimInstance):
        path = target.path
        if path is None:
            raise InvalidObjectPath(f"{target!r} lacks its keys, so it has no path")
    elif isinstance(target, Class):
        path = ObjectPath(target.name)
    else:
        path = target if isinstance(target, ObjectPath) else _path(target)
    return (path.relative if path.server is None else path), path.namespace


def _slashed(namespace: str) -> str:
    return namespace.replace("\\", "/")


# -- what comes of it


def _class(found: CimObject) -> Class:
    if not isinstance(found, Class):
        raise WbemError.of(WbemStatus.WBEM_E_INVALID_CLASS, f"{found!r} is no class")
    return found


def _no_object(found: CimObject) -> Any:
    return None


def _one_class(name: str) -> Callable[[Outcome, CimObject | None], Class]:
    def conclude(outcome: Outcome, found: CimObject | None) -> Class:
        if found is None:
            raise NotFound(f"{name}: the server gave nothing")
        return _class(found)

    return conclude


def _nothing(outcome: Outcome, found: CimObject | None) -> None:
    """A delete has no result but its end."""


def _path_of(instance: CimInstance) -> Callable[[Outcome, CimObject | None], ObjectPath]:
    """The path that the server told, or, as few do for a synchronous put, the instance's own."""

    def conclude(outcome: Outcome, found: CimObject | None) -> ObjectPath:
        if outcome.text:
            return ObjectPath.parse(outcome.text)
        return instance.relative_path or ObjectPath(instance.class_name)

    return conclude
