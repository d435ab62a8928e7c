"""Queries against a schema: what is refused, what matches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import ABSENT, CimType, Class, DateTime, Instance, NameMap, Property, Qualifier
from openwmi.status import WbemStatus
from openwmi.wql import SchemaQuery, SelectQuery, WqlError, analyse, analyse_schema, parse

KEY = NameMap([Qualifier.of("key")])
TYPES = [
    ("Id", CimType.UINT32),
    ("Name", CimType.STRING),
    ("Size", CimType.UINT64),
    ("Delta", CimType.SINT8),
    ("Load", CimType.REAL32),
    ("Ratio", CimType.REAL64),
    ("On", CimType.BOOLEAN),
    ("Letter", CimType.CHAR16),
    ("Born", CimType.DATETIME),
    ("Owner", CimType.REFERENCE),
    ("Child", CimType.OBJECT),
]
THING = Class(
    "Test_Thing",
    properties=NameMap(
        [
            *(Property(name, type_, qualifiers=KEY if name == "Id" else NameMap()) for name, type_ in TYPES),
            Property("Tags", CimType.STRING, is_array=True),
            Property("Level", CimType.UINT8, default=3),
        ]
    ),
    namespace="root\\test",
).rooted()
SUB = THING.derive(Class("Test_Sub", properties=NameMap([Property("More", CimType.STRING)]), namespace="root\\test"))

NOON = "20260131120000.000000+000"
INNER = SUB.new(Id=2, Name="Inner", Delta=-5, Child=THING.new(Id=3, Name="Deep"))
ONE = THING.new(
    Id=1, Name="Straße", Size=2**40, Delta=-5, Load=0.1, Ratio=2.5, On=True, Letter="x", Born=DateTime(NOON),
    Owner='Test_Owner.Name="A"', Child=INNER, Tags=("a",),
)  # fmt: skip
EMPTY = THING.new(Id=9)


def plan(where: str, cls: Class | None = THING, *parameters: Any) -> Any:
    query = parse(f"SELECT * FROM Test_Thing WHERE {where}", parameters)
    assert isinstance(query, SelectQuery)
    return analyse(query, cls)


def matches(where: str, instance: Instance = ONE) -> bool:
    found = plan(where).predicate(instance)
    assert isinstance(found, bool)
    return found


TRUE_OF_ONE = [
    "Id = 1", "id = 1", "ID <> 2", "Id < 2", "Id <= 1", "Id > 0", "Id >= 1", "Id = 1.0", "Id > 0.5", "Id = '1'",
    "Id = '0x1'", "Id = ' +1 '", "Id > '-1'", "Id = TRUE", "Id <> 1e30", "Size > 1099511627775", "Size = 0x10000000000",
    "Delta = -5", "Delta < 0", "1 = Id", "2 > Id", "Id LIKE 1", "Id LIKE '1'",
    "Name = 'straße'", "Name = 'STRAßE'", "Name <> 'x'", "Name < 'T'", "Name >= 'strass'", "Name LIKE 'str%'",
    "Name LIKE '%[R]A_E'", "NOT Name LIKE 'x%'", "Name <> ''",
    "Load = 0.1", "Load < 1", "Load = '0.1'", "Ratio = 2.5", "Ratio >= '2.5e0'", "Ratio > 2",
    "On = TRUE", "On = 1", "On = 'true'", "On <> FALSE", "On != 0", "On LIKE TRUE",
    "Letter = 'X'", "Letter = 120", "Letter > 'a'", "Letter LIKE '[w-y]'",
    f"Born = '{NOON}'", "Born = '20260131130000.000000+060'", "Born < '20270101000000.000000+000'",
    "Born >= '20260131120000.000000+000'", "Born <> '20270101000000.000000+000'", f"Born LIKE '{NOON}'",
    "Owner = 'Test_Owner.Name=\"A\"'", "Owner = 'test_owner.name=\"a\"'", "Owner = \"Test_Owner.Name='A'\"",
    "Owner = '\\\\\\\\srv\\\\root\\\\test:Test_Owner.Name=\"A\"'", "Owner <> 'Test_Owner.Name=\"B\"'",
    "Load < 1e40", "Tags IS NOT NULL", "Child IS NOT NULL", "Name IS NOT NULL", "Level = 3", "Level IS NOT NULL",
    "Child ISA 'Test_Thing'", "Child ISA Test_Sub", "NOT Child ISA 'Other'", "Child.Child ISA 'Test_Thing'",
    "Child.Name = 'inner'", "Child.Delta < 0", "Child.Child.Name LIKE 'D%'", "Child.__CLASS = 'Test_Sub'",
    "Child.Size IS NULL", "Child.Name IS NOT NULL", "NOT Child.Missing = 5", "Child.Level = 3",
    "__CLASS = 'test_thing'", "__CLASS = Test_Thing", "__CLASS LIKE 'Test[_]%'", "__THIS ISA 'Test_Thing'",
    "__GENUS = 2", "__RELPATH = 'Test_Thing.Id=1'", "__SUPERCLASS IS NULL", "__NAMESPACE = 'ROOT\\\\TEST'",
    "__DYNASTY = 'Test_Thing'", "__PROPERTY_COUNT > 5", "__SERVER IS NULL", "__DERIVATION IS NOT NULL",
    "Id = 1 AND Name = 'straße'", "Id = 2 OR Name = 'straße'", "Id = 2 OR Id = 3 OR Id = 1", "NOT (Id = 2)",
    "Id = 1 AND On = 1 AND NOT Delta = 5", "NOT (Id = 1 AND Id = 2)", "Id = 2 AND Id = 3 OR Id = 1",
]  # fmt: skip


@pytest.mark.parametrize("where", TRUE_OF_ONE)
def test_what_is_true(where: str) -> None:
    assert matches(where)
    assert not matches(f"NOT ({where})")


@pytest.mark.parametrize(
    "where",
    [
        "Id = 2", "Name = 'strasse'", "Name > 'T'", "Size < 5", "Load = 0.2", "On = FALSE", "Letter = 'y'",
        "Born > '20270101000000.000000+000'", "Owner = 'Other.Name=\"A\"'", "Owner <> 'Test_Owner.Name=\"a\"'",
        "Child ISA 'Other'", "Child.Missing = 5", "Child.Name.Nothing = 5", "Child.Name = 5", "Child.Tags = 'x'",
        "Child.Missing IS NULL", "Child.Missing ISA 'X'", "Child.Size = 5", "__CLASS = 'X'", "__THIS ISA 'Test_Sub'",
        "Load > 1e40", "Owner = 'not a path'", "Born < '00000001000000.000000:000'", "Tags IS NULL",
        "Id = 1 AND Id = 2 AND Id = 3",
    ],
)  # fmt: skip
def test_what_is_false(where: str) -> None:
    assert not matches(where)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("root\\other:A.k=1", False), ("ROOT/test:A.k=1", True), ("A.k=1", True), ("A.k=2", False), ("a.K=1", True)],
)
def test_references_are_equal_when_they_name_one_object(path: str, expected: bool) -> None:
    instance = THING.new(Id=1, Owner="\\\\srv\\root\\test:A.k=1")
    assert plan("Owner = ?", THING, path).predicate(instance) is expected
    assert plan("Owner <> ?", THING, path).predicate(instance) is not expected


@pytest.mark.parametrize(
    "name", ["Name", "Size", "Delta", "Load", "Ratio", "On", "Letter", "Born", "Owner", "Child", "Tags"]
)
def test_null_is_found_by_is_null_alone(name: str) -> None:
    assert matches(f"{name} IS NULL", EMPTY)
    assert matches(f"{name} = NULL", EMPTY)
    assert not matches(f"{name} IS NOT NULL", EMPTY)


@pytest.mark.parametrize(
    "where",
    ["Name = ''", "Name <> 'x'", "Size = 0", "Size <> 5", "On = FALSE", "On <> TRUE", f"Born <> '{NOON}'",
     "Owner <> 'A=1'", "Child.Name <> 'x'", "Child ISA 'Test_Thing'", "Name LIKE '%'"],
)  # fmt: skip
def test_null_compares_with_nothing(where: str) -> None:
    assert not matches(where, EMPTY)
    assert matches(f"NOT {where}", EMPTY)


def test_an_absent_property_reads_as_null() -> None:
    partial = ONE.copy()
    partial["Name"] = ABSENT
    assert matches("Name IS NULL", partial)
    assert not matches("Name = 'straße'", partial)
    narrow = ONE.copy(THING.shape.project(["Id"]))
    assert matches("Id = 1 AND Name IS NULL", narrow)


def test_instances_of_subclasses_match_by_their_own_shape() -> None:
    assert matches("Id = 2 AND Name = 'inner' AND __CLASS = 'Test_Sub' AND __SUPERCLASS = 'Test_Thing'", INNER)
    assert matches("__THIS ISA 'Test_Sub'", INNER)


def test_an_embedded_class_is_compared_by_its_defaults() -> None:
    holder = THING.new(Id=5)
    holder["Child"] = SUB
    assert matches("Child.Level = 3 AND Child.__GENUS = 1 AND Child ISA 'Test_Thing'", holder)


@pytest.mark.parametrize(
    ("where", "place", "message"),
    [
        ("Missing = 5", 0, "Test_Thing has no property Missing"),
        ("Id = 1 AND Missing IS NULL", 11, "no property Missing"),
        ("Missing.Name = 5", 0, "no property Missing"),
        ("__MISSING = 5", 0, "no property __MISSING"),
        ("Name = 5", 7, "text in quotes"),
        ("Name = TRUE", 7, "text in quotes"),
        ("5 = Name", 0, "text in quotes"),
        ("Id = 'five'", 5, "compared with a number"),
        ("Load = 'x'", 7, "a real number"),
        ("Id LIKE '1%'", 8, "wildcards go with strings"),
        ("Id LIKE '[1]'", 8, "wildcards go with strings"),
        ("On <= TRUE", 6, "a boolean has no order"),
        ("On >= 0", 6, "a boolean has no order"),
        ("On = 2", 5, "TRUE, FALSE, 1 or 0"),
        ("On = 1.0", 5, "TRUE, FALSE, 1 or 0"),
        ("Born = 'yesterday'", 7, "a datetime is compared with"),
        ("Born = 5", 7, "a datetime is compared with"),
        ("Owner < 'A=1'", 8, "a reference has no order"),
        ("Owner = 5", 8, "an object path in quotes"),
        ("Child = 'x'", 8, "by its properties, or with ISA"),
        ("Tags = 'a'", 7, "does not look into arrays"),
        ("__DERIVATION = 'a'", 15, "does not look into arrays"),
        ("Name.Length = 5", 0, "Name is no embedded object"),
        ("Name ISA 'X'", 0, "ISA goes with an embedded object"),
        ("__CLASS ISA 'X'", 0, "ISA goes with an embedded object"),
        ("__THIS = 'X'", 0, "__THIS goes with ISA only"),
        ("__THIS IS NULL", 0, "__THIS goes with ISA only"),
        ("Name LIKE '[a'", 10, "the bracket of the pattern is not closed"),
    ],
)
def test_what_is_refused(where: str, place: int, message: str) -> None:
    with pytest.raises(WqlError) as caught:
        plan(where)
    assert message in caught.value.message
    assert caught.value.position == len("SELECT * FROM Test_Thing WHERE ") + place
    assert caught.value.status == WbemStatus.WBEM_E_INVALID_QUERY


def test_a_class_that_is_not_there() -> None:
    with pytest.raises(WqlError) as caught:
        plan("Id = 1", None)
    assert caught.value.status == WbemStatus.WBEM_E_INVALID_CLASS
    assert caught.value.as_wbem_error().status == WbemStatus.WBEM_E_INVALID_CLASS
    assert caught.value.position == len("SELECT * FROM ")


def selected(text: str) -> Any:
    query = parse(text)
    assert isinstance(query, SelectQuery)
    return analyse(query, THING)


@pytest.mark.parametrize(
    ("properties", "projection"),
    [
        ("*", None),
        ("name, ID", ("Name", "Id")),
        ("Name, name", ("Name",)),
        ("Child.Name, Child.Size, __path", ("Child", "__PATH")),
    ],
)
def test_projections(properties: str, projection: tuple[str, ...] | None) -> None:
    assert selected(f"SELECT {properties} FROM Test_Thing").projection == projection


@pytest.mark.parametrize("properties", ["Missing", "Id, Missing", "__MISSING", "Name.Length", "__PATH.x"])
def test_projections_that_are_refused(properties: str) -> None:
    with pytest.raises(WqlError):
        selected(f"SELECT {properties} FROM Test_Thing")


def test_event_queries_are_no_data_queries() -> None:
    for text in ("SELECT * FROM Test_Thing WITHIN 5", "SELECT * FROM Test_Thing GROUP WITHIN 5"):
        with pytest.raises(WqlError, match="queries for events") as caught:
            selected(text)
        assert caught.value.status == WbemStatus.WBEM_E_NOT_SUPPORTED


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Id = 1", {"Id": 1}),
        ("id = 1 AND name = 'x' AND Size > 5", {"Id": 1, "Name": "x"}),
        ("Id = 1 OR Name = 'x'", {}),
        ("NOT Id = 1", {}),
        ("Id <> 1", {}),
        ("Id = '1'", {"Id": 1}),
        ("Id = TRUE", {"Id": 1}),
        ("Id = 1.0 AND On = 1 AND Letter = 'x'", {"Id": 1, "On": True, "Letter": "x"}),
        ("Id = 1.5", {}),
        ("Load = 1", {}),
        ("Tags IS NULL", {}),
        ("Name LIKE 'x'", {"Name": "x"}),
        ("Name LIKE 'x%'", {}),
        ("Id = 1 AND Id = 2", {"Id": 1}),
        ("Child.Id = 1", {}),
        ("__CLASS = 'X'", {}),
    ],
)
def test_equalities_that_every_match_has(where: str, expected: dict[str, Any]) -> None:
    assert dict(plan(where).equalities) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Id > 5 AND NOT Id = 7", [("Id", ">", 5)]),
        ("5 >= Id AND Name IS NULL", [("Id", "<=", 5), ("Name", "=", None)]),
        ("Tags IS NOT NULL AND Size < '0x10'", [("Tags", "<>", None), ("Size", "<", 16)]),
        ("Name LIKE 'ab[c]longer%d_'", [("Name", "contains", "longer")]),
        ("Name LIKE '%_[abc]'", []),
        ("On <> 'false'", [("On", "<>", False)]),
        ("Letter > 'a' AND Id LIKE 5", [("Id", "=", 5)]),
        ("Born > '2026' AND Load = 1.5 AND Child.Id = 1", []),
        ("Owner = 'A.Name=\"x\",Nr=5'", [("Owner", "contains", "A"), ("Owner", "contains", "x")]),
        ("Owner = 'A.Name=\"x\\\\\\\\y\"' AND Owner <> 'B=1'", [("Owner", "contains", "A")]),
        ("Owner = 'no path'", []),
        ("Id = 1 OR Id = 2", []),
    ],
)
def test_what_every_match_meets(where: str, expected: list[tuple[str, str, Any]]) -> None:
    assert [(r.property, r.operator, r.value) for r in plan(where).requirements] == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("__CLASS = 'Test_Sub'", [False, True]),
        ("__CLASS = 'Test_Sub' AND Id = 1", [False, True]),
        ("NOT __CLASS = 'Test_Sub'", [True, False]),
        ("__CLASS = 'Test_Sub' OR __CLASS = 'Other'", [False, True]),
        ("__CLASS = 'Test_Sub' OR Id = 1", [True, True]),
        ("__THIS ISA 'Test_Sub'", [False, True]),
        ("__SUPERCLASS = 'Test_Thing'", [False, True]),
        ("__PATH IS NULL", [True, True]),
    ],
)
def test_classes_whose_instances_cannot_match(where: str, expected: list[bool]) -> None:
    assert [plan(where).concerns(cls) for cls in (THING, SUB)] == expected


def test_without_a_condition_everything_matches() -> None:
    assert selected("SELECT * FROM Test_Thing").predicate(EMPTY) is True


@pytest.mark.parametrize(
    ("where", "names", "root"),
    [
        ("", ["Test_Thing", "Test_Sub"], None),
        (" WHERE __THIS ISA 'Test_Thing'", ["Test_Thing", "Test_Sub"], "Test_Thing"),
        (" WHERE __THIS ISA Test_Sub", ["Test_Sub"], "Test_Sub"),
        (" WHERE __CLASS = 'test_sub'", ["Test_Sub"], None),
        (" WHERE __Class LIKE '%[_]S%'", ["Test_Sub"], None),
        (" WHERE __SUPERCLASS IS NULL", ["Test_Thing"], None),
        (" WHERE __DYNASTY = 'Test_Thing' AND NOT __CLASS = 'Test_Thing'", ["Test_Sub"], None),
        (" WHERE NOT __CLASS < 'Test_T' AND __THIS ISA 'Test_Thing'", ["Test_Thing"], "Test_Thing"),
    ],
)
def test_queries_for_classes(where: str, names: list[str], root: str | None) -> None:
    query = parse("SELECT * FROM meta_class" + where)
    assert isinstance(query, SchemaQuery)
    found = analyse_schema(query)
    assert [cls.name for cls in (THING, SUB) if found.predicate(cls)] == names
    assert found.root == root


@pytest.mark.parametrize("where", ["Name = 'x'", "__CLASS = 5", "__X = 1", "__CLASS.a = 1"])
def test_queries_for_classes_that_are_refused(where: str) -> None:
    query = parse("SELECT * FROM meta_class WHERE " + where)
    assert isinstance(query, SchemaQuery)
    with pytest.raises(WqlError):
        analyse_schema(query)


NAMES = [p.name for p in THING.properties.each()] + ["__CLASS", "__PATH", "Child.Name", "Missing"]
CONSTANTS = ["5", "-1", "2.5", "TRUE", "NULL", "'x'", f"'{NOON}'", "'%'", "'[a'", "'Test_Thing'", "'1'", "''"]
TESTS = st.builds(
    " ".join,
    st.tuples(
        st.sampled_from(NAMES), st.sampled_from(["=", "<>", "<", ">=", "LIKE", "ISA", "IS"]), st.sampled_from(CONSTANTS)
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TESTS, min_size=1, max_size=3).map(" OR NOT ".join))
def test_whatever_is_asked_there_is_an_answer_or_a_wql_error(where: str) -> None:
    try:
        predicate = plan(where).predicate
    except WqlError:
        return
    for instance in (ONE, EMPTY, INNER):
        assert predicate(instance) in (True, False)
