from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwmi.cim import (
    CimType,
    Class,
    DateTime,
    NameMap,
    ObjectPath,
    Property,
    Qualifier,
    canonical_key,
    flag,
    identity,
    split_namespace,
)
from openwmi.errors import InvalidObjectPath, SyntaxProblem
from tests import strategies

KEY = NameMap([Qualifier.of("key")])


def keyed(*types: CimType) -> Class:
    """A class with keys K0, K1 ... of these types."""
    found = [Property(f"K{i}", t, qualifiers=KEY) for i, t in enumerate(types)]
    return Class("Keyed", properties=NameMap([*found, Property("Other", CimType.STRING)])).rooted()


SINGLETON = Class("Clock", qualifiers=NameMap([Qualifier.of("singleton")])).rooted()
P = ObjectPath

# text, the path it means, and how that is written (None: as it was)
TEXTS: list[tuple[str, ObjectPath, str | None]] = [
    ("Class", P("Class"), None),
    ("__Name_1", P("__Name_1"), None),
    ("Ünïcode.Clé=1", P("Ünïcode", (("Clé", 1),)), None),
    ("Class=@", P("Class", singleton=True), None),
    ('Class="text"', P("Class", (("", "text"),)), None),
    ("Class=5", P("Class", (("", 5),)), None),
    ('C.A="x"', P("C", (("A", "x"),)), None),
    ("C.A='x'", P("C", (("A", "x"),)), 'C.A="x"'),
    ("C.A='say \"x\"'", P("C", (("A", 'say "x"'),)), 'C.A="say \\"x\\""'),
    ('C.A="it\'s"', P("C", (("A", "it's"),)), None),
    (r'C.A="\\\"\'"', P("C", (("A", "\\\"'"),)), r'C.A="\\\"' + "'\""),
    ('C.A=""', P("C", (("A", ""),)), None),
    ('C.A="a,B=1;\n\0\ud800"', P("C", (("A", "a,B=1;\n\0\ud800"),)), None),
    ("C.A=-5,B=+7,C=0x1F,D=-0X10", P("C", (("A", -5), ("B", 7), ("C", 31), ("D", -16))), "C.A=-5,B=7,C=31,D=-16"),
    ("C.A=1.5,B=1e3,C=2.5E-3", P("C", (("A", 1.5), ("B", 1000.0), ("C", 0.0025))), "C.A=1.5,B=1000.0,C=0.0025"),
    ("C.A=TRUE,B=false", P("C", (("A", True), ("B", False))), "C.A=TRUE,B=FALSE"),
    (' C . A = 1 , B = "x" ', P("C", (("A", 1), ("B", "x"))), 'C.A=1,B="x"'),
    ("C = @", P("C", singleton=True), "C=@"),
    (r"root\cimv2:C.A=1", P("C", (("A", 1),), namespace="root\\cimv2"), None),
    ("root/cimv2:C.A=1", P("C", (("A", 1),), namespace="root\\cimv2"), r"root\cimv2:C.A=1"),
    ("root:C", P("C", namespace="root"), None),
    (r"\\.\root\cimv2:C=@", P("C", singleton=True, namespace="root\\cimv2", server="."), None),
    ("//host-1.example/root:C", P("C", namespace="root", server="host-1.example"), r"\\host-1.example\root:C"),
    (r"\\host\root\cimv2", P(namespace="root\\cimv2", server="host"), None),
    (r"root\cimv2", P(namespace="root\\cimv2"), None),
    (
        r"\\h\root:C.R=" + '"\\\\\\\\h\\\\root:D.K=\\"v\\""',
        P("C", (("R", r'\\h\root:D.K="v"'),), False, "root", "h"),
        None,
    ),
]


@pytest.mark.parametrize(
    ("text", "path", "written"), TEXTS, ids=[row[0][:30].encode("ascii", "backslashreplace").decode() for row in TEXTS]
)
def test_parsing_and_writing(text: str, path: ObjectPath, written: str | None) -> None:
    found = ObjectPath.parse(text)
    assert (found.class_name, found.keys, found.singleton) == (path.class_name, path.keys, path.singleton)
    assert (found.namespace, found.server) == (path.namespace, path.server)
    assert str(found) == (text if written is None else written)
    assert ObjectPath.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 0, "the name of a class"),
        (" ", 1, "the name of a class"),
        ("5", 0, "the name of a class"),
        ("C.", 2, "the name of a key"),
        ("C.A", 3, "expected ="),
        ("C.A=", 4, "the value of a key"),
        ("C.A=x", 4, "the value of a key"),
        ("C.A=@", 4, "the value of a key"),
        ("C.A=TRUEX", 4, "the value of a key"),
        ("C.A=1,", 6, "the name of a key"),
        ("C.A=1 B=2", 6, "the end of the path"),
        ("C.A=1,a=2", 6, "another key"),
        ("C.A=1x", 4, "the value of a key"),
        ("C.A=0x", 4, "the value of a key"),
        ("C.A=1.", 4, "the value of a key"),
        ("C.A=٣", 4, "the value of a key"),
        ("C.A=" + "9" * 41, 4, "at most 40 characters"),
        ("C.A=1e999", 4, "a finite value"),
        ('C.A="x', 4, "the value of a key"),
        ('C.A="x\\', 4, "the value of a key"),
        (r'C.A="\x"', 4, "the value of a key"),
        ('C.A="x"y', 7, "the end of the path"),
        ("C=@x", 3, "the end of the path"),
        ("C=@=", 3, "the end of the path"),
        ("C D", 2, "the end of the path"),
        ("root\\:C", 4, "the end of the path"),
        ("root:", 5, "the name of a class"),
        ("root\\cimv2:C.", 13, "the name of a key"),
        ("\\\\host", 0, "a namespace after the machine"),
        ("\\\\host\\", 0, "a namespace after the machine"),
        ("\\\\host:C", 0, "a namespace after the machine"),
        ("\\\\\\root:C", 0, "a namespace after the machine"),
        ("C\ud800", 1, "the end of the path"),
    ],
)  # fmt: skip
def test_errors_have_a_position(text: str, position: int, expected: str) -> None:
    with pytest.raises(SyntaxProblem, match=expected) as caught:
        ObjectPath.parse(text)
    assert caught.value.position == position
    assert caught.value.text == text
    assert len(caught.value.message) < 400


SIZE = 200_000
HOSTILE = {
    "name": "a" * SIZE,
    "levels": "a\\" * SIZE,
    "levels without end": "a\\" * SIZE + "!",
    "location and no class": "a\\" * SIZE + "a:",
    "slashes": "\\" * SIZE,
    "server": "\\\\" + "s" * SIZE,
    "spaces": " " * SIZE + "!",
    "open string": 'C.A="' + "x" * SIZE,
    "open string of escapes": 'C.A="' + "\\\\" * SIZE,
    "open string of other quotes": 'C.A="' + "'" * SIZE,
    "digits": "C.A=" + "1" * SIZE,
    "hex": "C.A=0x" + "f" * SIZE,
    "fraction": "C.A=1." + "1" * SIZE + "x",
    "word": "C.A=" + "t" * SIZE,
    "keys": "C." + ",".join(f"k{i}=1" for i in range(SIZE // 10)) + ",",
    "equal signs": "C" + "=" * SIZE,
}


def problem_of(text: str) -> SyntaxProblem | None:
    try:
        ObjectPath.parse(text)
    except SyntaxProblem as problem:
        return problem
    return None


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_long_input_takes_linear_time(text: str) -> None:
    started = time.process_time()
    problem = problem_of(text)
    assert time.process_time() - started < 2  # quadratic would be minutes
    assert problem is None or len(problem.message) < 1000


KINDS = st.one_of(strategies.texts(), st.integers(-(2**64), 2**64), st.booleans(), st.floats(-1e30, 1e30))


@st.composite
def paths(draw: st.DrawFn) -> ObjectPath:
    levels = draw(st.lists(strategies.names(), max_size=3))
    server = draw(st.sampled_from([None, ".", "host", "h-1.example"])) if levels else None
    keys = draw(st.lists(st.tuples(strategies.names(), KINDS), max_size=3, unique_by=lambda k: canonical_key(k[0])))
    form = draw(st.sampled_from(["class", "keys", "short", "singleton"]))
    given_ = {"keys": tuple(keys) or None, "short": (("", draw(KINDS)),)}.get(form)
    return ObjectPath(draw(strategies.names()), given_, form == "singleton", "\\".join(levels) or None, server)


@given(paths())
def test_what_is_written_reads_back(path: ObjectPath) -> None:
    again = ObjectPath.parse(str(path))
    assert again == path
    assert again.keys == path.keys
    assert str(again) == str(path)


@given(st.text("\\/:.=,@\"'a0 x-+TRUEé", max_size=25))
def test_any_text_parses_or_is_refused(text: str) -> None:
    problem = problem_of(text)
    if problem is not None:
        assert 0 <= problem.position <= len(text)
    else:
        path = ObjectPath.parse(text)
        assert path == ObjectPath.parse(str(path)) or not path.class_name


def test_what_a_path_is() -> None:
    assert ObjectPath.of("C").is_class
    assert not ObjectPath.of("C").is_instance
    assert ObjectPath.of("C", K=1).is_instance
    assert ObjectPath("C", singleton=True).is_instance
    assert not ObjectPath(namespace="root").is_class
    path = ObjectPath.parse(r"\\h\root:C.K=1")
    assert str(path.relative) == "C.K=1"
    assert str(path.in_class("D")) == r"\\h\root:D.K=1"
    assert str(path.relative.at("root\\x")) == r"root\x:C.K=1"
    assert str(path.relative.at("root", "s")) == r"\\s\root:C.K=1"


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        ("C.A=1,B=2", "c.b=2,a=1", True),
        ('C.A="x"', "c.A='X'", True),
        ("C.A=10", "C.A=0xA", True),
        ("C.A=1.0", "C.A=1", True),
        ("root/x:C", "ROOT\\X:c", True),
        ("\\\\H\\root:C", "//h/root:C", True),
        ("C.A=1", 'C.A="1"', False),
        ("C.A=TRUE", "C.A=1", False),
        ("C", "C=@", False),
        ("C", "root:C", False),
        ("C.A=1", "C.A=1,B=2", False),
        ("C=1", "C.A=1", False),
    ],
)
def test_equality(one: str, two: str, equal: bool) -> None:
    first, second = ObjectPath.parse(one), ObjectPath.parse(two)
    assert (first == second) is equal
    assert (hash(first) == hash(second)) is equal
    assert first != one


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (CimType.STRING, '"x"', "x"),
        (CimType.STRING, "5", "5"),
        (CimType.UINT8, "255", 255),
        (CimType.UINT8, '"255"', 255),
        (CimType.UINT8, "TRUE", 1),
        (CimType.SINT8, "-128", -128),
        (CimType.SINT16, '"+7"', 7),
        (CimType.UINT64, '"18446744073709551615"', 2**64 - 1),
        (CimType.SINT64, "-0x8000000000000000", -(2**63)),
        (CimType.BOOLEAN, "TRUE", True),
        (CimType.BOOLEAN, "0", False),
        (CimType.DATETIME, '"20260131120000.000000+060"', DateTime("20260131120000.000000+060")),
        (CimType.DATETIME, '"00000001000000.000000:000"', DateTime("00000001000000.000000:000")),
        (CimType.REFERENCE, '"D.K=\\"v\\""', 'D.K="v"'),
        (CimType.CHAR16, '"\ud800"', "\ud800"),
    ],
)
def test_binding_keys(type_: CimType, text: str, value: Any) -> None:
    cls = keyed(type_)
    for path in (f"Keyed.k0={text}", f"Keyed={text}"):
        bound = ObjectPath.parse(path).bind(cls)
        assert bound == {"K0": value}
        assert type(bound["K0"]) is type(value)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (CimType.STRING, "TRUE"),
        (CimType.STRING, "1.5"),
        (CimType.UINT8, "256"),
        (CimType.UINT8, "-1"),
        (CimType.UINT8, '"x"'),
        (CimType.UINT8, '""'),
        (CimType.UINT8, "1.0"),
        (CimType.UINT64, '"' + "9" * 5000 + '"'),
        (CimType.UINT8, '"٣"'),
        (CimType.BOOLEAN, "2"),
        (CimType.BOOLEAN, '"TRUE"'),
        (CimType.DATETIME, '"today"'),
        (CimType.DATETIME, "5"),
        (CimType.CHAR16, '"ab"'),
        (CimType.CHAR16, '""'),
        (CimType.CHAR16, "65"),
        (CimType.REAL64, "1.5"),
        (CimType.OBJECT, '"x"'),
    ],
)
def test_keys_of_the_wrong_type(type_: CimType, text: str) -> None:
    with pytest.raises(InvalidObjectPath, match="K0"):
        ObjectPath.parse(f"Keyed.K0={text}").bind(keyed(type_))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Keyed.K0=1", "K1 of Keyed is missing"),
        ("Keyed.K0=1,K1=2,K2=3", "K2 is no key"),
        ("Keyed.K0=1,Other=2", "K1 of Keyed is missing"),
        ("Keyed=1", "K0 of Keyed is missing"),
        ("Keyed=@", "no singleton"),
        ("Keyed", "names no instance"),
    ],
)
def test_keys_that_do_not_fit(text: str, problem: str) -> None:
    with pytest.raises(InvalidObjectPath, match=problem):
        ObjectPath.parse(text).bind(keyed(CimType.UINT8, CimType.UINT8))


def test_binding_takes_the_classs_order_and_spelling() -> None:
    bound = ObjectPath.parse("keyed.k1=2,k0=1").bind(keyed(CimType.UINT8, CimType.UINT8))
    assert list(bound.items()) == [("K0", 1), ("K1", 2)]


def test_binding_a_singleton() -> None:
    assert flag(SINGLETON.qualifiers, "Singleton")
    assert ObjectPath.parse("Clock=@").bind(SINGLETON) == {}
    for text in ("Clock.K=1", "Clock=1", "Clock"):
        with pytest.raises(InvalidObjectPath):
            ObjectPath.parse(text).bind(SINGLETON)
    with pytest.raises(InvalidObjectPath, match="the value is no key"):
        ObjectPath.parse("Keyless=1").bind(Class("Keyless"))


@pytest.mark.parametrize(
    ("type_", "one", "two", "equal"),
    [
        (CimType.STRING, "ÄB", "äb", True),
        (CimType.STRING, "a;K1=s1:b", "a", False),
        (CimType.UINT8, 1, 1, True),
        (CimType.DATETIME, DateTime("20260131120000.000000+060"), DateTime("20260131110000.000000+000"), True),
        (CimType.DATETIME, DateTime("99981231235959.999998+000"), DateTime("99981231235959.999999+000"), False),
        (CimType.DATETIME, DateTime("00000000000000.000001:000"), DateTime("19700101000000.000001+000"), False),
        (CimType.DATETIME, DateTime("2026**********.******+000"), DateTime("2026**********.******+000"), True),
        (CimType.DATETIME, DateTime("00000000000000.000000+000"), DateTime("00010101000000.000000+000"), False),
        (CimType.REFERENCE, 'D.K="V",L=1', 'root\\x:d.l=1,k="v"', True),
        (CimType.REFERENCE, 'D.K="v"', 'D.K="w"', False),
        (CimType.REFERENCE, "no path!", "NO PATH!", True),
    ],
)
def test_identity(type_: CimType, one: Any, two: Any, equal: bool) -> None:
    cls = keyed(type_)
    assert (identity(cls, {"K0": one}) == identity(cls, {"K0": two})) is equal


@given(strategies.texts(), strategies.texts(), strategies.texts(), strategies.texts())
def test_identities_do_not_run_together(a: str, b: str, c: str, d: str) -> None:
    cls = keyed(CimType.STRING, CimType.STRING)
    same = canonical_key(a) == canonical_key(c) and canonical_key(b) == canonical_key(d)
    assert (identity(cls, {"K0": a, "K1": b}) == identity(cls, {"K0": c, "K1": d})) is same


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, 10**400])
def test_every_number_has_a_canonical_form(value: float) -> None:
    assert canonical_key(value) == canonical_key(value)


@pytest.mark.parametrize(("text", "levels"), [("root", ("root",)), ("root/cimv2\\Ms_409", ("root", "cimv2", "Ms_409"))])
def test_namespaces(text: str, levels: tuple[str, ...]) -> None:
    assert split_namespace(text) == levels


@pytest.mark.parametrize("text", ["", "\\", "root\\", "\\root", "//h/root", "root:C", "root\\\\x", "1", "a-b", "r\n"])
def test_what_is_no_namespace(text: str) -> None:
    with pytest.raises(SyntaxProblem, match="is not a namespace"):
        split_namespace(text)
