"""Qualifiers of MOF as qualifiers of the object model: their types, and the flavors they get by default.

Without a declaration a qualifier has the flavors that are written with it and, as real class objects show, no others:
it spreads nowhere and may be overridden. `key` and the two meta qualifiers are the exceptions. A declaration in
WMI's form (``Qualifier Description : ToSubClass Amended;``) gives every later use its flavors; one in DSP0004's form
gives the type as well, and ToSubclass unless it says Restricted (DSP0004 5.6.1.2). What stands at the use wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from openwmi.cim import INTEGER_RANGES, CimType, CimValue, Flavor, NameMap, Qualifier, Qualifiers, fold
from openwmi.mof.errors import MofError
from openwmi.mof.source import Source
from openwmi.mof.tree import ArrayLiteral, Literal, LiteralKind, QualifierDeclaration, QualifierUse, Value
from openwmi.mof.types import simple_type
from openwmi.mof.values import constant, inferred
from openwmi.status import WbemStatus

__all__ = ["DEFAULT_FLAVORS", "QualifierTypes"]

_TEXT: Final = CimType.STRING
_EVERYWHERE: Final = Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS | Flavor.NOT_OVERRIDABLE

DEFAULT_FLAVORS: Final = {"key": _EVERYWHERE, "association": _EVERYWHERE, "indication": _EVERYWHERE}
"""The flavors of qualifiers that nobody declared: a subclass cannot have other keys, nor be less an association."""

# What each word takes away, and what it adds.
_EFFECTS: Final[dict[str, tuple[Flavor, Flavor]]] = {
    "toinstance": (Flavor.NONE, Flavor.TO_INSTANCE),
    "nottoinstance": (Flavor.TO_INSTANCE, Flavor.NONE),
    "tosubclass": (Flavor.NONE, Flavor.TO_SUBCLASS),
    "nottosubclass": (Flavor.TO_SUBCLASS, Flavor.NONE),
    "restricted": (Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS, Flavor.NONE),
    "enableoverride": (Flavor.NOT_OVERRIDABLE, Flavor.NONE),
    "disableoverride": (Flavor.NONE, Flavor.NOT_OVERRIDABLE),
    "amended": (Flavor.NONE, Flavor.AMENDED),
    "translatable": (Flavor.NONE, Flavor.NONE),
}
_CONTRADICTIONS: Final = (
    {"toinstance", "nottoinstance"},
    {"toinstance", "restricted"},
    {"tosubclass", "nottosubclass"},
    {"tosubclass", "restricted"},
    {"enableoverride", "disableoverride"},
)


@dataclass(frozen=True, slots=True)
class _Declared:
    """What a declaration says: the flavors, and in DSP0004's form the type and the default value."""

    flavor: Flavor
    type: CimType | None = None
    is_array: bool = False
    default: CimValue = None


class QualifierTypes:
    """The qualifier declarations of one compilation, as far as the text has been read."""

    def __init__(self) -> None:
        self._declared: dict[str, _Declared] = {}

    def declare(self, declaration: QualifierDeclaration, source: Source) -> None:
        """Takes note of a declaration; a later one of the same name replaces it. Raises `MofError`."""
        flavor = self._flavor(
            DEFAULT_FLAVORS.get(fold(declaration.name), Flavor.NONE)
            if declaration.type is None
            else Flavor.TO_SUBCLASS,
            declaration.flavors,
            declaration.offset,
            source,
        )
        if declaration.type is None:
            self._declared[fold(declaration.name)] = _Declared(flavor)
            return
        type_ = _declared_type(declaration, source)
        default = None
        if declaration.default is not None:
            default = _typed(declaration.default, type_, declaration.is_array, declaration.name, source)
        self._declared[fold(declaration.name)] = _Declared(flavor, type_, declaration.is_array, default)

    def resolve(self, uses: Iterable[QualifierUse], source: Source) -> Qualifiers:
        """The qualifiers of one element. Raises `MofError` at the one that is wrong."""
        found: dict[str, Qualifier] = {}
        for use in uses:
            key = fold(use.name)
            if key in found:
                raise MofError(
                    f"the qualifier {use.name} is there twice",
                    source.at(use.offset),
                    WbemStatus.WBEMMOF_E_DUPLICATE_QUALIFIER,
                )
            found[key] = self._resolve(use, key, source)
        return NameMap.of_folded(found)

    def _resolve(self, use: QualifierUse, key: str, source: Source) -> Qualifier:
        declared = self._declared.get(key)
        base = declared.flavor if declared else DEFAULT_FLAVORS.get(key, Flavor.NONE)
        flavor = self._flavor(base, use.flavors, use.offset, source) if use.flavors else base
        if use.value is None:
            return _without_value(use.name, declared, flavor)
        if declared is None or declared.type is None:
            items = use.value.items if isinstance(use.value, ArrayLiteral) else (use.value,)
            literals = [item for item in items if isinstance(item, Literal)]
            typed = inferred(literals, isinstance(use.value, ArrayLiteral), use.name, source)
            return Qualifier(use.name, typed.type or CimType.STRING, typed.value, typed.is_array, flavor)
        type_ = declared.type
        value = _typed(use.value, type_, declared.is_array, use.name, source)
        stored = type_ if type_ is _TEXT else _stored(type_, value)
        return Qualifier(use.name, stored, value, declared.is_array, flavor)

    @staticmethod
    def _flavor(base: Flavor, words: tuple[str, ...], offset: int, source: Source) -> Flavor:
        given = set(words)
        for pair in _CONTRADICTIONS:
            if pair <= given:
                raise MofError(
                    f"the flavors {' and '.join(sorted(pair))} exclude each other",
                    source.at(offset),
                    WbemStatus.WBEMMOF_E_INCOMPATIBLE_FLAVOR_TYPES,
                )
        for word in words:
            gone, added = _EFFECTS[word]
            base = (base & ~gone) | added
        return base


def _without_value(name: str, declared: _Declared | None, flavor: Flavor) -> Qualifier:
    """A boolean without a value is TRUE; another type has its declared default then (DSP0004 7.6)."""
    if declared is None or declared.type in (None, CimType.BOOLEAN):
        return Qualifier(name, CimType.BOOLEAN, True, flavor=flavor)
    type_ = declared.type or CimType.STRING
    return Qualifier(name, _stored(type_, declared.default), declared.default, declared.is_array, flavor)


def _stored(type_: CimType, value: CimValue) -> CimType:
    """The type WMI keeps: sint32 for every integer that fits, real64 for reals (MS-WMIO 2.2.60 knows no others).

    MS-WMIO has no NULL among numbers and booleans (2.2.71): that is kept as a string, as one of no declared type is.
    """
    if value is None:
        return CimType.STRING
    if type_ is CimType.REAL32:
        return CimType.REAL64
    if type_ not in INTEGER_RANGES:
        return type_
    low, high = INTEGER_RANGES[CimType.SINT32]
    numbers = value if isinstance(value, tuple | bytes) else (value,)
    return CimType.SINT32 if all(n is None or low <= n <= high for n in numbers) else type_


def _declared_type(declaration: QualifierDeclaration, source: Source) -> CimType:
    written = declaration.type
    type_ = None if written is None or written.is_reference else simple_type(written.name)
    if type_ in (CimType.CHAR16, CimType.DATETIME):
        return CimType.STRING  # text, as far as a qualifier goes
    if type_ is not None:
        return type_
    offset = declaration.offset if written is None else written.offset
    raise MofError(
        f"the type of a qualifier is a simple one, not {'' if written is None else written.name}",
        source.at(offset),
        WbemStatus.WBEMMOF_E_UNRECOGNIZED_TYPE,
    )


def _typed(value: Value, type_: CimType, is_array: bool, name: str, source: Source) -> CimValue:
    """A qualifier's value by its declaration. Arrays of bytes become tuples, since sint32 is what is kept."""
    if isinstance(value, Literal) and value.kind is LiteralKind.NULL:
        return None
    if isinstance(value, ArrayLiteral) != is_array:
        raise MofError(
            f"the qualifier {name} {'takes an array' if is_array else 'takes one value, not an array'}",
            source.at(value.offset),
            WbemStatus.WBEMMOF_E_TYPE_MISMATCH,
        )
    if isinstance(value, Literal):
        return constant(value, type_, name, source)
    items = value.items if isinstance(value, ArrayLiteral) else ()
    return tuple([constant(item, type_, name, source) for item in items if isinstance(item, Literal)])
