r"""Conditions on instances that the database itself can look at, so that it need not hand over every row.

A `Condition` compares one property with a constant, as WQL does (MS-WMI 2.2.1.1). Whoever enumerates with conditions
gets *every* instance for which all of them hold, and may get others: a condition that SQLite would not judge exactly as
WQL does is left out, or widened, never narrowed. These are the differences:

- integers: none. JSON's are exact in 64 bits; a uint64 above 2^63 becomes a real number, which still is more than every
  constant of 64 bits with a sign, and larger constants are left out;
- booleans: equality only, as WQL has it;
- text: NOCASE folds what `fold` folds as long as it is ASCII. What is not stands in the JSON as ``\u....``; rows with
  such an escape are all let through. Constants that are not ASCII are left out;
- ``contains``, for text and references: the same; what is looked for is plain ASCII or left out;
- real numbers (SQLite's reading of decimals may be off in the last bit), datetimes, references as a whole (one path has
  many spellings), arrays: left out;
- a property that the row does not mention has its class's default, which is compared in the row's place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from openwmi.cim import INTEGER_RANGES, CimType, Class, Property, fold, identity

__all__ = ["Condition", "compile_conditions", "named_identity"]

Operator = Literal["=", "<>", "<", "<=", ">", ">=", "contains"]

_OPERATORS: Final = frozenset(("=", "<>", "<", "<=", ">", ">=", "contains"))
_EQUALITY: Final = frozenset(("=", "<>"))
_ASCII_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")
_INT64: Final = range(-(2**63), 2**63)
_TEXT: Final = (CimType.STRING, CimType.CHAR16)
_MAX_CONDITIONS: Final = 50  # of SQLite's own limits none is near then


@dataclass(frozen=True, slots=True)
class Condition:
    """``property operator value``, of values as `openwmi.cim.conform` gives them.

    NULL meets no comparison, ``<>`` neither. A `value` of None means IS NULL (``=``) or IS NOT NULL (``<>``).
    ``contains`` is met by text, or the text of a reference, in which `value` stands, whatever its case.
    """

    property: str
    operator: Operator
    value: Any


def compile_conditions(cls: Class, conditions: Iterable[Condition]) -> tuple[str, tuple[Any, ...]]:
    """The conditions as SQL that follows a WHERE clause, ``" AND ..."`` or nothing, and its parameters."""
    terms = []
    parameters: list[Any] = []
    for condition in list(conditions)[:_MAX_CONDITIONS]:
        if condition.property in cls.properties and condition.operator in _OPERATORS:
            term, values = _term(cls.properties[condition.property], condition.operator, condition.value)
            if term:
                terms.append(term)
                parameters += values
    # An instance that has a shape of its own may have other defaults than its class.
    sql = f" AND (({' AND '.join(terms)}) OR json_type(data, '$.s') IS NOT NULL)" if terms else ""
    return sql, tuple(parameters)


def named_identity(cls: Class, conditions: Iterable[Condition]) -> str | None:
    """The identity of the only instance that can meet the conditions; None if they do not pin every key."""
    keys = {fold(key.name): key for key in cls.keys}
    pinned: dict[str, Any] = {}
    for condition in conditions:
        key = keys.get(fold(condition.property))
        if key is not None and condition.operator == "=" and _is_exact(key.type, condition.value):
            pinned[key.name] = condition.value
    return identity(cls, pinned) if keys and len(pinned) == len(keys) else None


def _is_exact(type_: CimType, value: Any) -> bool:
    """Whether two keys are the same object's exactly if WQL finds them equal."""
    if type_ is CimType.STRING:
        return type(value) is str
    if type_ is CimType.BOOLEAN:
        return type(value) is bool
    return type_ in INTEGER_RANGES and type(value) is int


def _term(declared: Property, operator: Operator, value: Any) -> tuple[str, tuple[Any, ...]]:
    name = fold(declared.name)
    if not _ASCII_NAME.fullmatch(name):  # JSON has it in escapes, which SQLite's paths do not see through
        return "", ()
    path = f"$.p.{name}"
    if operator == "contains":
        return _containing(declared, value, path)
    if value is None:
        return _null(declared, operator, path)
    compared = _compared(declared, operator, value)
    if compared is None:
        return "", ()
    collation, constant, default = compared
    found = f"json_extract(data, ?) {operator} ?{collation}"
    parameters: tuple[Any, ...] = (path, constant)
    if default is not None:
        # IS NULL is true of a property that is not there, not of JSON's null, whose type is 'null'.
        found = f"CASE WHEN json_type(data, ?) IS NULL THEN ? {operator} ?{collation} ELSE {found} END"
        parameters = (path, default, constant, *parameters)
    if collation:
        found = f"({found} OR instr(data, '\\u'))"
    return found, parameters


def _containing(declared: Property, value: Any, path: str) -> tuple[str, tuple[Any, ...]]:
    fits = declared.type in (CimType.STRING, CimType.REFERENCE) and not declared.is_array
    if not fits or type(value) is not str or not _is_plain(value):
        return "", ()
    # A default is judged here and now; with none, SQLite's NULL is as good as false.
    default = declared.default is not None and fold(value) in fold(str(declared.default))
    found = "coalesce(instr(lower(json_extract(data, ?)), ?), CASE WHEN json_type(data, ?) IS NULL THEN ? END)"
    return f"({found} OR instr(data, '\\u'))", (path, fold(value), path, default)


def _compared(declared: Property, operator: Operator, value: Any) -> tuple[str, Any, Any] | None:
    """Collation, constant and default to compare, or None where SQLite would not do it exactly."""
    default = declared.default
    if declared.is_array:
        return None
    if declared.type in INTEGER_RANGES:
        fits = type(value) is int and value in _INT64 and (default is None or default in _INT64)
        return ("", value, default) if fits else None
    if declared.type is CimType.BOOLEAN:
        return ("", value, default) if type(value) is bool and operator in _EQUALITY else None
    if declared.type in _TEXT and type(value) is str:
        wanted = fold(value)
        fits = _is_plain(wanted) and (default is None or _is_plain(str(default)))
        return (" COLLATE NOCASE", wanted, default) if fits else None
    return None


def _is_plain(text: str) -> bool:
    return text.isascii() and "\0" not in text


def _null(declared: Property, operator: Operator, path: str) -> tuple[str, tuple[Any, ...]]:
    if operator not in _EQUALITY:
        return "", ()
    wanted = operator == "="
    if declared.default is None:
        return f"json_extract(data, ?) IS {'' if wanted else 'NOT '}NULL", (path,)
    # A property that is not mentioned is defaulted or, in a partial object, NULL: let it through.
    test = "IN ('null', 'none')" if wanted else "<> 'null'"
    return f"coalesce(json_type(data, ?), 'none') {test}", (path,)
