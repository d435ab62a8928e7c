"""From trees to classes and instances: inheritance, flavors, values, aliases, pragmas, includes."""

from __future__ import annotations

from typing import Any

import pytest

from openwmi.cim import CimType, Class, DateTime, Direction, Flavor, Instance, ObjectPath, Qualifier
from openwmi.errors import ConfigurationError
from openwmi.mof import Deletion, MofErrors, compile_mof
from openwmi.mof.writer import write_mof
from openwmi.status import WbemStatus

from .support import SAMPLE, Classes, compiled, objects, one_class, one_instance, problems


def test_the_sample() -> None:
    items = compiled(SAMPLE)
    animal, dog, rex, tom, old, cat = (item.object for item in items)
    assert {item.namespace for item in items} == {"root\\Zoo"}
    assert [sorted(item.flags) for item in items] == [
        ["forceupdate", "updateonly"], ["forceupdate", "updateonly"], ["createonly"], ["createonly"], [], [],
    ]  # fmt: skip
    assert isinstance(animal, Class)
    assert isinstance(dog, Class)
    assert isinstance(rex, Instance)
    assert isinstance(tom, Instance)
    assert animal.qualifiers["Locale"] == Qualifier("Locale", CimType.SINT32, 0x409)
    assert animal.qualifiers["Level"].value == 7
    assert animal.qualifiers["Level"].flavor == Flavor.NOT_OVERRIDABLE | Flavor.TO_SUBCLASS
    assert animal.qualifiers["description"].value == "An animal"
    assert animal.qualifiers["description"].flavor == Flavor.TO_SUBCLASS | Flavor.AMENDED
    defaults = {p.name: p.default for p in animal.properties.each() if p.default is not None}
    assert defaults == {
        "Bytes": bytes([1, 16, 9, 3]),
        "Letter": "A",
        "Born": DateTime("20200101000000.000000+000"),
        "Weight": 150.0,
        "Names": ("a", None, '"q"\n'),
        "Hairs": 123,
        "Thing": "Animal",
        "Tame": True,
    }
    assert animal.properties["Names"].qualifiers["MAX"].value == 32
    assert animal.properties["Friend"].type_text == "ref:Animal"
    assert (animal.properties["Thing"].type, animal.properties["Thing"].class_name) == (CimType.REFERENCE, None)
    assert animal.properties["Child"].type_text == "object:Animal"
    assert animal.properties["Anything"].type_text == "object"
    assert dog.derivation == ("Animal",)
    assert [key.name for key in dog.keys] == ["Name"]
    assert dog.properties["Name"].origin == "Animal"
    assert dog.qualifiers["Level"].propagated
    assert "Locale" not in dog.qualifiers
    assert dict(rex.items())["Friend"] == 'Dog.Name="Tom"'
    assert rex["Child"]["Name"] == "Inner"
    assert isinstance(rex["Anything"], Class)
    assert rex.property_qualifiers["child"]["Note"].value == "a child"
    assert rex.namespace == "root\\Zoo"
    assert tom["Bytes"] == b""
    assert tom.qualifiers["Note"].value is True
    assert old == Deletion(ObjectPath.parse('Dog.Name="Old"'), False)
    assert cat == Deletion(ObjectPath.parse("Cat"), True)
    assert items[2].position.line == next(
        n for n, line in enumerate(SAMPLE.split("\n"), 1) if "instance of Dog as $Rex" in line
    )


def test_parameters_have_directions_and_numbers() -> None:
    cls = one_class(
        "class A { uint32 m([in] uint32 a, [out] uint32 b, [in, out] uint32 c, uint32 d,"
        " [in(FALSE), out] uint32 e); uint32 n([in, ID(1)] uint32 x, [in, ID(0)] uint32 y, [in] uint32 z);"
        " uint32 twice([in, ID(0)] uint32 v, [out, ID(0)] uint32 v); };"
    )
    m, n, twice = cls.methods.each()
    both = Direction.IN_OUT
    assert [p.direction for p in m.parameters.each()] == [Direction.IN, Direction.OUT, both, both, Direction.OUT]
    assert [p.id for p in m.parameters.each()] == [0, 1, 2, 3, 4]
    assert [(p.name, p.id) for p in n.parameters.each()] == [("x", 1), ("y", 0), ("z", 2)]
    assert all("id" not in p.qualifiers for p in n.parameters.each())
    assert [(p.name, p.direction, p.id) for p in twice.parameters.each()] == [("v", both, 0)]


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        ("sint8", "-128", -128),
        ("uint16", "1000.4", 1000),  # rounded, as the documentation says
        ("sint16", "-2.6", -3),
        ("uint64", "0xFFFFFFFFFFFFFFFF", 2**64 - 1),
        ("uint64", '"18446744073709551615"', 2**64 - 1),
        ("sint64", '"-0x10"', -16),
        ("real32", "0.1", 0.10000000149011612),
        ("real64", "5", 5.0),
        ("boolean", "FALSE", False),
        ("char16", "0x41", "A"),
        ("char16", '"A"', "A"),
        ("string", "23", "23"),  # the documentation's own samples give a string so
        ("string", "NULL", None),
        ("datetime", '"00000001000000.000000:000"', DateTime("00000001000000.000000:000")),
        ("X ref", '"X.a=1"', "X.a=1"),
    ],
)
def test_values(declared: str, value: str, expected: Any) -> None:
    instance = one_instance(f"class T {{ {declared} v; }}; instance of T {{ v = {value}; }};")
    assert instance["v"] == expected
    assert type(instance["v"]) is type(expected)


@pytest.mark.parametrize(
    ("declared", "value", "message", "status"),
    [
        ("uint8", "256", "outside uint8", WbemStatus.WBEMMOF_E_OUT_OF_RANGE),
        ("uint8", "-1", "outside uint8", WbemStatus.WBEMMOF_E_OUT_OF_RANGE),
        ("uint8", "255.5", "outside uint8", WbemStatus.WBEMMOF_E_OUT_OF_RANGE),
        ("uint8", "1e999", "not a value of uint8", WbemStatus.WBEMMOF_E_OUT_OF_RANGE),
        ("uint32", '"5"', "not a value of uint32", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
        ("uint64", '"x"', "not a value of uint64", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
        ("boolean", "1", "not a value of boolean", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
        ("real32", "1e40", "outside real32", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
        ("datetime", '"today"', "not a CIM datetime", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
        ("char16", '"ab"', "not a value of char16", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
        ("string", "{}", "is no array", WbemStatus.WBEMMOF_E_UNEXPECTED_ARRAY_INIT),
        ("string", "instance of T {}", "an object is no value", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
        ("string", "$A", "is no reference", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
        ("object", "5", "not a value of object", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
        ("Other", "instance of T {}", "takes a Other, which T is not", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
    ],
)
def test_values_that_are_none(declared: str, value: str, message: str, status: int) -> None:
    text = f"class T {{ {declared} v; }};\ninstance of T\n{{ v =\n{value}; }};"
    with pytest.raises(MofErrors) as caught:
        compiled(text, Class("Other"))
    (error,) = caught.value.errors
    assert message in error.message
    assert error.status == status
    assert error.line == 4


UNKNOWN = WbemStatus.WBEMMOF_E_UNRECOGNIZED_TYPE
NO_KEY = WbemStatus.WBEM_E_CANNOT_BE_KEY


@pytest.mark.parametrize(
    ("member", "excerpt", "caret", "message", "status"),
    [
        ("strng v;", "strng v;", 1, "strng is no type, and no class in root\\test", UNKNOWN),
        ("[key] strng v;", "[key] strng v;", 7, "strng is no type", UNKNOWN),
        ("uint32 v[];\n Uint v2[];", " Uint v2[];", 2, "Uint is no type", UNKNOWN),
        ("void M([in] int v);", "void M([in] int v);", 13, "int is no type", UNKNOWN),
        ("HRESULT M();", "HRESULT M();", 1, "HRESULT is no type", UNKNOWN),
        ("[key] Other v;", "[key] Other v;", 13, "v is object: that is no key", NO_KEY),
        ("[key] object v;", "[key] object v;", 14, "v is object: that is no key", NO_KEY),
        ("[key]\nuint8 v[];", "uint8 v[];", 7, "v is uint8[]: that is no key", NO_KEY),
        ("[key] real64 v;", "[key] real64 v;", 14, "v is real64: that is no key", NO_KEY),
    ],
)
def test_types_that_are_none(member: str, excerpt: str, caret: int, message: str, status: int) -> None:
    with pytest.raises(MofErrors) as caught:
        compiled(f"class T\n{{\n{member}\n}};", Class("Other"))
    (error,) = caught.value.errors
    assert error.message.startswith(message)
    assert error.status == status
    assert error.excerpt == f"{excerpt}\n{' ' * (caret - 1)}^"


def test_embedded_objects_of_a_class_that_is_there_or_comes() -> None:
    text = "class Left { Right Other; Left Own[]; Known Old; }; class Right { Left Other; void M([out] Later L); };"
    left, right, _ = objects(text + "class Later {};", Class("Known"))
    assert isinstance(left, Class)
    assert isinstance(right, Class)
    assert [p.class_name for p in left.properties.each()] == ["Right", "Left", "Known"]
    assert right.methods["M"].parameters["L"].class_name == "Later"
    # One that is broken is there, as far as another's types go: its own mistake is the only one.
    assert len(problems("class Left { Right Other; }; class Right { uint8 v = 256; };")) == 1
    # A class of another namespace is none of this one's.
    elsewhere = '#pragma namespace("root\\\\other")\nclass Right {};'
    assert len(problems(f"class Left {{ Right Other; }};\n{elsewhere}")) == 1


def test_a_locale_embeds_the_neutral_namespaces_classes() -> None:
    class Neutral(Classes):
        def get_class(self, namespace: str, name: str) -> Class | None:
            return super().get_class(namespace, name) if namespace == "root\\test" else None

    text = '[Amendment, Locale(0x409)] class T { [Description("x") : Amended] Known v; };'
    for namespace, count in (("root\\test\\ms_409", 1), ("root\\test\\other", 0)):
        try:
            made = compile_mof(text, Neutral([Class("Known")]), namespace=namespace)
        except MofErrors:
            made = []
        assert len(made) == count


def test_arrays() -> None:
    assert problems("class T { uint32 v[] = 5; };") == [(1, 24, "v is an array: its value is written {...}")]
    ((_, column, message),) = problems("class T { uint32 v[] = {1, NULL}; };")
    assert (column, message.split(":")[0]) == (24, "v[1]")
    cls = one_class(
        'class T { object v[] = {instance of U {}, NULL}; string s[] = {"a", NULL}; };', one_class("class U {};")
    )
    assert cls.properties["s"].default == ("a", None)
    value: Any = cls.properties["v"].default
    assert [None if item is None else item.class_name for item in value] == ["U", None]


@pytest.mark.parametrize(
    ("written", "type_", "value", "is_array"),
    [
        ("Q", CimType.BOOLEAN, True, False),
        ("Q(FALSE)", CimType.BOOLEAN, False, False),
        ("Q(5)", CimType.SINT32, 5, False),
        ("Q(0xFFFFFFFF)", CimType.UINT32, 0xFFFFFFFF, False),
        ("Q(2.5)", CimType.REAL64, 2.5, False),
        ('Q("a" "b")', CimType.STRING, "ab", False),
        ("Q('a')", CimType.STRING, "a", False),
        ("Q(NULL)", CimType.STRING, None, False),
        ('Q{"a", "b"}', CimType.STRING, ("a", "b"), True),
        ("Q({1, 2})", CimType.SINT32, (1, 2), True),
        ("Q{1, 2.5}", CimType.REAL64, (1.0, 2.5), True),
        ("Q{TRUE, FALSE}", CimType.BOOLEAN, (True, False), True),
        ("Q{}", CimType.STRING, (), True),
    ],
)
def test_qualifiers_without_a_declaration(written: str, type_: CimType, value: Any, is_array: bool) -> None:
    assert one_class(f"[{written}] class A {{}};").qualifiers["q"] == Qualifier("Q", type_, value, is_array)


@pytest.mark.parametrize(
    ("declaration", "use", "type_", "value", "is_array"),
    [
        ("boolean = FALSE", "Q", CimType.BOOLEAN, True, False),
        ("uint32 = 7", "Q", CimType.SINT32, 7, False),
        ("uint32", "Q(4294967295)", CimType.UINT32, 2**32 - 1, False),
        ("uint32", "Q(NULL)", CimType.STRING, None, False),
        ("uint32 = NULL", "Q", CimType.STRING, None, False),
        ("boolean", "Q(NULL)", CimType.STRING, None, False),
        ("uint8[]", "Q{1, 2}", CimType.SINT32, (1, 2), True),
        ("uint8[] = {3}", "Q", CimType.SINT32, (3,), True),
        ("real32", "Q(5)", CimType.REAL64, 5.0, False),
        ("string = NULL", "Q", CimType.STRING, None, False),
        ("string[]", 'Q{"a", NULL}', CimType.STRING, ("a", None), True),
        ("datetime", 'Q("x")', CimType.STRING, "x", False),
    ],
)
def test_qualifiers_with_a_declaration(declaration: str, use: str, type_: CimType, value: Any, is_array: bool) -> None:
    found = one_class(f"Qualifier Q : {declaration}; [{use}] class A {{}};").qualifiers["Q"]
    assert found == Qualifier("Q", type_, value, is_array, Flavor.TO_SUBCLASS)


def test_flags_in_one_string() -> None:
    (item,) = compiled('#pragma classflags("UpdateOnly, forceupdate")\nclass A {};')
    assert item.flags == {"updateonly", "forceupdate"}


LOCALIZED = """
#pragma amendment("MS_409")
[Description("base") : Amended ToSubclass, Abstract, Locale(0x409)]
class Base
{
    [DisplayName("User Name") : Amended, key] string Name;
    uint64 Value;
    [Static] uint32 Do([in, Description("what") : Amended] string What, [out] uint8 Done);
    void Nothing([in] string What);
};
class Plain : Base { uint8 More; };
class Other : Plain { [Values{"one"} : Amended] uint8 Third = 3; };
"""


def test_an_amendment_splits_classes() -> None:
    """MS-WMI 3.1.1.2: the neutral part, and in the locale's namespace the localized one."""
    spaces = one_class("class __NAMESPACE { [key] string Name; };")
    items = compiled(LOCALIZED, spaces)
    made = [item.object for item in items if isinstance(item.object, Class)]
    assert [(item.namespace, cls.name) for item, cls in zip(items, made, strict=True)] == [
        ("root\\test", "Base"), ("root\\test\\MS_409", "Base"),
        ("root\\test", "Plain"),
        ("root\\test", "Other"), ("root\\test\\MS_409", "Other"),
    ]  # fmt: skip
    assert {item.amendment for item in items} == {"MS_409"}
    base, base_409, plain, other, other_409 = made
    assert base == one_class(
        "[Abstract, Locale(0x409)] class Base { [key] string Name; uint64 Value;"
        " [Static] uint32 Do([in] string What, [out] uint8 Done); void Nothing([in] string What); };"
    )
    assert plain == one_class("class Plain : Base { uint8 More; };", base)
    assert other == one_class("class Other : Plain { uint8 Third = 3; };", base, plain)
    expected = one_class(
        '[Description("base") : Amended ToSubclass, Amendment, Locale(0x409)] class Base {'
        ' [DisplayName("User Name") : Amended] string Name;'
        ' uint32 Do([in, Description("what") : Amended] string What, [out] uint8 Done); };'
    )
    assert base_409 == expected
    # Its superclass is the nearest one that is localized too.
    assert other_409 == one_class(
        '[Amendment, Locale(0x409)] class Other : Base { [Values{"one"} : Amended] uint8 Third = 3; };', expected
    )


def test_an_amendment_creates_the_namespace_of_its_locale() -> None:
    class Here(Classes):
        def get_class(self, namespace: str, name: str) -> Class | None:
            return None if namespace.upper().endswith("MS_40C") else super().get_class(namespace, name)

    here = Here([one_class("class __NAMESPACE { [key] string Name; };")])
    text = '#pragma amendment("MS_40C")\n' + "".join(f'class {c} {{ [D("x") : Amended] uint8 a; }};' for c in "AB")
    items = compile_mof(text, here, namespace="root\\test")
    made = [item.object for item in items if isinstance(item.object, Instance)]
    assert [(i.class_name, i["Name"]) for i in made] == [("__NAMESPACE", "MS_40C")]
    assert [item.namespace for item in items] == [
        "root\\test", "root\\test", "root\\test\\MS_40C", "root\\test", "root\\test\\MS_40C"
    ]  # fmt: skip


def test_a_locale_has_its_form() -> None:
    assert problems('#pragma amendment("en-US")')[0][2].startswith("#pragma amendment: takes the locale")


def test_an_alias_is_found_further_down() -> None:
    """Declarations are read one by one; an alias may make the compiler read ahead, across pragmas."""
    text = """class A { [key] string n; A ref next; };
instance of A { n = "1"; next = $B; };
instance of A as $C { n = "3"; };
#pragma namespace("root\\\\far")
class A { [key] string n; A ref next; };
#pragma namespace("root\\\\test")
instance of A as $B { n = "2"; next = $C; };
"""
    found = [item.object["next"] for item in compiled(text) if isinstance(item.object, Instance)]
    assert found == ['A.n="2"', None, 'A.n="3"']


def test_the_locale_of_an_amendment_is_told() -> None:
    before, after = compiled('class A {};\n#pragma amendment("MS_409")\nclass B {};')
    assert (before.amendment, after.amendment) == (None, "MS_409")


TO_INSTANCE, TO_SUBCLASS, FIXED, AMENDED = (
    Flavor.TO_INSTANCE, Flavor.TO_SUBCLASS, Flavor.NOT_OVERRIDABLE, Flavor.AMENDED,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "flavor"),
    [
        ("[Q] class A {};", Flavor.NONE),
        ("[Q : ToInstance] class A {};", TO_INSTANCE),
        ("[Q : ToInstance ToSubClass DisableOverride] class A {};", TO_INSTANCE | TO_SUBCLASS | FIXED),
        ("[Q : Amended EnableOverride] class A {};", AMENDED),
        ("Qualifier Q : ToSubClass Amended; [q] class A {};", TO_SUBCLASS | AMENDED),
        ("Qualifier Q : ToSubClass ToInstance; [q : Restricted] class A {};", Flavor.NONE),
        ("Qualifier Q : ToSubClass ToInstance; [q : NotToInstance] class A {};", TO_SUBCLASS),
        ("Qualifier Q : boolean; [Q] class A {};", TO_SUBCLASS),
        ("Qualifier Q : boolean, Flavor(Restricted); [Q] class A {};", Flavor.NONE),
        ("Qualifier Q : boolean, Flavor(DisableOverride); [Q : EnableOverride] class A {};", TO_SUBCLASS),
    ],
)
def test_flavors(text: str, flavor: Flavor) -> None:
    assert one_class(text).qualifiers["Q"].flavor == flavor


def test_keys_and_associations_stay_what_they_are_in_subclasses() -> None:
    base, derived = objects("[Association] class A { [key] X ref a; [Q] string s; }; class B : A { };")
    assert isinstance(derived, Class)
    assert derived.is_association
    assert [key.name for key in derived.keys] == ["a"]
    assert "Q" not in derived.properties["s"].qualifiers
    assert isinstance(base, Class)
    assert base.qualifiers["Association"].flavor == TO_INSTANCE | TO_SUBCLASS | FIXED


@pytest.mark.parametrize(
    ("text", "column", "message", "status"),
    [
        ("[Q, q(1)] class A {};", 5, "the qualifier q is there twice", WbemStatus.WBEMMOF_E_DUPLICATE_QUALIFIER),
        (
            "[Q : ToInstance Restricted] class A {};",
            2,
            "exclude each other",
            WbemStatus.WBEMMOF_E_INCOMPATIBLE_FLAVOR_TYPES,
        ),
        ('Qualifier Q : uint32; [Q("x")] class A {};', 26, "not a value of uint32", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
        ("Qualifier Q : uint32; [Q{1}] class A {};", 25, "one value, not an array", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
        ("Qualifier Q : Other;", 15, "is a simple one", WbemStatus.WBEMMOF_E_UNRECOGNIZED_TYPE),
        ("[Q(99999999999999999999)] class A {};", 4, "outside sint64", WbemStatus.WBEMMOF_E_OUT_OF_RANGE),
        ("Qualifier Q : A ref;", 15, "is a simple one", WbemStatus.WBEMMOF_E_UNRECOGNIZED_TYPE),
        ('[Q{1, "x"}] class A {};', 4, "of one type", WbemStatus.WBEMMOF_E_TYPE_MISMATCH),
        ("[Q{1, NULL}] class A {};", 7, "NULL is no element", WbemStatus.WBEMMOF_E_NULL_ARRAY_ELEM),
        ("class A : B {};", 11, "the superclass B is not in root\\test", WbemStatus.WBEM_E_INVALID_SUPERCLASS),
        ("instance of B {};", 13, "the class B is not in root\\test", WbemStatus.WBEM_E_INVALID_CLASS),
        ("class A {}; instance of A { b = 1; };", 29, "A has no property b", WbemStatus.WBEM_E_NOT_FOUND),
        ("class A { uint32 b; string B; };", 28, "two properties called B", WbemStatus.WBEMMOF_E_DUPLICATE_PROPERTY),
        (
            "class A { uint8 b; }; instance of A { b = 1; B = 2; };",
            46,
            "two values called B",
            WbemStatus.WBEMMOF_E_DUPLICATE_PROPERTY,
        ),
        (
            "class A { uint32 m([ID(0)] uint32 a, [ID(0)] uint32 b); };",
            53,
            "the ID 0",
            WbemStatus.WBEM_E_INVALID_METHOD_PARAMETERS,
        ),
        (
            "class A { uint32 m([ID(-1)] uint32 a); };",
            36,
            "an ID is a number",
            WbemStatus.WBEM_E_INVALID_METHOD_PARAMETERS,
        ),
        (
            "class A { uint32 m([in] uint32 a, [in] uint32 a); };",
            47,
            "is there twice",
            WbemStatus.WBEM_E_INVALID_DUPLICATE_PARAMETER,
        ),
        ("class A { A ref r = $X; };", 21, "no object here has the alias $X", WbemStatus.WBEMMOF_E_EXPECTED_ALIAS_NAME),
        ("class A { A ref r; }; instance of A as $X { }; instance of A { r = $X; };", 35, "no path", None),
        (
            "class A { [key] A ref r; }; instance of A as $X { r = $X; };",
            55,
            "leads back to itself",
            WbemStatus.WBEM_E_CIRCULAR_REFERENCE,
        ),
        (
            "class A { }; class B { }; instance of A as $X {}; instance of B as $x {};",
            63,
            "there twice",
            WbemStatus.WBEMMOF_E_MULTIPLE_ALIASES,
        ),
        ('#pragma namespace("a b")', 1, "is not a namespace", WbemStatus.WBEMMOF_E_INVALID_NAMESPACE_SPECIFICATION),
        ('#pragma namespace("a", "b")', 1, "takes a namespace", WbemStatus.WBEMMOF_E_INVALID_PRAGMA),
        (
            '#pragma classflags("often")',
            1,
            "takes one or more of createonly",
            WbemStatus.WBEMMOF_E_INVALID_FLAGS_SYNTAX,
        ),
        ('#pragma deleteclass("A")', 1, "FAIL", WbemStatus.WBEMMOF_E_INVALID_PRAGMA),
        ('#pragma deleteclass("A.b=1", FAIL)', 1, "not the name of a class", None),
        ('#pragma deleteinstance("A.b=", FAIL)', 1, "expected the value of a key", None),
        ('#include ("x.mof")', 1, "no files here to include", WbemStatus.WBEMMOF_E_ERROR_INVALID_INCLUDE_FILE),
    ],
)
def test_mistakes(text: str, column: int, message: str, status: int | None) -> None:
    with pytest.raises(MofErrors) as caught:
        compiled(text)
    error = caught.value.errors[0]
    assert message in error.message
    if status is not None:
        assert error.status == status
    assert error.column == column
    assert len(caught.value.errors) == 1


def test_what_inheritance_forbids_is_reported_at_the_class() -> None:
    base = one_class("class A { uint32 x; };")
    with pytest.raises(MofErrors) as caught:
        compiled("class\nB : A { string x; };", base)
    (error,) = caught.value.errors
    assert (error.line, error.status) == (2, WbemStatus.WBEM_E_UPDATE_TYPE_MISMATCH)


def test_what_depends_on_a_mistake_is_not_reported_again() -> None:
    text = "class A : Missing {};\nclass B : A {};\ninstance of B {};\nclass C { uint8 x = 300; };"
    assert [(line, column) for line, column, _ in problems(text)] == [(1, 11), (4, 21)]


MANY_MISTAKES = """
class C : Missing
{
    uint8 a = 256; string a; boolean b = 3;
    nothing m(); uint32 n([ID(0)] uint32 x, [ID(0)] uint32 y); void n();
};
class D { [key] string k; uint8 n; D e; };
instance of D { k = "x"; n = -1; nosuch = 2; e = instance of D { n = 256; n = 1; k = {"x"}; }; };
"""


def test_every_mistake_of_a_declaration_is_reported() -> None:
    assert [(line, message) for line, _, message in problems(MANY_MISTAKES)] == [
        (2, "the superclass Missing is not in root\\test"),
        (4, "C has two properties called a"),
        (4, "a: 256 is outside uint8 (0 to 255)"),
        (4, "b: 3 is not a value of boolean"),
        (5, "C has two methods called n"),
        (5, "nothing is no type, and no class in root\\test"),
        (5, "n: two parameters have the ID 0"),
        (8, "n: -1 is outside uint8 (0 to 255)"),
        (8, "D has no property nosuch"),
        (8, "D is given two values called n"),
        (8, "n: 256 is outside uint8 (0 to 255)"),
        (8, "k is no array"),
    ]


def test_of_one_declaration_too_no_more_mistakes_are_reported_than_one_reads() -> None:
    text = "class A {\n" + "".join(f"uint8 p{i} = 256;\n" for i in range(5000)) + "};"
    assert len(problems(text)) == 100


def test_objects_may_refer_to_each_other_and_to_themselves() -> None:
    text = """
        class A { [key] string k; A ref to; A within; };
        instance of A as $X { k = "x"; to = $Y; within = instance of A { to = $X; }; };
        instance of A as $Y { k = "y"; to = $X; };
    """
    x, y = (o for o in objects(text) if isinstance(o, Instance))
    assert (x["to"], x["within"]["to"], y["to"]) == ('A.k="y"', 'A.k="x"', 'A.k="x"')


def test_a_mistake_beside_the_key_of_an_alias_does_not_hide_another() -> None:
    text = (
        "class A { [key] uint8 k; A ref r; uint8 n; };\n"
        "instance of A { n = 300; r = $X; };\n"
        "instance of A as $X { k = 3; n = 301; };"
    )
    assert [line for line, _, _ in problems(text)] == [2, 3]


def test_paths_within_the_keys_of_paths_do_not_grow_without_end() -> None:
    chain = "".join(f"instance of A as $a{i} {{ k = $a{i + 1}; }};\n" for i in range(60))
    text = "class A { [key] A ref k; };\n" + chain + 'instance of A as $a60 { k = "x"; };'
    ((line, _, message),) = problems(text)
    assert message.endswith("stands for a path of more than 8,192 characters")
    assert 2 < line < 60


def test_long_chains_of_aliases_out_of_deeply_embedded_objects() -> None:
    def embedded(i: int, depth: int) -> str:
        inner = f"r = $a{i + 1};" if depth == 0 else f"e = {embedded(i, depth - 1)};"
        return f"instance of A {{ {inner} }}"

    chain = "".join(f'instance of A as $a{i} {{ k = "{i}"; e = {embedded(i, 25)}; }};' for i in range(60))
    text = "class A { [key] string k; A e; A ref r; };" + chain + 'instance of A as $a60 { k = "x"; };'
    assert len(objects(text)) == 62


def test_aliases_reach_forward_and_into_other_namespaces() -> None:
    text = """
        class A { [key] string k; A ref r; };
        instance of A { k = "1"; r = $Later; };
        instance of A as $Later { k = "2"; };
        #pragma namespace("root\\\\other")
        class A { [key] string k; A ref r; };
        instance of A { k = "3"; r = $Later; };
    """
    references = [o["r"] for o in objects(text) if isinstance(o, Instance)]
    assert references == ['A.k="2"', None, '\\\\.\\root\\test:A.k="2"']


def test_a_mistake_that_an_alias_leads_to_is_reported_once() -> None:
    text = "class A { [key] uint8 k; A ref r; };\ninstance of A { r = $X; };\ninstance of A as $X { k = 300; };"
    assert [(line, column) for line, column, _ in problems(text)] == [(3, 27)]


def test_a_long_chain_of_forward_aliases_is_refused() -> None:
    chain = "".join(f"instance of A as $a{i} {{ k = $a{i + 1}; }};" for i in range(5000))
    text = "class A { [key] A ref k; };" + chain + 'instance of A as $a5000 { k = "x"; };'
    with pytest.raises(MofErrors) as caught:
        compiled(text)
    assert caught.value.status == WbemStatus.WBEM_E_CIRCULAR_REFERENCE


def test_a_deleted_class_is_gone_for_the_rest() -> None:
    known = one_class("class A {};")
    assert problems('#pragma deleteclass("A", NOFAIL)\ninstance of A {};', Classes([known])) == [
        (2, 13, "the class A is not in root\\test")
    ]


FILES = {
    "main.mof": '#pragma namespace("root\\\\a")\n#include ("sub.mof")\ninstance of S { };',
    "sub.mof": 'class S { };\n#pragma namespace("root\\\\b")\nclass S { uint32 in_b; };',
    "loop.mof": '#include ("loop.mof")',
    "broken.mof": '#include ("bad.mof")\nclass A { uint32 a b; };',
    "bad.mof": "\nclass ;",
    "lost.mof": '#include ("nowhere.mof")',
    "twice.mof": '#include ("twice.mof")\n#include ("twice.mof")',
}


def read(including: str, name: str) -> tuple[str, str]:
    if name not in FILES:
        raise ConfigurationError(f"{name}: cannot be read")
    return name, FILES[name]


def including(name: str) -> list[Any]:
    return list(compile_mof(FILES[name], Classes(), namespace="root", file=name, include=read))


def test_includes_are_as_if_they_stood_there() -> None:
    items = including("main.mof")
    assert [(item.namespace, item.position.file, item.position.line) for item in items] == [
        ("root\\a", "sub.mof", 1),
        ("root\\b", "sub.mof", 3),
        ("root\\b", "main.mof", 3),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loop.mof", [("loop.mof", 1, "too much is included")]),
        ("broken.mof", [("broken.mof", 2, "found b")]),
        ("lost.mof", [("lost.mof", 1, "nowhere.mof: cannot be read")]),
    ],
)
def test_mistakes_with_includes(name: str, expected: list[tuple[str, int, str]]) -> None:
    with pytest.raises(MofErrors) as caught:
        including(name)
    found = [(e.file, e.line, e.message) for e in caught.value.errors]
    assert len(found) == len(expected)
    for (file, line, message), (wanted_file, wanted_line, part) in zip(found, expected, strict=True):
        assert (file, line) == (wanted_file, wanted_line)
        assert part in message


def test_an_include_bomb_ends() -> None:
    with pytest.raises(MofErrors, match="too much is included"):
        including("twice.mof")


def test_a_broken_file_is_named_by_its_own_name() -> None:
    with pytest.raises(MofErrors) as caught:
        compile_mof('#include ("bad.mof")', Classes(), namespace="root", include=read)
    assert str(caught.value).startswith("bad.mof:2:7: expected the name of the class")


def test_what_a_method_returns() -> None:
    inner = "class Inner { [key] uint8 N; };"
    cls = one_class(inner + "class C { [key] uint8 K; Inner Find(); C ref Where(); string Say(); };")
    returned = {name: cls.methods[name].returns for name in ("Find", "Where", "Say")}
    assert [(r.type, r.class_name) for r in returned.values() if r is not None] == [
        (CimType.OBJECT, "Inner"),
        (CimType.REFERENCE, "C"),
        (CimType.STRING, None),
    ]
    assert one_class(write_mof(cls), one_class(inner)) == cls
    (problem,) = problems("class C { [key] uint8 K; uint32 Do([out] string returnValue); };")
    assert problem[:2] == (1, 49)
    assert "no name for a parameter" in problem[2]
    nothing = one_class("class C { [key] uint8 K; void Do([out] string ReturnValue); };").methods["Do"]
    assert nothing.out_class is not None
