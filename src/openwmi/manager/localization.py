r"""Localized classes: amended qualifiers kept per locale, merged on request (MS-WMI 3.1.1.2, 2.2.29).

The localized part of ``root\x``'s class lives in ``root\x\ms_409`` under the same name. Locales come as ``MS_409`` and
as ``en-US``, in the caller's order of preference; a caller without any gets American English, in which the schemas
that there are come. Where 3.1.1.2 is silent:

- Only amended qualifiers and Locale are merged: a localized class cannot change what a class means.
- The namespace of a locale is a namespace: a locale whose namespace the caller may not read is not there for them, and
  updating a localized class needs the rights to do so there.
- An update with WBEM_FLAG_USE_AMENDED_QUALIFIERS writes the localized class that a get would merge; if there is none,
  one in the first preferred locale that has a namespace. Without any, amended qualifiers are ignored, as in Windows
  (note 34): the neutral class keeps those that it has.
"""

from __future__ import annotations

import locale
import re
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, TypeVar

from openwmi.cim import Class, Flavor, Instance, Method, NameMap, Parameter, Property, Qualifiers, Shape, fold
from openwmi.cim.operations import CallContext, Flags
from openwmi.errors import WbemError
from openwmi.manager.job import Job
from openwmi.manager.static import StaticObjects
from openwmi.mof.amendment import localized as localized_part
from openwmi.mof.amendment import neutral
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus

__all__ = ["for_caller", "instance_for_caller", "locales", "merged", "refuse_amended", "split", "unamended"]

_DEFAULT: Final = ("MS_409",)
_LCID: Final = re.compile(r"MS_([0-9A-F]{1,8})", re.IGNORECASE | re.ASCII)

E = TypeVar("E", Property, Parameter, Method)


def locales(context: CallContext) -> list[str]:
    """The caller's preferred locales as ``ms_409``, best first. What is no locale is left out."""
    wanted = [part.strip() for item in context.locales or _DEFAULT for part in item.split(",")]
    return list(dict.fromkeys(name for name in map(_namespace_name, wanted) if name is not None))


def _namespace_name(text: str) -> str | None:
    found = _LCID.fullmatch(text)
    lcid = int(found[1], 16) if found is not None else _lcids().get(text.lower().replace("_", "-"))
    return None if lcid is None else f"ms_{lcid:x}"


@lru_cache(maxsize=1)
def _lcids() -> dict[str, int]:
    """Windows' locale identifiers by name, as Python knows them."""
    return {name.lower().replace("_", "-"): lcid for lcid, name in reversed(locale.windows_locale.items())}


# -- reading


def for_caller(job: Job[Any], cls: Class) -> Class:
    """The class as the request wants it: with WBEM_FLAG_USE_AMENDED_QUALIFIERS, in the caller's language."""
    if not job.has(Flags.USE_AMENDED_QUALIFIERS):
        return cls
    for static in _namespaces(job):
        found = static.find_class(cls.name)
        if found is not None:
            return merged(cls, found)
    return cls


def instance_for_caller(job: Job[Any], instance: Instance) -> Instance:
    """The instance, its class as `for_caller` gives it."""
    cls = for_caller(job, instance.cls)
    if cls is instance.cls:
        return instance
    shape = cls.shape
    if not instance.shape.is_whole:
        shape = Shape(
            cls, [cls.properties[p.name] for p in instance.shape.properties], declared=instance.shape.declared
        )
    return instance.copy(shape)


def _namespaces(job: Job[Any]) -> list[StaticObjects]:
    """Those of the preferred locales that there are and that the caller may read."""
    found = []
    manager = job.manager
    for name in locales(job.context):
        full = f"{job.namespace}\\{name}"
        if manager.store.has_namespace(full):
            rights = manager.rights(manager.descriptor(full), job.context)
            if AccessRight.ENABLE in rights:
                found.append(StaticObjects(manager, full, job.context))
    return found


def merged(cls: Class, localized: Class) -> Class:
    """`cls` with the amended qualifiers of `localized` that it has not got itself."""
    return replace(
        cls,
        qualifiers=_merge(cls.qualifiers, localized.qualifiers),
        properties=_merge_elements(cls.properties, localized.properties),
        methods=NameMap(
            method if (other := localized.methods.get(method.name)) is None else _merge_method(method, other)
            for method in cls.methods.each()
        ),
    )


def _merge_method(method: Method, localized: Method) -> Method:
    return replace(
        method,
        qualifiers=_merge(method.qualifiers, localized.qualifiers),
        parameters=_merge_elements(method.parameters, localized.parameters),
    )


def _merge_elements(elements: NameMap[E], localized: NameMap[E]) -> NameMap[E]:
    return NameMap(
        element
        if (other := localized.get(element.name)) is None
        else replace(element, qualifiers=_merge(element.qualifiers, other.qualifiers))
        for element in elements.each()
    )


def _merge(qualifiers: Qualifiers, localized: Qualifiers) -> Qualifiers:
    return qualifiers.with_items(
        q
        for q in localized.each()
        if (Flavor.AMENDED in q.flavor or fold(q.name) == "locale") and q.name not in qualifiers
    )


# -- writing


def split(job: Job[Any], given: Class, old: Class) -> tuple[Class, tuple[str, Class] | None]:
    """An update with amended qualifiers, taken apart: the neutral declaration, and the namespace and localized class.

    `given` is the class as the caller sent it, `old` the neutral one that is there.
    """
    namespaces = _namespaces(job)
    has_class = (static for static in namespaces if static.find_class(given.name) is not None)
    target = next(has_class, namespaces[0] if namespaces else None)
    bare = neutral(given.local)
    if target is None:
        return merged(bare, old.local), None
    part = localized_part(_with_inherited_elements(given), target.namespace.rpartition("\\")[2].upper())
    if part is None:
        return bare, None
    parent = None if part.superclass is None else target.find_class(part.superclass)
    if parent is not None:
        return bare, (target.namespace, parent.derive(part))
    return bare, (target.namespace, replace(part, superclass=None, derivation=()).rooted())


def _with_inherited_elements(given: Class) -> Class:
    """The declaration with inherited elements too: a localized class may describe what it inherits."""

    def own(element: E) -> E:
        return replace(element, qualifiers=NameMap(q for q in element.qualifiers.each() if not q.propagated))

    return replace(
        given,
        qualifiers=NameMap(q for q in given.qualifiers.each() if not q.propagated),
        properties=NameMap(own(p) for p in given.properties.each()),
        methods=NameMap(own(m) for m in given.methods.each()),
    )


def refuse_amended(instance: Instance, cls: Class) -> None:
    """WBEM_E_AMENDED_OBJECT for an instance that bears localized qualifiers (3.1.4): its own, or those of a class
    that was read with them merged in.
    """
    own = (instance.qualifiers, *instance.property_qualifiers.values())
    if any(Flavor.AMENDED in q.flavor for qualifiers in own for q in qualifiers.each()) or _is_localized(
        instance.cls, cls
    ):
        raise WbemError.of(
            WbemStatus.WBEM_E_AMENDED_OBJECT,
            f"the instance of {cls.name} holds amended qualifiers; write it with WBEM_FLAG_USE_AMENDED_QUALIFIERS",
        )


def _is_localized(given: Class, cls: Class) -> bool:
    """Whether `given` has amended qualifiers that the class here has not."""
    if given is cls:
        return False
    pairs = [(given.qualifiers, cls.qualifiers)]
    pairs += [
        (p.qualifiers, cls.properties[p.name].qualifiers) for p in given.properties.each() if p.name in cls.properties
    ]
    return any(
        Flavor.AMENDED in q.flavor and q.name not in known for qualifiers, known in pairs for q in qualifiers.each()
    )


def unamended(instance: Instance) -> Instance:
    """The instance without amended qualifiers of its own."""
    made = instance.copy()
    made.qualifiers = _plain(made.qualifiers)
    made.property_qualifiers = {name: _plain(own) for name, own in made.property_qualifiers.items()}
    return made


def _plain(qualifiers: Qualifiers) -> Qualifiers:
    return NameMap(q for q in qualifiers.each() if Flavor.AMENDED not in q.flavor)
