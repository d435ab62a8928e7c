"""Bytes that are not what they should be: a `DecodeError` and nothing else, soon, and at small cost."""

from __future__ import annotations

import struct
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import CimType, Class, DateTime, Instance, Method, NameMap, Parameter, Property, Qualifier
from openwmi.errors import DecodeError
from openwmi.wmio import (
    ClassPartCache,
    decode_block,
    decode_class_part,
    decode_instance_no_class,
    decode_object,
    encode_block,
    encode_class_part,
    encode_instance_no_class,
    encode_object,
)
from openwmi.wmio.layout import Decoration
from tests.wmio.test_round_trip import nested
from tests.wmio.test_vectors import VECTORS, read


def rich() -> Instance:
    """An instance with something of everything."""
    parameter = Parameter("In", CimType.STRING, qualifiers=NameMap([Qualifier.of("in")]))
    inner = Class("Inner", methods=NameMap([Method("M", NameMap([parameter]))])).rooted()
    cls = Class(
        "Outer",
        "Base",
        ("Base", "Wide\u0100"),
        NameMap([Qualifier.of("text", "value"), Qualifier.of("list", ["a", "\u0100"])]),
        NameMap(
            [
                Property("Text", CimType.STRING, default="default", origin="Outer"),
                Property("Wide", CimType.STRING, origin="Base", propagated=True),
                Property("When", CimType.DATETIME, origin="Outer"),
                Property("Flags", CimType.BOOLEAN, True, origin="Outer"),
                Property("Texts", CimType.STRING, True, origin="Outer"),
                Property("Object", CimType.OBJECT, origin="Outer"),
                Property("Octets", CimType.UINT8, True, origin="Outer"),
                Property("Letter", CimType.CHAR16, origin="Outer"),
            ]
        ),
    )
    made = cls.new(
        Text="some text",
        Wide="\u0100\u0141",
        When=DateTime("20260131120000.000000+060"),
        Flags=[True, False],
        Texts=["x", None, "y"],
        Object=inner,
        Octets=b"12345",
        Letter="Z",
    )
    made.qualifiers = NameMap([Qualifier.of("own", 7)])
    made.property_qualifiers = {"text": NameMap([Qualifier.of("special")])}
    return made


SEEDS = {name: read(name) for name in VECTORS} | {
    "rich instance": encode_object(rich()),
    "rich class": encode_object(rich().cls),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_truncation(seed: str) -> None:
    """What lacks a byte that means something is refused; what lacks only slack says the same as before."""
    data = SEEDS[seed]
    whole = decode_object(data)
    end = VECTORS[seed][2] if seed in VECTORS else len(data)
    (claimed,) = struct.unpack_from("<I", data, 4)
    for length in range(len(data)):
        if length >= end and abs(length - 8 - claimed) <= 16:
            assert decode_object(data[:length]) == whole
            continue
        with pytest.raises(DecodeError):
            decode_object(data[:length])
    for length in range(9, end):
        with pytest.raises(DecodeError):
            decode_block(data[8:length])
    assert decode_block(data[8:end]) == whole


def test_every_truncation_of_a_part() -> None:
    instance = rich()
    part, rest = encode_class_part(instance), encode_instance_no_class(instance)
    shape = decode_class_part(part)
    assert decode_instance_no_class(rest, shape) == instance
    for length in range(len(part)):
        with pytest.raises(DecodeError):
            decode_class_part(part[:length])
    for length in range(len(rest)):
        with pytest.raises(DecodeError):
            decode_instance_no_class(rest[:length], shape)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_octet_changed(seed: str) -> None:
    data = SEEDS[seed]
    for at in range(len(data)):
        octet = (0, 0xFF, data[at] ^ 0x81)[at % 3]
        try:
            decode_object(data[:at] + bytes([octet]) + data[at + 1 :])
        except DecodeError as error:
            assert error.field  # noqa: PT017 - only if it is one
            assert 0 <= error.offset <= len(data)  # noqa: PT017


@settings(max_examples=200)
@given(st.sampled_from(sorted(SEEDS)), st.data())
def test_mutations(seed: str, data: st.DataObject) -> None:
    octets = bytearray(SEEDS[seed])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(octets) - 4))
        number = data.draw(
            st.sampled_from([0, 1, 4, 8, 0x7FFFFFFF, 0x80000000, 0x80000002, 0xFFFFFFFF]) | st.integers(0, 512)
        )
        struct.pack_into("<I", octets, at, number)
    cache = ClassPartCache(entries=2)
    for _ in range(2):
        try:
            found = decode_object(bytes(octets), cache=cache)
        except DecodeError:
            continue
        assert encode_object(found)


@given(st.binary(max_size=200))
def test_noise(data: bytes) -> None:
    for start in (b"", b"\1", b"\2", b"\5\0\0\0\0"):
        with pytest.raises(DecodeError):
            decode_block(start + data[:40] if start else data[:1])
    with pytest.raises(DecodeError):
        decode_object(struct.pack("<II", 0x12345678, len(data)) + data[:20])


def changed(data: bytes, at: int, number: int, code: str = "<I") -> bytes:
    octets = bytearray(data)
    struct.pack_into(code, octets, at, number)
    return bytes(octets)


CLASS = encode_block(Class("A", properties=NameMap([Property("P", CimType.UINT16), Property("Q", CimType.STRING)])))
PART = 1 + 29 + 12  # where the class part of CLASS begins: behind the flags and the part of no superclass
HEAP = PART + 13 + 4 + 4 + 4 + 16 + 1 + 6 + 4  # where its heap's items begin
INFO = HEAP + 3 + 3  # PropertyInfo of P: behind the names of class and property

ERRORS = [
    ("neither class nor instance", changed(CLASS, 0, 0, "B"), "ObjectFlags", "neither"),
    ("class and instance", changed(CLASS, 0, 3, "B"), "ObjectFlags", "neither"),
    ("class part longer than the block", changed(CLASS, PART, 0x1000), "ClassPart", "EncodingLength 4096"),
    ("class part shorter than itself", changed(CLASS, PART, 3), "ClassPart", "EncodingLength 3"),
    ("class name outside the heap", changed(CLASS, PART + 5, 0x7FFF), "ClassPart.ClassNameRef", "outside the heap"),
    ("class name not in dictionary", changed(CLASS, PART + 5, 0x8000000B), "ClassPart.ClassNameRef", "no string 11"),
    ("no room for NdTable", changed(CLASS, PART + 9, 0), "ClassPart.NdTableValueTableLength", "0 for 2"),
    ("value table too long", changed(CLASS, PART + 9, 8), "ClassPart.HeapLength", "most significant"),
    ("derivation beyond the part", changed(CLASS, PART + 13, 0x1000), "ClassPart.DerivationList", "EncodingLength"),
    ("too many properties", changed(CLASS, PART + 21, 0x10000000), "ClassPart.PropertyCount of 268435456", "needs"),
    ("heap without its bit", changed(CLASS, HEAP - 4, 40), "ClassPart.HeapLength", "most significant bit"),
    ("heap longer than the part", changed(CLASS, HEAP - 4, 0x80001000), "ClassPart.Heap", "needs 4096"),
    ("strange string", changed(CLASS, HEAP, 2, "B"), "ClassPart.ClassNameRef", "Encoded-String-Flag 2"),
    ("property without a name", changed(CLASS, PART + 25, 0xFFFFFFFF), "A.PropertyNameRef", "NULL"),
    ("unknown type", changed(CLASS, INFO, 1), "A.P.PropertyType", "1 is no CimType"),
    ("misprinted array type", changed(CLASS, INFO, 8201), "A.P.PropertyType", "8201 is no CimType"),
    ("declared too late", changed(CLASS, INFO + 4, 2, "<H"), "A.P.DeclarationOrder", "2 of 2"),
    ("declared twice", changed(CLASS, INFO + 4, 1, "<H"), "A.P.DeclarationOrder", "twice"),
    ("slot outside the table", changed(CLASS, INFO + 6, 5), "A.P.ValueTableOffset", "outside"),
    ("slots overlap", changed(CLASS, INFO + 6, 1), "A.P.ValueTableOffset", "0 comes next"),
    ("type too wide for the slot", changed(CLASS, INFO, CimType.UINT8), "A.Q.ValueTableOffset", "1 comes next"),
    ("two of one name", CLASS.replace(b"\0Q\0", b"\0p\0"), "A.PropertyLookupTable", "there twice"),
    ("qualifiers beyond", changed(CLASS, INFO + 14, 0x1000), "A.P.PropertyInfo.PropertyQualifierSet", "Encoding"),
    ("half a qualifier", changed(CLASS, INFO + 14, 16), "A.P.QualifierValue", "needs 4 bytes"),
    ("both properties at one PropertyInfo", changed(CLASS, PART + 37, 6), "A.Q.PropertyInfo", "overlap"),
    ("too many methods", changed(CLASS, len(CLASS) - 8, 0xFFFF, "<H"), "MethodsPart.MethodCount of 65535", "needs"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "field", "problem"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_errors_name_the_field(data: bytes, field: str, problem: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_block(data)
    assert problem in str(caught.value)
    assert caught.value.field in (field, f"ObjectBlock.{field}")


UNIT_ERRORS = [
    (struct.pack("<II", 0x12345679, len(CLASS)) + CLASS, "Signature"),
    (struct.pack("<II", 0x12345678, len(CLASS) + 17) + CLASS, "ObjectEncodingLength"),
    (struct.pack("<II", 0x12345678, len(CLASS)) + CLASS + bytes(17), "ObjectEncodingLength"),
    (b"xV4", "Signature"),
    (b"", "Signature"),
]


@pytest.mark.parametrize(("data", "field"), UNIT_ERRORS)
@pytest.mark.requirement("WMIO-2.2.1-01")
def test_errors_of_the_unit(data: bytes, field: str) -> None:
    with pytest.raises(DecodeError, match=field):
        decode_object(data)


def test_no_datetime() -> None:
    cls = Class("A", properties=NameMap([Property("When", CimType.DATETIME)]))
    data = encode_object(cls.new(When=DateTime("20260131120000.000000+060")))
    with pytest.raises(DecodeError, match=r"A\.When"):
        decode_object(data.replace(b"20260131120000", b"20261331120000"))


def test_another_class_name_in_the_instance() -> None:
    data = encode_block(Class("A").new())
    with pytest.raises(DecodeError, match="B is not the class A"):
        decode_block(data[:-2] + b"B\0")


Kinds = tuple[tuple[CimType, bool, object], ...]


def overlapping(kinds: Kinds, shared: tuple[int, int], by: int) -> bytes:
    """An instance in which one property's reference points `by` octets behind where another's does."""
    cls = Class("A", properties=NameMap(Property(f"P{i}", t, a) for i, (t, a, _) in enumerate(kinds)))
    data = bytearray(encode_block(cls.new({f"P{i}": value for i, (_, _, value) in enumerate(kinds)})))
    table = 1 + len(encode_class_part(cls)) + 9 + 1
    first, second = shared
    (reference,) = struct.unpack_from("<I", data, table + 4 * first)
    struct.pack_into("<I", data, table + 4 * second, reference + by)
    return bytes(data)


STRING, WIDE = (CimType.STRING, False, "a text\x00"[:6]), (CimType.STRING, False, "w\u0100\u0100\u0100")
WHEN, LIST = (CimType.DATETIME, False, DateTime("20260131120000.000000+060")), (CimType.UINT16, True, (1, 0, 0, 7))
OVERLAPS = [
    ((STRING, STRING), (0, 1), 0),
    ((STRING, STRING), (1, 0), 0),
    ((WIDE, WIDE), (0, 1), 0),
    ((STRING, WIDE, WHEN), (2, 0), 0),
    ((WHEN, WHEN), (1, 0), 0),
    ((LIST, LIST), (0, 1), 0),
    ((LIST, LIST, STRING), (1, 0), 0),
    ((STRING, LIST), (1, 0), 5),  # a zero in the array, and the one behind it
]


@pytest.mark.parametrize(("kinds", "shared", "by"), OVERLAPS)
@pytest.mark.requirement("WMIO-2.2.66-04", "WMIO-2.2.66-05", "WMIO-2.2.66-06")
def test_items_that_share_bytes(
    kinds: tuple[tuple[CimType, bool, object], ...], shared: tuple[int, int], by: int
) -> None:
    """However small the overlap is, and however much of the heap is not used at all."""
    data = overlapping(kinds, shared, by)
    with pytest.raises(DecodeError, match=r"A\.P\d at offset \d+: heap items overlap"):
        decode_block(data)
    found = decode_block(data, on_demand=True)
    assert isinstance(found, Instance)
    with pytest.raises(DecodeError, match="heap items overlap"):
        found.to_dict()


def test_items_of_a_class_part_that_share_bytes() -> None:
    with pytest.raises(DecodeError, match="heap items overlap"):
        decode_block(changed(CLASS, PART + 33, 3))  # Q has the name of P as its own
    with pytest.raises(DecodeError, match="heap items overlap"):
        decode_block(CLASS[:PART] + changed(CLASS[PART:], 25, 0))  # P that of the class


def test_a_null_array_that_points_to_the_class_name() -> None:
    """What impacket sends for an array or an object that is NULL."""
    cls = Class("A", properties=NameMap([Property("P", CimType.UINT16, True), Property("Q", CimType.OBJECT)]))
    data = bytearray(encode_block(cls.new(P=None, Q=None)))
    at = len(encode_class_part(cls)) + 1 + 9
    assert data[at : at + 9] == b"\x05" + bytes(8)
    data[at] = 0
    found = decode_block(bytes(data))
    assert isinstance(found, Instance)
    assert found.values == [None, None]


@pytest.mark.parametrize("flag", [0, 3, 255])
def test_inst_prop_qual_set_flag(flag: int) -> None:
    data = bytearray(encode_block(Class("A").new()))
    at = data.rindex(b"\x04\0\0\0\x01") + 4
    data[at] = flag
    with pytest.raises(DecodeError, match="InstPropQualSetFlag"):
        decode_block(bytes(data))


class TestAmplification:
    """Small input must not become large output: each octet of a heap is read once."""

    SIZE = 200_000

    def refuse(self, data: bytes) -> None:
        tracemalloc.start()
        began = time.perf_counter()
        try:
            with pytest.raises(DecodeError, match="overlap"):
                decode_block(data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 60 * len(data)
        assert time.perf_counter() - began < 20

    def shared(self, type_: CimType, is_array: bool, value: object) -> bytes:
        """An instance with many properties that all refer to the first one's value."""
        cls = Class("A", properties=NameMap(Property(f"P{i:03}", type_, is_array) for i in range(400)))
        data = bytearray(encode_block(cls.new(P000=value)))
        table = 1 + len(encode_class_part(cls)) + 9
        data[table : table + 100] = bytes(100)
        reference = data[table + 100 : table + 104]
        data[table + 100 : table + 1700] = bytes(reference) * 400
        return bytes(data)

    def test_strings(self) -> None:
        self.refuse(self.shared(CimType.STRING, False, "x" * self.SIZE))

    def test_wide_strings(self) -> None:
        self.refuse(self.shared(CimType.STRING, False, "\u0100" * self.SIZE))

    def test_octets(self) -> None:
        self.refuse(self.shared(CimType.UINT8, True, bytes(self.SIZE)))

    def test_numbers(self) -> None:
        self.refuse(self.shared(CimType.UINT16, True, range(60_000)))

    def test_objects(self) -> None:
        part = Class("B", qualifiers=NameMap([Qualifier.of("text", "x" * self.SIZE)]))
        self.refuse(self.shared(CimType.OBJECT, False, part))

    def test_one_string_many_times_in_an_array(self) -> None:
        cls = Class("A", properties=NameMap([Property("P", CimType.STRING, True)]))
        data = bytearray(encode_block(cls.new(P=["x" * self.SIZE, *[None] * 1000])))
        at = data.index(b"\xff" * 4000)
        data[at : at + 4000] = data[at - 4 : at] * 1000
        self.refuse(bytes(data))

    def test_one_qualifier_set_for_many_properties(self) -> None:
        many = NameMap(Qualifier.of(f"q{i}", i) for i in range(500))
        cls = Class("A", properties=NameMap(
            Property(f"P{i:03}", CimType.UINT8, qualifiers=many if i == 0 else NameMap()) for i in range(300)
        ))  # fmt: skip
        data = bytearray(encode_block(cls))
        lookups = PART + 13 + 4 + 4 + 4
        (info,) = struct.unpack_from("<I", data, lookups + 4)
        for i in range(300):
            struct.pack_into("<I", data, lookups + 8 * i + 4, info)
        self.refuse(bytes(data))

    def test_objects_within_objects(self) -> None:
        deep = encode_block(nested(16))
        assert isinstance(decode_block(deep), Instance)
        cls = nested(0).cls
        outer = encode_block(cls.new(P=cls.new()))
        inner = encode_block(cls.new())
        at = outer.index(inner) - 4
        deeper = outer[:at] + struct.pack("<I", len(deep)) + deep
        # the lengths around it: InstanceType and its heap
        start = 1 + len(encode_class_part(cls))
        grown = len(deep) - len(inner)
        octets = bytearray(deeper)
        (length,) = struct.unpack_from("<I", octets, start)
        struct.pack_into("<I", octets, start, length + grown)
        (heap,) = struct.unpack_from("<I", octets, at - 3 - 4)
        struct.pack_into("<I", octets, at - 3 - 4, heap + grown)
        with pytest.raises(DecodeError, match="16 objects within each other"):
            decode_block(bytes(octets))

    def test_an_object_that_contains_itself(self) -> None:
        cls = nested(0).cls
        data = bytearray(encode_block(cls.new(P=cls.new())))
        inner = encode_block(cls.new())
        at = data.index(inner)
        struct.pack_into("<I", data, at - 4, 0x7FFFFFFF)
        with pytest.raises(DecodeError):
            decode_block(bytes(data))


def test_a_class_is_not_read_again_for_every_place() -> None:
    """An instance of a few octets, from elsewhere, must not cost what a large class costs each time."""
    cls = Class("A", properties=NameMap([Property("P", CimType.STRING)])).rooted()
    shape = decode_block(encode_block(cls.new())).shape
    bare = [
        encode_instance_no_class(cls.new(P="x"), decoration=Decoration("S", f"root\\n{number}")) for number in range(17)
    ]
    for octets in (*bare[:16], *bare[:16]):
        assert decode_instance_no_class(octets, shape)["P"] == "x"
    with pytest.raises(DecodeError, match="A comes from more than 16 places"):
        decode_instance_no_class(bare[16], shape)
