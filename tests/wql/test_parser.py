"""The parser of WQL: text to tree to text, other spellings, and every mistake at its place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openwmi.cim import Class, DateTime, ObjectPath
from openwmi.errors import InvalidQuery
from openwmi.status import WbemStatus
from openwmi.wql import (
    And,
    AssociatorsQuery,
    Comparison,
    Constant,
    Expression,
    GroupClause,
    Isa,
    IsNull,
    Limits,
    Not,
    Operator,
    Or,
    PropertyPath,
    ReferencesQuery,
    SchemaQuery,
    SelectQuery,
    WqlError,
    escape,
    parse,
    quote,
)

IDENTITY = [
    "SELECT * FROM Win32_Process",
    "SELECT Name, Handle FROM Win32_Process",
    "SELECT __PATH, TargetInstance.Name FROM X",
    'SELECT * FROM X WHERE Name = "a"',
    'SELECT * FROM X WHERE Name <> "a\\\\b\\"c\'d"',
    "SELECT * FROM X WHERE A < 5 AND B > -5 AND C <= 2.5 AND D >= 1e+22",
    "SELECT * FROM X WHERE A = TRUE OR B = FALSE",
    'SELECT * FROM X WHERE Name LIKE "%[a-f]_[^x]%"',
    "SELECT * FROM X WHERE A IS NULL OR B IS NOT NULL",
    'SELECT * FROM X WHERE E ISA "Y" AND __THIS ISA "Z"',
    'SELECT * FROM X WHERE __CLASS = "Y"',
    "SELECT * FROM X WHERE (A = 1 OR B = 2) AND NOT (C = 3 AND D = 4)",
    "SELECT * FROM X WHERE A = 1 AND B = 2 OR C = 3 AND NOT D = 4",
    "SELECT * FROM X WHERE NOT NOT A = 1",
    "SELECT * FROM X WHERE NOT (NOT A = 1 OR B = 2)",
    "SELECT * FROM X WHERE A.B.C = 5",
    "SELECT * FROM meta_class",
    'SELECT * FROM meta_class WHERE __THIS ISA "CIM_Process" AND NOT __CLASS LIKE "CIM%"',
    'SELECT * FROM __InstanceCreationEvent WITHIN 2.5 WHERE TargetInstance ISA "Win32_Process"',
    "SELECT * FROM EmailEvent GROUP WITHIN 300",
    'SELECT * FROM E WHERE A = "x" GROUP WITHIN 600 BY TargetInstance.SourceName, Type HAVING NumberOfEvents > 25',
    'ASSOCIATORS OF {Win32_LogicalDisk.DeviceID="C:"}',
    'ASSOCIATORS OF {A.k="x"} WHERE AssocClass = B ResultClass = C ResultRole = D Role = E RequiredQualifier = F '
    "RequiredAssocQualifier = G KeysOnly",
    "ASSOCIATORS OF {A} WHERE SchemaOnly",
    'REFERENCES OF {root\\cimv2:A.k="}"} WHERE ClassDefsOnly',
    "REFERENCES OF {A=5} WHERE ResultClass = C Role = E RequiredQualifier = F",
]


@pytest.mark.parametrize("text", IDENTITY)
def test_identity(text: str) -> None:
    query = parse(text)
    assert str(query) == text
    assert query.text == text


def where(text: str, *parameters: Any) -> Expression:
    query = parse(f"SELECT * FROM X WHERE {text}", parameters)
    assert isinstance(query, SelectQuery)
    assert query.where is not None
    return query.where


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Name='a'", 'Name = "a"'),
        ("a != 1", "a <> 1"),
        ("0x1F = a", "a = 31"),
        ("5 < a", "a > 5"),
        ("5 >= a", "a <= 5"),
        ("'x' <> a", 'a <> "x"'),
        ("a = NULL", "a IS NULL"),
        ("a <> NULL", "a IS NOT NULL"),
        ("NULL = a", "a IS NULL"),
        ("a is Not null", "a IS NOT NULL"),
        ("a = +5", "a = 5"),
        ("a=-0x10", "a = -16"),
        ("a = 1.", "a = 1.0"),
        ("a = .5", "a = 0.5"),
        ("((a = 1))", "a = 1"),
        ("(a = 1 and b = 2) and c = 3", "a = 1 AND b = 2 AND c = 3"),
        ("a = 1 or (b = 2 or c = 3)", "a = 1 OR b = 2 OR c = 3"),
        ("__CLASS = Win32_Process", '__CLASS = "Win32_Process"'),
        ("__class <> Win32_Process", '__class <> "Win32_Process"'),
        ("TargetInstance.__CLASS = Y", 'TargetInstance.__CLASS = "Y"'),
        ("e isa Y", 'e ISA "Y"'),
        ("a . b = 1", "a.b = 1"),
        ("name like '[%]'", 'name LIKE "[%]"'),
        ("a\t=\r\n\u00a01", "a = 1"),
    ],
)
def test_spellings(text: str, canonical: str) -> None:
    assert str(where(text)) == canonical


def test_keywords_are_words_where_the_grammar_does_not_have_them() -> None:
    assert str(parse('SELECT Group, By, From FROM Where WHERE Like = 1 AND Isa IS NULL AND Select LIKE "x"')) == (
        'SELECT Group, By, From FROM Where WHERE Like = 1 AND Isa IS NULL AND Select LIKE "x"'
    )


def test_associations_have_typed_trees() -> None:
    query = parse(
        'associators of { Win32_LogicalDisk="C:" } where resultclass=CIM_Directory requiredQualifier = "Dynamic"'
    )
    assert query == AssociatorsQuery(
        ObjectPath.parse('Win32_LogicalDisk="C:"'), result_class="CIM_Directory", required_qualifier="Dynamic"
    )
    assert parse("references of {A.b='}{'} where keysonly") == ReferencesQuery(
        ObjectPath.parse("A.b='}{'"), keys_only=True
    )


def test_events_have_typed_trees() -> None:
    query = parse("SELECT * FROM E WITHIN 10 WHERE a = 1 GROUP WITHIN 5 BY b HAVING NumberOfEvents >= 3")
    assert query == SelectQuery(
        "E",
        None,
        Comparison(PropertyPath(("a",)), Operator.EQUAL, Constant(1)),
        10.0,
        GroupClause(
            5.0,
            (PropertyPath(("b",)),),
            Comparison(PropertyPath(("NumberOfEvents",)), Operator.GREATER_EQUAL, Constant(3)),
        ),
    )


ERRORS = [
    # what stands after "SELECT * FROM X WHERE ", the place in it, what the message has in it
    ("", 0, "a property or a constant; the query ends"),
    ("a", 1, "a comparison"),
    ("a =", 3, "a constant: text in quotes"),
    ("a = b", 4, "a constant: text in quotes, a number, TRUE, FALSE or NULL; found b"),
    ("a = 1 b", 6, "AND, OR or the end of the query; found b"),
    ("a = 1 AND", 9, "a property or a constant"),
    ("(a = 1", 6, "AND, OR or ')'"),
    ("a = 1)", 5, "found )"),
    ("a = 'x", 4, "this string has no end"),
    ('a = "C:\\temp"', 7, "\\t is no escape"),
    ('a LIKE "PCI\\%"', 11, "\\% is no escape"),
    ("a = 12x", 4, "12x is not a number"),
    ("a = 1.2.3", 4, "is not a number"),
    ("a < (4 + 7 - 2)", 4, "a constant"),
    ("a IS 5", 5, "NULL; found 5"),
    ("a IS NOT 'x'", 9, "NULL"),
    ("a >= NULL", 2, ">= does not go with NULL"),
    ("a LIKE NULL", 2, "LIKE does not go with NULL"),
    ("'x' LIKE a", 4, "LIKE has the property before it"),
    ("5 = 6", 4, "the name of a property: the other side is a constant"),
    ("a NOT LIKE 'x'", 2, "a comparison"),
    ("a == 1", 3, "a constant"),
    ("a = ;", 4, "';' means nothing in WQL"),
    ("a ISA 5", 6, "the name of a class"),
    ("a. = 5", 3, "the name of a property"),
    ("a = ?", 4, "no parameter for this '?'"),
    ("a = 1e999", 4, "too large a number"),
    (f"a = {'1' * 70}", 4, "at most 64 characters"),
    ("TRUE", 4, "=, <>, <"),
]


@pytest.mark.parametrize(("text", "place", "message"), ERRORS)
def test_mistakes_in_expressions(text: str, place: int, message: str) -> None:
    prefix = "SELECT * FROM X WHERE "
    with pytest.raises(WqlError) as caught:
        parse(prefix + text)
    assert message in caught.value.message
    assert caught.value.position == len(prefix) + place
    assert caught.value.status == WbemStatus.WBEM_E_INVALID_QUERY
    assert isinstance(caught.value.as_wbem_error(), InvalidQuery)
    assert f"at {len(prefix) + place}" in str(caught.value.as_wbem_error())


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", 0, "SELECT, ASSOCIATORS OF or REFERENCES OF; the query ends"),
        ("DELETE FROM X", 0, "found DELETE"),
        ("SELECT FROM X", 12, "FROM; found X"),
        ("SELECT a, FROM X", 15, "FROM; found X"),
        ("SELECT a b FROM X", 9, "FROM; found b"),
        ("SELECT * FROM", 13, "the name of a class"),
        ("SELECT * FROM X Y", 16, "the end of the query"),
        ("SELECT * FROM X, Y", 15, "the end of the query"),
        ("SELECT a FROM meta_class", 7, "selects '*'"),
        ("SELECT * FROM X WITHIN", 22, "a number of seconds"),
        ("SELECT * FROM X WITHIN -1", 23, "0 to"),
        ("SELECT * FROM X GROUP BY a", 22, "WITHIN"),
        ("ASSOCIATORS {A}", 12, "OF"),
        ("ASSOCIATORS OF A", 15, "an object path in braces"),
        ("ASSOCIATORS OF {A", 15, "this brace is not closed"),
        ("ASSOCIATORS OF {}", 16, "the object path is not one"),
        ("ASSOCIATORS OF { A.b= }", 21, "expected the value of a key"),
        ("ASSOCIATORS OF {root\\cimv2}", 15, "a namespace has no associations"),
        ("ASSOCIATORS OF {A=1} WHERE", 26, "one of AssocClass"),
        ("ASSOCIATORS OF {A=1} WHERE ResultClass <> B", 39, "'=' after ResultClass"),
        ("ASSOCIATORS OF {A=1} WHERE Role = B AND Role = C", 36, "without commas, AND or OR"),
        ("ASSOCIATORS OF {A=1} WHERE Role = B Role = C", 36, "Role is there twice"),
        ("ASSOCIATORS OF {A=1} WHERE ClassDefsOnly ResultClass = B", 56, "exclude each other"),
        ("ASSOCIATORS OF {A=1} WHERE SchemaOnly", 37, "SchemaOnly goes with the path of a class"),
        ("REFERENCES OF {A=1} WHERE AssocClass = B", 26, "one of ResultClass"),
    ],
)
def test_mistakes_in_statements(text: str, place: int, message: str) -> None:
    with pytest.raises(WqlError) as caught:
        parse(text)
    assert message in caught.value.message
    assert caught.value.position == place


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ('x" OR "" = "', r'a = "x\" OR \"\" = \""'),
        ("\\", 'a = "\\\\"'),
        ("?", 'a = "?"'),
        (5, "a = 5"),
        (-2.5, "a = -2.5"),
        (True, "a = TRUE"),
        (None, "a IS NULL"),
        (DateTime("20260131120000.000000+000"), 'a = "20260131120000.000000+000"'),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), 'a = "20260131120000.000000+000"'),
        (timedelta(days=1), 'a = "00000001000000.000000:000"'),
    ],
)
def test_parameters(value: Any, canonical: str) -> None:
    expression = where("a = ?", value)
    assert str(expression) == canonical
    assert where(canonical) == expression


def test_parameters_go_in_order_and_stay_out_of_strings() -> None:
    assert str(where('a = ? AND b = "?" AND ? = c AND d ISA ?', 1, 2, "Y")) == (
        'a = 1 AND b = "?" AND c = 2 AND d ISA "Y"'
    )


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        ("a = ? AND b = ?", (1,), "no parameter for this '?'"),
        ("a = ?", (1, 2), "has 1 '?', but 2 parameters"),
        ("a = ?", ([],), "a list is no constant"),
        ("a = ?", (float("nan"),), "is no number"),
        ("a = ?", (timedelta(-1),), "is not negative"),
        ("a ISA ?", (5,), "ISA takes the name of a class"),
        ("? = 5", (1,), "the name of a property"),
    ],
)
def test_wrong_parameters(text: str, parameters: tuple[Any, ...], message: str) -> None:
    with pytest.raises(WqlError, match=message.replace("?", r"\?")):
        where(text, *parameters)


@given(st.text(max_size=30))
def test_quoting_is_undone_by_parsing(text: str) -> None:
    expression = where("a = " + quote(text))
    assert expression == Comparison(PropertyPath(("a",)), Operator.EQUAL, Constant(text))
    assert where("a = ?", text) == expression


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT * FROM X" + " " * 16_384, "16,384 are allowed"),
        ("SELECT * FROM X WHERE " + "(" * 65 + "a = 1" + ")" * 65, "deeper than 64"),
        ("SELECT * FROM X WHERE " + "NOT " * 65 + "a = 1", "deeper than 64"),
        ("SELECT * FROM X WHERE " + " OR ".join(["a=1"] * 1025), "more than 1,024 terms"),
        ("SELECT " + ",".join(["a"] * 2049) + " FROM X", "more than 1,024 terms"),
        ("SELECT a" + ".a" * 2049 + " FROM X", "more than 1,024 terms"),
    ],
)
def test_bounds(text: str, message: str) -> None:
    with pytest.raises(WqlError, match=message) as caught:
        parse(text)
    assert caught.value.status == WbemStatus.WBEM_E_QUOTA_VIOLATION


def test_bounds_are_reached_and_can_be_chosen() -> None:
    parse("SELECT * FROM X WHERE " + "(" * 64 + "a = 1" + ")" * 64)
    parse("SELECT * FROM X WHERE " + " OR ".join(["a=1"] * 1024))
    with pytest.raises(WqlError):
        parse("SELECT * FROM X", limits=Limits(length=14))
    with pytest.raises(WqlError):
        parse("SELECT * FROM X WHERE NOT NOT a = 1", limits=Limits(depth=1))


NAMES = st.sampled_from(["a", "B1", "__CLASS", "Ünï", "From", "Like"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: PropertyPath(tuple(names)))
NUMBERS = st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
CONSTANTS = (st.text(max_size=8) | st.booleans() | NUMBERS).map(Constant)
LEAVES = st.one_of(
    st.builds(Comparison, PATHS, st.sampled_from(Operator), CONSTANTS),
    st.builds(IsNull, PATHS, st.booleans()),
    st.builds(Isa, PATHS, st.sampled_from(["X", "Win32_Y", "__Z"])),
)


def _compound(parts: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    def terms(*, but: type) -> st.SearchStrategy[tuple[Expression, ...]]:
        return st.lists(parts.filter(lambda t: not isinstance(t, but)), min_size=2, max_size=3).map(tuple)

    return st.builds(Not, parts) | st.builds(And, terms(but=And)) | st.builds(Or, terms(but=Or))


EXPRESSIONS = st.recursive(LEAVES, _compound, max_leaves=8)


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS)
def test_a_tree_is_parsed_from_its_own_text(expression: Expression) -> None:
    query = SelectQuery("X", None, expression)
    assert parse(str(query)) == query
    assert parse(str(SchemaQuery(expression))) == SchemaQuery(expression)


def _types(expression: Expression) -> list[Any]:
    if isinstance(expression, And | Or):
        return [kind for term in expression.terms for kind in _types(term)]
    if isinstance(expression, Not):
        return _types(expression.term)
    return [type(expression.constant.value)] if isinstance(expression, Comparison) else []


@settings(deadline=None)
@given(EXPRESSIONS)
def test_constants_keep_their_types(expression: Expression) -> None:
    again = parse(str(SelectQuery("X", None, expression)))
    assert isinstance(again, SelectQuery)
    assert again.where is not None
    assert _types(again.where) == _types(expression)


PIECES = [
    "SELECT", "*", "FROM", "X", "WHERE", "a", ",", ".", "(", ")", "=", "<>", "<", ">=", "LIKE", "ISA", "IS", "NOT",
    "NULL", "AND", "OR", "5", "-5", "0x", "1e5", "'x'", '"', "'", "\\", "%", "[", "{A=1}", "{", "}", "?", "TRUE",
    "WITHIN", "GROUP", "BY", "HAVING", "ASSOCIATORS", "OF", "REFERENCES", "Role", "meta_class", "__CLASS",
    "\ud800", "\x00",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join), st.lists(st.text(max_size=3), max_size=2))
def test_any_order_of_tokens(text: str, parameters: list[str]) -> None:
    for start in ("", "SELECT * FROM X WHERE ", "ASSOCIATORS OF {A} WHERE "):
        try:
            query = parse(start + text, parameters)
        except WqlError as error:
            assert 0 <= error.position <= len(start + text)  # noqa: PT017
        else:
            assert parse(str(query)) == query


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(IDENTITY), st.data())
def test_mutated_queries(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(len(text), at + 6)))
    mutated = text[:at] + data.draw(st.text(max_size=3) | st.sampled_from(PIECES)) + text[end:]
    try:
        parse(mutated)
    except WqlError as error:
        assert 0 <= error.position <= len(mutated)  # noqa: PT017


@pytest.mark.parametrize("piece", ['"', "'", "{", "{'", "\\", "(", "a.", "NOT ", "-", '{"\\', "1" * 8])
@pytest.mark.timeout(60)
def test_long_nonsense_takes_no_time(piece: str) -> None:
    limits = Limits(length=1_000_000)
    with pytest.raises(WqlError):
        parse("SELECT * FROM X WHERE " + piece * (200_000 // len(piece)), limits=limits)


class Loud(str):
    """A string whose text is not what it says."""

    __slots__ = ()

    def __str__(self) -> str:
        return '" OR 1 = 1'


class Level(IntEnum):
    HIGH = 3


PARAMETERS = st.one_of(
    st.text(max_size=40),
    st.text("\"'\\?%_[]{}\0\r\n\ud800 ORNULL=1", max_size=20),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.sampled_from([Loud("x"), Level.HIGH, ObjectPath.of("A", k='"}\\')]),
)


@settings(max_examples=200, deadline=None)
@given(PARAMETERS, PARAMETERS)
def test_parameters_survive_the_text_that_is_sent(one: Any, other: Any) -> None:
    """What arrives is the query with these very values: none of them can become part of the language."""
    sent = str(parse("SELECT * FROM X WHERE A = ? AND NOT B < ?", (one, other)))
    arrived = parse(sent)
    expected = [v if not isinstance(v, ObjectPath) else str(v) for v in (one, other)]
    assert isinstance(arrived, SelectQuery)
    assert isinstance(arrived.where, And)
    first, second = arrived.where.terms
    assert isinstance(first, Comparison)
    assert isinstance(second, Not)
    assert isinstance(second.term, Comparison)
    found = [first.constant.value, second.term.constant.value]
    assert found == [value + "" if isinstance(value, str) else value for value in expected]
    assert [type(v) in (str, int, float, bool) for v in found] == [True, True]
    assert str(arrived) == sent


@pytest.mark.parametrize("value", [10**70, -(10**70), b"x", object(), 1 + 2j, Class("A").new()])
def test_parameters_that_are_no_constants(value: Any) -> None:
    with pytest.raises(WqlError, match="parameter 1"):
        parse("SELECT * FROM X WHERE A = ?", (value,))


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=20), st.text("}{\"'\\a", min_size=1, max_size=10))
@example("\xa0", "a")
def test_names_in_association_queries_cannot_inject(name: str, key: str) -> None:
    query = AssociatorsQuery(ObjectPath.of("A", k=key), result_class=name, role=name)
    assert parse(str(query)) == query


def test_a_mistake_has_its_line_and_a_caret() -> None:
    with pytest.raises(WqlError) as caught:
        parse("SELECT *\nFROM X\n\tWHERE = 5")
    assert caught.value.excerpt == "\tWHERE = 5\n\t      ^"
    with pytest.raises(WqlError) as caught:
        parse("SELECT * FROM X WHERE " + "A = 1 OR " * 50 + "=")
    line, caret = caught.value.excerpt.split("\n")
    assert len(line) <= 120
    assert line[len(caret) - 1] == "="


def test_places_of_the_names_in_association_queries() -> None:
    query = parse("ASSOCIATORS OF { A.k=1 } WHERE AssocClass = B ResultClass=C")
    assert isinstance(query, AssociatorsQuery)
    assert {name: query.text[at] for name, at in query.offsets.items()} == {
        "path": "A", "association_class": "B", "result_class": "C"
    }  # fmt: skip


@pytest.mark.requirement(
    "WMI-2.2.1.2-01", "WMI-2.2.1.2-02", "WMI-2.2.1.2-03", "WMI-2.2.1.2-06", "WMI-2.2.1.2-07", "WMI-2.2.1.2-08",
    "WMI-2.2.1.2-13", "WMI-2.2.1.2-15",
)  # fmt: skip
@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("* FROM E WITHIN 5", 0, "SELECT"),
        ("SELECT A B FROM E WITHIN 5", 9, "expected FROM"),
        ("SELECT * E WITHIN 5", 9, "expected FROM"),
        ("SELECT * FROM WITHIN 5", 21, "end of the query"),
        ("SELECT * FROM E WITHIN WHERE A = 1", 23, "a number of seconds"),
        ("SELECT * FROM E WITHIN", 22, "a number of seconds"),
        ("SELECT * FROM E WITHIN '5'", 23, "a number of seconds"),
        ("SELECT * FROM E WITHIN -1", 23, "0 to 4,294,967,295 seconds"),
        ("SELECT * FROM E GROUP BY A", 22, "expected WITHIN"),
        ("SELECT * FROM E GROUP WITHIN BY A", 29, "a number of seconds"),
        ("SELECT * FROM E GROUP WITHIN 5 BY", 33, "the name of a property"),
        ("SELECT * FROM E GROUP WITHIN 5 HAVING", 37, "a property or a constant"),
    ],
)
def test_mistakes_in_event_queries(text: str, place: int, message: str) -> None:
    with pytest.raises(WqlError) as caught:
        parse(text)
    assert caught.value.position == place
    assert message in caught.value.message


@pytest.mark.requirement("WMI-2.2.1.1-02")
@pytest.mark.parametrize("text", ["SELECT *", "SELECT Name", "SELECT Name Win32_Process", "SELECT * WHERE A = 1"])
def test_a_select_says_from_what(text: str) -> None:
    with pytest.raises(WqlError, match="FROM"):
        parse(text)


@given(st.text(), st.sampled_from("'\""))
def test_what_is_escaped_stands_between_quotes(text: str, quote: str) -> None:
    query = parse(f"SELECT * FROM C WHERE Name = {quote}{escape(text)}{quote}")
    assert query == parse("SELECT * FROM C WHERE Name = ?", (text,))
