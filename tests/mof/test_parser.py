"""The parser: what each piece of the language becomes, and every mistake at its place."""

from __future__ import annotations

import pytest

from openwmi.mof import MofErrors, parse
from openwmi.mof.parser import MAX_DEPTH
from openwmi.mof.tree import (
    ArrayLiteral,
    ClassDeclaration,
    InstanceDeclaration,
    Literal,
    LiteralKind,
    Pragma,
    QualifierDeclaration,
    Value,
)
from openwmi.status import WbemStatus

from .support import SAMPLE

INTEGER, REAL, STRING, CHAR, BOOLEAN, NULL = (
    LiteralKind.INTEGER, LiteralKind.REAL, LiteralKind.STRING, LiteralKind.CHAR, LiteralKind.BOOLEAN, LiteralKind.NULL,
)  # fmt: skip


def value_of(text: str) -> Value:
    (declared,) = parse(f"instance of X {{ a = {text}; }};").declarations
    assert isinstance(declared, InstanceDeclaration)
    return declared.assignments[0].value


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("0", INTEGER, 0),
        ("65", INTEGER, 65),
        ("+65", INTEGER, 65),
        ("-1445", INTEGER, -1445),
        ("0x41", INTEGER, 0x41),
        ("-0XfF", INTEGER, -255),
        ("0101", INTEGER, 0o101),
        ("089", INTEGER, 89),  # no octal number, so a decimal one
        ("1000001b", INTEGER, 65),
        ("11B", INTEGER, 3),
        ("3.14", REAL, 3.14),
        ("-3.14", REAL, -3.14),
        ("-1.2778E+02", REAL, -127.78),
        ("2.3e-2", REAL, 0.023),
        (".5", REAL, 0.5),
        ("1e3", REAL, 1000.0),
        ('""', STRING, ""),
        ('"a" "b"\n/* c */ "d"', STRING, "abd"),
        (r'"\"\\\'\n\r\t\b\f"', STRING, "\"\\'\n\r\t\b\f"),
        (r'"\x41\xE9\x4133z"', STRING, "Aé\u4133z"),
        (r'"\x41424"', STRING, "\u41424"),
        ('"// no /* comment"', STRING, "// no /* comment"),
        ("'A'", CHAR, "A"),
        (r"'\x16'", CHAR, "\x16"),
        (r"'\''", CHAR, "'"),
        ("TRUE", BOOLEAN, True),
        ("False", BOOLEAN, False),
        ("null", NULL, None),
    ],
)
def test_constants(text: str, kind: LiteralKind, value: object) -> None:
    found = value_of(text)
    assert isinstance(found, Literal)
    assert (found.kind, found.value, type(found.value)) == (kind, value, type(value))


def test_arrays_keep_their_order_and_may_be_empty() -> None:
    found = value_of("{1, 2,\n3}")
    assert isinstance(found, ArrayLiteral)
    assert [item.value for item in found.items if isinstance(item, Literal)] == [1, 2, 3]
    assert value_of("{}") == ArrayLiteral(20, ())


def test_the_whole_language() -> None:
    tree = parse(SAMPLE)
    kinds = [type(declared).__name__ for declared in tree.declarations]
    assert kinds == [
        "Pragma", "Pragma", "QualifierDeclaration", "QualifierDeclaration", "ClassDeclaration", "ClassDeclaration",
        "Pragma", "InstanceDeclaration", "InstanceDeclaration", "Pragma", "Pragma",
    ]  # fmt: skip
    animal = tree.declarations[4]
    assert isinstance(animal, ClassDeclaration)
    assert (animal.name, animal.alias, animal.superclass) == ("Animal", "TheClass", None)
    assert [q.name for q in animal.qualifiers] == ["Description", "Locale", "Level"]
    assert animal.qualifiers[0].flavors == ("nottoinstance",)
    bark, stop = animal.methods
    assert bark.returns is not None
    assert bark.returns.name == "uint32"
    assert [p.name for p in bark.parameters] == ["Times", "Text", "Who"]
    assert bark.parameters[2].type.is_reference
    assert stop.returns is None
    names = next(p for p in animal.properties if p.name == "Names")
    assert (names.is_array, names.size) == (True, 32)
    assert tree.source.text[animal.offset :].startswith("Animal as")


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ('#pragma namespace("\\\\\\\\.\\\\root")', "namespace", ("\\\\.\\root",)),
        ("#pragma autorecover", "autorecover", ()),
        ("# PRAGMA Autorecover;", "autorecover", ()),
        ('#include ("a.mof")', "include", ("a.mof",)),
        ('#pragma include ("a" ".mof")', "include", ("a.mof",)),
        ('#pragma deleteclass("MyClass1",FAIL)', "deleteclass", ("MyClass1", "FAIL")),
        ('#pragma classflags ("updateonly", "forceupdate")', "classflags", ("updateonly", "forceupdate")),
        ('#pragma amendment ("MS_409")', "amendment", ("MS_409",)),
    ],
)
def test_pragmas(text: str, name: str, arguments: tuple[str, ...]) -> None:
    (pragma,) = parse(text).declarations
    assert isinstance(pragma, Pragma)
    assert (pragma.name, pragma.arguments) == (name, arguments)


def test_qualifier_declarations_in_both_forms() -> None:
    wmi, dmtf = parse(
        "Qualifier A : ToSubClass Amended;"
        'Qualifier B : string[] = {"x"}, Scope(class, any), Flavor(EnableOverride, Restricted);'
    ).declarations
    assert isinstance(wmi, QualifierDeclaration)
    assert (wmi.type, wmi.flavors) == (None, ("tosubclass", "amended"))
    assert isinstance(dmtf, QualifierDeclaration)
    assert dmtf.type is not None
    assert (dmtf.type.name, dmtf.is_array) == ("string", True)
    assert (dmtf.scopes, dmtf.flavors) == (("class", "any"), ("enableoverride", "restricted"))


@pytest.mark.parametrize(
    "text",
    [
        "class\u00a0A\u00a0{\u00a0uint32\u00a0\u00a0B;\u00a0};",  # no-break spaces, as pages on the web have them
        "\ufeffclass A { uint32 B; };",
        "class A{uint32 B;};",
        "CLASS A\r\n{\r\n// x\r\nuint32 B ;\r\n} ;\r\n",
        "class A /* a * b ** */ { uint32 /**/ B; };",
    ],
)
def test_blanks(text: str) -> None:
    (cls,) = parse(text).declarations
    assert isinstance(cls, ClassDeclaration)
    assert (cls.name, cls.properties[0].name) == ("A", "B")


ERRORS = [
    # text, line, column, what the message has in it, status
    ("class", 1, 6, "the name of the class; the text ends", WbemStatus.WBEMMOF_E_EXPECTED_CLASS_NAME),
    ("class A { uint32 a; }", 1, 22, "';' after the class", WbemStatus.WBEMMOF_E_EXPECTED_SEMI),
    ("class A { uint32 a }; ", 1, 20, "';' after the property; found }", WbemStatus.WBEMMOF_E_EXPECTED_SEMI),
    ("class A\n{\n  uint32 a = ;\n};", 3, 14, "a value; found ;", WbemStatus.WBEMMOF_E_ILLEGAL_CONSTANT_VALUE),
    ("class A { [key string a; };", 1, 16, "',' or ']'", WbemStatus.WBEMMOF_E_EXPECTED_CLOSE_BRACKET),
    ("class A { string; };", 1, 17, "the name of the property", WbemStatus.WBEMMOF_E_EXPECTED_PROPERTY_NAME),
    ("class A { void x; };", 1, 17, "only the method x can be void", None),
    ("class A { string s[0]; };", 1, 21, "the size of the array", None),
    ("class A { string ref r; };", 1, 11, "the class that ref points to", WbemStatus.WBEMMOF_E_UNRECOGNIZED_TYPE),
    ("class A {", 1, 10, "'}'; the text ends", WbemStatus.WBEMMOF_E_EXPECTED_CLOSE_BRACE),
    ("class A : { };", 1, 11, "the name of the superclass", WbemStatus.WBEMMOF_E_EXPECTED_CLASS_NAME),
    ("clas A { };", 1, 1, "class, instance of, qualifier or a #pragma; found clas", None),
    ("[a] qualifier", 1, 5, "class, instance of; found qualifier", None),
    ("instance A { };", 1, 10, "'of' after instance", WbemStatus.WBEMMOF_E_INVALID_INSTANCE_DECLARATION),
    ("instance of A as B { };", 1, 18, "$ and the name", WbemStatus.WBEMMOF_E_EXPECTED_ALIAS_NAME),
    ("instance of A { a 1; };", 1, 19, "'='; found 1", None),
    ("instance of A { a = {1, {2}}; };", 1, 25, "a value; found {", None),
    ('instance of A { a = "x; };', 1, 21, "this string has no end on its line", None),
    ("instance of A { a = 'xy'; };", 1, 21, "not one character in single quotes", None),
    ('instance of A { a = "C:\\Temp"; };', 1, 24, "\\T is no escape", WbemStatus.WBEMMOF_E_ILLEGAL_CONSTANT_VALUE),
    ("instance of A { a = 12x; };", 1, 21, "12x is not a number", None),
    ("instance of A { a = 1.2.3; };", 1, 21, "1.2.3 is not a number", None),
    (f"instance of A {{ a = {'1' * 200}; }};", 1, 21, "a number of at most 128 characters", None),
    ("instance of A { a = instance of B as $C {}; };", 1, 38, "no alias", WbemStatus.WBEMMOF_E_ALIASES_IN_EMBEDDED),
    ("[a : bad] class A { };", 1, 6, "a flavor; found bad", WbemStatus.WBEMMOF_E_EXPECTED_FLAVOR_TYPE),
    ("[a($x)] class A { };", 1, 4, "a qualifier's value is a constant", None),
    ("qualifier a : string, size(1);", 1, 23, "one scope(...) and one flavor(...)", None),
    ("#define x", 1, 1, "#pragma or #include", WbemStatus.WBEMMOF_E_INVALID_PRAGMA),
    ("#include x", 1, 10, "'('", None),
    ("#pragma a([x])", 1, 11, "a string or a word", WbemStatus.WBEMMOF_E_INVALID_PRAGMA),
    ("/* no end", 1, 1, "this comment has no end", None),
    ("class A { };\n  ?", 2, 3, "'?' means nothing in MOF", WbemStatus.WBEMMOF_E_UNRECOGNIZED_TOKEN),
    ("class A { uint32 m(uint32); };", 1, 26, "the name of the parameter", None),
    ("class A { uint32 m(uint32 a; };", 1, 28, "',' or ')' after the parameter", None),
]


@pytest.mark.parametrize(("text", "line", "column", "message", "status"), ERRORS)
def test_mistakes(text: str, line: int, column: int, message: str, status: int | None) -> None:
    with pytest.raises(MofErrors) as caught:
        parse(text, "f.mof")
    error = caught.value.errors[0]
    assert (error.line, error.column) == (line, column)
    assert message in error.message
    assert len(caught.value.errors) == 1
    if status is not None:
        assert error.status == status


def test_an_error_shows_file_line_column_and_caret() -> None:
    with pytest.raises(MofErrors) as caught:
        parse("class A\n{\n\tuint32 a b;\n};\n", "zoo.mof")
    assert str(caught.value) == "zoo.mof:3:11: expected ';' after the property; found b\n\tuint32 a b;\n\t         ^"


def test_a_long_line_is_cut_around_the_place() -> None:
    with pytest.raises(MofErrors) as caught:
        parse(f"class A {{ {'uint32 a; ' * 500} uint32 b c; {'uint32 a; ' * 500} }};")
    shown, caret = caught.value.errors[0].excerpt.split("\n")
    assert len(shown) <= 160
    assert shown[len(caret) - 1] == "c"


def test_every_mistake_of_a_text_is_found() -> None:
    text = """
class A { uint32 a b; string ok; "x"; };
clas B { uint32 x; };
class C { [Values{"a"] uint32 c; };
instance of D { a = instance of E { b = ; c = 1; }; d 2; };
#pragma 5
class F { uint32 x; }
"""
    with pytest.raises(MofErrors) as caught:
        parse(text)
    assert [error.line for error in caught.value.errors] == [2, 2, 3, 4, 5, 5, 6, 8]


def test_the_number_of_reported_mistakes_is_bounded() -> None:
    with pytest.raises(MofErrors) as caught:
        parse("?;" * 10_000)
    assert len(caught.value.errors) == 100


@pytest.mark.parametrize(
    "opening", ["a = instance of X { ", "a = class X { X ", "a = {", "[a] a = [b] instance of X {"]
)
def test_nesting_is_bounded(opening: str) -> None:
    with pytest.raises(MofErrors):
        parse("instance of X { " + opening * 10_000)


def test_nesting_reaches_to_the_bound() -> None:
    depth = MAX_DEPTH - 1
    parse("instance of X { " + "a = instance of X { " * depth + "};" * (depth + 1))
    with pytest.raises(MofErrors, match="at most 32 deep"):
        parse("instance of X { " + "a = instance of X { " * (depth + 1) + "};" * (depth + 2))
