r"""Classes and instances as JSON text, and back: the form in which the repository keeps them.

Everything that the model can hold survives the round trip: all types, NULL, defaulted and absent properties,
projections, qualifiers with flavors, embedded classes and instances (with their class), NaN and infinities, and lone
surrogates. Reading is strict: `DecodeError` names the place in the object (``properties[3].type``).

An instance maps *folded* property names to values, so that it outlives changes to its class and conditions can be
looked up by ``$.p.name``; a property that is not mentioned has its class's default:

    {"v":1,"p":{"id":7,"note":null}}
      "s" the properties of a projection, "a" the absent ones, "t":1 types only inferred,
      "q" qualifiers, "pq" qualifiers of properties, "at" [namespace, server]

Values are JSON's own, but for: datetimes are their text, arrays of uint8 are base64, NaN and the infinities are
``"nan"``, ``"inf"``, ``"-inf"``, and embedded objects are {"class": ...} or {"class": ..., "object": ...}.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

from openwmi.cim import (
    ABSENT,
    DEFAULT,
    INTEGER_RANGES,
    CimType,
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
    Shape,
    conform,
    fold,
    return_value,
    type_name,
)
from openwmi.errors import CallerError, DecodeError

__all__ = ["VERSION", "decode_class", "decode_instance", "encode_class", "encode_instance"]

VERSION: Final = 1
MAX_DEPTH: Final = 32
"""How deep embedded objects may nest: each level costs a few stack frames."""

_PLAN_IN: Final = "repository: in"
_PLAN_OUT: Final = "repository: out"

_PLAIN: Final[dict[CimType, type[Any]]] = {
    CimType.STRING: str,
    CimType.REFERENCE: str,
    CimType.BOOLEAN: bool,
    **dict.fromkeys(INTEGER_RANGES, int),
}
"""The types whose values are JSON's own, and what Python makes of them."""

Json = dict[str, Any]


def encode_class(cls: Class) -> str:
    """The declaration as it is, resolved or local, without its location."""
    return _dump({"v": VERSION, **_class_out(cls, 0)})


def decode_class(text: str) -> Class:
    """The class that `encode_class` wrote. Raises `DecodeError`."""
    return _class_in(_load(text), "class", 0)


def encode_instance(instance: Instance) -> str:
    """The instance without its class and location. `ValueError` if it nests deeper than `MAX_DEPTH`."""
    return _dump({"v": VERSION, **_instance_out(instance, 0)})


def decode_instance(text: str, cls: Class) -> Instance:
    """The instance that `encode_instance` wrote, as one of `cls`. Raises `DecodeError`.

    What `cls` no longer declares is left out; what it has come to declare is defaulted.
    """
    return _instance_in(_load(text), cls, "instance", 0)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


# Made once: `json.dumps` and `json.loads` would make them anew for each call. Only ASCII is written: lone surrogates
# pass as escapes, and the database need not know about them.
_dump: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_parse: Final = json.JSONDecoder(parse_constant=_no_constant).raw_decode


def _load(text: str) -> Json:
    try:
        found, end = _parse(text)
    except RecursionError:
        raise DecodeError("JSON", 0, "nested too deeply") from None
    except ValueError as error:
        at = error.pos if isinstance(error, json.JSONDecodeError) else 0
        raise DecodeError("JSON", at, str(error)) from None
    if end != len(text):
        raise DecodeError("JSON", end, "something follows the object")
    if not isinstance(found, dict):
        raise DecodeError("JSON", 0, "an object is expected")
    if found.get("v") != VERSION:
        raise DecodeError("v", 0, f"the encoding's version is {found.get('v')!r:.20}, known is {VERSION}")
    return found


# -- values: one function per type and direction, chosen once per property


def _value_out(value: Any, type_: CimType, is_array: bool, depth: int) -> Any:
    if value is None:
        return None
    if is_array:
        if type_ is CimType.UINT8:
            return base64.b64encode(value).decode("ascii")
        if type_ in _PLAIN:
            return list(value)
        return [_value_out(item, type_, False, depth) for item in value]
    if type_ is CimType.DATETIME:
        return value.text
    if type_ is CimType.OBJECT:
        return _object_out(value, depth + 1)
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _value_in(raw: Any, type_: CimType, is_array: bool, where: str, depth: int) -> Any:
    if raw is None:
        return None
    if not is_array:
        value = _scalar_in(raw, type_, where, depth)
    elif type_ is CimType.UINT8:
        try:
            return base64.b64decode(raw, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise DecodeError(where, 0, "bytes in base64 are expected") from None
    else:
        value = [None if item is None else _scalar_in(item, type_, where, depth) for item in _typed(raw, list, where)]
    try:
        return conform(value, type_, is_array)
    except CallerError as error:
        raise DecodeError(where, 0, str(error)) from None


def _scalar_in(raw: Any, type_: CimType, where: str, depth: int) -> Any:
    if type_ is CimType.OBJECT:
        return _object_in(_typed(raw, dict, where), where, depth + 1)
    if type_ in (CimType.REAL32, CimType.REAL64):
        if isinstance(raw, str) and raw in ("nan", "inf", "-inf"):
            return float(raw)
    elif type_ is CimType.DATETIME:
        try:
            return DateTime(_typed(raw, str, where))
        except CallerError as error:
            raise DecodeError(where, 0, str(error)) from None
    return raw


def _object_out(value: Class | Instance, depth: int) -> Json:
    if depth > MAX_DEPTH:
        raise ValueError(f"embedded objects may nest {MAX_DEPTH} deep")
    where = [value.namespace, value.server]
    located = {"at": where} if where != [None, None] else {}
    if isinstance(value, Class):
        return {"class": _class_out(value, depth), **located}
    return {"class": _class_out(value.cls, depth), "object": _instance_out(value, depth), **located}


def _object_in(raw: Json, where: str, depth: int) -> Class | Instance:
    if depth > MAX_DEPTH:
        raise DecodeError(where, 0, f"embedded objects nest deeper than {MAX_DEPTH}")
    cls = _class_in(_typed(raw.get("class"), dict, f"{where}.class"), f"{where}.class", depth)
    at = _typed(raw.get("at", [None, None]), list, f"{where}.at")
    if len(at) != 2 or not all(item is None or isinstance(item, str) for item in at):
        raise DecodeError(f"{where}.at", 0, "a namespace and a server are expected")
    if "object" not in raw:
        return replace(cls, namespace=at[0], server=at[1])
    instance = _instance_in(_typed(raw["object"], dict, where), cls, where, depth)
    instance.namespace, instance.server = at
    return instance


# -- instances


def _instance_out(instance: Instance, depth: int) -> Json:
    shape = instance.shape
    plan = _plan_out(shape)
    values: Json = {}
    out: Json = {"p": values}
    for (name, write), value in zip(plan.writers, instance.values, strict=True):
        if value is ABSENT:
            out.setdefault("a", []).append(name)
        elif value is not DEFAULT:
            values[name] = value if value is None or write is None else write(value, depth)
    if not plan.is_whole:
        own = shape.cls.properties
        out["s"] = [
            fold(p.name) if p.name in own and own[p.name] == p else _property_out(p, depth) for p in shape.properties
        ]
    if not shape.declared:
        out["t"] = 1
    if instance.qualifiers:
        out["q"] = _qualifiers_out(instance.qualifiers, depth)
    if instance.property_qualifiers:
        out["pq"] = {name: _qualifiers_out(q, depth) for name, q in instance.property_qualifiers.items()}
    return out


_Writer = Callable[[Any, int], Any]


@dataclass(frozen=True, slots=True)
class _PlanOut:
    """For each slot the folded name and what writes its value (None: JSON takes it as it is)."""

    writers: tuple[tuple[str, _Writer | None], ...]
    is_whole: bool


def _plan_out(shape: Shape) -> _PlanOut:
    found: _PlanOut | None = shape.plans.get(_PLAN_OUT)
    if found is None:
        writers = tuple((fold(p.name), _writer(p)) for p in shape.properties)
        found = _PlanOut(writers, shape.properties == tuple(shape.cls.properties.each()))
        shape.plans[_PLAN_OUT] = found
    return found


def _writer(declared: Property) -> _Writer | None:
    if declared.type in _PLAIN and not declared.is_array:
        return None
    return lambda value, depth: _value_out(value, declared.type, declared.is_array, depth)


def _instance_in(raw: Json, cls: Class, where: str, depth: int) -> Instance:
    shape = _shape_in(raw, cls, where, depth) if "s" in raw or "t" in raw else cls.shape
    values: list[Any] = [DEFAULT] * len(shape.properties)
    find = _plan_in(shape).get
    found = raw.get("p")
    for name, item in (found if type(found) is dict else _typed(found, dict, f"{where}.p")).items():
        slot = find(name)
        if slot is not None:
            at, kind, low, high, read = slot
            # What needs no conversion, and that is nearly everything, is only checked.
            if item is None or (type(item) is kind and (low is None or low <= item <= high)):
                values[at] = item
            else:
                values[at] = read(item, where, depth)
    instance = Instance.of_values(shape, values)
    if len(raw) > (2 if "v" in raw else 1):
        _rest_in(instance, raw, where, depth)
    return instance


def _rest_in(instance: Instance, raw: Json, where: str, depth: int) -> None:
    """What most instances have not got: absent properties and qualifiers."""
    for name in _typed(raw.get("a", []), list, f"{where}.a"):
        index = instance.shape.index.get(_typed(name, str, f"{where}.a"))
        if index is not None:
            instance.values[index] = ABSENT
    if "q" in raw:
        instance.qualifiers = _qualifiers_in(raw["q"], f"{where}.q", depth)
    if "pq" in raw:
        instance.property_qualifiers = {
            name: _qualifiers_in(q, f"{where}.pq.{name}", depth)
            for name, q in _typed(raw["pq"], dict, f"{where}.pq").items()
        }


def _shape_in(raw: Json, cls: Class, where: str, depth: int) -> Shape:
    properties: list[Property] = list(cls.properties.each())
    if "s" in raw:
        properties = []
        for i, item in enumerate(_typed(raw["s"], list, f"{where}.s")):
            if isinstance(item, dict):
                properties.append(_property_in(item, f"{where}.s[{i}]", depth))
            elif _typed(item, str, f"{where}.s[{i}]") in cls.properties:
                properties.append(cls.properties[item])
    return Shape(cls, properties, declared="t" not in raw)


_Reader = Callable[[Any, str, int], Any]
_Slot = tuple[int, type[Any] | None, Any, Any, _Reader]
"""The index, the type of what is taken as it is and its limits, and what reads anything else, or says what is wrong."""


def _plan_in(shape: Shape) -> dict[str, _Slot]:
    """For each folded name its slot, worked out once per shape."""
    found: dict[str, _Slot] | None = shape.plans.get(_PLAN_IN)
    if found is None:
        found = {fold(p.name): _slot(i, p) for i, p in enumerate(shape.properties)}
        shape.plans[_PLAN_IN] = found
    return found


def _slot(index: int, declared: Property) -> _Slot:
    def read(raw: Any, where: str, depth: int) -> Any:
        return _value_in(raw, declared.type, declared.is_array, f"{where}.{declared.name}", depth)

    kind = None if declared.is_array else _PLAIN.get(declared.type)
    low, high = INTEGER_RANGES.get(declared.type, (None, None))
    return index, kind, low, high, read


# -- declarations


def _class_out(cls: Class, depth: int) -> Json:
    out: Json = {"n": cls.name}
    if cls.superclass is not None:
        out["super"] = cls.superclass
    if cls.derivation:
        out["up"] = list(cls.derivation)
    _some(out, "q", _qualifiers_out(cls.qualifiers, depth))
    _some(out, "p", [_property_out(p, depth) for p in cls.properties.each()])
    _some(out, "m", [_method_out(m, depth) for m in cls.methods.each()])
    return out


def _class_in(raw: Json, where: str, depth: int) -> Class:
    name = _typed(raw.get("n"), str, f"{where}.n")
    where = f"{where} {name[:80]}"
    return Class(
        name,
        _optional(raw, "super", where),
        tuple(_typed(item, str, f"{where}.up") for item in _typed(raw.get("up", []), list, f"{where}.up")),
        _qualifiers_in(raw.get("q", []), f"{where}.qualifiers", depth),
        _named(raw, "p", f"{where}.properties", lambda item, at: _property_in(item, at, depth)),
        _named(raw, "m", f"{where}.methods", lambda item, at: _method_in(item, at, depth)),
    )


def _property_out(declared: Property, depth: int) -> Json:
    out = _typed_out(declared, depth)
    if declared.origin:
        out["o"] = declared.origin
    if declared.propagated:
        out["i"] = 1
    if declared.inherits_default:
        out["di"] = 1
    return out


def _property_in(raw: Json, where: str, depth: int) -> Property:
    name, type_, is_array, default, class_name, qualifiers = _typed_in(raw, where, depth)
    origin = _optional(raw, "o", where) or ""
    return Property(name, type_, is_array, default, class_name, qualifiers, origin, "i" in raw, "di" in raw)


def _parameter_out(declared: Parameter, depth: int) -> Json:
    return {**_typed_out(declared, depth), "x": declared.direction.value, "id": declared.id}


def _parameter_in(raw: Json, where: str, depth: int) -> Parameter:
    name, type_, is_array, default, class_name, qualifiers = _typed_in(raw, where, depth)
    direction = raw.get("x")
    if direction not in (1, 2, 3):
        raise DecodeError(f"{where}.x", 0, "a direction is expected")
    return Parameter(
        name, type_, is_array, Direction(direction), _typed(raw.get("id"), int, f"{where}.id"), class_name, qualifiers,
        default,
    )  # fmt: skip


def _typed_out(declared: Property | Parameter, depth: int) -> Json:
    """What properties and parameters have in common."""
    out: Json = {"n": declared.name, "t": type_name(declared.type, declared.is_array)}
    if declared.default is not None:
        out["d"] = _value_out(declared.default, declared.type, declared.is_array, depth)
    if declared.class_name is not None:
        out["c"] = declared.class_name
    _some(out, "q", _qualifiers_out(declared.qualifiers, depth))
    return out


def _typed_in(raw: Json, where: str, depth: int) -> tuple[str, CimType, bool, Any, str | None, Qualifiers]:
    name = _typed(raw.get("n"), str, f"{where}.n")
    type_, is_array = _type_in(raw.get("t"), f"{where}.type")
    default = _value_in(raw.get("d"), type_, is_array, f"{where}.default", depth)
    qualifiers = _qualifiers_in(raw.get("q", []), f"{where}.qualifiers", depth)
    return name, type_, is_array, default, _optional(raw, "c", where), qualifiers


def _method_out(method: Method, depth: int) -> Json:
    out: Json = {"n": method.name}
    if method.returns is not None:
        plain = method.returns == return_value(method.returns.type)
        out["r"] = method.returns.type.text if plain else _property_out(method.returns, depth)
    _some(out, "p", [_parameter_out(p, depth) for p in method.parameters.each()])
    _some(out, "q", _qualifiers_out(method.qualifiers, depth))
    if method.origin:
        out["o"] = method.origin
    if method.propagated:
        out["i"] = 1
    return out


def _method_in(raw: Json, where: str, depth: int) -> Method:
    return Method(
        _typed(raw.get("n"), str, f"{where}.n"),
        _named(raw, "p", f"{where}.parameters", lambda item, at: _parameter_in(item, at, depth)),
        _returns_in(raw.get("r"), f"{where}.returns", depth),
        _qualifiers_in(raw.get("q", []), f"{where}.qualifiers", depth),
        _optional(raw, "o", where) or "",
        "i" in raw,
    )


def _returns_in(raw: Any, where: str, depth: int) -> Property | None:
    """What a method returns: nothing, one of the plain types by its name, or a property."""
    if raw is None:
        return None
    return _property_in(raw, where, depth) if isinstance(raw, dict) else return_value(_type_in(raw, where)[0])


def _qualifiers_out(qualifiers: Qualifiers, depth: int) -> list[Json]:
    found = []
    for q in qualifiers.each():
        out: Json = {"n": q.name, "t": type_name(q.type, q.is_array)}
        out["v"] = _value_out(q.value, q.type, q.is_array, depth)
        if q.flavor:
            out["f"] = q.flavor.value
        if q.propagated:
            out["i"] = 1
        found.append(out)
    return found


def _qualifiers_in(raw: Any, where: str, depth: int) -> Qualifiers:
    def read(item: Json, at: str) -> Qualifier:
        type_, is_array = _type_in(item.get("t"), f"{at}.type")
        flavor = Flavor(_typed(item.get("f", 0), int, f"{at}.f"))
        value = _value_in(item.get("v"), type_, is_array, f"{at}.value", depth)
        return Qualifier(_typed(item.get("n"), str, f"{at}.n"), type_, value, is_array, flavor, "i" in item)

    return _named({"q": raw}, "q", where, read)


# -- checks


def _named(raw: Json, key: str, where: str, read: Callable[[Json, str], Any]) -> NameMap[Any]:
    items = _typed(raw.get(key, []), list, where)
    try:
        return NameMap([read(_typed(item, dict, f"{where}[{i}]"), f"{where}[{i}]") for i, item in enumerate(items)])
    except ValueError as error:
        raise DecodeError(where, 0, str(error)) from None


def _type_in(raw: Any, where: str) -> tuple[CimType, bool]:
    text = _typed(raw, str, where)
    try:
        return CimType.named(text.removesuffix("[]")), text.endswith("[]")
    except CallerError as error:
        raise DecodeError(where, 0, str(error)) from None


def _typed(raw: Any, kind: type[Any], where: str) -> Any:
    if type(raw) is not kind:
        raise DecodeError(where, 0, f"{kind.__name__} is expected, not {type(raw).__name__}")
    return raw


def _optional(raw: Json, key: str, where: str) -> str | None:
    return None if key not in raw else str(_typed(raw[key], str, f"{where}.{key}"))


def _some(out: Json, key: str, items: list[Json]) -> None:
    if items:
        out[key] = items
