"""Values on the command line: ``Name=text``, with the text read as the declaration's type, or ``Name:=JSON``.

The second form is for what one word of text cannot say: NULL, arrays and embedded objects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import typer

from openwmi.cim import INTEGER_RANGES, CimType, Class, Property
from openwmi.cim.json import ClassLookup, value_from_json
from openwmi.errors import WbemError
from openwmi.status import WbemStatus

__all__ = ["Given", "parse_given", "read_json", "values_for"]

_TRUTH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class Given:
    """One ``Name=text`` or, with `is_json`, ``Name:=JSON``."""

    name: str
    text: str
    is_json: bool = False


def parse_given(text: str) -> Given:
    """Takes one argument apart; a mistake of usage if there is nothing to take apart."""
    name, equals, value = text.partition("=")
    is_json = name.endswith(":")
    name = name.removesuffix(":")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not name=value")
    if is_json:
        try:
            read_json(value)
        except ValueError as error:
            raise typer.BadParameter(f"{name}: what follows := is not JSON: {error}") from None
    return Given(name, value, is_json)


def read_json(text: str) -> Any:
    """The value that JSON text spells. Raises `ValueError`."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def values_for(declared: Class, given: Iterable[Given], lookup: ClassLookup) -> dict[str, Any]:
    """The given values, as those of the class's properties. A name that it does not have is passed on as text."""
    return {
        one.name: _value(one, declared.properties[one.name], lookup) if one.name in declared.properties else one.text
        for one in given
    }


def _value(given: Given, declared: Property, lookup: ClassLookup) -> Any:
    if given.is_json:
        return value_from_json(read_json(given.text), declared, lookup)
    if declared.is_array or declared.type is CimType.OBJECT:
        raise WbemError.of(
            WbemStatus.WBEM_E_TYPE_MISMATCH, f"{declared.name} is {declared.type_text}: write {declared.name}:=JSON"
        )
    return declared.conform(_READERS.get(declared.type, str)(given.text))


def _integer(text: str) -> int | str:
    try:
        return int(text, 0)
    except ValueError:
        return text  # for `conform` to refuse, which knows the property's name


def _real(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _truth(text: str) -> bool | str:
    return _TRUTH.get(text.lower(), text)


_READERS: Final[dict[CimType, Callable[[str], Any]]] = {
    **dict.fromkeys(INTEGER_RANGES, _integer),
    CimType.REAL32: _real,
    CimType.REAL64: _real,
    CimType.BOOLEAN: _truth,
}
