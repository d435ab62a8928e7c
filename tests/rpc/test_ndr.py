"""NDR types: vectors in both directions, hostile octets, and round trips of generated types."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.errors import CallerError, DecodeError
from openwmi.rpc.ndr import (
    Array,
    Boolean,
    Bstr,
    CharString,
    ConformantArray,
    ConformantBytes,
    ConformantVaryingArray,
    ConformantVaryingBytes,
    Double,
    Enum16,
    Enum32,
    FixedBytes,
    Float,
    Full,
    Guid,
    Int8,
    Int16,
    Int32,
    Int64,
    MInterfacePointer,
    NdrType,
    Ref,
    ResultPointer,
    Slot,
    Struct,
    Tagged,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Union,
    Unique,
    VaryingArray,
    WideString,
    deserialize_type,
    serialize_type,
    structure,
    type_of,
)
from tests.rpc.declared import Aliases, Choice, Counts, Extent, Gaps, Loop, Named, Node, Outer, Pair, Tail

SOME = UUID("01020304-0506-0708-090a-0b0c0d0e0f10")
SOME_LE = "0403020106050807090a0b0c0d0e0f10"


class Color(IntEnum):
    RED = 1
    BLUE = 2


VECTORS: list[tuple[Any, Any, str]] = [
    (UInt8, 0xFE, "fe"),
    (Int8, -2, "fe"),
    (UInt16, 0x0102, "0201"),
    (Int16, -2, "feff"),
    (UInt32, 0x01020304, "04030201"),
    (Int32, -1, "ffffffff"),
    (UInt64, 0x0102030405060708, "0807060504030201"),
    (Int64, -2, "feffffffffffffff"),
    (Float, 1.5, "0000c03f"),
    (Double, -2.0, "00000000000000c0"),
    (Boolean, True, "01"),
    (Boolean, False, "00"),
    (Enum16(Color), Color.BLUE, "0200"),
    (Enum32(Color), Color.RED, "01000000"),
    (Enum16(Color), 77, "4d00"),
    (Enum32(), 5, "05000000"),
    (Guid, SOME, SOME_LE),
    (Array(UInt16, 3), (1, 2, 3), "010002000300"),
    (FixedBytes(3), b"abc", "616263"),
    (ConformantArray(UInt16), (1, 2), "02000000 0100 0200"),
    (ConformantArray(UInt64), (1,), "01000000 00000000 0100000000000000"),
    (ConformantArray(UInt64), (), "00000000"),
    (ConformantBytes(), b"abc", "03000000 616263"),
    (VaryingArray(UInt8, 5), (9, 8), "00000000 02000000 0908"),
    (ConformantVaryingArray(UInt16), (7,), "01000000 00000000 01000000 0700"),
    (ConformantVaryingBytes(), b"xy", "02000000 00000000 02000000 7879"),
    (WideString(), "h\u00e9", "03000000 00000000 03000000 6800e9000000"),
    (WideString(), "", "01000000 00000000 01000000 0000"),
    (WideString(), "\ud800", "02000000 00000000 02000000 00d80000"),
    (CharString(), "ab", "03000000 00000000 03000000 616200"),
    (Unique(UInt16), None, "00000000"),
    (Unique(UInt16), 5, "00000200 0500"),
    (Ref(UInt8), 5, "00000200 05"),
    (Full(UInt8), 5, "00000200 05"),
    (MInterfacePointer, b"MEOW", "04000000 04000000 4d454f57"),
    (Unique(MInterfacePointer), b"M", "00000200 01000000 01000000 4d"),
    (ResultPointer(MInterfacePointer), None, "00000000"),
    (ResultPointer(MInterfacePointer), Slot(), "00000200 00000000"),
    (ResultPointer(MInterfacePointer), Slot(b"M"), "00000200 04000200 01000000 01000000 4d"),
    (Bstr, "ab", "55736572 02000000 04000000 02000000 61006200"),
    (Bstr, "", "55736572 00000000 00000000 00000000"),
    (Bstr, None, "55736572 00000000 ffffffff 00000000"),
    (Union(UInt32, {1: UInt8, 2: None}), Tagged(1, 5), "01000000 05"),
    (Union(UInt32, {1: UInt8, 2: None}), Tagged(2), "02000000"),
    (Union(UInt16, {1: UInt64}), Tagged(1, 5), "0100 000000000000 0500000000000000"),
    (Union(UInt16, {1: UInt8}, default=UInt16), Tagged(9, 5), "0900 0500"),
    (Union(UInt16, {1: UInt8}, default=None), Tagged(9), "0900"),
    # Alignment inside structures, and of arrays of them.
    (Gaps, Gaps(a=1, b=2, c=3), "01 00000000000000 0200000000000000 0300"),
    (Array(Gaps, 2), (Gaps(a=1, b=2, c=3),) * 2, "0100000000000000 0200000000000000 0300000000000000"
     "0100000000000000 0200000000000000 0300"),
    # The count of a conformant array stands in front of the outermost structure (C706 14.3.7.2).
    (Tail, Tail(id=1, data=b"ab"), "02000000 00000000 0100000000000000 6162"),
    (Outer, Outer(before=7, tail=Tail(id=1, data=b"ab")), "02000000 00000000 07 00000000000000 0100000000000000 6162"),
    (Counts, Counts(items=(5, 6), ids=None),
     "02000000 02000000 00000200 00000000 00000000 02000000 00000000 02000000 0500 0600"),
    (Counts, Counts(size=9, items=(5,), ids=(SOME,)),
     "09000000 01000000 00000200 04000200 01000000 09000000 00000000 01000000 0500 0000 01000000" + SOME_LE),
    (Extent, Extent(id=SOME, size=3, data=b"abc\0\0\0\0\0"), "08000000" + SOME_LE + "03000000 6162630000000000"),
    (Choice, Choice(choice=Tagged(4, 1)), "0400 0400 00000000 0100000000000000"),
    # Pointees follow the outermost construct, depth first (C706 14.3.12.3).
    (Node, Node(value=1, left=Node(value=2, left=Node(value=3, left=None, right=None), right=None),
                right=Node(value=4, left=None, right=None)),
     "01000000 00000200 04000200  02000000 08000200 00000000  03000000 00000000 00000000  04000000 00000000 00000000"),
    (Pair, Pair(first=Named(name="a", raw=b"xyz"), names=("b", None), last=9),
     "00000200 04000200 00000000 08000200"
     "0c000200 78797a 00 02000000 00000000 02000000 6100 0000"
     "02000000 00000000 02000000 6200 0000"
     "09000000"),
]  # fmt: skip


def name_of(declared: Any) -> str:
    return repr(type_of(declared))


@pytest.mark.parametrize(("declared", "value", "octets"), VECTORS, ids=lambda item: str(item)[:40])
def test_vectors(declared: Any, value: Any, octets: str) -> None:
    kind = type_of(declared)
    data = bytes.fromhex(octets)
    assert kind.encode(value).hex() == data.hex()
    decoded = kind.decode(data)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(("declared", "value", "octets"), VECTORS, ids=lambda item: str(item)[:40])
def test_truncation_and_leftovers_are_errors(declared: Any, value: Any, octets: str) -> None:
    kind = type_of(declared)
    data = bytes.fromhex(octets)
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            kind.decode(data[:size])
    with pytest.raises(DecodeError, match="left over"):
        kind.decode(data + b"\0" * 8)


BIG_ENDIAN: list[tuple[Any, Any, str]] = [
    (UInt16, 0x0102, "0102"),
    (Int32, -2, "fffffffe"),
    (Double, -2.0, "c000000000000000"),
    (Guid, SOME, SOME.hex),
    (Enum16(Color), Color.BLUE, "0002"),
    (ConformantArray(UInt16), (1, 2), "00000002 0001 0002"),
    (WideString(), "h\u00e9", "00000003 00000000 00000003 006800e90000"),
    (Gaps, Gaps(a=1, b=2, c=3), "01 00000000000000 0000000000000002 0003"),
    (Unique(UInt16), 5, "00020000 0005"),
    # MS-OAUT 2.2.23.1: the blob is little-endian nevertheless.
    (Bstr, "ab", "72657355 02000000 04000000 02000000 61006200"),
    (MInterfacePointer, b"MEOW", "00000004 00000004 4d454f57"),
]


@pytest.mark.parametrize(("declared", "value", "octets"), BIG_ENDIAN, ids=lambda item: str(item)[:40])
def test_big_endian_reading(declared: Any, value: Any, octets: str) -> None:
    assert type_of(declared).decode(bytes.fromhex(octets), little_endian=False) == value


MALFORMED: list[tuple[Any, str, str, str]] = [
    (UInt32, "010203", "UInt32", "need 4 bytes, have 3"),
    (ConformantBytes(), "ffffffff 00", "ConformantBytes", "do not fit"),
    (ConformantArray(UInt64), "02000000 00000000 0000000000000000", "ConformantArray(UInt64)", "do not fit"),
    (ConformantVaryingBytes(), "01000000 00000000 02000000 0000", "ConformantVaryingBytes", "exceeds the maximum"),
    (ConformantVaryingBytes(), "ffffffff 00000000 00000000", "ConformantVaryingBytes", "exceeds 2147483647"),
    (ConformantVaryingBytes(), "02000000 01000000 01000000 00", "ConformantVaryingBytes", "offset is 1"),
    (VaryingArray(UInt8, 1), "00000000 02000000 0000", "VaryingArray(UInt8)", "exceeds the maximum count 1"),
    (WideString(), "00000000 00000000 00000000", "WideString", "not terminated"),
    (WideString(), "01000000 00000000 01000000 6100", "WideString", "not terminated"),
    (CharString(), "01000000 00000000 01000000 61", "CharString", "not terminated"),
    (MInterfacePointer, "04000000 03000000 00000000", "MInterfacePointer", "ulCntData is 3"),
    (Bstr, "55736572 01000000 02000000 02000000 6100", "Bstr", "clSize is 2"),
    (Bstr, "55736572 01000000 01000000 01000000 6100", "Bstr", "cBytes is 1"),
    (Bstr, "55736572 ffffff7f 00000000 00000000", "Bstr", "do not fit"),
    (Union(UInt16, {1: UInt8}), "0200", "Union", "no arm 2"),
    (Choice, "0100 0300", "Choice.choice", "kind says 1"),
    (Counts, "02000000 02000000 00000000 00000000 00000000", "Counts.items", "size says 2"),
    (Counts, "00000000 00000000 00000000 00000200 02000000 01000000" + SOME_LE, "Counts.ids", "count says 2"),
    (Extent, "07000000" + SOME_LE + "03000000 61626300000000", "Extent.data", "a function of size says 8"),
    (Pair, "00000200 04000200 00000000 08000200 0c000200 78797a 00 02000000 00000000 02000000 6100 0100",
     "Pair.first.name", "not terminated"),
    (Pair, "00000200 04000200 08000200 00000000 00000000 78797a00 01000000 00000000 01000000 0000 0000"
     "01000000 00000000 01000000 0100", "Pair.names[1]", "not terminated"),
    (Array(Array(UInt32, 2), 2), "00000000 00000000 00000000", "Array(Array(UInt32))", "do not fit"),
    (Aliases, "00000200 00000200", "Aliases.one", "need 4 bytes"),
    (Loop, "01000000 01000000", "Loop.next", "part of itself"),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "octets", "field", "problem"), MALFORMED)
def test_malformed(declared: Any, octets: str, field: str, problem: str) -> None:
    with pytest.raises(DecodeError) as caught:
        type_of(declared).decode(bytes.fromhex(octets))
    assert caught.value.field == field
    assert problem in caught.value.problem


MISUSED: list[tuple[Any, Any, str]] = [
    (UInt8, 256, "not a value"),
    (UInt32, -1, "not a value"),
    (UInt32, "1", "not a value"),
    (Guid, "x", "no UUID"),
    (Array(UInt8, 2), (1,), "exactly 2"),
    (ConformantArray(UInt8), 5, "no sequence"),
    (ConformantBytes(), "x", "not bytes"),
    (VaryingArray(UInt8, 1), (1, 2), "there is room for 1"),
    (WideString(), 5, "no string"),
    (CharString(), "\u20ac", "does not fit"),
    (Ref(UInt8), None, "cannot be NULL"),
    (ResultPointer(MInterfacePointer), b"x", "neither None nor a Slot"),
    (MInterfacePointer, "x", "bytes"),
    (Bstr, 5, "no string"),
    (Union(UInt16, {1: UInt8}), Tagged(2), "no arm 2"),
    (Union(UInt16, {1: UInt8}), 5, "no Tagged"),
    (Gaps, 5, "no Gaps"),
    (Gaps, Gaps(a=1, b=-1, c=3), "Gaps.b"),
    (Counts, Counts(size=1, items=(1, 2), ids=None), "room for 1"),
    (Counts, Counts(count=1, items=None, ids=(SOME, SOME)), "count says 1"),
    (Choice, Choice(kind=1, choice=Tagged(3)), "kind says 1"),
]


@pytest.mark.parametrize(("declared", "value", "problem"), MISUSED)
def test_wrong_values_are_the_callers_mistake(declared: Any, value: Any, problem: str) -> None:
    with pytest.raises(CallerError, match=problem):
        type_of(declared).encode(value)


def test_wrong_declarations_are_type_errors() -> None:
    with pytest.raises(TypeError, match="conformant"):
        ConformantArray(ConformantBytes())
    with pytest.raises(TypeError, match="conformant"):
        Union(UInt8, {1: ConformantBytes()})
    with pytest.raises(TypeError, match="ResultPointer"):
        Unique(Unique(UInt8))
    with pytest.raises(TypeError, match="no NDR type"):
        Array(int, 3)

    class Wrong:
        field: int

    with pytest.raises(TypeError, match=r"Wrong\.field"):
        structure(Wrong)


def test_counts_are_filled_in_when_a_structure_is_made() -> None:
    counts = Counts(items=(1, 2, 3), ids=(SOME,))
    assert (counts.size, counts.length, counts.count) == (3, 3, 1)
    assert Counts(items=None, ids=None) == Counts(size=0, length=0, count=0, items=None, ids=None)
    assert Choice(choice=Tagged(3)).kind == 3


def test_full_pointers_share_what_they_point_to() -> None:
    kind = Struct(Aliases)
    assert kind.decode(bytes.fromhex("00000200 00000200 07000000")) == Aliases(one=7, two=7)
    assert kind.decode(bytes.fromhex("00000200 04000200 07000000 08000000")) == Aliases(one=7, two=8)
    assert kind.decode(kind.encode(Aliases(one=7, two=7))) == Aliases(one=7, two=7)


def test_a_long_list_is_refused_before_the_stack_is_exhausted() -> None:
    nodes = 100_000
    data = b"".join(struct.pack("<bxxxII", 1, 4 * at + 4, 0) for at in range(nodes)) + bytes(12)
    with pytest.raises(DecodeError, match="nested more than 64 deep"):
        Struct(Node).decode(data)
    deep: Node | None = None
    for _ in range(70):
        deep = Node(value=1, left=deep, right=None)
    assert deep is not None
    with pytest.raises(CallerError, match="nested more than 64 deep"):
        Struct(Node).encode(deep)


def test_type_serialization() -> None:
    data = serialize_type(Gaps, Gaps(a=1, b=2, c=3))
    assert data.hex() == "01100800cccccccc1800000000000000010000000000000002000000000000000300000000000000"
    assert deserialize_type(Gaps, data + b"next") == (Gaps(a=1, b=2, c=3), 40)
    big = bytes.fromhex("01000800cccccccc0000001800000000010000000000000000000000000000020003000000000000")
    assert deserialize_type(Gaps, big) == (Gaps(a=1, b=2, c=3), 40)


@pytest.mark.parametrize(
    ("octets", "field"),
    [
        ("01100800", "Gaps.CommonHeader"),
        ("02100800cccccccc1800000000000000", "Gaps.Version"),
        ("01200800cccccccc1800000000000000", "Gaps.Endianness"),
        ("01100900cccccccc1800000000000000", "Gaps.CommonHeaderLength"),
        ("01100800cccccccc1800000000000000", "Gaps.ObjectBufferLength"),
        ("01100800cccccccc080000000000000000000000", "Gaps.ObjectBufferLength"),
        ("01100800cccccccc08000000000000000000000000000000", "Gaps.b"),
        ("01100800cccccccc2000000000000000" + "00" * 32, "Gaps"),
    ],
)
def test_malformed_type_serialization(octets: str, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        deserialize_type(Gaps, bytes.fromhex(octets))
    assert caught.value.field == field


# --- Generated types ---

TEXT = st.text(st.characters(min_codepoint=1, max_codepoint=0xFFFF), max_size=5)


def _pairs() -> st.SearchStrategy[tuple[NdrType[Any], st.SearchStrategy[Any]]]:
    """Types, each with the values that it has."""
    numbers = [(UInt8, 8), (UInt16, 16), (UInt32, 32), (UInt64, 64)]
    leaves: list[tuple[NdrType[Any], st.SearchStrategy[Any]]] = [
        *((kind, st.integers(0, (1 << bits) - 1)) for kind, bits in numbers),
        (Int32, st.integers(-(1 << 31), (1 << 31) - 1)),
        (Double, st.floats(allow_nan=False)),
        (Boolean, st.booleans()),
        (Guid, st.uuids()),
        (FixedBytes(3), st.binary(min_size=3, max_size=3)),
        (Bstr, st.none() | TEXT),
        (Unique(WideString()), st.none() | TEXT),
        (Unique(ConformantBytes()), st.none() | st.binary(max_size=5)),
        (Unique(MInterfacePointer), st.none() | st.binary(max_size=5)),
        (ResultPointer(MInterfacePointer), st.none() | st.builds(Slot, st.none() | st.binary(max_size=5))),
    ]
    return st.recursive(st.sampled_from(leaves), _grown, max_leaves=6)


def _grown(inner: Any) -> Any:
    def unique(pair: Any) -> Any:
        kind, values = pair
        return pair if isinstance(kind, Unique | Full) else (Unique(kind), st.none() | values)

    def arrays(pair: Any) -> Any:
        kind, values = pair
        listed = st.lists(values, max_size=3).map(tuple)
        return st.sampled_from(
            [
                (Array(kind, 2), st.tuples(values, values)),
                (VaryingArray(kind, 3), listed),
                (Unique(ConformantArray(kind)), st.none() | listed),
                (Unique(ConformantVaryingArray(kind)), st.none() | listed),
            ]
        )

    def union(pair: Any) -> Any:
        kind, values = pair
        tagged = st.builds(Tagged, st.just(1), values) | st.just(Tagged(2))
        return Union(UInt16, {1: kind, 2: None}), tagged

    def struct_(pairs: Any) -> Any:
        from typing import Annotated

        names = [f"f{number}" for number in range(len(pairs))]
        hints = {name: Annotated[Any, kind] for name, (kind, _) in zip(names, pairs, strict=True)}
        made: Any = structure(type("Made", (), {"__annotations__": hints, "__module__": __name__}))
        return type_of(made), st.builds(made, **dict(zip(names, (values for _, values in pairs), strict=True)))

    return st.one_of(
        inner.map(unique),
        inner.flatmap(arrays),
        inner.map(union),
        st.lists(inner, min_size=1, max_size=4).map(struct_),
    )


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_generated_types_round_trip(data: st.DataObject) -> None:
    kind, values = data.draw(_pairs())
    value = data.draw(values)
    octets = kind.encode(value)
    assert kind.decode(octets) == value
    assert len(octets) >= kind.minimum_size
    cut = data.draw(st.integers(0, len(octets)))
    if cut < len(octets):
        with pytest.raises(DecodeError):
            kind.decode(octets[:cut])


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([Counts, Pair, Node, Aliases, Loop, Choice, Extent, Outer]),
    st.lists(st.sampled_from([0, 1, 2, 3, 4, 0x20000, 0x20004, 0xFFFFFFFF, 0x61]), max_size=30),
    st.binary(max_size=5),
    st.booleans(),
)
def test_any_octets_decode_or_are_decode_errors(declared: Any, words: list[int], rest: bytes, little: bool) -> None:
    data = b"".join(struct.pack("<I" if little else ">I", word) for word in words) + rest
    try:
        value = type_of(declared).decode(data, little_endian=little)
    except DecodeError as problem:
        field = problem.field
    else:
        field = declared.__name__
        assert type_of(declared).decode(type_of(declared).encode(value)) == value
    assert field.startswith(declared.__name__)
