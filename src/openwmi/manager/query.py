"""ExecQuery (MS-WMI 3.1.4.3.18): data queries over instances, schema queries over classes.

A query that does not parse fails before the operation starts; what only the schema tells (an unknown class, an unknown
property) fails after it, as a semisynchronous caller of Windows finds it at the first Next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from openwmi.cim import Class, Instance, NameMap, Shape, fold, is_system_name
from openwmi.cim.operation import Operation
from openwmi.cim.operations import ExecQuery, Flags
from openwmi.errors import InvalidParameter, WbemError
from openwmi.manager.instances import enumerate_class, family
from openwmi.manager.job import Job, Producer, check_length, instance_path
from openwmi.providers.running import Batches
from openwmi.status import WbemStatus
from openwmi.wql import (
    Comparison,
    Expression,
    Isa,
    IsNull,
    Limits,
    Not,
    SchemaPlan,
    SchemaQuery,
    SelectPlan,
    SelectQuery,
    WqlError,
    analyse,
    analyse_schema,
    parse,
)

__all__ = ["start"]

_SLICE: Final = 0.005  # seconds for which a condition may hold the loop


def start(job: Job[ExecQuery]) -> Producer:
    """The checks before ExecQuery starts."""
    text, language = job.request.query, job.request.language
    if text is None or language is None:
        raise InvalidParameter("the query, or its language, is NULL")
    if fold(language) != "wql":
        raise WbemError.of(WbemStatus.WBEM_E_INVALID_QUERY_TYPE, f"queries are in WQL, not in {language[:40]}")
    limit = job.manager.limits.query
    check_length(text, limit, "the query")
    try:
        query = parse(text, limits=Limits(length=limit))
    except WqlError as error:
        raise error.as_wbem_error() from error
    if isinstance(query, SelectQuery):
        return lambda operation: _select(job, query, operation)
    if isinstance(query, SchemaQuery):
        return lambda operation: _schema(job, query, operation)
    raise WbemError.of(WbemStatus.WBEM_E_NOT_SUPPORTED, "queries for associations are not answered yet")


# -- data queries


async def _select(job: Job[ExecQuery], query: SelectQuery, operation: Operation) -> None:
    plan, classes = await job.in_store(_plan, job, query)
    if job.has(Flags.PROTOTYPE):
        await operation.deliver([job.manager.located(_prototype(plan))])
        return
    wanted = _looked_at(plan)
    for cls in classes:
        shape = _shape(job, plan, cls)
        async for batch in _candidates(job, plan, cls, wanted, operation):
            matching = await _matching(batch, plan.predicate)
            if matching:
                await operation.deliver(matching if shape is None else [i.copy(shape) for i in matching])


async def _matching(batch: Sequence[Instance], predicate: Callable[[Instance], bool]) -> list[Instance]:
    """Those of the batch that match. A condition may be long: others get their turn every few milliseconds."""
    found = []
    until = time.monotonic() + _SLICE
    for instance in batch:
        if predicate(instance):
            found.append(instance)
        if time.monotonic() >= until:
            await asyncio.sleep(0)
            until = time.monotonic() + _SLICE
    return found


def _plan(job: Job[ExecQuery], query: SelectQuery) -> tuple[SelectPlan, list[Class]]:
    cls = job.static.find_class(query.class_name)
    try:
        plan = analyse(query, cls)
    except WqlError as error:
        raise error.as_wbem_error() from error
    return plan, [plan.cls] if job.has(Flags.DIRECT_READ) else family(job, plan.cls)


async def _candidates(
    job: Job[ExecQuery], plan: SelectPlan, cls: Class, wanted: frozenset[str] | None, operation: Operation
) -> Batches:
    """The instances of exactly `cls` that may match: one, where the query pins all keys, else all of them."""
    keys = _pinned_keys(plan, cls)
    if keys is None or cls.is_abstract:
        async for batch in enumerate_class(job, cls, operation, wanted, job.request.query):
            yield batch
        return
    if cls.provider is None:
        found: Instance | None = await job.in_store(job.static.find, cls, keys)
        if found is not None and fold(found.class_name) == fold(cls.name):
            yield [found]
        return
    runner = await job.entry(cls).load()
    if not runner.provider.supports_get:
        async for batch in enumerate_class(job, cls, operation, wanted, job.request.query):
            yield batch
        return
    try:
        yield [await runner.get(job.call(cls, instance_path(cls, keys), wanted), keys, operation.report)]
    except WbemError as error:
        if error.status != WbemStatus.WBEM_E_NOT_FOUND:
            raise job.failed(error, runner.name) from error


def _pinned_keys(plan: SelectPlan, cls: Class) -> dict[str, Any] | None:
    """The keys, if the query gives a value for each: then a get does what an enumeration would."""
    if not cls.keys or any(key.name not in plan.equalities for key in cls.keys):
        return None
    try:
        return {key.name: key.conform(plan.equalities[key.name]) for key in cls.keys}
    except WbemError:
        return None  # no object has such a key; the predicate finds that out


def _shape(job: Job[ExecQuery], plan: SelectPlan, cls: Class) -> Shape | None:
    """The projection of `cls`; None for whole instances."""
    if plan.projection is None:
        return None
    names = {name for name in plan.projection if not is_system_name(name) or name in cls.properties}
    if job.has(Flags.ENSURE_LOCATABLE):
        names |= {key.name for key in cls.keys}
    return cls.shape.project(names)


def _prototype(plan: SelectPlan) -> Class:
    """The class with what the query selects (2.2.4.1)."""
    if plan.projection is None:
        return plan.cls
    selected = set(map(fold, plan.projection))
    return replace(plan.cls, properties=NameMap(p for p in plan.cls.properties.each() if fold(p.name) in selected))


def _looked_at(plan: SelectPlan) -> frozenset[str] | None:
    """The properties that the answer needs: selected, tested, and the keys, which paths are made of."""
    if plan.projection is None:
        return None
    tested = () if plan.query.where is None else _mentioned(plan.query.where)
    return frozenset((*plan.projection, *tested, *(key.name for key in plan.cls.keys)))


def _mentioned(expression: Expression) -> Iterator[str]:
    if isinstance(expression, Comparison | IsNull | Isa):
        yield expression.property.names[0]
        return
    terms: Sequence[Expression] = (expression.term,) if isinstance(expression, Not) else expression.terms
    for term in terms:
        yield from _mentioned(term)


# -- schema queries


async def _schema(job: Job[ExecQuery], query: SchemaQuery, operation: Operation) -> None:
    try:
        plan = analyse_schema(query)
    except WqlError as error:
        raise error.as_wbem_error() from error
    for name in await job.in_store(_names, job, plan):
        cls: Class | None = await job.in_store(job.static.find_class, name)
        if cls is not None and plan.predicate(located := job.manager.located(cls)):
            await operation.deliver([located])


def _names(job: Job[ExecQuery], plan: SchemaPlan) -> list[str]:
    if plan.root is None:
        return job.static.class_names(None, deep=True)
    root = job.static.find_class(plan.root)
    return [] if root is None else [root.name, *job.static.class_names(root, deep=True)]
