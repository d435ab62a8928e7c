"""ExecQuery (MS-WMI 3.1.4.3.18): data queries over instances, schema queries over classes; `associations` has the rest.

A query that does not parse fails before the operation starts; what only the schema tells (an unknown class, an unknown
property) fails after it, as a semisynchronous caller of Windows finds it at the first Next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from openwmi.cim import CimType, Class, Instance, NameMap, Qualifier, fold
from openwmi.cim.operation import Operation
from openwmi.cim.operations import ExecQuery, Flags
from openwmi.errors import InvalidParameter, WbemError
from openwmi.manager import associations
from openwmi.manager.families import Merger, family
from openwmi.manager.instances import Wanted, enumerate_class
from openwmi.manager.job import Job, Producer, check_length, instance_path
from openwmi.manager.localization import for_caller
from openwmi.manager.partial import PartialGet, forwarded
from openwmi.manager.views import Names, Views, partial_names
from openwmi.providers.runner import Batches
from openwmi.repository import Condition
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
    check_is_for_data,
    parse,
)

__all__ = ["start"]

_PAGE: Final = 64
_DERIVATION: Final = frozenset({"__derivation", "__superclass", "__dynasty"})
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
        if isinstance(query, SelectQuery):
            check_is_for_data(query)
    except WqlError as error:
        raise error.as_wbem_error() from error
    if isinstance(query, SelectQuery):
        return _start_select(job, query)
    if isinstance(query, SchemaQuery):
        return lambda operation: _schema(job, query, operation)
    return associations.start(job, query)


# -- data queries


def _start_select(job: Job[ExecQuery], query: SelectQuery) -> Producer:
    """Plans here, where the schema is at hand; what that finds wrong is the operation's failure."""
    try:
        plan = analyse(query, job.static.find_class(query.class_name))
    except WqlError as error:
        failure = error.as_wbem_error()
        return lambda operation: _fail(failure)
    if job.has(Flags.PROTOTYPE):
        prototype = job.manager.located(_prototype(plan))
        return lambda operation: operation.deliver([prototype])
    merger = Merger(filter(plan.concerns, family(job, plan.cls)))
    names = _names(job, plan, PartialGet.of(job))
    return lambda operation: _select(forwarded(job), plan, merger, Views(job, names), operation)


async def _fail(failure: WbemError) -> None:
    raise failure


async def _select(job: Job[ExecQuery], plan: SelectPlan, merger: Merger, views: Views, operation: Operation) -> None:
    for cls in merger.classes:
        async for batch in _candidates(job, plan, cls, operation):
            matching = await _matching(batch, plan.predicate)
            await operation.deliver(await views.show(merger.new(cls, matching)))


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


async def _candidates(job: Job[ExecQuery], plan: SelectPlan, cls: Class, operation: Operation) -> Batches:
    """The instances of exactly `cls` that may match: one, where the query pins all keys, else as few as may be."""
    keys = None if cls.provider is None or cls.is_abstract else _pinned_keys(plan, cls)
    if keys is not None:
        runner = await job.runner(cls)
        # A provider that takes queries is to have them (3.1.4.3.18); for any other a key is a get.
        if runner.supports("get_instance") and not runner.supports("query_instances"):
            call = job.call(cls, instance_path(cls, keys), _looked_at(plan))
            try:
                yield [await runner.get(call, keys, operation.report)]
            except WbemError as error:
                if error.status != WbemStatus.WBEM_E_NOT_FOUND:
                    raise job.failed(error, runner.name) from error
            return
    wanted = Wanted(_looked_at(plan), _conditions(plan), (job.request.query or "",))
    async for batch in enumerate_class(job, cls, operation, wanted):
        yield batch


def _conditions(plan: SelectPlan) -> tuple[Condition, ...]:
    """What the repository can test by itself."""
    return tuple(Condition(r.property, r.operator, r.value) for r in plan.requirements)


def _pinned_keys(plan: SelectPlan, cls: Class) -> dict[str, Any] | None:
    """The keys, if the query gives a value for each: then a get does what an enumeration would."""
    equalities = plan.equalities
    if not cls.keys or any(key.name not in equalities for key in cls.keys):
        return None
    try:
        return {key.name: key.conform(equalities[key.name]) for key in cls.keys}
    except WbemError:
        return None  # no object has such a key; the predicate finds that out


def _names(job: Job[ExecQuery], plan: SelectPlan, partial: PartialGet | None) -> Names:
    """The properties that the query selects, of them those that the context asks for; the keys, too, if it does, and
    with WBEM_FLAG_ENSURE_LOCATABLE.
    """
    if plan.projection is None:
        return partial_names(partial)
    selected = set(map(fold, plan.projection))
    with_keys = job.has(Flags.ENSURE_LOCATABLE) or partial is not None

    def names(cls: Class) -> list[str]:
        wanted = selected if partial is None else selected & partial.wanted(cls)
        return [p.name for p in cls.properties.each() if fold(p.name) in wanted or (with_keys and p.is_key)]

    return names


def _prototype(plan: SelectPlan) -> Class:
    """The class with what the query selects, and Order qualifiers that say where it stands in the list (2.2.4.1)."""
    places: dict[str, list[int]] = {}
    if plan.query.properties is None:
        places = {fold(name): [place] for place, name in enumerate(plan.cls.properties)}
    for place, path in enumerate(plan.query.properties or ()):
        places.setdefault(fold(path.names[0]), []).append(place)
    properties = NameMap(
        replace(p, qualifiers=p.qualifiers.with_items([_order(places[fold(p.name)])]))
        for p in plan.cls.properties.each()
        if fold(p.name) in places
    )
    if plan.query.properties is None or not _DERIVATION.isdisjoint(places):
        return replace(plan.cls, properties=properties)
    return replace(plan.cls, superclass=None, derivation=(), properties=properties)


def _order(places: list[int]) -> Qualifier:
    return Qualifier("Order", CimType.SINT32, tuple(places), True)


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
    names: list[str] = await job.in_store(_class_names, job, plan)
    for at in range(0, len(names), _PAGE):
        await operation.deliver(await job.in_store(_classes, job, plan, names[at : at + _PAGE]))


def _classes(job: Job[ExecQuery], plan: SchemaPlan, names: Sequence[str]) -> list[Class]:
    """Those of the classes that are still there and match."""
    found = (job.manager.located(cls) for name in names if (cls := job.static.find_class(name)) is not None)
    return [for_caller(job, cls) for cls in found if plan.predicate(cls)]


def _class_names(job: Job[ExecQuery], plan: SchemaPlan) -> list[str]:
    if plan.root is None:
        return job.static.class_names(None, deep=True)
    root = job.static.find_class(plan.root)
    return [] if root is None else [root.name, *job.static.class_names(root, deep=True)]
