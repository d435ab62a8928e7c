"""MethodsPart: a class's methods (2.2.38-2.2.52, 2.3.3), both ways.

A method's parameters are the properties of two classes named `__PARAMETERS`, one for what goes in and one for what
comes out. The qualifier ID puts those of both into one order; the property ReturnValue of the second is no parameter.
"""

from __future__ import annotations

import struct
from typing import Final

from openwmi.cim import Class, Direction, Method, NameMap, Parameter, Property, Qualifiers, fold
from openwmi.errors import DecodeError
from openwmi.wmio.layout import METHOD, METHODS_HEADER, NO_REFERENCE, PROPAGATED, U32
from openwmi.wmio.qualifiers import read_qualifiers
from openwmi.wmio.reading import Cursor, Heap, Scope, open_heap
from openwmi.wmio.writing import HeapWriter, Nesting

__all__ = ["read_methods", "write_methods"]

_RETURN_VALUE: Final = "returnvalue"
_COUNTS: Final = struct.Struct("<HH")  # MethodCount MethodCountPadding


# -- reading


def read_methods(cursor: Cursor, scope: Scope, chain: tuple[str, ...]) -> NameMap[Method]:
    """The methods of the MethodsPart that begins where `cursor` stands.

    `chain` names the classes that a MethodOrigin counts: the root class first, the class itself last.
    """
    start = cursor.at
    window = cursor.window("MethodsPart")
    count, _padding = window.unpack(_COUNTS, "MethodCount")
    at = window.skip(count * METHOD.size, f"MethodCount of {count}")
    heap = open_heap(window, scope)
    found = [_read_method(METHOD.unpack_from(window.data, at + METHOD.size * i), heap, chain) for i in range(count)]
    heap.close()
    try:
        return NameMap(found)
    except ValueError as problem:
        raise DecodeError("MethodsPart.MethodDescription", start, str(problem)) from None


def _read_method(raw: tuple[int, ...], heap: Heap, chain: tuple[str, ...]) -> Method:
    name_reference, flags, origin, qualifiers_at, input_at, output_at = raw
    name = heap.name(name_reference, "MethodsPart.MethodName")
    field = f"{name}()"
    qualifiers: Qualifiers = NameMap()
    if qualifiers_at != NO_REFERENCE:
        cursor = heap.cursor(qualifiers_at, f"{field}.MethodQualifiers")
        at = cursor.at
        window = cursor.window("MethodQualifiers")
        heap.claim(at, cursor.at, field)
        window.field = field
        qualifiers = read_qualifiers(window, heap)
    inputs = _read_signature(input_at, heap, f"{field}.InputSignature")
    outputs = _read_signature(output_at, heap, f"{field}.OutputSignature")
    propagated = bool(flags & PROPAGATED)
    returned = outputs.pop(_RETURN_VALUE, None)
    return Method(
        name,
        _parameters(inputs, outputs, heap.start, field),
        returned,
        qualifiers,
        chain[origin] if origin < len(chain) - propagated else "",
        propagated,
    )


def _read_signature(reference: int, heap: Heap, field: str) -> dict[str, Property]:
    """The properties of a `__PARAMETERS` class by folded name; none where there is no class (2.2.70)."""
    if reference == NO_REFERENCE:
        return {}
    cursor = heap.cursor(reference, field)
    at = cursor.at
    block = cursor.block("MethodSignatureBlock")
    heap.claim(at, cursor.at, field)
    if block.at == block.end:
        return {}
    block.field = field
    signature = heap.scope.embedded(block)
    if not isinstance(signature, Class):
        raise DecodeError(field, at, "an instance, where a class of parameters is due")
    return {fold(p.name): p for p in signature.properties.each()}


def _parameters(inputs: dict[str, Property], outputs: dict[str, Property], at: int, field: str) -> NameMap[Parameter]:
    found = []
    for place, key in enumerate(inputs | outputs):
        into, out = inputs.get(key), outputs.get(key)
        if into is not None and out is not None and (into.type, into.is_array) != (out.type, out.is_array):
            raise DecodeError(f"{field}.{into.name}", at, "is of another type going in than coming out")
        found.append(_parameter(into, out, place))
    return NameMap(sorted(found, key=lambda parameter: parameter.id))


def _parameter(into: Property | None, out: Property | None, place: int) -> Parameter:
    declared = into or out
    assert declared is not None
    qualifiers = declared.qualifiers
    direction = Direction.OUT if into is None else Direction.IN
    if into is not None and out is not None:
        direction = Direction.IN_OUT
        qualifiers = out.qualifiers.with_items(into.qualifiers.each())
    id_ = qualifiers["ID"].value if "ID" in qualifiers else place
    return Parameter(
        declared.name,
        declared.type,
        declared.is_array,
        direction,
        id_ if isinstance(id_, int) else place,
        declared.class_name,
        qualifiers.without("ID"),
        declared.default,
    )


# -- writing


def write_methods(cls: Class, nesting: Nesting) -> bytes:
    """The MethodsPart of a class; it is there even for a class without methods."""
    heap = HeapWriter(nesting)
    origins = {fold(name): i for i, name in enumerate(reversed(cls.derivation))}
    described = b"".join(_write_method(method, heap, origins) for method in cls.methods.each())
    body = b"".join((described, *heap.parts()))
    return METHODS_HEADER.pack(METHODS_HEADER.size + len(body), len(cls.methods), 0) + body


def _write_method(method: Method, heap: HeapWriter, origins: dict[str, int]) -> bytes:
    name = heap.name(method.name)
    input_at = _write_signature(method.in_class, heap)
    output_at = _write_signature(method.out_class, heap)
    qualifiers_at = heap.put(heap.qualifier_set(method.qualifiers))
    origin = origins.get(fold(method.origin), len(origins))
    flags = PROPAGATED if method.propagated else 0
    return METHOD.pack(name, flags, origin, qualifiers_at, input_at, output_at)


def _write_signature(signature: Class | None, heap: HeapWriter) -> int:
    """A MethodSignatureBlock; one of no length where nothing goes that way, as there is no class then."""
    return heap.put(U32.pack(0)) if signature is None else heap.object(signature)
