"""Hypothesis strategies for the object model, shared by the tests of every codec.

- `names()`                  identifiers
- `values(type, is_array)`   any value of that type, NULL left out (`st.none() | values(...)` adds it)
- `qualifiers()`             a `NameMap` of qualifiers with flavors
- `properties()`             one property, with or without a default
- `classes()`                a rooted class, with keys or without, methods included
- `hierarchies()`            a superclass and a class derived from it
- `instances(cls)`           an instance with each slot a value, NULL or defaulted; with `absent=True` also absent

Values are such that they survive a correct codec: a real32 has single precision, text has no NUL and no *paired*
surrogates as two characters (lone ones it has), and NaN is left out, since it does not equal itself
(`specials=True` lets it in).
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from openwmi.cim import (
    ABSENT,
    DEFAULT,
    INTEGER_RANGES,
    CimType,
    CimValue,
    Class,
    DateTime,
    Direction,
    Flavor,
    Instance,
    Method,
    NameMap,
    Parameter,
    Property,
    Qualifier,
    Qualifiers,
    fold,
    return_value,
)

SCALAR_TYPES = tuple(t for t in CimType if t is not CimType.OBJECT)

_FIRST = "ABCXYZabcxyz_éΩ中"


def names() -> st.SearchStrategy[str]:
    """Identifiers that are not the system's own."""
    tail = st.text(alphabet=_FIRST + "0123456789", max_size=6)
    return st.builds(lambda head, rest: head + rest, st.sampled_from(_FIRST), tail).filter(
        lambda name: not name.startswith("__")
    )


def texts(max_size: int = 20) -> st.SearchStrategy[str]:
    """Text with everything in it but surrogates that form a pair, and NUL, which ends a string on the wire."""
    special = st.sampled_from("\1\"'\\\ud800\udfff%,=.")
    alphabet = st.one_of(st.characters(min_codepoint=1, max_codepoint=0x17F), st.characters(min_codepoint=1), special)
    return st.text(alphabet=alphabet, max_size=max_size).filter(_has_no_pair)


def _has_no_pair(text: str) -> bool:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass") == text


def datetimes() -> st.SearchStrategy[DateTime]:
    """Points in time with offsets in minutes, intervals, wildcards, and Windows' day that never was."""
    zone = st.integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    inside = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))
    point = st.builds(lambda moment, tz: DateTime.of(moment.replace(tzinfo=tz)), inside, zone)
    interval = st.timedeltas(timedelta(), timedelta(days=99_999_998)).map(DateTime.of)
    fixed = ("20260131******.******+***", "********000000.******:000", "00010000000000.000000+000",
             "2026013112****.******+060", "********************+***", "20260131120000.123***-480")  # fmt: skip
    valid = st.sampled_from([DateTime(text) for text in fixed if _is_datetime(text)])
    return st.one_of(point, interval, valid)


def _is_datetime(text: str) -> bool:
    try:
        DateTime(text)
    except Exception:
        return False
    return True


def _reals(type_: CimType, specials: bool) -> st.SearchStrategy[float]:
    if type_ is CimType.REAL32:
        return st.floats(width=32, allow_nan=specials, allow_infinity=specials)
    return st.floats(allow_nan=specials, allow_infinity=specials)


def _scalars(type_: CimType, specials: bool, depth: int) -> st.SearchStrategy[Any]:
    if type_ in INTEGER_RANGES:
        return st.integers(*INTEGER_RANGES[type_])
    if type_ is CimType.BOOLEAN:
        return st.booleans()
    if type_ in (CimType.REAL32, CimType.REAL64):
        return _reals(type_, specials)
    if type_ is CimType.CHAR16:
        return st.integers(0, 0xFFFF).map(chr)
    if type_ is CimType.DATETIME:
        return datetimes()
    if type_ is CimType.REFERENCE:
        return st.builds(lambda name, key: f'{name}.Id="{key}"', names(), st.integers(0, 99))
    if type_ is CimType.OBJECT:
        return _embedded(depth)
    return texts()


@st.composite
def _embedded(draw: st.DrawFn, depth: int) -> Instance | Class:
    cls = draw(classes(depth=depth - 1))
    return draw(instances(cls, depth=depth - 1)) if draw(st.booleans()) else cls


def values(
    type_: CimType, is_array: bool = False, *, specials: bool = False, depth: int = 1
) -> st.SearchStrategy[CimValue]:
    """Values of that type. `depth` is how deep embedded objects may nest."""
    if not is_array:
        return _scalars(type_, specials, depth)
    if type_ is CimType.UINT8:
        return st.binary(max_size=12)
    return st.lists(_scalars(type_, specials, depth), max_size=4).map(tuple)


def types(depth: int = 1) -> st.SearchStrategy[tuple[CimType, bool]]:
    """A type, and whether an array of it."""
    return st.tuples(st.sampled_from(tuple(CimType) if depth > 0 else SCALAR_TYPES), st.booleans())


_FLAVORS = [
    Flavor.NONE,
    Flavor.TO_INSTANCE,
    Flavor.TO_SUBCLASS,
    Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS,
    Flavor.TO_SUBCLASS | Flavor.NOT_OVERRIDABLE,
    Flavor.TO_SUBCLASS | Flavor.AMENDED,
]

_RESERVED = {"key", "cimtype", "abstract", "singleton", "association", "static", "in", "out", "id"}
_QUALIFIER_TYPES = (CimType.BOOLEAN, CimType.SINT32, CimType.REAL64, CimType.STRING)


@st.composite
def _qualifier(draw: st.DrawFn) -> Qualifier:
    type_ = draw(st.sampled_from(_QUALIFIER_TYPES))
    is_array = draw(st.booleans())
    name = draw(names().filter(lambda n: fold(n) not in _RESERVED))
    return Qualifier(name, type_, draw(values(type_, is_array)), is_array, draw(st.sampled_from(_FLAVORS)))


def _unique(items: st.SearchStrategy[Any], max_size: int) -> st.SearchStrategy[NameMap[Any]]:
    return st.lists(items, max_size=max_size, unique_by=lambda item: fold(item.name)).map(NameMap)


def qualifiers(max_size: int = 2) -> st.SearchStrategy[Qualifiers]:
    """Qualifiers with types, values and flavors, none of those that mean something to the model."""
    return _unique(_qualifier(), max_size)


@st.composite
def properties(draw: st.DrawFn, depth: int = 1) -> Property:
    """A property that is no key."""
    type_, is_array = draw(types(depth))
    default = draw(st.none() | values(type_, is_array, depth=depth))
    class_name = draw(st.none() | names()) if type_ in (CimType.REFERENCE, CimType.OBJECT) else None
    return Property(draw(names()), type_, is_array, default, class_name, draw(qualifiers()))


@st.composite
def _parameter(draw: st.DrawFn) -> Parameter:
    type_, is_array = draw(types(0))
    direction = draw(st.sampled_from([Direction.IN, Direction.OUT, Direction.IN_OUT]))
    class_name = draw(st.none() | names()) if type_ is CimType.REFERENCE else None
    name = draw(names().filter(lambda n: fold(n) != "returnvalue"))
    return Parameter(name, type_, is_array, direction, class_name=class_name, qualifiers=draw(qualifiers(1)))


@st.composite
def methods(draw: st.DrawFn) -> Method:
    """A method whose parameters' ids are their places."""
    found = draw(st.lists(_parameter(), max_size=3, unique_by=lambda p: fold(p.name)))
    numbered = [
        Parameter(p.name, p.type, p.is_array, p.direction, i, p.class_name, p.qualifiers, p.default)
        for i, p in enumerate(found)
    ]
    returns = draw(
        st.sampled_from(
            [
                None,
                return_value(CimType.UINT32),
                return_value(CimType.STRING),
                return_value(CimType.OBJECT, class_name="Somebody"),
            ]
        )
    )
    return Method(draw(names()), NameMap(numbered), returns, draw(qualifiers(1)))


_KEY = Qualifier.of("key", flavor=Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS)
_KEY_TYPES = (*INTEGER_RANGES, CimType.STRING, CimType.BOOLEAN, CimType.DATETIME, CimType.REFERENCE, CimType.CHAR16)


@st.composite
def _key_property(draw: st.DrawFn) -> Property:
    return Property(draw(names()), draw(st.sampled_from(_KEY_TYPES)), qualifiers=NameMap([_KEY]))


@st.composite
def classes(draw: st.DrawFn, depth: int = 1, keys: int = 0) -> Class:
    """A class without a superclass, with at least `keys` key properties."""
    found = draw(st.lists(_key_property(), min_size=keys, max_size=max(keys, 2)))
    found += draw(st.lists(properties(depth), max_size=4))
    unique = {fold(p.name): p for p in reversed(found)}
    own_methods = draw(_unique(methods(), 1)) if depth > 0 else NameMap()
    cls = Class(
        draw(names()), qualifiers=draw(qualifiers()), properties=NameMap(reversed(unique.values())), methods=own_methods
    )
    return cls.rooted()


@st.composite
def hierarchies(draw: st.DrawFn) -> tuple[Class, Class]:
    """A class and one derived from it, with elements of its own and one that it overrides."""
    base = draw(classes())
    name = draw(names().filter(lambda n: fold(n) != fold(base.name)))
    own = [p for p in draw(st.lists(properties(), max_size=3, unique_by=lambda p: fold(p.name)))
           if p.name not in base.properties]  # fmt: skip
    inherited = [p for p in base.properties.each() if not p.is_key]
    overrides = draw(st.booleans())
    if inherited and overrides:
        over = draw(st.sampled_from(inherited))
        inherits = draw(st.booleans())
        value = None if inherits else draw(st.none() | values(over.type, over.is_array))
        marks = draw(qualifiers()).without(*over.qualifiers)  # some of which may not be overridden
        own.append(
            Property(over.name, over.type, over.is_array, value, over.class_name, marks, inherits_default=inherits)
        )
    return base, base.derive(Class(name, properties=NameMap(own)))


@st.composite
def instances(draw: st.DrawFn, cls: Class, *, absent: bool = False, specials: bool = False, depth: int = 1) -> Instance:
    """An instance of `cls`; its keys always have values."""
    states = [DEFAULT, None] + ([ABSENT] if absent else [])
    slots = []
    for declared in cls.properties.each():
        value = values(declared.type, declared.is_array, specials=specials, depth=depth)
        slots.append(draw(value if declared.is_key else st.one_of(st.sampled_from(states), value)))
    instance = Instance.of_values(cls.shape, slots)
    instance.qualifiers = draw(qualifiers(1))
    return instance
