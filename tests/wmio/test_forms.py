"""Every type and every form to the octet, as a table that drives both directions, and the rules about them."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import (
    CimType,
    Class,
    DateTime,
    Flavor,
    Instance,
    Method,
    NameMap,
    Property,
    Qualifier,
    Qualifiers,
    fold,
)
from openwmi.errors import DecodeError, WbemError
from openwmi.status import WbemStatus
from openwmi.wmio import (
    Decoration,
    ObjectFlags,
    decode_block,
    decode_class_part,
    decode_instance_no_class,
    decode_object,
    encode_block,
    encode_class_part,
    encode_instance_no_class,
    encode_object,
)
from tests import strategies

T = CimType
WHEN = DateTime("20260131120000.000000+060")
WHEN_OCTETS = b"\0" + WHEN.text.encode() + b"\0"
EMPTY = encode_block(Class("E"))
SIZED = struct.pack("<I", len(EMPTY)) + EMPTY
REF = "@@"  # in what is expected: the reference to the heap's next free octet

# type, number, value, slot, what the heap holds
SCALARS = [
    (T.SINT8, 16, -2, "fe", b""),
    (T.UINT8, 17, 254, "fe", b""),
    (T.SINT16, 2, -2, "feff", b""),
    (T.UINT16, 18, 0xFFFE, "feff", b""),
    (T.SINT32, 3, -2, "feffffff", b""),
    (T.UINT32, 19, 0xFFFFFFFE, "feffffff", b""),
    (T.SINT64, 20, -2, "feffffffffffffff", b""),
    (T.UINT64, 21, 2**64 - 2, "feffffffffffffff", b""),
    (T.REAL32, 4, 1.5, "0000c03f", b""),
    (T.REAL64, 5, 1.5, "000000000000f83f", b""),
    (T.BOOLEAN, 11, True, "ffff", b""),
    (T.BOOLEAN, 11, False, "0000", b""),
    (T.CHAR16, 103, "\u0141", "4101", b""),
    (T.STRING, 8, "text", REF, b"\0text\0"),
    (T.STRING, 8, "", REF, b"\0\0"),
    (T.STRING, 8, "\u0141", REF, b"\1\x41\1\0\0"),
    (T.DATETIME, 101, WHEN, REF, WHEN_OCTETS),
    (T.REFERENCE, 102, "A.B=1", REF, b"\0A.B=1\0"),
    (T.OBJECT, 13, Class("E"), REF, SIZED),
]  # fmt: skip


def arrays() -> list[tuple[CimType, int, Any, str, bytes]]:
    """Of each type the array of one value and that of none."""
    rows: list[tuple[CimType, int, Any, str, bytes]] = []
    for type_, number, value, slot, heap in SCALARS:
        one = b"\xfe" if type_ is T.UINT8 else (value,)
        none = b"" if type_ is T.UINT8 else ()
        rows.append((type_, number | 0x2000, one, slot, heap))
        rows.append((type_, number | 0x2000, none, "", b""))
    return rows


def placed(slot: str, at: int) -> bytes:
    return struct.pack("<I", at) if slot == REF else bytes.fromhex(slot)


ROWS = [(*row, False) for row in SCALARS] + [(*row, True) for row in arrays()]


def layout(slot: str, heap: bytes, is_array: bool, at: int, count: int) -> tuple[bytes, bytes]:
    """The slot of a value and what is in the heap from `at` on."""
    if not is_array:
        return placed(slot, at), heap
    return struct.pack("<I", at), struct.pack("<I", count) + placed(slot, at + 8) + heap


@pytest.mark.requirement(
    "WMIO-2.2-01", "WMIO-2.2.26-02", "WMIO-2.2.29-01", "WMIO-2.2.29-02", "WMIO-2.2.29-04", "WMIO-2.2.53-02",
    "WMIO-2.2.56-01", "WMIO-2.2.53-01", "WMIO-2.2.54-01", "WMIO-2.2.68-01", "WMIO-2.2.72-01", "WMIO-2.2.72-02",
    "WMIO-2.2.72-03", "WMIO-2.2.73-01", "WMIO-2.2.78-05", "WMIO-2.2.78-06", "WMIO-2.2.79-01", "WMIO-2.2.79-02",
    "WMIO-2.3.1-01", "WMIO-2.3.2-01", "WMIO-2.2.65-01", "WMIO-2.2.3-03", "WMIO-2.2.3-04", "WMIO-2.2.3-05",
)  # fmt: skip
@pytest.mark.parametrize(("type_", "number", "value", "slot", "heap", "is_array"), ROWS)
def test_a_value_of_an_instance(
    type_: CimType, number: int, value: Any, slot: str, heap: bytes, is_array: bool
) -> None:
    cls = Class("A", properties=NameMap([Property("P", type_, is_array)]))
    in_slot, in_heap = layout(slot, heap, is_array, 3, len(value) if is_array else 0)
    items = b"\0A\0" + in_heap
    body = b"\0" + bytes(4) + b"\0" + in_slot + bytes.fromhex("0400000001") + struct.pack("<I", 0x80000000 | len(items))
    part = struct.pack("<I", 4 + len(body) + len(items)) + body + items
    instance = cls.new(P=value)
    assert encode_instance_no_class(instance) == b"\2" + part
    assert encode_block(instance) == b"\2" + encode_class_part(cls) + part
    for found in (
        decode_block(b"\2" + encode_class_part(cls) + part),
        decode_instance_no_class(b"\2" + part, decode_class_part(encode_class_part(cls))),
    ):
        assert isinstance(found, Instance)
        assert found["P"] == value
        assert type(found["P"]) is type(value)


@pytest.mark.requirement(
    "WMIO-2.2.15-01", "WMIO-2.2.16-01", "WMIO-2.2.24-01", "WMIO-2.2.25-01", "WMIO-2.2.26-01", "WMIO-2.2.29-03",
    "WMIO-2.2.31-01", "WMIO-2.2.34-01", "WMIO-2.2.37-01", "WMIO-2.2.61-01", "WMIO-2.2.61-02", "WMIO-2.2.63-01",
    "WMIO-2.2.64-01", "WMIO-2.2.71-01", "WMIO-2.2.71-02", "WMIO-2.2.74-01", "WMIO-2.2.76-01", "WMIO-2.2.82-01",
    "WMIO-2.2.69-01",
)  # fmt: skip
@pytest.mark.parametrize(("type_", "number", "value", "slot", "heap", "is_array"), ROWS)
def test_a_default_and_a_qualifier(
    type_: CimType, number: int, value: Any, slot: str, heap: bytes, is_array: bool
) -> None:
    """A class with the qualifier Q of that value, and the properties N, without a default, and P with the value."""
    cls = Class(
        "A",
        qualifiers=NameMap([Qualifier("Q", type_, value, is_array, Flavor.TO_SUBCLASS | Flavor.AMENDED)]),
        properties=NameMap([Property("N", type_, is_array), Property("P", type_, is_array, value)]),
    )
    data = encode_class_part(cls)
    count = len(value) if is_array else 0
    in_slot, in_heap = layout(slot, heap, is_array, 6, count)
    width = len(in_slot)
    header = struct.pack("<IBII", len(data), 0, 0, 1 + 2 * width)
    qualifier = struct.pack("<IBI", 3, 0x82, number) + in_slot
    start = header + struct.pack("<II", 4, 4 + len(qualifier)) + qualifier + struct.pack("<I", 2)
    assert data.startswith(start)
    lookups = struct.unpack_from("<IIII", data, len(start))
    nd = len(start) + 16
    at = nd + 1 + 2 * width + 4
    assert data[at : at + 6 + len(in_heap)] == b"\0A\0\0Q\0" + in_heap
    assert struct.unpack_from("<I", data, at - 4)[0] == 0x80000000 | (len(data) - at)
    assert data[nd] == 0b0001  # N is NULL
    assert data[nd + 1 : nd + 1 + width] == b"\xff" * width
    for i, (name, info) in enumerate((lookups[:2], lookups[2:])):
        assert data[at + name :].startswith(b"\0P\0" if i else b"\0N\0")
        assert struct.unpack_from("<IHII", data, at + info) == (number, i, i * width, 0)
    default, _ = layout(slot, heap, is_array, 0, count)
    if not heap and not is_array:
        assert data[nd + 1 + width : nd + 1 + 2 * width] == default
    shape = decode_class_part(data)
    found = shape.cls.qualifiers["Q"]
    assert (found.type, found.value, found.is_array, found.flavor) == (
        type_, value, is_array, Flavor.TO_SUBCLASS | Flavor.AMENDED
    )  # fmt: skip
    assert [p.default for p in shape.properties] == [None, value]
    assert [(p.type, p.is_array) for p in shape.properties] == [(type_, is_array)] * 2


@pytest.mark.parametrize("type_", list(T))
def test_a_qualifier_that_is_null(type_: CimType) -> None:
    """What is in the heap may be missing there (2.2.69). A number, in its place, is always one."""
    cls = Class("A", qualifiers=NameMap([Qualifier("Q", type_, None), Qualifier("R", type_, None, True)]))
    if type_ in (T.STRING, T.DATETIME, T.REFERENCE, T.OBJECT):
        assert decode_class_part(encode_class_part(cls)).cls == cls
        return
    with pytest.raises(WbemError, match=f"qualifier Q: MS-WMIO has no NULL of {type_.text}") as caught:
        encode_class_part(cls)
    assert caught.value.status == WbemStatus.WBEM_E_INVALID_PARAMETER
    arrays = Class("A", qualifiers=cls.qualifiers.without("Q"))
    assert decode_class_part(encode_class_part(arrays)).cls == arrays


FLAVORS = [Flavor(bits) for bits in (0, 1, 2, 0x10, 0x40, 0x80, 0xD3)]


@pytest.mark.parametrize("propagated", [False, True])
@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.requirement("WMIO-2.2.62-01", "WMIO-2.2.62-02")
def test_flavors(flavor: Flavor, propagated: bool) -> None:
    qualifier = Qualifier("Q", T.STRING, "x", False, flavor, propagated)
    cls = Class("A", qualifiers=NameMap([qualifier]))
    data = encode_class_part(cls)
    octet = flavor | (0x20 if propagated else 0)
    at = data.index(struct.pack("<IBI", 3, octet, T.STRING)) + 4
    for ignored in (0, 0x04, 0x08, 0x0C):
        changed = data[:at] + bytes([octet | ignored]) + data[at + 1 :]
        assert decode_class_part(changed).cls.qualifiers["Q"] == qualifier


@st.composite
def any_qualifiers(draw: st.DrawFn) -> Qualifiers:
    """Qualifiers of every type, arrays too, with every flavor."""
    found = {}
    for name in draw(st.lists(strategies.names(), max_size=3)):
        type_, is_array = draw(strategies.types(0))
        value = strategies.values(type_, is_array)
        if is_array or type_ in (T.STRING, T.DATETIME, T.REFERENCE):  # there is no NULL among numbers
            value = st.none() | value
        flavor, propagated = draw(st.sampled_from(FLAVORS)), draw(st.booleans())
        found[fold(name)] = Qualifier(name, type_, draw(value), is_array, flavor, propagated)
    return NameMap(found.values())


@settings(max_examples=60)
@given(any_qualifiers(), any_qualifiers(), any_qualifiers())
@pytest.mark.requirement(
    "WMIO-2.2.61-03", "WMIO-2.2.47-01", "WMIO-2.2.46-01", "WMIO-2.2.65-02", "WMIO-2.2.65-03", "WMIO-2.2.65-04",
    "WMIO-2.2.57-01",
)  # fmt: skip
def test_qualifiers_wherever_they_stand(one: Qualifiers, two: Qualifiers, three: Qualifiers) -> None:
    """On a class, a property, a method, an instance and an instance's property."""
    properties = NameMap([Property("Z", T.STRING, qualifiers=two), Property("Y", T.UINT8)])
    cls = Class("A", None, (), one, properties, NameMap([Method("M", qualifiers=three)])).rooted()
    found = decode_object(encode_object(cls))
    assert found == cls
    instance = cls.new(Z="z")
    instance.qualifiers = two
    for of_properties in ({}, {"z": three}, {"y": three, "z": one}):
        instance.property_qualifiers = {name: q for name, q in of_properties.items() if q}
        again = decode_object(encode_object(instance))
        assert isinstance(again, Instance)
        assert again.qualifiers == two
        assert again.property_qualifiers == instance.property_qualifiers


@pytest.mark.requirement(
    "WMIO-2.2.6-01", "WMIO-2.2.6-05", "WMIO-2.2.7-01", "WMIO-2.2.7-02", "WMIO-2.2.7-03", "WMIO-2.2.7-04",
    "WMIO-2.2.77-01", "WMIO-2.2.3-01", "WMIO-2.2.3-02",
)  # fmt: skip
@pytest.mark.parametrize(
    ("decoration", "octets"),
    [
        (Decoration(), ""),
        (Decoration("S", "n"), "0053 00 006e 00"),
        (Decoration("S"), "0053 00 0000"),
        (Decoration(None, "n"), "0000 006e 00"),
        (Decoration("\u0100"), "01 0001 0000 0000"),
    ],
)
def test_flags_and_decoration(decoration: Decoration, octets: str) -> None:
    place = bytes.fromhex(octets)
    decorated = 4 if place else 0
    cls = Class("A")
    for obj, kind in ((cls, 1), (cls.new(), 2)):
        whole = encode_object(obj, decoration=decoration)
        assert whole.startswith(struct.pack("<II", 0x12345678, len(whole) - 8) + bytes([kind | decorated]) + place)
        found = decode_object(whole)
        assert (found.server, found.namespace) == decoration
    bare = encode_instance_no_class(cls.new(), decoration=decoration)
    assert bare.startswith(bytes([2 | decorated]) + place)
    again = decode_instance_no_class(bare, cls.shape)
    assert (again.server, again.namespace) == decoration


@pytest.mark.requirement("WMIO-2.2.6-02", "WMIO-2.2.6-04")
def test_flags_of_prototypes() -> None:
    cls = Class("A")
    both = ObjectFlags.PROTOTYPE | ObjectFlags.KEYS_MISSING
    assert encode_block(cls, flags=ObjectFlags.PROTOTYPE)[0] == 0x11
    assert encode_block(cls, flags=both)[0] == 0x51
    assert decode_block(encode_block(cls, flags=both)) == cls
    for obj, flags in ((cls, ObjectFlags.KEYS_MISSING), (cls, ObjectFlags.INSTANCE), (cls.new(), both)):
        with pytest.raises(ValueError, match="does not go with"):
            encode_block(obj, flags=flags)


@pytest.mark.requirement("WMIO-2.2.6-03")
def test_no_other_object_has_the_flags_of_a_prototype() -> None:
    for obj in (Class("A"), Class("A").new()):
        assert not encode_block(obj)[0] & 0x50


@pytest.mark.requirement("WMIO-2.2.6-05", "WMIO-2.2.6-06", "WMIO-2.2.3-01")
@pytest.mark.parametrize("flags", [0, 3, 4, 7, 0x10])
def test_neither_class_nor_instance(flags: int) -> None:
    data = encode_block(Class("A"))
    with pytest.raises(DecodeError, match="neither a class nor an instance"):
        decode_block(bytes([flags]) + data[1:])
    with pytest.raises(DecodeError, match="where an instance is due"):
        decode_instance_no_class(b"\1" + encode_instance_no_class(Class("A").new())[1:], Class("A").shape)


@pytest.mark.requirement("WMIO-2.2.15-02", "WMIO-2.2.15-03", "WMIO-2.2.22-01")
def test_a_class_part_with_a_derivation_and_without_properties() -> None:
    part = encode_class_part(Class("C", "B", ("B", "A\u0100")))
    names = b"\0B\0" + struct.pack("<I", 3) + b"\1A\0\0\1\0\0" + struct.pack("<I", 7)
    body = struct.pack("<I", 4 + len(names)) + names + struct.pack("<III", 4, 0, 0x80000003) + b"\0C\0"
    assert part == struct.pack("<IBII", 13 + len(body), 0, 0, 0) + body
    cls = decode_class_part(part).cls
    assert (cls.name, cls.superclass, cls.derivation) == ("C", "B", ("B", "A\u0100"))


@pytest.mark.requirement("WMIO-2.2.13-01", "WMIO-2.2.14-01", "WMIO-2.2.14-02")
def test_methods_come_with_classes_only() -> None:
    cls = Class("A", methods=NameMap([Method("Method")])).rooted()
    assert b"\0Method\0" in encode_object(cls)
    assert encode_block(cls.new()).startswith(b"\2" + encode_class_part(cls))
    assert b"\0Method\0" not in encode_object(cls.new())


@pytest.mark.requirement(
    "WMIO-2.2.42-01", "WMIO-2.2.43-01", "WMIO-2.2.43-02", "WMIO-2.2.44-01", "WMIO-2.2.44-02", "WMIO-2.2.50-01",
    "WMIO-2.2.51-01", "WMIO-2.2.52-01", "WMIO-2.2.66-01", "WMIO-2.2.66-02", "WMIO-2.2.67-01",
)  # fmt: skip
@pytest.mark.parametrize("padding", [b"\0\0\0", b"\x7f\xff\1"])
def test_a_method(padding: bytes) -> None:
    """Inherited in the subclass, and its own in the class that is written as its parent."""
    top = Class("T", methods=NameMap([Method("M", returns=None)])).rooted()
    low = top.derive(Class("L"))
    data = bytearray(encode_block(low, parent=top))
    found = []
    at = -1
    while (at := data.find(struct.pack("<IHH", 12 + 24 + 15, 1, 0), at + 1)) >= 0:
        name, flags, pad, origin, qualifiers, input_, output = struct.unpack_from("<IB3sIIII", data, at + 8)
        assert (name, pad, input_, output, qualifiers) == (0, b"\0\0\0", 3, 7, 11)
        heap = b"\0M\0" + bytes(8) + b"\4\0\0\0"  # the name, two signatures of no length, no qualifiers
        assert data[at + 32 : at + 51] == struct.pack("<I", 0x80000000 | len(heap)) + heap
        found.append((flags, origin))
        data[at + 13 : at + 16] = padding
    assert found == [(0, 0), (0x20, 0)]
    assert decode_block(bytes(data)) == low
    # The class's own heap, and an instance's, have only what is theirs.
    assert encode_class_part(low).endswith(struct.pack("<I", 0x80000003) + b"\0L\0")
    assert encode_object(low.new()).endswith(struct.pack("<I", 0x80000003) + b"\0L\0")
