"""Query results as objects of a user's own dataclass.

    @dataclass
    class Process:
        cim_class: ClassVar[str] = "Win32_Process"     # without it: the dataclass's own name
        process_id: int
        name: str
        created: datetime | None = field(metadata={"cim": "CreationDate"})

    for process in session.query(Process, "WHERE Name = ?", "sshd"):
        print(process.process_id)

A field stands for the property of the same name, without regard to case and underscores, or for the one that its
metadata names. Its annotation says what the value must be: `int`, `float`, `str`, `bool`, `bytes`, `datetime`,
`timedelta`, an `Enum` of the values, a dataclass for an embedded object, or `list`, `tuple`, `set` or `frozenset` of
those, each perhaps ``| None``; `Any` takes whatever comes. A NULL that the type excludes is the field's default.

A field without its property is InvalidParameter before anything is asked; a value that is no such thing is
WBEM_E_TYPE_MISMATCH, with the field's name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from openwmi.cim import Class, DateTime, fold
from openwmi.client.objects import Instance
from openwmi.errors import InvalidParameter, WbemError
from openwmi.status import WbemStatus

__all__ = ["Mapped", "class_name_of"]

D = TypeVar("D")

_Convert = Callable[[Any], Any]

_SCALARS: Final = (bool, int, float, str, bytes, datetime, timedelta, DateTime)
_COLLECTIONS: Final = (list, tuple, set, frozenset)


class _Mismatch(Exception):
    """A value that does not fit; the message says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """One field: the property that it is read from, and what makes its value."""

    name: str
    property: str
    convert: _Convert
    has_default: bool
    may_be_none: bool


def class_name_of(cls: type[Any]) -> str:
    """The name of the CIM class that a dataclass stands for. Raises `InvalidParameter` for what is no dataclass."""
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise InvalidParameter(f"{cls!r} is neither the text of a query nor a dataclass")
    return str(getattr(cls, "cim_class", cls.__name__))


class Mapped(Generic[D]):
    """A dataclass and the CIM class that it stands for, matched once for all instances."""

    def __init__(self, cls: type[D], declared: Class) -> None:
        self._cls = cls
        self._fields = _fields(cls, declared)
        self._declared = declared

    def query(self, condition: str) -> str:
        """The query for just the properties that there are fields for; `condition` is its WHERE clause, if any."""
        if condition.strip() and fold(condition.split(None, 1)[0]) != fold("WHERE"):
            raise InvalidParameter(f"{condition!r}: what follows the dataclass begins with WHERE")
        names = ", ".join(dict.fromkeys(field.property for field in self._fields)) or "*"
        return " ".join(("SELECT", names, "FROM", self._declared.name, condition)).rstrip()

    def __call__(self, found: Instance) -> D:
        """The object of the dataclass that an instance is."""
        values = {}
        for field in self._fields:
            value = found[field.property]
            if value is None and not field.may_be_none:
                if field.has_default:
                    continue
                raise _mismatch(self._cls, field, "NULL: annotate it with | None, or give it a default")
            try:
                values[field.name] = None if value is None else field.convert(value)
            except _Mismatch as mismatch:
                raise _mismatch(self._cls, field, str(mismatch)) from None
        return self._cls(**values)


def _mismatch(cls: type[Any], field: _Field, why: str) -> WbemError:
    text = f"{cls.__name__}.{field.name}: {field.property} is {why}"
    return WbemError.of(WbemStatus.WBEM_E_TYPE_MISMATCH, text)


def _bare(name: str) -> str:
    return fold(name.replace("_", ""))


def _fields(cls: type[Any], declared: Class) -> tuple[_Field, ...]:
    names = [each.name for each in declared.shape.properties]
    # A name as it is goes before one without its underscores: a class may have both A_B and AB.
    by_name = {_bare(name): name for name in names} | {fold(name): name for name in names}
    hints = get_type_hints(cls)
    made = []
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        wanted = field.metadata.get("cim", field.name)
        has_default = not (field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING)
        known = by_name.get(fold(wanted)) or by_name.get(_bare(wanted))
        if known is None:
            raise InvalidParameter(f"{cls.__name__}.{field.name}: {declared.name} has no property {wanted}")
        annotation = hints[field.name]
        may_be_none = annotation in (Any, object) or NoneType in get_args(annotation)
        convert = _converter(annotation, f"{cls.__name__}.{field.name}")
        made.append(_Field(field.name, known, convert, has_default, may_be_none))
    return tuple(made)


def _converter(annotation: Any, where: str) -> _Convert:
    """What makes a value of the annotated type. Raises `InvalidParameter` for a type that no value can have."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in (Any, object):
        return lambda value: value
    if origin in (Union, UnionType):
        return _any_of([_converter(a, where) for a in arguments if a is not NoneType])
    if origin in _COLLECTIONS or annotation in _COLLECTIONS:
        return _collection(origin or annotation, arguments, where)
    if isinstance(annotation, type):
        if issubclass(annotation, Enum):
            return _enumerated(annotation)
        if dataclasses.is_dataclass(annotation):
            return _embedded(annotation)
        if annotation in _SCALARS:
            return _scalar(annotation)
        if issubclass(annotation, Instance) or issubclass(Instance, annotation):
            return _scalar(Instance)
    raise InvalidParameter(f"{where}: no CIM value is a {annotation}")


def _scalar(wanted: type[Any]) -> _Convert:
    def convert(value: Any) -> Any:
        # True is an int to Python, and no number to CIM.
        if isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)):
            return value
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        raise _Mismatch(f"{value!r}, which is no {wanted.__name__}")

    return convert


def _any_of(alternatives: list[_Convert]) -> _Convert:
    def convert(value: Any) -> Any:
        reasons = []
        for alternative in alternatives:
            try:
                return alternative(value)
            except _Mismatch as mismatch:
                reasons.append(str(mismatch))
        raise _Mismatch(" and ".join(reasons))

    return convert


def _collection(kind: type[Any], arguments: tuple[Any, ...], where: str) -> _Convert:
    item = _converter(arguments[0], where) if arguments else lambda value: value

    def convert(value: Any) -> Any:
        if not isinstance(value, tuple | bytes):
            raise _Mismatch(f"{value!r}, which is no array")
        return kind(item(each) for each in value)

    return convert


def _enumerated(wanted: type[Enum]) -> _Convert:
    def convert(value: Any) -> Any:
        try:
            return wanted(value)
        except ValueError:
            raise _Mismatch(f"{value!r}, which is no {wanted.__name__}") from None

    return convert


def _embedded(wanted: type[Any]) -> _Convert:
    # The class of an embedded object is known when it is there; most results bring objects of one class.
    known: dict[str, Mapped[Any]] = {}

    def convert(value: Any) -> Any:
        if not isinstance(value, Instance):
            raise _Mismatch(f"{value!r}, which is no object")
        if value.class_name not in known:
            known[value.class_name] = Mapped(wanted, value.cls)
        return known[value.class_name](value)

    return convert
