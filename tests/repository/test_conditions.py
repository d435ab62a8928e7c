"""Enumerations with conditions: nothing that WQL finds is missing, and what SQLite can judge exactly it does."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import (
    ABSENT,
    DEFAULT,
    INTEGER_RANGES,
    CimType,
    Class,
    DateTime,
    Instance,
    NameMap,
    Property,
    Shape,
    fold,
)
from openwmi.errors import InvalidClass
from openwmi.repository import Condition, MemoryStore
from openwmi.repository import sqlite as implementation
from openwmi.repository.sqlite import SqliteStore
from openwmi.wql.evaluate import Impossible, comparison
from openwmi.wql.tree import Operator
from tests.repository.models import BASE, DERIVED, KEY, LEAF, NS, SIBLING

TEXTS = [
    "", "a", "A", "b", "Z", "z", "[", "_", "ab", "aB", "K", "\u212a", "İ", "i̇", "ſ", "σ", "Σ", "ς", "é", "É", "\0",
    "a\0b", "\ud800", "\\u0041", "\n", "\x7f", "😀", '"', "1",
]  # fmt: skip
EDGES = [0, 1, -1, 127, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, -(2**63), -(2**63) - 1, 2**70]

TYPES: dict[CimType, st.SearchStrategy[Any]] = {
    CimType.STRING: st.sampled_from(TEXTS),
    CimType.CHAR16: st.sampled_from([text for text in TEXTS if len(text.encode("utf-16-le", "surrogatepass")) == 2]),
    CimType.BOOLEAN: st.booleans(),
    CimType.REAL64: st.floats(),
    CimType.DATETIME: st.sampled_from([DateTime("20260101120000.000000+060"), DateTime("20260101110000.000000+000")]),
    CimType.REFERENCE: st.sampled_from(['X.A="1"', 'x.a="1"']),
    **{
        t: st.sampled_from([edge for edge in EDGES if low <= edge <= high])
        for t, (low, high) in INTEGER_RANGES.items()
        if t in (CimType.SINT8, CimType.UINT32, CimType.SINT64, CimType.UINT64)
    },
}
OPERATORS = ["=", "<>", "<", "<=", ">", ">=", "contains"]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Class, list[Instance], list[Condition]]:
    """A class, instances of it in every state, and conditions on them."""
    type_ = draw(st.sampled_from(list(TYPES)))
    values = TYPES[type_]
    name = draw(st.sampled_from(["Value", "VALUE_1", "Länge"]))
    declared = [
        Property("Id", CimType.UINT32, qualifiers=KEY),
        Property(name, type_, default=draw(st.none() | values)),
        Property("Other", CimType.STRING, default=draw(st.sampled_from([None, "é", "x"]))),
    ]
    cls = Class("Case", properties=NameMap(declared)).rooted()
    found = []
    for number in range(draw(st.integers(1, 6))):
        made = cls.new(Id=number)
        made.values[1] = draw(st.none() | st.just(DEFAULT) | st.just(ABSENT) | values)
        made.values[2] = draw(st.sampled_from([DEFAULT, None, "x", "\u212a"]))
        found.append(made)
    constants = values | st.none() | (st.sampled_from(EDGES) if type_ in INTEGER_RANGES else values)
    conditions = draw(
        st.lists(st.builds(Condition, st.just(name.swapcase()), st.sampled_from(OPERATORS), constants), max_size=2)
    )
    if draw(st.booleans()):
        conditions.append(Condition("other", "<>", "X"))
    return cls, found, conditions


def meets(instance: Instance, condition: Condition) -> bool:
    """Whether WQL finds that the condition holds."""
    declared = instance.cls.properties[condition.property]
    value = instance.get(declared.name)
    if condition.operator == "contains":
        return isinstance(value, str) and isinstance(condition.value, str) and fold(condition.value) in fold(value)
    if condition.value is None:
        return (value is None) is (condition.operator == "=") if condition.operator in ("=", "<>") else False
    constant = condition.value.text if isinstance(condition.value, DateTime) else condition.value
    try:
        test = comparison(declared.type, declared.is_array, Operator(condition.operator), constant)
    except Impossible:
        return False
    return value is not None and test(value)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_nothing_that_wql_finds_is_missing(case: tuple[Class, list[Instance], list[Condition]]) -> None:
    cls, instances, conditions = case
    with MemoryStore() as store:
        store.create_namespace("root")
        store.put_class("root", cls)
        for instance in instances:
            store.put_instance("root", instance)
        found = {instance["Id"] for instance in store.instances("root", "Case", conditions=conditions)}
    assert found >= {i["Id"] for i in instances if all(meets(i, condition) for condition in conditions)}


def stored(store: SqliteStore, declared: Property, values: list[Any]) -> None:
    cls = Class("Kept", properties=NameMap([Property("Id", CimType.UINT32, qualifiers=KEY), declared])).rooted()
    store.put_class(NS, cls)
    for number, value in enumerate(values):
        made = cls.new(Id=number)
        made.values[1] = value
        store.put_instance(NS, made)


def found(store: SqliteStore, *conditions: Condition) -> list[int]:
    return [instance["Id"] for instance in store.instances(NS, "Kept", conditions=conditions)]


FUNCTIONS = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@pytest.mark.parametrize("sign", list(FUNCTIONS))
@pytest.mark.parametrize(
    ("type_", "values", "constants"),
    [
        (CimType.UINT64, [0, 5, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1], [5, 2**53, 2**53 + 1, 2**63 - 1]),
        (CimType.SINT64, [-(2**63), -1, 0, 2**63 - 1], [-(2**63), 0, 2**63 - 1]),
        (CimType.STRING, ["", "a", "B", "Zz", "[", "é"], ["", "A", "b", "zZ", "^"]),
    ],
)
def test_what_is_exact_is_judged(store: SqliteStore, type_: CimType, values, constants, sign: str) -> None:
    stored(store, Property("Value", type_), [*values, None, DEFAULT, ABSENT])

    def folded(value):
        return value.lower() if isinstance(value, str) else value

    for constant in constants:
        expected = [i for i, value in enumerate(values) if FUNCTIONS[sign](folded(value), folded(constant))]
        if type_ is CimType.STRING and 5 not in expected:
            expected.append(5)  # not ASCII: always let through
        assert found(store, Condition("value", sign, constant)) == expected  # type: ignore[arg-type]


def test_the_default_is_compared_where_nothing_is_kept(store: SqliteStore) -> None:
    stored(store, Property("Value", CimType.UINT32, default=7), [DEFAULT, 8, None, 7])
    assert found(store, Condition("Value", "=", 7)) == [0, 3]
    assert found(store, Condition("Value", ">", 7)) == [1]
    assert found(store, Condition("Value", "=", None)) == [0, 2]  # the first might be absent
    assert found(store, Condition("Value", "<>", None)) == [0, 1, 3]


def test_null_and_booleans(store: SqliteStore) -> None:
    stored(store, Property("Value", CimType.BOOLEAN), [True, False, None, DEFAULT])
    assert found(store, Condition("Value", "=", True)) == [0]
    assert found(store, Condition("Value", "<>", True)) == [1]
    assert found(store, Condition("Value", "=", None)) == [2, 3]
    assert found(store, Condition("Value", "<>", None)) == [0, 1]
    assert found(store, Condition("Value", ">", False)) == [0, 1, 2, 3]  # WQL has no such comparison


@pytest.mark.parametrize(
    "condition",
    [
        Condition("Value", "=", "5"),
        Condition("Value", "=", True),
        Condition("Value", "=", 5.0),
        Condition("Value", "=", 2**63),
        Condition("Value", "<", None),
        Condition("Value", "OR 1=1 --", 5),  # type: ignore[arg-type]
        Condition("Nowhere", "=", 5),
        Condition("Value') OR ('", "=", 5),
        Condition("__CLASS", "=", "Kept"),
    ],
)
def test_what_is_not_exact_is_left_out(store: SqliteStore, condition: Condition) -> None:
    stored(store, Property("Value", CimType.UINT64), [5, 6])
    assert found(store, condition) == [0, 1]


def test_an_instance_with_a_shape_of_its_own_is_let_through(store: SqliteStore) -> None:
    """Its property may have another default than the class's."""
    stored(store, Property("Value", CimType.UINT32, default=1), [5])
    cls = store.get_class(NS, "Kept")
    assert cls is not None
    own = Shape(cls, [cls.properties["Id"], Property("Value", CimType.UINT32, default=9)])
    store.put_instance(NS, Instance(own, {"Id": 7}))
    assert found(store, Condition("Value", "=", 9)) == [7]


def test_conditions_that_pin_the_keys_are_a_look_up(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for cls, number in ((BASE, 1), (DERIVED, 2), (LEAF, 3)):
        store.put_instance(NS, cls.new(Id=number))
    monkeypatch.delattr(SqliteStore, "_pages")

    def named(class_name: str, number: object, *, deep: bool) -> list[str]:
        conditions = [Condition("Note", "=", "other"), Condition("ID", "=", number)]
        return [i.class_name for i in store.instances(NS, class_name, deep=deep, conditions=conditions)]

    assert named("Base", 3, deep=True) == ["Leaf"]
    assert named("Base", 3, deep=False) == []
    assert named("base", 1, deep=False) == ["Base"]
    assert named("Sibling", 3, deep=True) == []
    assert named("Base", 4, deep=True) == []
    with pytest.raises(InvalidClass):
        named("Other", 1, deep=True)
    with pytest.raises(AttributeError):
        named("Base", "1", deep=True)  # no exact comparison, so no look-up


def test_every_key_must_be_pinned(store: SqliteStore) -> None:
    properties = [Property("A", CimType.STRING, qualifiers=KEY), Property("B", CimType.BOOLEAN, qualifiers=KEY)]
    cls = Class("Two", properties=NameMap(properties)).rooted()
    store.put_class(NS, cls)
    for a in ("x", "y"):
        for b in (True, False):
            store.put_instance(NS, cls.new(A=a, B=b))
    only = [i.to_dict() for i in store.instances(NS, "Two", conditions=[Condition("A", "=", "X")])]
    assert only == [{"A": "x", "B": True}, {"A": "x", "B": False}]
    one = store.instances(NS, "Two", conditions=[Condition("A", "=", "X"), Condition("b", "=", False)])
    assert [i.to_dict() for i in one] == [{"A": "x", "B": False}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("X.A", [0, 1]), ('x.a="1', [0, 1]), ("2", [2]), ("é", [0, 1, 2, 3, 4]), ("", [0, 1, 2, 4])],
)
def test_a_part_of_a_reference(store: SqliteStore, text: str, expected: list[int]) -> None:
    """What is not ASCII is not looked for, and a row in which such text stands is always let through."""
    values = ['X.A="1"', 'x.a="1"', "Y=2", None, 'Z="é"']
    stored(store, Property("Value", CimType.REFERENCE), values)
    assert found(store, Condition("Value", "contains", text)) == sorted({*expected, 4})


def test_deep_enumeration(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementation, "PAGE", 2)
    for number in range(5):
        for offset, cls in enumerate((LEAF, BASE, SIBLING, DERIVED)):
            store.put_instance(NS, cls.new(Id=10 * offset + number, Note=f"n{number}"))
    everything = [(i.class_name, i["Id"]) for i in store.instances(NS, "Base", deep=True)]
    assert [name for name, _ in everything] == ["Base"] * 5 + ["Derived"] * 5 + ["Sibling"] * 5 + ["Leaf"] * 5
    assert [number for _, number in everything] == [
        *range(10, 15), *range(30, 35), *range(20, 25), *range(5)
    ]  # fmt: skip
    some = store.instances(NS, "Derived", deep=True, conditions=[Condition("Note", ">=", "N3")])
    assert [(i.class_name, i["Note"]) for i in some] == [
        ("Derived", "n3"), ("Derived", "n4"), ("Leaf", "n3"), ("Leaf", "n4")
    ]  # fmt: skip


@pytest.mark.parametrize("scan", [1, 3, 7, 100])
@pytest.mark.parametrize("page", [1, 2, 100])
def test_a_search_is_cut_in_pieces(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, scan: int, page: int) -> None:
    """Whatever the pieces, what matches comes once and in order, and writers get their turn in between."""
    monkeypatch.setattr(implementation, "SCAN", scan)
    monkeypatch.setattr(implementation, "PAGE", page)
    stored(store, Property("Value", CimType.UINT32), [number % 3 for number in range(20)])
    for number in (0, 4, 5, 19):
        store.delete_instance(NS, "Kept", str(store.get_class(NS, "Kept").new(Id=number).identity))  # type: ignore[union-attr]
    assert found(store, Condition("Value", "=", 1)) == [1, 7, 10, 13, 16]
    assert found(store, Condition("Value", "=", 9)) == []
    searches: list[str] = []
    store._connection.set_trace_callback(searches.append)  # type: ignore[union-attr]
    found(store, Condition("Value", "=", 9))
    assert len([sql for sql in searches if "json_extract" in sql]) == 16 // scan + (16 % scan > 0 or scan == 1)


def test_a_subclass_compares_its_own_default(store: SqliteStore) -> None:
    lower = BASE.derive(Class("Lower", properties=NameMap([Property("Note", CimType.STRING, default="else")])))
    store.put_class(NS, lower)
    store.put_instance(NS, BASE.new(Id=1))
    store.put_instance(NS, lower.new(Id=2))
    for note, number in (("Nothing", 1), ("ELSE", 2)):
        wanted = [Condition("Note", "=", note)]
        assert [i["Id"] for i in store.instances(NS, "Base", deep=True, conditions=wanted)] == [number]
