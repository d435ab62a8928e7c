"""``#pragma amendment``: a class with amended qualifiers as a neutral class and a localized one (MS-WMI 3.1.1.2).

The neutral class has lost its amended qualifiers, and nothing else. The localized one goes into the namespace that is
named like the locale, below the neutral one's; it has the amended qualifiers, of the class and of those properties and
methods that have any, and says by its qualifiers Amendment and Locale what it is.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final, TypeVar

from openwmi.cim import CimType, Class, Flavor, Method, NameMap, Parameter, Property, Qualifier, Qualifiers

__all__ = ["is_locale", "localized", "neutral", "neutral_namespace"]

_LOCALE: Final = re.compile(r"[Mm][Ss]_[0-9A-Fa-f]{1,8}")

E = TypeVar("E", Property, Method, Parameter)


def is_locale(name: str) -> bool:
    """Whether `name` is a locale's, such as ``MS_409``."""
    return _LOCALE.fullmatch(name) is not None  # MS-WMI 2.2.29


def neutral_namespace(namespace: str) -> str:
    """The namespace whose localized classes are in `namespace`; `namespace` itself, if it is no locale's."""
    above, _, last = namespace.rpartition("\\")
    return above if above and is_locale(last) else namespace


def neutral(declared: Class) -> Class:
    """`declared`, which has only its own elements, without amended qualifiers."""
    return replace(
        declared,
        qualifiers=_without(declared.qualifiers),
        properties=NameMap(_neutral(p) for p in declared.properties.each()),
        methods=NameMap(
            replace(_neutral(m), parameters=NameMap(_neutral(p) for p in m.parameters.each()))
            for m in declared.methods.each()
        ),
    )


def localized(declared: Class, locale: str) -> Class | None:
    """What of `declared` belongs to `locale` (``MS_409``); None if it has no amended qualifiers."""
    qualifiers = _amended(declared.qualifiers)
    properties = NameMap(_localized(p) for p in declared.properties.each() if _amended(p.qualifiers))
    methods = NameMap(
        replace(_localized(m), parameters=NameMap(_localized(p) for p in m.parameters.each()))
        for m in declared.methods.each()
        if _amended(m.qualifiers) or any(_amended(p.qualifiers) for p in m.parameters.each())
    )
    if not (qualifiers or properties or methods):
        return None
    marks = [Qualifier.of("Amendment")]
    if "locale" in declared.qualifiers:
        marks.append(declared.qualifiers["locale"])
    else:
        marks.append(Qualifier("Locale", CimType.SINT32, int(locale.partition("_")[2], 16)))
    return replace(declared, qualifiers=qualifiers.with_items(marks), properties=properties, methods=methods)


def _neutral(element: E) -> E:
    return replace(element, qualifiers=_without(element.qualifiers))


def _localized(element: E) -> E:
    """The element with what is amended, and which way a parameter goes, which is part of its meaning."""
    kept: list[Qualifier] = [q for q in element.qualifiers.each() if q.name.lower() in ("in", "out")]
    return replace(element, qualifiers=NameMap([*kept, *_amended(element.qualifiers).each()]))


def _amended(qualifiers: Qualifiers) -> Qualifiers:
    return NameMap(q for q in qualifiers.each() if Flavor.AMENDED in q.flavor)


def _without(qualifiers: Qualifiers) -> Qualifiers:
    return NameMap(q for q in qualifiers.each() if Flavor.AMENDED not in q.flavor)
