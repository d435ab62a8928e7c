"""Whole objects: EncodingUnit, ObjectBlock and EncodingUnitInstanceNoClass (2.2.1-2.2.14), both ways.

`encode_object` and `decode_object` are what an IWbemClassObject's marshaled form needs, the functions on blocks and
parts what the ObjectArray of MS-WMI 2.2.14 needs. Decoding raises `DecodeError` only; encoding raises `WbemError`
for what the format cannot carry.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

from openwmi.cim import CimObject, Class, Instance, Method, NameMap, Property, Qualifiers, Shape, fold
from openwmi.errors import DecodeError
from openwmi.wmio.class_parts import plan_of, read_class_part
from openwmi.wmio.instance_parts import (
    present_shape,
    read_instance_body,
    read_instance_part,
    write_instance_body,
    write_instance_part,
)
from openwmi.wmio.layout import HEAP_FLAG, LENGTH_TOLERANCE, SIGNATURE, U32, UNIT_HEADER, Decoration, ObjectFlags
from openwmi.wmio.methods import read_methods, write_methods
from openwmi.wmio.plans import ClassPartCache, Plan, Start
from openwmi.wmio.reading import Cursor, Scope
from openwmi.wmio.writing import HeapWriter, Nesting, Octets, encode_string, unfit

__all__ = [
    "decode_block",
    "decode_class_part",
    "decode_instance_no_class",
    "decode_object",
    "decode_refreshed",
    "encode_block",
    "encode_class_part",
    "encode_instance_no_class",
    "encode_object",
    "encode_refreshed",
]

_NOWHERE: Final = Decoration()
_NO_CLASS: Final = Class("")  # what stands for the superclass of a class that has none (2.2.11)
# As plain numbers, since an IntFlag's operators are slow, and every object passes here.
_CLASS, _INSTANCE, _DECORATED = (int(f) for f in (ObjectFlags.CLASS, ObjectFlags.INSTANCE, ObjectFlags.DECORATED))
_KINDS: Final = _CLASS | _INSTANCE
_PROTOTYPES: Final = (ObjectFlags.PROTOTYPE, ObjectFlags.PROTOTYPE | ObjectFlags.KEYS_MISSING)
_START: Final = "wmio start"  # the key in Shape.plans
_PLACES: Final = "wmio places"  # likewise: the plans of the same class from elsewhere
_MOST_PLACES: Final = 16

E = TypeVar("E", Property, Method)


# -- decoding


def decode_object(data: bytes, *, cache: ClassPartCache | None = None, on_demand: bool = False) -> CimObject:
    """The class or instance in an EncodingUnit (2.2.1), at its server and namespace as far as it tells them.

    An instance read `on_demand` looks its values up as they are asked for. Then a mistake in its heap is a
    `DecodeError` of whoever reads the value, so this is for a reader of results, not for a server's boundary.

    ObjectEncodingLength may differ from the bytes that are there by a few, as it does in the specification's own
    examples (16 less in section 3, 2 more in 3.2): what is lacking then, or too much, can only be slack behind the
    last structure, since all that means something has a length of its own.
    """
    cursor = Cursor(data, 0, len(data), "EncodingUnit")
    signature, length = cursor.unpack(UNIT_HEADER, "Signature")
    if signature != SIGNATURE:
        raise DecodeError("EncodingUnit.Signature", 0, f"0x{signature:08X} is not 0x{SIGNATURE:08X}")
    if abs(len(data) - cursor.at - length) > LENGTH_TOLERANCE:
        raise DecodeError("EncodingUnit.ObjectEncodingLength", 4, f"{length}, but {len(data) - cursor.at} bytes follow")
    cursor.end = min(cursor.end, cursor.at + length)
    return _read_block(cursor, _scope(cache), on_demand)


def decode_block(
    data: bytes, at: int = 0, end: int | None = None, *, cache: ClassPartCache | None = None, on_demand: bool = False
) -> CimObject:
    """The class or instance in an ObjectBlock (2.2.5) that is all of `data[at:end]`, but for slack at its end.

    `on_demand` as for `decode_object`.
    """
    return _read_block(Cursor(data, at, len(data) if end is None else end, "ObjectBlock"), _scope(cache), on_demand)


def decode_class_part(data: bytes, *, cache: ClassPartCache | None = None) -> Shape:
    """The shape that a ClassPart (2.2.15) declares, for `decode_instance_no_class`. Its class has no methods."""
    return read_class_part(Cursor(data, 0, len(data), "ClassPart"), _scope(cache)).shape


def decode_instance_no_class(
    data: bytes,
    shape: Shape,
    at: int = 0,
    end: int | None = None,
    *,
    cache: ClassPartCache | None = None,
    on_demand: bool = False,
) -> Instance:
    """The instance in an EncodingUnitInstanceNoClass (2.2.3), which is `data[at:end]`.

    `shape` is that of the instance that came with its class, `decode_block(...).shape`: it remembers the class part it
    was read from. `on_demand` as for `decode_object`.
    """
    cursor = Cursor(data, at, len(data) if end is None else end, "EncodingUnitInstanceNoClass")
    scope = _scope(cache)
    is_class, decoration = _read_start(cursor, scope.cache)
    if is_class:
        raise DecodeError("EncodingUnitInstanceNoClass.ObjectFlags", at, "a class, where an instance is due")
    plan = plan_of(shape, Nesting(_write_block))
    if decoration != (shape.cls.server, shape.cls.namespace):
        plan = _elsewhere(shape, plan, decoration, scope, cursor.field)
    return read_instance_part(cursor, plan, scope, decoration, on_demand=on_demand)


def _elsewhere(shape: Shape, plan: Plan, decoration: Decoration, scope: Scope, field: str) -> Plan:
    """The class of `shape` as if it stood behind another decoration: it comes from there as well.

    Reading it again costs what its part costs, whatever the instance weighs, so there is a limit to it.
    """
    places: dict[Decoration, Plan] = shape.plans.setdefault(_PLACES, {})
    found = places.get(decoration)
    if found is None:
        if len(places) >= _MOST_PLACES:
            raise DecodeError(f"{field}.Decoration", 0, f"{shape.cls.name} comes from more than {_MOST_PLACES} places")
        part = Cursor(plan.part, 0, len(plan.part), field)
        found = places[decoration] = read_class_part(part, scope, decoration)
    return found


def decode_refreshed(data: bytes, shape: Shape, *, cache: ClassPartCache | None = None) -> Instance:
    """The instance in a RefreshedSingleInstance (MS-WMI 2.2.19), whose class and place are known from elsewhere.

    The size in front may or may not count the four octets of HeapLength: the text does not say which. Either way the
    heap must end where `data` does.
    """
    field = "RefreshedSingleInstance"
    cursor = Cursor(data, 0, len(data), field)
    size = cursor.u32("InstanceHeapSize")
    ends = [U32.unpack_from(data, len(data) - 4 - n)[0] for n in (size, size - 4) if 0 <= n <= len(data) - 8]
    if not {HEAP_FLAG | size, HEAP_FLAG | (size - 4)}.intersection(ends):
        raise DecodeError(f"{field}.InstanceHeapSize", 0, f"no heap of {size} bytes is at the end")
    place = Decoration(shape.cls.server, shape.cls.namespace)
    made = read_instance_body(cursor, plan_of(shape, Nesting(_write_block)), _scope(cache), place)
    if cursor.at != len(data):
        raise DecodeError(field, cursor.at, f"{len(data) - cursor.at} bytes are left over")
    return made


def _scope(cache: ClassPartCache | None) -> Scope:
    return Scope(ClassPartCache() if cache is None else cache, _read_block)


def _read_start(cursor: Cursor, cache: ClassPartCache) -> tuple[bool, Decoration]:
    """ObjectFlags and Decoration (2.2.6, 2.2.7): whether the object is a class, and where it comes from.

    PROTOTYPE and KEYS_MISSING are not looked at: what they tell is plain from the properties that are there.
    """
    known = cache.start
    if known is not None and cursor.data.startswith(known.octets, cursor.at, cursor.end):
        cursor.at += len(known.octets)
        return known.is_class, known.decoration
    at = cursor.skip(1, "ObjectFlags")
    flags = cursor.data[at]
    kind = flags & _KINDS
    if kind not in (_CLASS, _INSTANCE):
        raise DecodeError(f"{cursor.field}.ObjectFlags", at, f"0x{flags:02X} is neither a class nor an instance")
    decoration = _NOWHERE
    if flags & _DECORATED:
        server = cursor.string("DecServerName")
        decoration = Decoration(server or None, cursor.string("DecNamespaceName") or None)
    cache.start = Start(cursor.data[at : cursor.at], kind == _CLASS, decoration)
    return kind == _CLASS, decoration


def _read_block(cursor: Cursor, scope: Scope, on_demand: bool = False) -> CimObject:
    is_class, decoration = _read_start(cursor, scope.cache)
    if is_class:
        return _read_class(cursor, scope, decoration)
    plan = read_class_part(cursor, scope, decoration)
    return read_instance_part(cursor, plan, scope, decoration, on_demand=on_demand)


def _read_class(cursor: Cursor, scope: Scope, decoration: Decoration) -> Class:
    """ClassType (2.2.11). The current class says all about itself; of its superclass only the form is checked."""
    _read_class_and_methods(cursor, scope, decoration)
    return _read_class_and_methods(cursor, scope, decoration)


def _read_class_and_methods(cursor: Cursor, scope: Scope, decoration: Decoration) -> Class:
    plan = read_class_part(cursor, scope, decoration)
    cls = plan.shape.cls
    methods = read_methods(cursor, scope, (*reversed(cls.derivation), cls.name))
    if not methods:
        return cls
    whole = Class(
        cls.name,
        cls.superclass,
        cls.derivation,
        cls.qualifiers,
        cls.properties,
        methods,
        cls.namespace,
        cls.server,
    )
    plan.at(whole.shape)
    return whole


# -- encoding


def encode_object(
    obj: CimObject,
    *,
    decoration: Decoration | None = None,
    parent: Class | None = None,
    flags: ObjectFlags = ObjectFlags.NONE,
) -> bytes:
    """`obj` as an EncodingUnit (2.2.1). The other arguments are those of `encode_block`."""
    parts = _block(obj, decoration, parent, flags)
    return b"".join((UNIT_HEADER.pack(SIGNATURE, sum(map(len, parts))), *parts))


def encode_block(
    obj: CimObject,
    *,
    decoration: Decoration | None = None,
    parent: Class | None = None,
    flags: ObjectFlags = ObjectFlags.NONE,
) -> bytes:
    """`obj` as an ObjectBlock (2.2.5).

    `decoration` defaults to the object's own server and namespace; an object that has neither is written without.
    `parent` is the superclass of a class, where the caller has it; without it as much of the superclass is written
    as the class tells. `flags` adds PROTOTYPE and KEYS_MISSING for a prototype result object (MS-WMI 2.2.4.1): a class
    that the caller has reduced to the properties selected.
    """
    return b"".join(_block(obj, decoration, parent, flags))


def encode_class_part(obj: CimObject | Shape) -> bytes:
    """The ClassPart (2.2.15) that instances of a class, or instances like this one, are sent with."""
    nesting = Nesting(_write_block)
    if isinstance(obj, Instance):
        return plan_of(present_shape(obj), nesting).part
    return plan_of(obj.shape if isinstance(obj, Class) else obj, nesting).part


def encode_instance_no_class(instance: Instance, *, decoration: Decoration | None = None) -> bytes:
    """`instance` as an EncodingUnitInstanceNoClass (2.2.3): its class part is known from one sent before."""
    _, parts = write_instance_part(instance, Nesting(_write_block))
    return b"".join((_start(instance, decoration), *parts))


def encode_refreshed(instance: Instance) -> bytes:
    """`instance` as a RefreshedSingleInstance (MS-WMI 2.2.19); the size in front is that of the whole InstanceHeap."""
    heap = HeapWriter(Nesting(_write_block))
    _, parts = write_instance_body(instance, plan_of(instance.shape, heap.nesting), heap)
    return b"".join((U32.pack(4 + len(heap.data)), *parts))


def _block(
    obj: CimObject, decoration: Decoration | None, parent: Class | None, flags: ObjectFlags
) -> tuple[Octets, ...]:
    """The pieces of an ObjectBlock, which are put together once."""
    if flags and (flags not in _PROTOTYPES or not isinstance(obj, Class)):
        raise ValueError(f"{flags!r} does not go with {obj!r}")
    return _parts(obj, Nesting(_write_block), _start(obj, decoration, flags), parent)


def _write_block(obj: CimObject, nesting: Nesting) -> bytes:
    """An object within an object."""
    return b"".join(_parts(obj, nesting, _start(obj)))


def _parts(obj: CimObject, nesting: Nesting, start: bytes, parent: Class | None = None) -> tuple[Octets, ...]:
    if isinstance(obj, Class):
        return start, _write_class(obj, parent, nesting)
    plan, parts = write_instance_part(obj, nesting)
    return start, plan.part, *parts


def _start(obj: CimObject, decoration: Decoration | None = None, flags: int = 0) -> bytes:
    """ObjectFlags and Decoration. The shape remembers those of the last instance: most come from one place."""
    place = (obj.server, obj.namespace) if decoration is None else decoration
    if isinstance(obj, Class):
        return _encode_start(_CLASS | int(flags), *place)
    known = obj.shape.plans.get(_START)
    if known is None or known[0] != place:
        known = obj.shape.plans[_START] = (place, _encode_start(_INSTANCE, *place))
    start: bytes = known[1]
    return start


def _encode_start(octet: int, server: str | None, namespace: str | None) -> bytes:
    if not (server or namespace):
        return bytes((octet,))
    return bytes((octet | _DECORATED,)) + encode_string(server or "") + encode_string(namespace or "")


def _write_class(cls: Class, parent: Class | None, nesting: Nesting) -> bytes:
    if parent is None:
        parent = _superclass(cls)
    elif fold(parent.name) != fold(cls.superclass or ""):
        raise unfit(f"{parent.name} is not the superclass of {cls.name}")
    return b"".join(_write_class_and_methods(each, nesting) for each in (parent, cls))


def _write_class_and_methods(cls: Class, nesting: Nesting) -> bytes:
    return plan_of(cls.shape, nesting).part + write_methods(cls, nesting)


def _superclass(cls: Class) -> Class:
    """What a resolved class tells of its superclass: everything that it inherited unchanged."""
    if cls.superclass is None:
        return _NO_CLASS
    name = cls.superclass
    return Class(
        name,
        cls.derivation[1] if len(cls.derivation) > 1 else None,
        cls.derivation[1:],
        _inherited(cls.qualifiers, fresh=False),
        NameMap(_property_above(p, name) for p in cls.properties.each() if _from_above(p, cls)),
        NameMap(_above(m, name) for m in cls.methods.each() if _from_above(m, cls)),
    )


def _from_above(element: Property | Method, cls: Class) -> bool:
    return element.propagated or fold(element.origin) not in (fold(cls.name), "")


def _property_above(declared: Property, name: str) -> Property:
    # Where the class sets a default of its own, what the superclass's is is not known.
    known = declared.propagated or declared.inherits_default
    return replace(_above(declared, name), default=declared.default if known else None, inherits_default=False)


def _above(element: E, name: str) -> E:
    """An inherited property or method as the superclass `name` has it."""
    own = fold(element.origin) == fold(name)
    return replace(element, propagated=not own, qualifiers=_inherited(element.qualifiers, fresh=own))


def _inherited(qualifiers: Qualifiers, *, fresh: bool) -> Qualifiers:
    """The qualifiers that came from above; `fresh` for the class that they first stood in."""
    return NameMap(replace(q, propagated=not fresh) for q in qualifiers.each() if q.propagated)
