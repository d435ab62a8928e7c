from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from openwmi.cim import (
    PARAMETERS_CLASS,
    CimType,
    Class,
    Direction,
    Flavor,
    Method,
    NameMap,
    ObjectPath,
    Parameter,
    Property,
    Qualifier,
    flag,
    return_value,
)
from openwmi.errors import WbemError
from tests import strategies

SPREAD = Flavor.TO_SUBCLASS | Flavor.TO_INSTANCE
FIXED = Flavor.TO_SUBCLASS | Flavor.NOT_OVERRIDABLE


def qualified(*qualifiers: str | Qualifier) -> NameMap[Qualifier]:
    return NameMap([Qualifier.of(q) if isinstance(q, str) else q for q in qualifiers])


def prop(name: str, *qualifiers: str | Qualifier, type_: CimType = CimType.UINT32, is_array: bool = False) -> Property:
    return Property(name, type_, is_array, qualifiers=qualified(*qualifiers))


def cls(name: str, *members: Property | Method, marks: tuple[str | Qualifier, ...] = ()) -> Class:
    return Class(
        name,
        qualifiers=qualified(*marks),
        properties=NameMap([m for m in members if isinstance(m, Property)]),
        methods=NameMap([m for m in members if isinstance(m, Method)]),
    )


# superclass, declaration, what is wrong with it (None: nothing)
RULES = {
    "plain": (cls("B", prop("A")), cls("D", prop("X")), None),
    "same type": (cls("B", prop("A")), cls("D", prop("a")), None),
    "other type": (cls("B", prop("A")), cls("D", prop("A", type_=CimType.SINT32)), "UPDATE_TYPE_MISMATCH"),
    "array": (cls("B", prop("A")), cls("D", prop("A", is_array=True)), "UPDATE_TYPE_MISMATCH"),
    "abstract under abstract": (cls("B", marks=("abstract",)), cls("D", marks=("abstract",)), None),
    "concrete under abstract": (cls("B", marks=("abstract",)), cls("D"), None),
    "abstract under concrete": (cls("B"), cls("D", marks=("abstract",)), None),
    "not abstract after all": (cls("B"), cls("D", marks=(Qualifier.of("abstract", False),)), None),
    "key under abstract": (cls("B", marks=("abstract",)), cls("D", prop("K", "key")), None),
    "key under concrete": (cls("B"), cls("D", prop("K", "key")), "CANNOT_BE_KEY"),
    "second key": (cls("B", prop("A", "key"), marks=("abstract",)), cls("D", prop("K", "key")), "CANNOT_BE_KEY"),
    "the same key again": (cls("B", prop("A", "key")), cls("D", prop("a", "key")), None),
    "plain made a key": (cls("B", prop("A"), marks=("abstract",)), cls("D", prop("A", "key")), None),
    "singleton under abstract": (cls("B", marks=("abstract",)), cls("D", marks=("singleton",)), None),
    "singleton under singleton": (cls("B", marks=("singleton",)), cls("D", marks=("singleton",)), None),
    "singleton under concrete": (cls("B"), cls("D", marks=("singleton",)), "CANNOT_BE_SINGLETON"),
    "singleton with keys": (
        cls("B", prop("A", "key"), marks=("abstract",)), cls("D", marks=("singleton",)), "CANNOT_BE_SINGLETON",
    ),
    "overridden": (
        cls("B", marks=(Qualifier.of("Q", 1, Flavor.TO_SUBCLASS),)), cls("D", marks=(Qualifier.of("q", 2),)), None,
    ),
    "not overridable": (
        cls("B", marks=(Qualifier.of("Q", 1, FIXED),)), cls("D", marks=(Qualifier.of("q", 2),)),
        "OVERRIDE_NOT_ALLOWED",
    ),
    "not overridable but the same": (
        cls("B", marks=(Qualifier.of("Q", 1, FIXED),)), cls("D", marks=(Qualifier.of("q", 1),)), None,
    ),
    "property's not overridable": (
        cls("B", prop("A", Qualifier.of("Q", 1, FIXED))), cls("D", prop("A", Qualifier.of("Q", 2))),
        "OVERRIDE_NOT_ALLOWED",
    ),
    "method's not overridable": (
        cls("B", Method("M", qualifiers=qualified(Qualifier.of("Q", 1, FIXED)))),
        cls("D", Method("m", qualifiers=qualified(Qualifier.of("Q", 2)))),
        "OVERRIDE_NOT_ALLOWED",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("parent", "declared", "problem"), RULES.values(), ids=RULES.keys())
def test_what_inheritance_allows(parent: Class, declared: Class, problem: str | None) -> None:
    parent = parent.rooted()
    if problem is None:
        derived = parent.derive(declared)
        assert derived.is_a(parent.name)
        assert parent.derive(derived.local) == derived
    else:
        with pytest.raises(WbemError, match="D") as caught:
            parent.derive(declared)
        assert caught.value.name == f"WBEM_E_{problem}"


def test_a_derived_class() -> None:
    base = cls(
        "Base",
        prop("Id", "key"),
        prop("Note", Qualifier.of("Spread", "x", SPREAD), Qualifier.of("Stay", "y")),
        Method("Go", qualifiers=qualified(Qualifier.of("Spread", 1, SPREAD))),
        marks=(Qualifier.of("Version", "1", SPREAD), Qualifier.of("Local", "1")),
    ).rooted()
    middle = base.derive(cls("Middle", prop("Own"), marks=(Qualifier.of("Version", "2", SPREAD),)))
    leaf = middle.derive(cls("Leaf", prop("NOTE", Qualifier.of("More")), Method("GO"), Method("Stop")))
    assert (leaf.superclass, leaf.derivation) == ("Middle", ("Middle", "Base"))
    assert list(leaf.properties) == ["Id", "Note", "Own"]
    assert [(p.origin, p.propagated) for p in leaf.properties.each()] == [
        ("Base", True),
        ("Base", False),
        ("Middle", True),
    ]
    assert [(m.name, m.origin, m.propagated) for m in leaf.methods.each()] == [
        ("Go", "Base", False),
        ("Stop", "Leaf", False),
    ]
    assert list(leaf.properties["Note"].qualifiers) == ["Spread", "More"]
    assert leaf.properties["Note"].qualifiers["Spread"].propagated
    assert leaf.properties["Id"].is_key
    assert [k.name for k in leaf.keys] == ["Id"]
    assert list(leaf.qualifiers) == ["Version"]
    assert (leaf.qualifiers["version"].value, leaf.qualifiers["version"].propagated) == ("2", True)
    assert list(leaf.local.properties) == ["Note"]
    assert list(leaf.local.properties["Note"].qualifiers) == ["More"]
    assert list(leaf.local.methods) == ["Go", "Stop"]
    assert not leaf.local.qualifiers
    assert leaf.is_a("BASE")
    assert leaf.is_a("leaf")
    assert not leaf.is_a("Other")


def test_an_override_keeps_the_default_unless_it_sets_one() -> None:
    base = cls("B", replace(prop("A"), default=5), replace(prop("C"), default=6)).rooted()
    silent = replace(prop("a", "read"), inherits_default=True)
    found = base.derive(cls("D", silent)).properties["A"]
    assert (found.default, found.inherits_default, found.origin, found.propagated) == (5, True, "B", False)
    for default in (7, None):
        found = base.derive(cls("D", replace(prop("A", "read"), default=default))).properties["A"]
        assert (found.default, found.inherits_default) == (default, False)
    # The class below that one does not override anything; and an override that changes nothing is none.
    below = base.derive(cls("D", silent)).derive(cls("E")).properties["A"]
    assert (below.default, below.inherits_default, below.propagated) == (5, False, True)
    assert base.derive(cls("D", replace(prop("A"), inherits_default=True))) == base.derive(cls("D"))
    # What nobody declared before has nothing to inherit.
    new = base.derive(cls("D", replace(prop("X"), default=1, inherits_default=True))).properties["X"]
    assert (new.default, new.inherits_default, new.origin) == (None, False, "D")
    # Under another superclass, or the same one changed, the default is that one's.
    other = cls("B", replace(prop("A"), default=9)).rooted()
    assert other.derive(base.derive(cls("D", silent)).local).properties["A"].default == 9


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(strategies.hierarchies())
def test_local_is_the_inverse_of_derive(pair: tuple[Class, Class]) -> None:
    base, derived = pair
    assert base.derive(derived.local) == derived
    assert derived.local.local == derived.local
    assert base.rooted() == base
    assert base.local == base
    again = derived.derive(Class("Once_more"))
    assert derived.derive(again.local) == again
    assert list(again.properties) == list(derived.properties)


def test_what_a_class_says_of_itself() -> None:
    marked = cls("C", marks=("abstract", "association", Qualifier.of("provider", "P")))
    assert marked.is_abstract
    assert marked.is_association
    assert not marked.is_singleton
    assert marked.provider == "P"
    assert cls("C").provider is None
    assert cls("C", marks=(Qualifier.of("provider", ""),)).provider is None
    assert cls("C", marks=(Qualifier.of("provider", 5),)).provider is None
    assert not flag(cls("C", marks=(Qualifier.of("abstract", "yes"),)).qualifiers, "abstract")
    system = cls("__System").rooted()
    assert system.is_system
    assert system.derive(cls("Mine")).is_system
    assert not cls("Mine").is_system
    located = replace(cls("C"), namespace="root", server="h")
    assert located == cls("C")
    assert str(located.path) == r"\\h\root:C"


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        (Property("P", CimType.UINT8, True), "uint8"),
        (Property("P", CimType.REFERENCE), "ref:object"),
        (Property("P", CimType.REFERENCE, class_name="C"), "ref:C"),
        (Property("P", CimType.OBJECT), "object"),
        (Property("P", CimType.OBJECT, class_name="C"), "object:C"),
    ],
)
def test_the_text_of_a_type(declared: Property, text: str) -> None:
    assert declared.type_text == text


def test_a_propertys_values_conform() -> None:
    assert Property("P", CimType.REAL64).conform(1) == 1.0
    with pytest.raises(WbemError, match=r"^P: "):
        Property("P", CimType.UINT8).conform(256)


PARAMETERS = NameMap(
    [
        Parameter("A", CimType.STRING, True, Direction.IN, 0, default=("x",)),
        Parameter("B", CimType.UINT32, False, Direction.OUT, 1, qualifiers=qualified("mark")),
        Parameter("C", CimType.REFERENCE, False, Direction.IN_OUT, 2, "Target"),
    ]
)


def test_a_methods_parameters_as_classes() -> None:
    method = Method("M", PARAMETERS)
    assert method.in_class is not None
    assert method.out_class is not None
    assert method.in_class.name == method.out_class.name == PARAMETERS_CLASS
    assert list(method.in_class.properties) == ["A", "C"]
    assert list(method.out_class.properties) == ["B", "C", "ReturnValue"]
    a, c = method.in_class.properties.each()
    assert (a.type, a.is_array, a.default, a.qualifiers["id"].value) == (CimType.STRING, True, ("x",), 0)
    assert (c.class_name, c.qualifiers["ID"].value) == ("Target", 2)
    assert method.in_class.new()["A"] == ("x",)
    assert list(method.out_class.properties["B"].qualifiers) == ["mark", "ID"]
    returned = method.out_class.properties["ReturnValue"]
    assert returned.type is CimType.UINT32
    assert flag(returned.qualifiers, "out")
    assert not method.is_static
    assert Method("M", qualifiers=qualified("static")).is_static


def test_a_method_that_takes_and_gives_nothing() -> None:
    void = Method("M", returns=None)
    assert void.in_class is None
    assert void.out_class is None
    assert list(Method("M").out_class.properties) == ["ReturnValue"]  # type: ignore[union-attr]


def test_qualifiers() -> None:
    assert Qualifier.of("q") == Qualifier("q", CimType.BOOLEAN, True)
    assert Qualifier.of("q", None) == Qualifier("q", CimType.STRING, None)
    assert Qualifier.of("q", [1, 2], SPREAD) == Qualifier("q", CimType.SINT32, (1, 2), True, SPREAD)
    plain = Qualifier.of("q")
    assert plain.inherited().propagated
    assert plain.inherited().inherited() is not plain
    inherited = plain.inherited()
    assert inherited.inherited() is inherited


def test_classes_pickle_without_their_caches() -> None:
    full = cls("C", prop("Id", "key"), Method("M", PARAMETERS), marks=("abstract",)).rooted()
    full = replace(full, namespace="root", server="h")
    assert full.shape
    assert full.keys
    again = pickle.loads(pickle.dumps(full))
    assert again == full
    assert (again.namespace, again.server) == ("root", "h")
    assert hash(again) == hash(full)
    assert "shape" not in again.__dict__


def test_a_new_instance_knows_where_it_is() -> None:
    located = replace(cls("C", prop("Id", "key"), prop("name")), namespace="root", server="h")
    made = located.new({"id": 1}, name=2)
    assert made.to_dict() == {"Id": 1, "name": 2}
    assert made.path == ObjectPath("C", (("Id", 1),), namespace="root", server="h")


def test_what_a_method_returns_is_a_property_of_what_comes_out() -> None:
    method = Method("Find", returns=return_value(CimType.OBJECT, class_name="Win32_Process", is_array=True))
    assert method.out_class is not None
    returned = method.out_class.properties["returnvalue"]
    assert (returned.type, returned.is_array, returned.class_name) == (CimType.OBJECT, True, "Win32_Process")
    assert returned.qualifiers["out"].value is True
    assert Method("Plain").returns == return_value(CimType.UINT32)


def test_a_parameter_may_take_the_place_of_the_return_value() -> None:
    """Another server's class may have such a method: it is there to be read, not to be judged."""
    method = Method("Odd", NameMap([Parameter("RETURNVALUE", CimType.STRING, direction=Direction.OUT)]))
    assert method.out_class is not None
    assert [p.type for p in method.out_class.properties.each()] == [CimType.STRING]
