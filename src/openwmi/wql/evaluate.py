"""Comparisons as functions: what one value of a type has to be.

`comparison` turns an operator and a constant into a function of a value of a given CIM type, or says why there is none
(`Impossible`: MS-WMI 2.2.1.1's table of operators and types).

NULL compares with nothing: every comparison with it is false, ``<>`` too; only IS NULL is true of it. NOT exchanges
true and false, so ``NOT Name = "x"`` holds where Name is NULL, and ``Name <> "x"`` does not.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from openwmi.cim import INTEGER_RANGES, CimType, DateTime, ObjectPath, conform, fold, type_name
from openwmi.errors import SyntaxProblem, WbemError
from openwmi.wql.datetimes import Daytime, parse_moment
from openwmi.wql.like import compile_like, has_wildcards
from openwmi.wql.tree import Operator, Scalar

__all__ = ["Impossible", "Test", "comparison", "integer", "truth"]

Test: TypeAlias = Callable[[Any], bool]
"""A function of one value that is not NULL."""

_FUNCTIONS: Final[dict[Operator, Callable[[Any, Any], bool]]] = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.GREATER: operator.gt,
    Operator.LESS_EQUAL: operator.le,
    Operator.GREATER_EQUAL: operator.ge,
}
_EQUALITY: Final = (Operator.EQUAL, Operator.NOT_EQUAL)
_INTEGER_TEXT: Final = re.compile(r"\s*([-+]?)(0[xX][0-9A-Fa-f]{1,40}|[0-9]{1,40})\s*\Z")
_REAL_TEXT: Final = re.compile(r"\s*[-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,4})?\s*\Z")
_TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}


class Impossible(Exception):
    """There is no such comparison; the message says why."""


def comparison(type_: CimType, is_array: bool, operator_: Operator, constant: Scalar) -> Test:
    """Whether a value of the type (never NULL) stands in that relation to `constant`. Raises `Impossible`."""
    if is_array:
        raise Impossible("WQL does not look into arrays")
    if type_ is CimType.OBJECT:
        raise Impossible("an embedded object is compared by its properties, or with ISA")
    if type_ in (CimType.STRING, CimType.CHAR16):
        return _text(type_, operator_, constant)
    if operator_ is Operator.LIKE:
        # 2.2.1.1: on anything but a string LIKE is =, and wildcards are an error.
        if isinstance(constant, str) and has_wildcards(constant):
            raise Impossible(f"LIKE's wildcards go with strings, not with {type_.text}")
        operator_ = Operator.EQUAL
    if type_ is CimType.BOOLEAN:
        return _boolean(operator_, constant)
    if type_ is CimType.DATETIME:
        return _datetime(operator_, constant)
    if type_ is CimType.REFERENCE:
        return _reference(operator_, constant)
    return _number(type_, operator_, constant)


def _text(type_: CimType, operator_: Operator, constant: Scalar) -> Test:
    if type_ is CimType.CHAR16 and type(constant) is int and 0 <= constant <= 0xFFFF:
        constant = chr(constant)
    if not isinstance(constant, str):
        raise Impossible(f"a {type_name(type_)} is compared with text in quotes")
    if operator_ is Operator.LIKE:
        try:
            return compile_like(constant)
        except SyntaxProblem as error:
            raise Impossible(error.message) from None
    function, wanted = _FUNCTIONS[operator_], fold(constant)
    if operator_ is Operator.EQUAL:
        return lambda value: fold(value) == wanted
    return lambda value: function(fold(value), wanted)


def _number(type_: CimType, operator_: Operator, constant: Scalar) -> Test:
    if isinstance(constant, str):
        constant = _numeric(constant, type_)
    wanted: int | float = constant
    if type_ is CimType.REAL32 and isinstance(constant, float):
        try:
            wanted = conform(constant, type_)  # type: ignore[assignment]  # so that 0.1 equals a stored 0.1
        except WbemError:
            wanted = constant
    function = _FUNCTIONS[operator_]
    return lambda value: function(value, wanted)


def _numeric(text: str, type_: CimType) -> int | float:
    match = _INTEGER_TEXT.match(text)
    if match is not None:
        digits = match[2].lower()
        number = int(digits, 16 if "x" in digits else 10)
        return -number if match[1] == "-" else number
    if _REAL_TEXT.match(text):
        return float(text)
    kind = "number" if type_ in INTEGER_RANGES else "real number"
    raise Impossible(f"a {type_.text} is compared with a {kind}, which {text[:40]!r} is not")


def integer(constant: Scalar, type_: CimType) -> int | None:
    """The whole number that `constant` is beside a number of the type; None if it is none. Raises `Impossible`."""
    number = _numeric(constant, type_) if isinstance(constant, str) else constant
    return int(number) if isinstance(number, int) or number.is_integer() else None


def truth(constant: Scalar) -> bool:
    """What `constant` is when it is compared with a boolean. Raises `Impossible`."""
    wanted = _TRUTH.get(str(constant).strip().lower())
    if wanted is None or isinstance(constant, float):
        raise Impossible("a boolean is compared with TRUE, FALSE, 1 or 0")
    return wanted


def _boolean(operator_: Operator, constant: Scalar) -> Test:
    if operator_ not in _EQUALITY:
        raise Impossible(f"a boolean has no order: {operator_.value} does not go with it")
    wanted = truth(constant)
    if operator_ is Operator.NOT_EQUAL:
        wanted = not wanted
    return lambda value: value is wanted


def _datetime(operator_: Operator, constant: Scalar) -> Test:
    wanted = _moment(constant) if isinstance(constant, str) else None
    if wanted is None:
        raise Impossible('a datetime is compared with text such as "20260131120000.000000+000" or "2026-01-31 12:00"')
    function = _FUNCTIONS[operator_]
    if isinstance(wanted, Daytime):
        return _daytime(function, wanted)
    if operator_ in _EQUALITY:
        return lambda value: function(value, wanted)

    def ordered(value: DateTime) -> bool:
        try:
            return function(value, wanted)
        except TypeError:  # an interval and a point in time, or wildcards
            return False

    return ordered


def _moment(text: str) -> DateTime | Daytime | None:
    try:
        return DateTime(text)
    except SyntaxProblem:
        return parse_moment(text)


def _daytime(function: Callable[[Any, Any], bool], wanted: Daytime) -> Test:
    def compared(value: DateTime) -> bool:
        found = wanted.of_day(value)
        return found is not None and function(found, wanted.clock)

    return compared


def _reference(operator_: Operator, constant: Scalar) -> Test:
    if operator_ not in _EQUALITY:
        raise Impossible(f"a reference has no order: {operator_.value} does not go with it")
    if not isinstance(constant, str):
        raise Impossible("a reference is compared with an object path in quotes")
    text, path = constant, _path(constant)
    equal = operator_ is Operator.EQUAL

    def refers(value: str) -> bool:
        if fold(value) == fold(text):
            return equal
        other = None if path is None else _path(value)
        return (other is not None and path is not None and _same_object(path, other)) is equal

    return refers


def _path(text: str) -> ObjectPath | None:
    try:
        return ObjectPath.parse(text)
    except SyntaxProblem:
        return None


def _same_object(one: ObjectPath, other: ObjectPath) -> bool:
    """Whether two paths may name one object: a location that is not written is no difference."""
    if one.relative != other.relative:
        return False
    if one.namespace is None or other.namespace is None:
        return True
    return fold(one.namespace.replace("/", "\\")) == fold(other.namespace.replace("/", "\\"))
