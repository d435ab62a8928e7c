from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwmi.cim import (
    INTEGER_RANGES,
    CimType,
    Class,
    DateTime,
    NameMap,
    ObjectPath,
    Property,
    Qualifier,
    TypedValue,
    conform,
    type_name,
)
from openwmi.errors import SyntaxProblem, WbemError
from tests import strategies

CLASS = Class("Some")
INSTANCE = CLASS.new()
KEYED = Class(
    "Keyed",
    properties=NameMap([Property("K", CimType.STRING, qualifiers=NameMap([Qualifier("key", CimType.BOOLEAN, True)]))]),
    namespace="root\\test",
).new(K="x")
NOW = DateTime("20260131120000.000000+060")

NUMBERS = {2, 3, 4, 5, 8, 11, 13, 16, 17, 18, 19, 20, 21, 101, 102, 103}


def test_the_numbers_are_the_wires() -> None:
    assert {int(t) for t in CimType} == NUMBERS


@pytest.mark.parametrize("type_", CimType)
def test_names_lead_back(type_: CimType) -> None:
    assert CimType.named(type_.text.upper()) is type_
    assert type_name(type_) == type_.text
    assert type_name(type_, True) == f"{type_.text}[]"


def test_both_names_of_a_reference() -> None:
    assert CimType.named("ref") is CimType.named("Reference") is CimType.REFERENCE


@pytest.mark.parametrize("name", ["", "int", "uint128", "uint8[]"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(SyntaxProblem, match="not a CIM type"):
        CimType.named(name)


# type: (what is taken, what it becomes), what is refused
SCALARS: dict[CimType, tuple[list[tuple[Any, Any]], list[Any]]] = {
    CimType.BOOLEAN: ([(True, True), (False, False)], [1, 0, "TRUE", 1.0]),
    CimType.STRING: ([("", ""), ("\ud800", "\ud800"), ("x\0", "x\0")], [1, b"x", True, INSTANCE, ObjectPath("C")]),
    CimType.CHAR16: ([("a", "a"), ("\ud800", "\ud800"), ("\0", "\0")], ["", "ab", "😀", 65, True]),
    CimType.REAL64: ([(1, 1.0), (0.1, 0.1), (math.inf, math.inf)], ["1", True, 10**400, b"1"]),
    CimType.REAL32: ([(1, 1.0), (0.1, 0.10000000149011612), (-math.inf, -math.inf)], [1e39, "1", False, 10**400]),
    CimType.DATETIME: (
        [
            (NOW, NOW),
            (NOW.text, NOW),
            (datetime(2026, 1, 31, 11, tzinfo=UTC), NOW),
            (timedelta(1), DateTime("00000001000000.000000:000")),
        ],
        ["today", 5, True, timedelta(-1), None.__class__],
    ),
    CimType.REFERENCE: (
        [
            ("any text", "any text"),
            (ObjectPath.of("C", k=1), "C.k=1"),
            (KEYED, 'root\\test:Keyed.K="x"'),
            (CLASS, "Some"),
        ],
        [1, INSTANCE, CLASS.shape, b"C"],
    ),
    CimType.OBJECT: ([(CLASS, CLASS), (INSTANCE, INSTANCE)], ["C", 1, {}, ObjectPath("C"), CLASS.shape]),
}
for _type, (_low, _high) in INTEGER_RANGES.items():
    SCALARS[_type] = (
        [(0, 0), (_low, _low), (_high, _high)],
        [_low - 1, _high + 1, 10**30, 1.0, "1", True, b"\1"],
    )


def rows(index: int) -> list[Any]:
    return [
        pytest.param(t, item, id=f"{t.text}-{i}") for t, sides in SCALARS.items() for i, item in enumerate(sides[index])
    ]


def test_the_table_has_every_type() -> None:
    assert set(SCALARS) == set(CimType)


@pytest.mark.parametrize(("type_", "row"), rows(0))
def test_values_that_conform(type_: CimType, row: tuple[Any, Any]) -> None:
    given_, expected = row
    found = conform(given_, type_)
    assert found == expected
    assert type(found) is type(expected)
    array = conform([given_, given_], type_, True)
    assert array == (bytes([given_, given_]) if type_ is CimType.UINT8 else (expected, expected))


@pytest.mark.parametrize(("type_", "bad"), rows(1))
def test_values_that_do_not(type_: CimType, bad: Any) -> None:
    with pytest.raises(WbemError, match=r"^Size: ") as caught:
        conform(bad, type_, what="Size")
    assert caught.value.name == "WBEM_E_TYPE_MISMATCH"
    with pytest.raises(WbemError, match=r"^Size\[1\]: "):
        conform([SCALARS[type_][0][0][0], bad], type_, True, what="Size")


@pytest.mark.parametrize("type_", CimType)
def test_null_and_empty(type_: CimType) -> None:
    assert conform(None, type_) is None
    assert conform(None, type_, True) is None
    assert conform([], type_, True) == (b"" if type_ is CimType.UINT8 else ())


@pytest.mark.parametrize("type_", CimType)
def test_null_in_an_array(type_: CimType) -> None:
    if type_ in (CimType.STRING, CimType.DATETIME, CimType.REFERENCE, CimType.OBJECT):
        assert conform([None], type_, True) == (None,)
    else:
        with pytest.raises(WbemError):
            conform([None], type_, True)


@pytest.mark.parametrize("bad", ["text", 5, 1.5, True])
def test_what_is_no_array(bad: Any) -> None:
    with pytest.raises(WbemError, match=r"is not a value of string\[\]"):
        conform(bad, CimType.STRING, True)


@pytest.mark.parametrize(
    "given_", [b"\1\2", bytearray(b"\1\2"), memoryview(b"\1\2"), (1, 2), range(1, 3), iter([1, 2])]
)
def test_bytes_in_every_form(given_: Any) -> None:
    assert conform(given_, CimType.UINT8, True) == b"\1\2"


def test_a_message_stays_short() -> None:
    with pytest.raises(WbemError) as caught:
        conform("x" * 10_000, CimType.BOOLEAN)
    assert len(caught.value.detail) < 120


@given(st.data(), st.sampled_from(list(CimType)), st.booleans())
def test_conforming_twice_changes_nothing(data: st.DataObject, type_: CimType, is_array: bool) -> None:
    value = data.draw(strategies.values(type_, is_array))
    assert conform(value, type_, is_array) == value


@pytest.mark.parametrize(
    ("value", "type_", "is_array", "kept"),
    [
        (None, None, False, None),
        (True, CimType.BOOLEAN, False, True),
        (5, CimType.SINT32, False, 5),
        (-(2**31), CimType.SINT32, False, -(2**31)),
        (2**31, CimType.UINT32, False, 2**31),
        (2**32, CimType.SINT64, False, 2**32),
        (2**63, CimType.UINT64, False, 2**63),
        (1.5, CimType.REAL64, False, 1.5),
        ("x", CimType.STRING, False, "x"),
        (b"x", CimType.UINT8, True, b"x"),
        (NOW, CimType.DATETIME, False, NOW),
        (timedelta(1), CimType.DATETIME, False, DateTime("00000001000000.000000:000")),
        (INSTANCE, CimType.OBJECT, False, INSTANCE),
        (CLASS, CimType.OBJECT, False, CLASS),
        (ObjectPath.of("C", k=1), CimType.REFERENCE, False, "C.k=1"),
        ([], CimType.STRING, True, ()),
        (["a", "b"], CimType.STRING, True, ("a", "b")),
        ((True, False), CimType.BOOLEAN, True, (True, False)),
        ([1, 2**31], CimType.UINT32, True, (1, 2**31)),
        ([-1, 2**31], CimType.SINT64, True, (-1, 2**31)),
        ([INSTANCE, CLASS], CimType.OBJECT, True, (INSTANCE, CLASS)),
    ],
)
def test_a_value_finds_its_type(value: Any, type_: CimType | None, is_array: bool, kept: Any) -> None:
    assert TypedValue.of(value) == TypedValue(type_, kept, is_array)


@pytest.mark.parametrize("value", [[1, "a"], [True, 1], [None], [[1], [2]], [b"x"], object(), {}, 1j])
def test_a_value_without_a_type(value: Any) -> None:
    with pytest.raises(TypeError):
        TypedValue.of(value)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, [-1, 2**63]])
def test_a_number_too_large_for_any_type(value: Any) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        TypedValue.of(value)
