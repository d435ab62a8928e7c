"""ASSOCIATORS OF and REFERENCES OF (MS-WMI 2.2.1.1, 3.1.4.3.18).

The source is got first, so that its own class is known; one that is not there is WBEM_E_NOT_FOUND. Each class with a
reference that may name it is then asked for the instances that do: the repository by what every spelling of the path
has in it, a provider by the query itself, by a SELECT, or else by an enumeration. What refers to the source is what
names it or one of the classes above it, with its keys, here.

Where the documents are silent:

- An end that is not there, that the caller may not see, or whose path is none is left out: it is no failure.
- An end may be in another namespace of this machine, where the caller needs the rights that connecting takes.
- An association that names the source twice comes once; its ends are all references but one that names the source.
- The classes of ClassDefsOnly and SchemaOnly come once each; WBEM_FLAG_PROTOTYPE means ClassDefsOnly.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

from openwmi.cim import CimObject, CimType, Class, Instance, ObjectPath, Property, fold, identity
from openwmi.cim.operation import Operation
from openwmi.cim.operations import ExecQuery, Flags
from openwmi.errors import AccessDenied, InvalidNamespace, SyntaxProblem, WbemError
from openwmi.manager.families import Merger, family
from openwmi.manager.instances import Wanted, enumerate_class, find_instance
from openwmi.manager.job import Job, Producer, instance_path
from openwmi.manager.localization import for_caller
from openwmi.manager.partial import PartialGet, forwarded
from openwmi.manager.views import Views, partial_names
from openwmi.repository import Condition
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus
from openwmi.wql import AssociationPlan, AssociatorsQuery, ReferencesQuery, WqlError, analyse_associations, class_names
from openwmi.wql.tree import quote

__all__ = ["start"]

AssociationQuery: TypeAlias = AssociatorsQuery | ReferencesQuery

_UNESCAPED: Final = re.compile(r"[^\"'\\]+")
_KEYS_ONLY: Final = PartialGet(frozenset())
_LOOSE: Final = frozenset(
    {
        WbemStatus.WBEM_E_NOT_FOUND,
        WbemStatus.WBEM_E_INVALID_CLASS,
        WbemStatus.WBEM_E_INVALID_NAMESPACE,
        WbemStatus.WBEM_E_INVALID_OBJECT_PATH,
        WbemStatus.WBEM_E_ACCESS_DENIED,
    }
)
"""How getting what a reference names fails when there is nothing there for the caller."""


def start(job: Job[ExecQuery], query: AssociationQuery) -> Producer:
    """The checks before the operation starts: the path leads to an object in this namespace."""
    job.path(str(query.path))
    partial = _KEYS_ONLY if query.keys_only else PartialGet.of(job)
    return lambda operation: _answer(forwarded(job), query, partial, operation)


async def _answer(
    job: Job[ExecQuery], query: AssociationQuery, partial: PartialGet | None, operation: Operation
) -> None:
    plan = await job.in_store(_plan, job, query)
    if query.schema_only:
        await operation.deliver(await job.in_store(_schema, job, plan))
        return
    source = await _source(job, plan, operation)
    results = _Results(job, plan, Views(job, partial_names(partial)), operation)
    classes: list[Class] = await job.in_store(_association_classes, job, plan)
    merger = Merger(cls for cls in classes if plan.roles(cls, source.cls))
    for cls in merger.classes:
        roles = plan.roles(cls, source.cls)
        async for associations in _associations(job, cls, roles, source, operation):
            associations = merger.new(cls, associations)
            if isinstance(query, ReferencesQuery):
                await results.deliver(associations)
            else:
                await results.deliver(await _ends(job, plan, associations, source, partial, operation))


def _plan(job: Job[ExecQuery], query: AssociationQuery) -> AssociationPlan:
    classes = {fold(name): job.static.find_class(name) for name, _ in class_names(query)}
    try:
        return analyse_associations(query, classes)
    except WqlError as error:
        raise error.as_wbem_error() from error


def _association_classes(job: Job[ExecQuery], plan: AssociationPlan) -> list[Class]:
    """The classes that may be associations, superclasses first."""
    if plan.association_class is not None:
        return family(job, job.static.get_class(plan.association_class))
    return [job.static.get_class(name) for name in job.static.class_names(None, deep=True)]


# -- schema


def _schema(job: Job[ExecQuery], plan: AssociationPlan) -> list[Class]:
    """The association classes in which the source's class stands, or the classes at their other ends."""
    found: dict[str, Class] = {}
    for association in _association_classes(job, plan):
        for role in plan.roles(association, plan.source):
            for cls in _schema_results(job, plan, association, role):
                if plan.accepts(cls):
                    found.setdefault(fold(cls.name), cls)
    return [job.manager.located(for_caller(job, cls)) for cls in found.values()]


def _schema_results(job: Job[ExecQuery], plan: AssociationPlan, association: Class, role: Property) -> Iterator[Class]:
    if isinstance(plan.query, ReferencesQuery):
        yield association
        return
    for end in plan.ends(association, role):
        cls = None if end.class_name is None else job.static.find_class(end.class_name)
        if cls is not None:
            yield cls


# -- data: the source


@dataclass(frozen=True)
class _Source:
    """The object whose associations are asked for; a class, if `keys` is None."""

    job: Job[Any]
    cls: Class
    keys: dict[str, Any] | None

    @cached_property
    def path(self) -> ObjectPath:
        """Its path within the namespace."""
        return ObjectPath(self.cls.name) if self.keys is None else instance_path(self.cls, self.keys)

    @cached_property
    def _names(self) -> frozenset[str]:
        above = () if self.keys is None else self.cls.derivation
        return frozenset(map(fold, (self.cls.name, *above)))

    @cached_property
    def _identity(self) -> str:
        return identity(self.cls, self.keys or {})

    def is_named_by(self, reference: Any) -> bool:
        """Whether a reference's value names the source."""
        try:
            path = ObjectPath.parse(reference or "")
            if fold(path.class_name) not in self._names or not self._is_here(path):
                return False
            if self.keys is None or not path.is_instance:
                return self.keys is None and path.is_class
            return identity(self.cls, path.bind(self.cls)) == self._identity
        except (SyntaxProblem, WbemError):
            return False

    def _is_here(self, path: ObjectPath) -> bool:
        if path.server is not None and not self.job.manager.is_own_name(path.server):
            return False
        return path.namespace is None or fold(path.namespace) == fold(self.job.namespace)

    def conditions(self, role: Property) -> tuple[Condition, ...]:
        """What the repository can test of a reference that names the source: what stands in every spelling of its path.

        That is the class's name, unless it may go by the name of a superclass, and keys that are text. Text that is a
        number may be written as one, in hexadecimal digits even; text with quotes may have other ones.
        """
        parts = [] if self.cls.superclass and self.keys is not None else [self.cls.name]
        for key in self.cls.keys:
            value = (self.keys or {}).get(key.name)
            if key.type is CimType.STRING and value and not value.isdigit() and _UNESCAPED.fullmatch(value):
                parts.append(value)
        return tuple(Condition(role.name, "contains", part) for part in parts)


async def _source(job: Job[ExecQuery], plan: AssociationPlan, operation: Operation) -> _Source:
    if plan.keys is None:
        return _Source(job, plan.source, None)
    keys = dict(plan.keys)
    classes = await job.in_store(family, job, plan.source)
    try:
        found = await find_instance(job, plan.query.path.relative, keys, classes, operation, _KEYS_ONLY)
    except WbemError as error:
        if error.status != WbemStatus.WBEM_E_PROVIDER_NOT_CAPABLE:
            raise
        return _Source(job, plan.source, keys)  # its provider cannot get: take the caller's word for it
    return _Source(job, found.cls, keys)


# -- data: associations


async def _associations(
    job: Job[ExecQuery], cls: Class, roles: Sequence[Property], source: _Source, operation: Operation
) -> AsyncGenerator[list[Instance], None]:
    """The instances of exactly `cls` that name the source in one of `roles`, each once."""
    for asked, wanted in _ways(job, cls, roles, source):
        async for batch in enumerate_class(job, cls, operation, wanted):
            # One that names the source twice belongs to the first of the roles.
            yield [
                instance
                for instance in batch
                if next((r for r in roles if source.is_named_by(instance.get(r.name))), None) in asked
            ]


def _ways(
    job: Job[ExecQuery], cls: Class, roles: Sequence[Property], source: _Source
) -> Iterator[tuple[Sequence[Property], Wanted]]:
    """How to ask for them: the repository once a role, a provider once for all."""
    if cls.provider is None:
        for role in roles:
            yield [role], Wanted(conditions=source.conditions(role))
        return
    where = " OR ".join(f"{role.name} = {quote(str(source.path))}" for role in roles)
    select = f"SELECT * FROM {cls.name} WHERE {where}"  # noqa: S608 - the path is quoted, names are identifiers
    yield roles, Wanted(queries=(job.request.query or "", select))


# -- data: results


async def _ends(
    job: Job[ExecQuery],
    plan: AssociationPlan,
    associations: Iterable[Instance],
    source: _Source,
    partial: PartialGet | None,
    operation: Operation,
) -> list[CimObject]:
    """What is at the other ends of the associations."""
    found: list[CimObject] = []
    for association in associations:
        roles = plan.roles(association.cls, source.cls)
        named = (plan.ends(association.cls, r) for r in roles if source.is_named_by(association.get(r.name)))
        for end in next(filter(None, named), ()):
            try:
                found.append(await _object(job, association.get(end.name), partial, operation))
            except WbemError as error:
                if error.status not in _LOOSE:
                    raise
    return found


async def _object(job: Job[ExecQuery], reference: Any, partial: PartialGet | None, operation: Operation) -> CimObject:
    there, path, classes = await job.in_store(_located, job, reference)
    if path.is_class:
        return job.manager.located(classes[0])
    return await find_instance(there, path, path.bind(classes[0]), classes, operation, partial)


def _located(job: Job[ExecQuery], reference: Any) -> tuple[Job[ExecQuery], ObjectPath, list[Class]]:
    """Where a reference leads: the namespace, the path in it, and the classes that may know the object."""
    try:
        path = ObjectPath.parse(reference or "")
    except SyntaxProblem as problem:
        raise WbemError.of(WbemStatus.WBEM_E_INVALID_OBJECT_PATH, problem.message) from None
    if path.server is not None and not job.manager.is_own_name(path.server):
        raise InvalidNamespace(f"{path.server} is another machine")
    there = job
    if path.namespace is not None and fold(path.namespace) != fold(job.namespace):
        there = job.below(path.namespace)
        needed = AccessRight.ENABLE | AccessRight.REMOTE_ENABLE if job.context.remote else AccessRight.ENABLE
        if needed & ~there.granted:
            raise AccessDenied(f"{path.namespace} is closed to {job.context.principal.name}")
    cls = there.static.get_class(path.class_name)
    return there, path.relative, [cls] if path.is_class else family(there, cls)


class _Results:
    """What comes of the objects that were found: themselves, their keys, or their classes."""

    def __init__(self, job: Job[ExecQuery], plan: AssociationPlan, views: Views, operation: Operation) -> None:
        self._job = job
        self._plan = plan
        self._operation = operation
        self._classes_only = plan.query.class_definitions_only or job.has(Flags.PROTOTYPE)
        self._classes: set[tuple[str, str]] = set()
        self._views = views

    async def deliver(self, found: Sequence[CimObject]) -> None:
        """Delivers those that the query accepts."""
        accepted = [obj for obj in found if self._plan.accepts(obj)]
        if self._classes_only:
            await self._operation.deliver(await self._job.in_store(self._new_classes, accepted))
            return
        instances = await self._views.show([obj for obj in accepted if isinstance(obj, Instance)])
        classes = [obj for obj in accepted if isinstance(obj, Class)]
        await self._operation.deliver([*instances, *classes])

    def _new_classes(self, found: Sequence[CimObject]) -> list[Class]:
        """The objects' classes, without those that came before."""
        new = []
        for cls in (obj.shape.cls for obj in found):
            name = fold(cls.name), fold(cls.namespace or "")
            if name not in self._classes:
                self._classes.add(name)
                new.append(self._job.manager.located(for_caller(self._job, cls)))
        return new
