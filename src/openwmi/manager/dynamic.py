"""Classes that the repository has not got: class providers have them (MS-WMI 3.1.4, 3.1.4.17.2, .4, .6, .8, .10, .14).

Before an operation's checks, the class providers of the namespace are asked for the classes that the request is about:
by name, and where subclasses matter, below a name. What they say is resolved under the repository's classes and becomes
part of the schema as this one operation sees it (`StaticObjects`), so nothing that reads classes needs to know where
they come from. A class in the repository hides one of the same name. Where the documents are silent:

- A class that does not name the provider of its instances has them from its class provider.
- A class that no clause of its provider's ResultSetQueries describes is not its to give: it is left out, or, where the
  request names it, WBEM_E_PROVIDER_NOT_CAPABLE (3.1.4).
- A provider that fails to list its classes makes those requests fail that are about classes; requests about instances
  go on without, since what it has to say may not concern them at all.
- Of two providers that have a class of one name the first that was registered has it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from openwmi.cim import CimType, Class, NameMap, ObjectPath, Qualifier, fold
from openwmi.cim.operations import (
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
from openwmi.errors import SyntaxProblem, WbemError
from openwmi.status import WbemStatus
from openwmi.wql import SchemaQuery, SelectQuery, WqlError, analyse_schema, parse

if TYPE_CHECKING:
    from openwmi.manager.job import Job
    from openwmi.providers.registry import ProviderEntry
    from openwmi.providers.runner import ProviderRunner

__all__ = ["DynamicClasses", "with_dynamic_classes"]

_log = logging.getLogger("openwmi.manager")

MOST: Final = 10_000
"""How many classes the providers may have, for one request, together."""

_ALL: Final = ""


@dataclass(frozen=True, slots=True)
class DynamicClasses:
    """The class providers of a namespace, and those of their classes that one request is about, superclasses first."""

    providers: tuple[ProviderEntry, ...]
    classes: NameMap[Class] = field(default_factory=NameMap)
    owners: dict[str, ProviderEntry] = field(default_factory=dict)

    def below(self, superclass: Class | None, *, deep: bool = True) -> Iterator[Class]:
        """The classes below one; below none: all of them, or those without a superclass."""
        for cls in self.classes.each():
            if deep:
                if superclass is None or (cls.is_a(superclass.name) and fold(cls.name) != fold(superclass.name)):
                    yield cls
            elif fold(cls.superclass or "") == fold("" if superclass is None else superclass.name):
                yield cls

    async def owner(self, job: Job[Any], cls: Class) -> ProviderRunner:
        """The provider that has the class, loaded."""
        return await _loaded(job, self.owners[fold(cls.name)])

    async def supporter(self, job: Job[Any], name: str) -> ProviderEntry | None:
        """The first provider that takes a class of that name for its own (IsClassSupported, 3.1.4.3.6)."""
        for entry in self.providers:
            runner = await _loaded(job, entry)
            try:
                if await runner.is_class_supported(job.call(Class(name)), name):
                    return entry
            except WbemError as error:
                raise job.failed(error, entry.name) from error
        return None


async def _loaded(job: Job[Any], entry: ProviderEntry) -> ProviderRunner:
    try:
        return await entry.load()
    except WbemError as error:
        raise job.failed(error, entry.name) from error


async def with_dynamic_classes(job: Job[Any]) -> Job[Any]:
    """The job with what the namespace's class providers have to say to it."""
    table = job.manager.providers
    await job.manager.registrations.review()
    if not table.has_class_providers(job.namespace):
        return job
    providers = tuple(table.class_providers(job.context.values, job.namespace))
    gathering = _Gathering(job, providers)
    names, roots = _about(job)
    for name in names:
        await gathering.ask_for(name)
    for root in roots:
        await gathering.ask_below(root)
    await gathering.complete()
    return replace(job, dynamic=await job.in_store(gathering.resolved, names))


def _about(job: Job[Any]) -> tuple[list[str], list[str]]:
    """The classes that a request names, and those whose subclasses it is about. What is malformed fails later."""
    names, roots = _named(job.request, shallow=job.has(Flags.SHALLOW))
    limit = job.manager.limits.class_name
    return [name for name in names if name and len(name) <= limit], [root for root in roots if len(root) <= limit]


def _named(request: Request, *, shallow: bool) -> tuple[list[str], list[str]]:
    match request:
        case GetObject(path) | DeleteInstance(path) | ExecMethod(path):
            try:
                parsed = ObjectPath.parse(path or "")
            except SyntaxProblem:
                return [], []
            return [parsed.class_name], [] if parsed.is_class else [parsed.class_name]
        case EnumerateInstances(name):
            return [name or ""], [name] if name and not shallow else []
        case EnumerateClasses(name):
            return [name or ""], [name or _ALL]
        case DeleteClass(name):
            return [name or ""], [name] if name else []
        case PutClass(cls) if cls is not None:
            return [cls.name, cls.superclass or ""], []
        case PutInstance(instance) if instance is not None:
            return [instance.class_name], []
        case ExecQuery(text):
            return _queried(text or "")
        case _:
            return [], []


def _is_schema_query(request: Request) -> bool:
    try:
        return isinstance(request, ExecQuery) and isinstance(parse(request.query or ""), SchemaQuery)
    except WqlError:
        return False


def _queried(text: str) -> tuple[list[str], list[str]]:
    try:
        query = parse(text)
        if isinstance(query, SelectQuery):
            return [query.class_name], [query.class_name]
        if isinstance(query, SchemaQuery):
            root = analyse_schema(query).root
            return [root or ""], [root or _ALL]
    except WqlError:
        return [], []
    return [], [_ALL]  # an association may be of any class


class _Gathering:
    """What the providers say, bit by bit."""

    def __init__(self, job: Job[Any], providers: tuple[ProviderEntry, ...]) -> None:
        self._job = job
        self._providers = providers
        self._found: dict[str, tuple[Class, ProviderEntry]] = {}
        self._asked: set[str] = set()
        # Only these cannot do without an answer.
        self._strict = isinstance(job.request, EnumerateClasses | DeleteClass) or _is_schema_query(job.request)

    async def ask_for(self, name: str) -> None:
        """Asks for the class of that name, unless the repository has it."""
        if fold(name) in self._found or fold(name) in self._asked:
            return
        self._asked.add(fold(name))
        if await self._job.in_store(self._job.static.find_class, name) is not None:
            return
        failure: WbemError | None = None
        for entry in self._providers:
            try:
                runner = await _loaded(self._job, entry)
                if not runner.supports("get_class"):
                    continue
                found = await runner.get_class(self._job.call(Class(name)), name)
            except WbemError as error:
                if error.status != WbemStatus.WBEM_E_NOT_FOUND:
                    failure = failure or self._job.failed(error, entry.name)
                continue
            if found is not None:
                self._keep(found, entry)
                return
        if failure is not None:
            raise failure

    async def ask_below(self, root: str) -> None:
        """Asks for the classes below one."""
        kept = self._found.get(fold(root))
        if kept is not None and isinstance(self._job.request, EnumerateClasses):
            # 3.1.4.3.10: the superclass is dynamic, so its own provider has to be able to.
            (await _loaded(self._job, kept[1])).need("enumerate_classes")
        for entry in self._providers:
            try:
                runner = await _loaded(self._job, entry)
                if not runner.supports("enumerate_classes"):
                    continue
                batches = runner.enumerate_classes(self._job.call(Class(root)), root or None)
                try:
                    async for batch in batches:
                        for cls in batch:
                            self._keep(cls, entry)
                finally:
                    await batches.aclose()
            except WbemError as error:
                if self._strict:
                    raise self._job.failed(error, entry.name) from error
                _log.warning("the classes of the provider %s are left out: %s", entry.name, error)

    def _keep(self, cls: Class, entry: ProviderEntry) -> None:
        if len(self._found) >= MOST:
            raise WbemError.of(WbemStatus.WBEM_E_QUOTA_VIOLATION, f"class providers have more than {MOST:,} classes")
        self._found.setdefault(fold(cls.name), (cls, entry))

    async def complete(self) -> None:
        """Asks for the superclasses that nobody has mentioned yet."""
        while True:
            above = {cls.superclass for cls, _ in self._found.values() if cls.superclass is not None}
            missing = [name for name in above if fold(name) not in self._asked and fold(name) not in self._found]
            if not missing:
                return
            for name in missing:
                await self.ask_for(name)

    def resolved(self, named: Iterable[str]) -> DynamicClasses:
        """The classes under their superclasses. In the store's thread.

        Raises WBEM_E_PROVIDER_NOT_CAPABLE if one that the request names is not its provider's to give.
        """
        wanted = set(map(fold, named))
        made: dict[str, Class] = {}
        for folded, (_, entry) in self._found.items():
            if self._job.static.find_class(folded) is not None:
                continue  # the repository's hides it
            try:
                cls = self._resolve(folded, made, set())
            except WbemError as error:
                _log.warning("the provider %s: a class is left out: %s", entry.name, error)
                continue
            if not entry.may_have(cls):
                if folded in wanted and not isinstance(self._job.request, PutClass):
                    raise WbemError.of(
                        WbemStatus.WBEM_E_PROVIDER_NOT_CAPABLE,
                        f"the provider {entry.name} has {cls.name}, but its ResultSetQueries do not say so",
                    )
                made.pop(folded, None)
        in_order = sorted(made.values(), key=lambda cls: len(cls.derivation))
        owners = {folded: self._found[folded][1] for folded in made}
        return DynamicClasses(self._providers, NameMap(in_order), owners)

    def _resolve(self, folded: str, made: dict[str, Class], above: set[str]) -> Class:
        if folded in made:
            return made[folded]
        static = self._job.static.find_class(folded)
        if static is not None:
            return static
        if folded not in self._found or folded in above:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_SUPERCLASS, f"there is no class {folded}, or it is its own")
        given, entry = self._found[folded]
        given = replace(given, namespace=self._job.namespace, qualifiers=_with_provider(given, entry.name))
        if given.superclass is None:
            cls = given.rooted()
        else:
            cls = self._resolve(fold(given.superclass), made, above | {folded}).derive(given.local)
        made[folded] = cls
        return cls


def _with_provider(cls: Class, provider: str) -> NameMap[Qualifier]:
    if cls.is_abstract or "provider" in cls.qualifiers:
        return cls.qualifiers
    dynamic = Qualifier("dynamic", CimType.BOOLEAN, True)
    return cls.qualifiers.with_items([dynamic, Qualifier("provider", CimType.STRING, provider)])
