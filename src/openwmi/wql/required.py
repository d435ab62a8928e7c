"""What a condition asks of every match, in words that an index, a database or a provider understands.

A condition is a function of an object, which has to be there before it can be asked. What `requirements` gives is less
and of more use: comparisons of one property with a constant, *all* of which are true of whatever meets the condition.
There may be others of which they are true; only the condition decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from openwmi.cim import INTEGER_RANGES, CimType, Class, ObjectPath, Property
from openwmi.errors import SyntaxProblem
from openwmi.wql.evaluate import Impossible, integer, truth
from openwmi.wql.like import literal_part
from openwmi.wql.tree import And, Comparison, Expression, IsNull, Operator, Scalar

__all__ = ["Requirement", "requirements", "terms"]

_PLAIN: Final = re.compile(r"[^\"'\\]+")


@dataclass(frozen=True, slots=True)
class Requirement:
    """``property operator value``, with the property as the class spells it and a value of the property's type.

    A value of None stands for NULL, with ``=`` and ``<>``. ``contains`` says that the value's text has `value` in it,
    whatever its case.
    """

    property: str
    operator: Literal["=", "<>", "<", "<=", ">", ">=", "contains"]
    value: Any


def requirements(where: Expression | None, cls: Class) -> tuple[Requirement, ...]:
    """What is true of every instance of `cls` that meets `where`."""
    return tuple(found for term in terms(where) for found in _of_term(term, cls))


def terms(where: Expression | None) -> tuple[Expression, ...]:
    """The parts of a condition that AND combines."""
    if where is None:
        return ()
    return where.terms if isinstance(where, And) else (where,)


def _of_term(term: Expression, cls: Class) -> Iterator[Requirement]:
    if not isinstance(term, Comparison | IsNull) or len(term.property.names) > 1:
        return
    declared = cls.properties.get(term.property.names[0])
    if declared is None:
        return
    if isinstance(term, IsNull):
        yield Requirement(declared.name, "<>" if term.negated else "=", None)
    elif not declared.is_array:
        yield from _of_comparison(declared, term.operator, term.constant.value)


def _of_comparison(declared: Property, operator: Operator, value: Scalar) -> Iterator[Requirement]:
    name = declared.name
    if declared.type is CimType.REFERENCE:
        if operator is Operator.EQUAL and isinstance(value, str):
            yield from (Requirement(name, "contains", part) for part in _parts_of_path(_path(value)))
        return
    if operator is Operator.LIKE and declared.type is CimType.STRING and isinstance(value, str):
        part = literal_part(value)
        if part == value:
            yield Requirement(name, "=", value)
        elif part:
            yield Requirement(name, "contains", part)
        return
    constant = _constant(declared.type, value)
    if constant is not None:
        # LIKE means = where there are no strings (2.2.1.1).
        operator = Operator.EQUAL if operator is Operator.LIKE else operator
        if declared.type is not CimType.CHAR16 or operator is Operator.EQUAL:
            yield Requirement(name, operator.value, constant)


def _constant(type_: CimType, value: Scalar) -> Any:
    """The constant as a value of the type; None where only the condition itself compares as it should."""
    try:
        if type_ in INTEGER_RANGES:
            return integer(value, type_)
        if type_ is CimType.BOOLEAN:
            return truth(value)
    except Impossible:
        return None
    if type_ is CimType.CHAR16:
        return value if isinstance(value, str) and len(value) == 1 else None
    return value if type_ is CimType.STRING and isinstance(value, str) else None


def _parts_of_path(path: ObjectPath) -> Iterator[str]:
    """What stands in every spelling of a path: the class's name, and texts among its keys that need no escapes."""
    if path.class_name:
        yield path.class_name
    yield from (value for _, value in path.keys or () if isinstance(value, str) and _PLAIN.fullmatch(value))


def _path(text: str) -> ObjectPath:
    try:
        return ObjectPath.parse(text)
    except SyntaxProblem:
        return ObjectPath()  # of which nothing can be said
