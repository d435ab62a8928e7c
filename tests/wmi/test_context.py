"""Contexts as they travel: every type a context can hold, by hand and round trip, and what is malformed."""

from __future__ import annotations

import struct
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import CimType, Instance, TypedValue, fold
from openwmi.dcom.objref import CustomObjRef, StandardObjRef, decode_objref
from openwmi.errors import DecodeError, InvalidParameter
from openwmi.wmi.context import CLSID_WBEM_CONTEXT, IID_IWBEM_CONTEXT, decode_context, encode_context
from openwmi.wmi.objects import ObjectMarshaller
from tests.strategies import names, values

from .loopback import THING, thing

OBJECTS = ObjectMarshaller()
T = CimType


def wrap(body: bytes, clsid: UUID = CLSID_WBEM_CONTEXT) -> bytes:
    return CustomObjRef(IID_IWBEM_CONTEXT, clsid, body).encode()


def buffer(*properties: str, count: int | None = None, head: str = "01000000" + 32 * "0") -> bytes:
    number = len(properties) if count is None else count
    return bytes.fromhex(head) + struct.pack("<I", number) + b"".join(map(bytes.fromhex, properties))


A = "01000000 4100 00000000 "  # a name, "A", and its flags

# What follows the name: the type, and the value.
VECTORS: list[tuple[str, TypedValue]] = [
    ("0100", TypedValue(None, None)),
    ("0200 FEFF 000000000000", TypedValue(T.SINT16, -2)),
    ("0300 FEFFFFFF 00000000", TypedValue(T.SINT32, -2)),
    ("0400 0000C03F 00000000", TypedValue(T.REAL32, 1.5)),
    ("0500 000000000000F83F", TypedValue(T.REAL64, 1.5)),
    ("0800 02000000 4800 6900", TypedValue(T.STRING, "Hi")),
    ("0800 00000000", TypedValue(T.STRING, "")),
    ("0B00 FFFF 000000000000", TypedValue(T.BOOLEAN, True)),
    ("0B00 0000 000000000000", TypedValue(T.BOOLEAN, False)),
    ("1000 FE 00000000000000", TypedValue(T.SINT8, -2)),
    ("1100 FE 00000000000000", TypedValue(T.UINT8, 254)),
    ("1200 FEFF 000000000000", TypedValue(T.UINT16, 0xFFFE)),
    ("1300 FEFFFFFF 00000000", TypedValue(T.UINT32, 0xFFFFFFFE)),
    ("0220 02000000 02000000 FEFF 0100", TypedValue(T.SINT16, (-2, 1), True)),
    ("0320 01000000 04000000 FEFFFFFF", TypedValue(T.SINT32, (-2,), True)),
    ("0420 02000000 08000000 0000C03F 00000000 00000040 00000000", TypedValue(T.REAL32, (1.5, 2.0), True)),
    ("0520 01000000 08000000 000000000000F83F", TypedValue(T.REAL64, (1.5,), True)),
    ("0820 02000000 08000000 01000000 4800 00000000", TypedValue(T.STRING, ("H", ""), True)),
    ("0B20 02000000 02000000 FFFF 0000", TypedValue(T.BOOLEAN, (True, False), True)),
    ("1020 02000000 01000000 FE 01", TypedValue(T.SINT8, (-2, 1), True)),
    ("1120 02000000 01000000 FE 01", TypedValue(T.UINT8, b"\xfe\x01", True)),
    ("1220 01000000 02000000 FEFF", TypedValue(T.UINT16, (0xFFFE,), True)),
    ("1320 01000000 04000000 FEFFFFFF", TypedValue(T.UINT32, (0xFFFFFFFE,), True)),
    ("1320 00000000 04000000", TypedValue(T.UINT32, (), True)),
    ("0120 02000000 00000000", TypedValue(None, (None, None), True)),
]


@pytest.mark.requirement(
    "WMI-2.2.13-07", "WMI-2.2.13-08", "WMI-2.2.13.1-01", "WMI-2.2.13.1-02", "WMI-2.2.13.1-03", "WMI-2.2.13.1-04",
    "WMI-2.2.13.2-01", "WMI-2.2.13.2-04", "WMI-2.2.13.2-05", "WMI-2.2.13.2-07", "WMI-2.2.13.2-08", "WMI-2.2.13.2-09",
    "WMI-2.2.13.2-10", "WMI-2.2.13.2-11", "WMI-2.2.13.2-12", "WMI-2.2.13.2-13", "WMI-2.2.13.3-01", "WMI-2.2.13.3-05",
    "WMI-2.2.13.4-01", "WMI-2.2.13.4-02", "WMI-2.2.13.4-05", "WMI-2.2.13.4-10", "WMI-2.2.13.4-11", "WMI-2.2.13.4-12",
    "WMI-2.2.13.4-13", "WMI-2.2.13.4-14", "WMI-2.2.13.4-09", "WMI-2.2.13.4-04", "WMI-2.2.13.4-06", "WMI-2.2.13-02",
    "WMI-2.2.13-06", "WMI-2.2.13.3-02", "WMI-2.2.13.3-03", "WMI-2.2.13.3-04",
)  # fmt: skip
@pytest.mark.parametrize(("octets", "value"), VECTORS, ids=[row[0][:4] + " " + repr(row[1].value) for row in VECTORS])
def test_a_value_in_both_directions(octets: str, value: TypedValue) -> None:
    whole = wrap(buffer(A + octets))
    assert decode_context(whole, OBJECTS) == {"A": value}
    assert encode_context({"A": value}, OBJECTS) == whole


def test_several_values_stand_side_by_side() -> None:
    given = {"A": TypedValue(T.STRING, "x"), "bé": TypedValue(T.BOOLEAN, True), "C": TypedValue(None, None)}
    whole = encode_context(given, OBJECTS)
    assert whole is not None
    assert list(decode_context(whole, OBJECTS).items()) == list(given.items())
    rows = (
        A + "0800 01000000 7800",
        "02000000 6200 E900 00000000 0B00 FFFF 000000000000",
        "01000000 4300 00000000 0100",
    )
    assert whole == wrap(buffer(*rows))


@pytest.mark.requirement("WMI-2.2.13.2-06", "WMI-2.2.13.4-07", "WMI-2.2.13.4-08")
def test_objects() -> None:
    octets = encode_context({"A": TypedValue(T.OBJECT, THING)}, OBJECTS)
    assert octets == wrap(buffer(A + "0D00" + OBJECTS.marshal(THING).hex()))
    two = f"0D20 02000000 08000000 {OBJECTS.marshal(THING).hex()} {OBJECTS.marshal(thing('a')).hex()}"
    octets = encode_context({"A": TypedValue(T.OBJECT, (THING, thing("a")), True)}, OBJECTS)
    assert octets == wrap(buffer(A + two))
    for value in (TypedValue(T.OBJECT, thing("a")), TypedValue(T.OBJECT, THING)):
        found = decode_context(encode_context({"A": value}, OBJECTS), OBJECTS)["A"]
        assert found.type is T.OBJECT
        assert type(found.value) is type(value.value)
    several = TypedValue(T.OBJECT, (thing("a"), thing("b", 5)), True)
    found = decode_context(encode_context({"A": several}, OBJECTS), OBJECTS)["A"]
    assert isinstance(found.value, tuple)
    assert [o.to_dict() for o in found.value if isinstance(o, Instance)] == [
        {"Id": "a", "Size": 1},
        {"Id": "b", "Size": 5},
    ]


def test_no_values_are_a_null_pointer() -> None:
    assert encode_context({}, OBJECTS) is None
    assert decode_context(None, OBJECTS) == {}
    assert decode_context(wrap(buffer()), OBJECTS) == {}


def test_a_null_of_any_type_is_null() -> None:
    octets = encode_context({"A": TypedValue(T.STRING, None)}, OBJECTS)
    assert octets == wrap(buffer(A + "0100"))


@pytest.mark.requirement("WMI-2.2.13.2-02")
def test_flags_and_the_guid_do_not_count() -> None:
    head = "01000000" + "FF" * 16
    assert decode_context(wrap(buffer("01000000 4100 FFFFFFFF 0100", head=head)), OBJECTS) == {
        "A": TypedValue(None, None)
    }


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        ("0420 01000000 04000000 0000C03F", (1.5,)),  # elements as large as they need be
        ("0820 01000000 04000000 01000000 4800", ("H",)),
        ("0820 01000000 FFFFFFFF 01000000 4800", ("H",)),
        ("0B20 02000000 02000000 0100 0000", (True, False)),  # any true will do
    ],
)
def test_what_others_write_differently(octets: str, value: Any) -> None:
    assert decode_context(wrap(buffer(A + octets)), OBJECTS)["A"].value == value


@pytest.mark.parametrize(
    "value",
    [
        TypedValue(T.SINT64, 1),
        TypedValue(T.UINT64, (1,), True),
        TypedValue(T.CHAR16, "x"),
        TypedValue(T.REFERENCE, "A=1"),
        TypedValue(T.UINT8, 300),
        TypedValue(T.SINT8, (-129,), True),
        TypedValue(T.REAL32, 1e300),
        TypedValue(T.STRING, ("x", None), True),
        TypedValue(T.STRING, 5),
        TypedValue(T.OBJECT, "x"),
        TypedValue(None, (1,), True),
        TypedValue(None, 1),
    ],
)
def test_what_a_context_cannot_hold(value: TypedValue) -> None:
    with pytest.raises(InvalidParameter):
        encode_context({"A": value}, OBJECTS)


WHOLE = buffer(A + "0820 02000000 08000000 01000000 4800 00000000", "01000000 4200 00000000 1300 01000000 00000000")


def test_a_context_cut_short_is_malformed() -> None:
    for size in range(len(WHOLE)):
        with pytest.raises(DecodeError):
            decode_context(wrap(WHOLE[:size]), OBJECTS)


@pytest.mark.requirement("WMI-2.2.13.1-05", "WMI-2.2.13.2-03", "WMI-2.2.13.4-03")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (buffer(head="02000000" + 64 * "0"), "IWbemContext.NumGuids"),
        (buffer(head="00000000"), "IWbemContext.NumGuids"),
        (WHOLE + b"\0", "IWbemContext"),
        (buffer(A + "0100", count=2), "IWbemContext.PropertyName.StringLength"),
        (buffer(count=1025), "IWbemContext.NumProps"),
        (buffer(count=0xFFFFFFFF), "IWbemContext.NumProps"),
        (buffer(A + "0100", "01000000 6100 00000000 0100"), "IWbemContext.PropertyName"),  # twice, in another case
        (buffer(A + "0900 0000000000000000"), "IWbemContext.A.PropertyType"),
        (buffer(A + "1400 0000000000000000"), "IWbemContext.A.PropertyType"),
        (buffer(A + "1340 0000000000000000"), "IWbemContext.A.PropertyType"),
        (buffer(A + "1320 01000000 03000000 000000"), "IWbemContext.A.ElementSize"),
        (buffer(A + "1320 02000000 04000000 00000000"), "IWbemContext.A.ElementCount"),
        (buffer(A + "1320 FFFFFFFF 04000000 00000000"), "IWbemContext.A.ElementCount"),
        (buffer(A + "0820 FFFFFFFF 08000000 00000000"), "IWbemContext.A.ElementCount"),
        (buffer("FFFFFFFF 4100 00000000 0100"), "IWbemContext.PropertyName"),
        (buffer(A + "0800 FFFFFF7F 4100"), "IWbemContext.A"),
        (buffer(A + "0D00 04000000 AABBCCDD"), "IWbemContext.A"),
        (buffer(A + "0D00" + OBJECTS.marshal(THING)[:-9].hex()), "IWbemContext.A.ObjectEncodingLength"),
        (buffer(A + "0D00" + "00" + OBJECTS.marshal(THING)[1:].hex()), "IWbemContext.A.signature"),
        (buffer(A + "0120 01040000 00000000"), "IWbemContext.A.ElementCount"),
    ],
)
def test_malformed_contexts_name_the_field(body: bytes, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_context(wrap(body), OBJECTS)
    assert caught.value.field == field


def test_what_is_no_context() -> None:
    standard = bytes.fromhex("4D454F57 01000000") + bytes(16 + 40) + bytes.fromhex("0400 0200 0000 0000 0000 0000")
    assert isinstance(decode_objref(standard), StandardObjRef)
    for octets in (b"", standard, wrap(buffer(), UUID(int=5)), OBJECTS.marshal(THING)):
        with pytest.raises(DecodeError):
            decode_context(octets, OBJECTS)


_TYPES = (T.SINT8, T.UINT8, T.SINT16, T.UINT16, T.SINT32, T.UINT32, T.REAL32, T.REAL64, T.BOOLEAN, T.STRING)


@st.composite
def _typed(draw: st.DrawFn) -> TypedValue:
    if draw(st.integers(0, 9)) == 0:
        return TypedValue(None, None)
    type_, is_array = draw(st.sampled_from(_TYPES)), draw(st.booleans())
    return TypedValue(type_, draw(values(type_, is_array)), is_array)


_contexts = st.lists(st.tuples(names(), _typed()), max_size=4, unique_by=lambda row: fold(row[0])).map(dict)


@settings(max_examples=150)
@given(_contexts)
def test_contexts_survive_the_wire(given_values: dict[str, TypedValue]) -> None:
    assert decode_context(encode_context(given_values, OBJECTS), OBJECTS) == given_values


@settings(max_examples=150)
@given(_contexts, st.data())
def test_wrong_octets_decode_or_are_malformed(given_values: dict[str, TypedValue], data: st.DataObject) -> None:
    octets = bytearray(encode_context(given_values, OBJECTS) or wrap(buffer()))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_context(bytes(octets), OBJECTS)
    except DecodeError:
        return
