"""The model as JSON: what `json.dumps` takes, and back.

| CIM                          | JSON                                                                    |
| ---------------------------- | ----------------------------------------------------------------------- |
| integers (uint64 too), reals | number; a real that is not finite is "NaN", "Infinity" or "-Infinity"   |
| boolean, string, char16      | true or false, string                                                   |
| datetime, reference          | string, as CIM writes it                                                |
| object                       | object with ``__CLASS``; a class, with what `class_to_json` gives       |
| array (of uint8 too)         | array                                                                   |
| NULL                         | null                                                                    |

`instance_from_json` raises `WbemError`: WBEM_E_NOT_FOUND for a property that the class has not got, and
WBEM_E_TYPE_MISMATCH for a value of another type. Names that begin with two underscores say what an object is, not what
it holds, and are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from openwmi.cim.classes import Class, Method, Property
from openwmi.cim.datetimes import DateTime
from openwmi.cim.instances import Instance
from openwmi.cim.names import is_system_name
from openwmi.cim.qualifiers import Qualifiers
from openwmi.cim.types import CimType, type_name
from openwmi.errors import WbemError
from openwmi.status import WbemStatus

__all__ = ["class_to_json", "instance_from_json", "instance_to_json", "to_jsonable", "value_from_json"]

CLASS: Final = "__CLASS"

MAX_DEPTH: Final = 64
"""How deep objects may lie in each other: a bound for a text that is nothing but brackets."""

_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

ClassLookup = Callable[[str], Class]


def to_jsonable(value: Any) -> Any:
    """A CIM value (or a mapping or sequence of them) as JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, tuple | list):
        return [to_jsonable(item) for item in value]
    if isinstance(value, Instance):
        return instance_to_json(value)
    if isinstance(value, Class):
        return class_to_json(value)
    if isinstance(value, Mapping):
        return {str(name): to_jsonable(item) for name, item in value.items()}
    if isinstance(value, DateTime):
        return value.text
    raise TypeError(f"a {type(value).__name__} is no CIM value")


def instance_to_json(instance: Instance) -> dict[str, Any]:
    """The instance's properties, in order, after the name of its class as ``__CLASS``."""
    return {CLASS: instance.class_name, **{name: to_jsonable(value) for name, value in instance.items()}}


def class_to_json(cls: Class) -> dict[str, Any]:
    """The whole declaration: names, derivation, qualifiers, properties and methods, inherited ones included."""
    return {
        CLASS: cls.name,
        "__SUPERCLASS": cls.superclass,
        "__DERIVATION": list(cls.derivation),
        "qualifiers": _qualifiers(cls.qualifiers),
        "properties": {p.name: _property(p) for p in cls.properties.each()},
        "methods": {m.name: _method(m) for m in cls.methods.each()},
    }


def _qualifiers(qualifiers: Qualifiers) -> dict[str, Any]:
    return {qualifier.name: to_jsonable(qualifier.value) for qualifier in qualifiers.each()}


def _property(declared: Property) -> dict[str, Any]:
    return {
        "type": type_name(declared.type, declared.is_array),
        "class": declared.class_name,
        "default": to_jsonable(declared.default),
        "origin": declared.origin,
        "qualifiers": _qualifiers(declared.qualifiers),
    }


def _method(declared: Method) -> dict[str, Any]:
    return {
        "returns": None if declared.returns is None else type_name(declared.returns.type, declared.returns.is_array),
        "origin": declared.origin,
        "qualifiers": _qualifiers(declared.qualifiers),
        "parameters": {
            p.name: {
                "type": type_name(p.type, p.is_array),
                "class": p.class_name,
                "direction": [flag.name.lower() for flag in p.direction if flag.name],
                "qualifiers": _qualifiers(p.qualifiers),
            }
            for p in declared.parameters.each()
        },
    }


def instance_from_json(data: Mapping[str, Any], cls: Class, lookup: ClassLookup, depth: int = 0) -> Instance:
    """An instance of `cls` with the values in `data`, the others as the class defaults them.

    `lookup` gives the classes of embedded objects by name.
    """
    made = cls.new()
    for name, value in data.items():
        if is_system_name(name):
            continue
        if name not in cls.properties:
            raise WbemError.of(WbemStatus.WBEM_E_NOT_FOUND, f"{cls.name} has no property {name}")
        made[name] = value_from_json(value, cls.properties[name], lookup, depth)
    return made


def value_from_json(value: Any, declared: Property, lookup: ClassLookup, depth: int = 0) -> Any:
    """The JSON `value` as one of that property (or parameter)."""
    if depth > MAX_DEPTH:
        raise _mismatch(f"{declared.name}: objects lie more than {MAX_DEPTH} deep in each other")
    if isinstance(value, list) and declared.is_array:
        return declared.conform([_scalar(item, declared, lookup, depth) for item in value])
    return declared.conform(_scalar(value, declared, lookup, depth))


def _scalar(value: Any, declared: Property, lookup: ClassLookup, depth: int) -> Any:
    if declared.type in (CimType.REAL32, CimType.REAL64) and isinstance(value, str):
        return _NOT_FINITE.get(value, value)
    if isinstance(value, dict) and declared.type is CimType.OBJECT:
        name = value.get(CLASS, declared.class_name)
        if not isinstance(name, str):
            raise _mismatch(f"{declared.name}: the object does not say of which class it is: give it {CLASS}")
        return instance_from_json(value, lookup(name), lookup, depth + 1)
    return value


def _mismatch(detail: str) -> WbemError:
    return WbemError.of(WbemStatus.WBEM_E_TYPE_MISMATCH, detail)
