"""Dynamic properties of static instances: property providers have the values (the SDK, "Writing a Property Provider").

A property is dynamic if its class says so (`dynamic`, or a `provider`); the provider and PropertyContext may be the
class's or, for one instance, the instance's own. What the repository keeps of such a property is never shown. Where the
documents are silent:

- A value that cannot be had fails the operation: a property that is NULL because its provider is broken is a lie.
- A put changes the repository first and then each property that came with a value. A provider that cannot write may
  be handed what it says itself, so that an instance can be read, changed elsewhere and put back.
- Changing such a value needs WBEM_WRITE_PROVIDER as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from openwmi.cim import ABSENT, DEFAULT, Class, Instance, Property, Qualifiers, flag, fold
from openwmi.errors import WbemError
from openwmi.manager.job import Job
from openwmi.providers.call import DynamicProperty
from openwmi.security.access import AccessRight

__all__ = ["dynamic_properties", "filled", "put_properties", "without_dynamic"]

_PLAN: Final = "openwmi.manager.properties"


def dynamic_properties(cls: Class) -> tuple[Property, ...]:
    """The properties of a static class that providers answer for."""
    plans = cls.shape.plans
    if _PLAN not in plans:
        plans[_PLAN] = tuple(
            p
            for p in cls.properties.each()
            if not p.is_key and (flag(p.qualifiers, "dynamic") or "provider" in p.qualifiers)
        )
    found: tuple[Property, ...] = plans[_PLAN]
    return found


async def filled(job: Job[Any], instances: Sequence[Instance], wanted: frozenset[str] | None = None) -> None:
    """Gives static instances of one class the values that their providers have; only those of `wanted` that are."""
    if not instances:
        return
    looked_at = None if wanted is None else set(map(fold, wanted))
    for declared in dynamic_properties(instances[0].cls):
        if looked_at is not None and fold(declared.name) not in looked_at:
            continue
        for instance in instances:
            provider = _text(_own(instance, declared), declared.qualifiers, "provider")
            if provider is not None and declared.name in instance:
                instance[declared.name] = await _value(job, instance, declared, provider)


async def _value(job: Job[Any], instance: Instance, declared: Property, provider: str) -> Any:
    runner = await job.runner_named(provider)
    try:
        call = job.call(instance.cls, instance.relative_path)
        return await runner.get_property(call, declared, _described(instance, declared))
    except WbemError as error:
        raise job.failed(error, runner.name) from error


def without_dynamic(given: Instance, cls: Class) -> tuple[Instance, dict[str, Any]]:
    """What of an instance is for the repository, and the values that came with it for providers."""
    dynamic = [p for p in dynamic_properties(cls) if p.name in given]
    if not dynamic:
        return given, {}
    values = {p.name: given[p.name] for p in dynamic if given.state(p.name) is not DEFAULT}
    kept = given.copy()
    for declared in dynamic:
        kept[declared.name] = ABSENT
    return kept, values


async def put_properties(job: Job[Any], instance: Instance, values: dict[str, Any]) -> None:
    """Hands the values to the properties' providers. `instance` is as the repository has it."""
    for name, value in values.items():
        declared = instance.cls.properties[name]
        provider = _text(_own(instance, declared), declared.qualifiers, "provider")
        if provider is None:
            continue
        runner = await job.runner_named(provider)
        if not runner.supports("put_property") and await _value(job, instance, declared, provider) == value:
            continue
        job.need(AccessRight.WRITE_PROVIDER, f"{instance.class_name}.{name} is dynamic")
        call = job.call(instance.cls, instance.relative_path)
        try:
            await runner.put_property(call, declared, _described(instance, declared), declared.conform(value))
        except WbemError as error:
            raise job.failed(error, runner.name) from error


def _described(instance: Instance, declared: Property) -> DynamicProperty:
    return DynamicProperty(
        declared.name,
        _text(instance.cls.qualifiers, None, "ClassContext"),
        _text(instance.qualifiers, None, "InstanceContext"),
        _text(_own(instance, declared), declared.qualifiers, "PropertyContext"),
    )


def _own(instance: Instance, declared: Property) -> Qualifiers | None:
    return instance.property_qualifiers.get(fold(declared.name))


def _text(first: Qualifiers | None, second: Qualifiers | None, name: str) -> str | None:
    """A qualifier that is a string, from the first of two sets that has it."""
    for qualifiers in (first, second):
        found = None if qualifiers is None else qualifiers.get(name)
        if found is not None and isinstance(found.value, str) and found.value:
            return found.value
    return None
