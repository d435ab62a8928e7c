"""Getting, enumerating and putting instances (MS-WMI 3.1.4.3.4, .12, .16), and getting a class by its path.

A class that descends from the one asked for may know the instance too. GetObject gives what the most derived class
says of it, unless WBEM_FLAG_DIRECT_READ wants the class as it is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from openwmi.cim import Class, Instance, ObjectPath, fold
from openwmi.cim.operation import Operation
from openwmi.cim.operations import EnumerateInstances, Flags, GetObject, PutInstance
from openwmi.errors import InvalidClass, InvalidParameter, NotFound, WbemError
from openwmi.manager.families import Merger, family
from openwmi.manager.job import Job, Producer, check_length, instance_path
from openwmi.manager.localization import for_caller, instance_for_caller, refuse_amended, unamended
from openwmi.manager.partial import PartialGet, PartialPut, forwarded
from openwmi.manager.properties import dynamic_properties, filled, put_properties, without_dynamic
from openwmi.manager.rights import need_to_write
from openwmi.manager.views import Views, partial_names
from openwmi.providers.runner import Batches, ProviderRunner
from openwmi.repository import Condition
from openwmi.status import WbemStatus

__all__ = [
    "Wanted", "enumerate_class", "find_instance", "put_flags", "start_enumeration", "start_get", "start_put",
]  # fmt: skip

_PAGE: Final = 256


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for among the instances of a class: more than that does no harm, less does.

    `properties` are those that are looked at, `conditions` what the repository can test, `queries` texts that say it to
    a provider that takes them: the first that it does not refuse (WBEM_E_PROVIDER_NOT_CAPABLE) is what it answers.
    """

    properties: frozenset[str] | None = None
    conditions: tuple[Condition, ...] = ()
    queries: tuple[str, ...] = ()


_ALL: Final = Wanted()


# -- GetObject


def start_get(job: Job[GetObject]) -> Producer:
    """The checks before GetObject starts. A NULL path gives an empty class."""
    if job.request.path is None:
        return lambda operation: _give(operation, Class(""))
    path = job.path(job.request.path)
    if path.is_class:
        cls = job.static.find_class(path.class_name)
        if cls is None:
            raise NotFound(f"there is no class {path.class_name} in {job.namespace}")
        located = job.manager.located(for_caller(job, cls))
        return lambda operation: _give(operation, located)
    cls = job.static.get_class(path.class_name)
    keys = path.bind(cls)
    classes = family(job, cls)
    partial = PartialGet.of(job)
    return lambda operation: _get(forwarded(job), path, keys, classes, partial, operation)


async def _give(operation: Operation, cls: Class) -> None:
    await operation.deliver([cls])


async def _get(
    job: Job[Any],
    path: ObjectPath,
    keys: dict[str, Any],
    classes: Sequence[Class],
    partial: PartialGet | None,
    operation: Operation,
) -> None:
    found = await find_instance(job, path, keys, classes, operation, partial)
    if job.has(Flags.USE_AMENDED_QUALIFIERS):
        found = await job.in_store(instance_for_caller, job, found)
    await operation.deliver([found if partial is None else partial.narrowed(found)])


async def find_instance(
    job: Job[Any],
    path: ObjectPath,
    keys: dict[str, Any],
    classes: Sequence[Class],
    operation: Operation,
    partial: PartialGet | None = None,
) -> Instance:
    """What the most derived of `classes` (superclasses first) says of the instance; raises `NotFound`.

    `partial` tells providers what is looked at; the instance may still have more.
    """
    static: Instance | None = await job.in_store(job.static.find, classes[0], keys)
    if static is not None and any(fold(static.class_name) == fold(cls.name) for cls in classes):
        await filled(job, [static], None if partial is None else partial.wanted(static.cls))
        return static
    failures: list[WbemError] = []
    for cls in reversed(classes):
        if cls.provider is None or cls.is_abstract:
            continue
        try:
            runner = await _runner_to_get(job, cls)
            wanted = None if partial is None else partial.wanted(cls)
            return await runner.get(job.call(cls, instance_path(cls, keys), wanted), keys, operation.report)
        except WbemError as error:
            failures.append(job.failed(error, cls.provider))
    for failure in failures:
        if failure.status != WbemStatus.WBEM_E_NOT_FOUND:
            raise failure
    raise failures[-1] if failures else NotFound(f"{path} does not exist")


async def _runner_to_get(job: Job[Any], cls: Class) -> ProviderRunner:
    """3.1.4.3.4 has a code of its own for a provider that is not in the table, WBEM_E_PROVIDER_NOT_FOUND; one that is
    there, but not for the architecture that is required, is what 3.1.4 says it is.
    """
    await job.manager.registrations.review()
    if not job.manager.providers.has(cls.provider or "", job.namespace):
        raise WbemError.of(WbemStatus.WBEM_E_PROVIDER_NOT_FOUND, f"there is no provider named {cls.provider}")
    return await job.runner(cls)


# -- CreateInstanceEnum


def start_enumeration(job: Job[EnumerateInstances]) -> Producer:
    """The checks before CreateInstanceEnum starts."""
    cls = job.static.get_class(job.name_of_class(job.request.class_name))
    classes = [cls] if job.has(Flags.SHALLOW) else family(job, cls)
    partial = PartialGet.of(job)
    return lambda operation: _enumerate(forwarded(job), Merger(classes), partial, operation)


async def _enumerate(
    job: Job[EnumerateInstances], merger: Merger, partial: PartialGet | None, operation: Operation
) -> None:
    views = Views(job, partial_names(partial))
    for cls in merger.classes:
        wanted = Wanted(None if partial is None else partial.wanted(cls))
        async for batch in enumerate_class(job, cls, operation, wanted):
            await operation.deliver(await views.show(merger.new(cls, batch)))


async def enumerate_class(job: Job[Any], cls: Class, operation: Operation, wanted: Wanted = _ALL) -> Batches:
    """The instances of exactly `cls` in batches, from the repository or its provider (3.1.4.3.18)."""
    if cls.is_abstract:
        return
    if cls.provider is None:
        dynamic = {fold(p.name) for p in dynamic_properties(cls)}
        conditions = [c for c in wanted.conditions if fold(c.property) not in dynamic]
        iterator = job.static.instances(cls, conditions)  # nothing is read before it is asked for
        while batch := await job.manager.in_reader(_page, iterator):
            if dynamic:
                await filled(job, batch, wanted.properties)
            yield batch
            if len(batch) < _PAGE:
                break
        return
    runner = await job.runner(cls)
    try:
        batches: Batches | None = None
        if runner.supports("query_instances"):
            for query in wanted.queries:
                call = job.call(cls, None, wanted.properties)
                batches = await _queried(runner.query(call, query, operation.report))
                if batches is not None:
                    break
        if batches is None:
            batches = runner.enumerate(job.call(cls, None, wanted.properties), operation.report)
        try:
            async for batch in batches:
                yield batch
        finally:
            await batches.aclose()
    except WbemError as error:
        raise job.failed(error, runner.name) from error


async def _queried(batches: Batches) -> Batches | None:
    """The provider's answer to a query; None if it says that it cannot answer this one."""
    try:
        first: list[Instance] = await anext(batches, [])
    except WbemError as error:
        if error.status == WbemStatus.WBEM_E_PROVIDER_NOT_CAPABLE:
            return None
        raise
    return _with_first(first, batches)


async def _with_first(first: list[Instance], rest: Batches) -> Batches:
    try:
        if first:
            yield first
        async for batch in rest:
            yield batch
    finally:
        await rest.aclose()


def _page(iterator: Iterator[Instance]) -> list[Instance]:
    return list(islice(iterator, _PAGE))


# -- PutInstance


def start_put(job: Job[PutInstance]) -> Producer:
    """The checks before PutInstance starts."""
    instance = job.request.instance
    if instance is None:
        raise InvalidParameter("the instance is NULL")
    create, update = put_flags(job)
    job.name_of_class(instance.class_name)
    relative = instance.relative_path
    if relative is not None:
        check_length(str(relative), job.manager.limits.object_path, "__RELPATH")
    cls = job.static.get_class(instance.class_name)
    if cls.is_abstract:
        raise InvalidClass(f"{cls.name} is abstract: it has no instances of its own")
    if job.has(Flags.USE_AMENDED_QUALIFIERS):
        instance = unamended(instance)
    else:
        refuse_amended(instance, cls)
    partial = PartialPut.of(job, cls)
    given = instance if partial is None else partial.narrowed(instance)
    return lambda operation: _put(forwarded(job), cls, given, create, update, operation)


def put_flags(job: Job[Any]) -> tuple[bool, bool]:
    """Whether creating and updating are allowed; both flags together are WBEM_E_INVALID_PARAMETER."""
    create_only, update_only = job.has(Flags.CREATE_ONLY), job.has(Flags.UPDATE_ONLY)
    if create_only and update_only:
        raise InvalidParameter("WBEM_FLAG_CREATE_ONLY and WBEM_FLAG_UPDATE_ONLY exclude each other")
    return not update_only, not create_only


async def _put(
    job: Job[PutInstance], cls: Class, instance: Instance, create: bool, update: bool, operation: Operation
) -> str:
    need_to_write(job, cls)
    if cls.provider is None:
        kept, values = without_dynamic(instance, cls)
        stored: Instance = await job.in_store(lambda: job.static.put(kept, create=create, update=update))
        await put_properties(job, stored, values)
        return str(stored.relative_path)
    fitted = await job.in_store(job.static.fitted, instance)
    path = fitted.relative_path
    runner = await job.runner(cls)
    try:
        await runner.put(job.call(cls, path), fitted, operation.report)
    except WbemError as error:
        raise job.failed(error, runner.name) from error
    return "" if path is None else str(path)
