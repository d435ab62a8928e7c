"""Constants as CIM values: what MOF lets stand for a value of each type.

| type            | constants                                                                           |
| --------------- | ----------------------------------------------------------------------------------- |
| integers        | integers in range; reals, which are rounded, as the WMI compiler does; a 64-bit one   |
|                 | also as a string, as WMI's automation writes them                                   |
| real32, real64  | reals and integers                                                                   |
| boolean         | TRUE, FALSE                                                                          |
| char16          | one character in single quotes, or its code                                          |
| string          | strings; a number or a character as its text, as the WMI compiler takes them         |
| datetime        | a string in CIM's form                                                               |
| reference       | a string, an alias                                                                   |
| object          | an embedded instance or class, an alias never                                        |

NULL is a value of each. An array is written in braces, and only then.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

from openwmi.cim import INTEGER_RANGES, CimType, CimValue, DateTime, TypedValue, conform, type_name
from openwmi.errors import SyntaxProblem, WbemError
from openwmi.mof.errors import MofError
from openwmi.mof.source import Source
from openwmi.mof.tree import Literal, LiteralKind
from openwmi.status import WbemStatus

__all__ = ["constant", "inferred"]

_INTEGER_TEXT: Final = re.compile(r"[-+]?(?:0[xX][0-9A-Fa-f]{1,16}|[0-9]{1,20})\Z")
_TEXTUAL: Final = (LiteralKind.STRING, LiteralKind.CHAR)
_NUMBERS: Final = (LiteralKind.INTEGER, LiteralKind.REAL)
_STRING: Final = LiteralKind.STRING
_NULL: Final = LiteralKind.NULL
_TEXT: Final = CimType.STRING


def constant(literal: Literal, type_: CimType, what: str, source: Source) -> CimValue:
    """The constant as one (element's) value of that type. Raises `MofError` at the constant."""
    kind = literal.kind
    if (kind is _STRING and type_ is _TEXT) or kind is _NULL:
        return literal.value
    try:
        return conform(_fitted(literal, type_), type_, what=what)
    except SyntaxProblem as error:
        raise MofError(
            f"{what}: {error.message}", source.at(literal.offset), WbemStatus.WBEMMOF_E_TYPE_MISMATCH
        ) from None
    except WbemError as error:
        out_of_range = kind in _NUMBERS and type_ in INTEGER_RANGES
        status = WbemStatus.WBEMMOF_E_OUT_OF_RANGE if out_of_range else WbemStatus.WBEMMOF_E_TYPE_MISMATCH
        raise MofError(error.detail, source.at(literal.offset), status) from None


def _fitted(literal: Literal, type_: CimType) -> Any:
    """The constant's value, turned into what `conform` takes for the type where MOF allows another writing."""
    kind, value = literal.kind, literal.value
    if type_ in (CimType.SINT64, CimType.UINT64) and kind is LiteralKind.STRING:
        text = str(value)
        return int(text, 16 if "x" in text.lower() else 10) if _INTEGER_TEXT.match(text) else value
    if type_ is CimType.STRING and kind in (LiteralKind.INTEGER, LiteralKind.REAL):
        return str(value)
    if type_ is CimType.CHAR16 and kind is LiteralKind.INTEGER and isinstance(value, int) and 0 <= value <= 0xFFFF:
        return chr(value)
    if type_ is CimType.DATETIME and kind is LiteralKind.STRING:
        return DateTime(str(value))
    if type_ in INTEGER_RANGES and kind is LiteralKind.REAL and isinstance(value, float) and math.isfinite(value):
        return math.floor(value + 0.5)
    if type_ in INTEGER_RANGES and kind is LiteralKind.CHAR:
        return ord(str(value))
    return value


def inferred(literals: list[Literal], is_array: bool, what: str, source: Source) -> TypedValue:
    """A qualifier's value by what its constants are: sint32 (or the integer that holds it), real64, boolean, string.

    NULL, and an array without elements, are strings: nothing is known of them.
    """
    kinds = {literal.kind for literal in literals if literal.kind is not LiteralKind.NULL}
    if kinds == {LiteralKind.INTEGER, LiteralKind.REAL}:
        kinds = {LiteralKind.REAL}
    if kinds <= set(_TEXTUAL):
        type_ = CimType.STRING
    elif len(kinds) > 1:
        raise MofError(
            f"{what}: the elements of an array are of one type",
            source.at(literals[0].offset),
            WbemStatus.WBEMMOF_E_TYPE_MISMATCH,
        )
    elif kinds == {LiteralKind.BOOLEAN}:
        type_ = CimType.BOOLEAN
    elif kinds == {LiteralKind.REAL}:
        type_ = CimType.REAL64
    else:
        type_ = _integer_type([literal.value for literal in literals])
    values = [constant(literal, type_, what, source) for literal in literals]
    if not is_array:
        return TypedValue(type_, values[0])
    if type_ is not CimType.STRING and None in values:
        raise MofError(
            f"{what}: NULL is no element of {type_name(type_, True)}",
            source.at(literals[values.index(None)].offset),
            WbemStatus.WBEMMOF_E_NULL_ARRAY_ELEM,
        )
    return TypedValue(type_, tuple(values), True)


def _integer_type(values: list[Any]) -> CimType:
    """The first type that holds them all; sint64 where none does, so that the error names the widest."""
    numbers = [value for value in values if isinstance(value, int)]
    for type_ in (CimType.SINT32, CimType.UINT32, CimType.SINT64, CimType.UINT64):
        low, high = INTEGER_RANGES[type_]
        if all(low <= number <= high for number in numbers):
            return type_
    return CimType.SINT64
