"""The JSON form: everything survives, and nothing wrong is read."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openwmi.cim import (
    ABSENT,
    DEFAULT,
    CimType,
    Class,
    Direction,
    Flavor,
    Instance,
    Method,
    NameMap,
    Parameter,
    Property,
    Qualifier,
    Shape,
    return_value,
    type_name,
)
from openwmi.errors import DecodeError
from openwmi.repository.serial import MAX_DEPTH, decode_class, decode_instance, encode_class, encode_instance
from tests import strategies
from tests.repository.models import BASE, DERIVED, LEAF

SLOW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def same_slots(one: Instance, two: Instance) -> bool:
    """Equal slot by slot, which tells a default from the value it gives, and NaN is equal to NaN."""
    return (one.shape, repr(one.values), one.qualifiers) == (two.shape, repr(two.values), two.qualifiers)


@SLOW
@given(strategies.classes())
def test_classes_survive(cls: Class) -> None:
    assert decode_class(encode_class(cls)) == cls


@SLOW
@given(strategies.hierarchies())
def test_derived_classes_survive_resolved_and_local(pair: tuple[Class, Class]) -> None:
    base, derived = pair
    assert decode_class(encode_class(derived)) == derived
    assert base.derive(decode_class(encode_class(derived.local))) == derived


@SLOW
@given(st.data())
def test_instances_survive(data: st.DataObject) -> None:
    cls = data.draw(strategies.classes())
    instance = data.draw(strategies.instances(cls, absent=True, specials=True))
    text = encode_instance(instance)
    assert text.isascii()
    assert same_slots(decode_instance(text, cls), instance)


@pytest.mark.parametrize("is_array", [False, True])
@pytest.mark.parametrize("type_", CimType)
def test_values_of_every_type_survive(type_: CimType, is_array: bool) -> None:
    @settings(max_examples=15, suppress_health_check=list(HealthCheck))
    @given(strategies.values(type_, is_array, specials=True))
    def check(value) -> None:
        cls = Class("C", properties=NameMap([Property("P", type_, is_array, origin="C")]))
        instance = Instance.of_values(cls.shape, [value])
        assert same_slots(decode_instance(encode_instance(instance), cls), instance)

    check()


def test_everything_of_a_class_survives() -> None:
    spread = Flavor.TO_SUBCLASS | Flavor.TO_INSTANCE | Flavor.NOT_OVERRIDABLE | Flavor.AMENDED
    parameters = NameMap(
        [
            Parameter("A", CimType.STRING, True, Direction.IN, 0, default=("x", None)),
            Parameter("B", CimType.REFERENCE, direction=Direction.OUT, id=1, class_name="X"),
            Parameter("C", CimType.OBJECT, direction=Direction.IN_OUT, id=2, qualifiers=NameMap([Qualifier.of("q")])),
        ]
    )
    cls = replace(
        LEAF,
        qualifiers=NameMap([Qualifier("Q", CimType.STRING, ("a", "b"), True, spread, True)]),
        methods=NameMap(
            [
                Method("Void", parameters, None, NameMap([Qualifier.of("static")]), "Base", True),
                Method("Text", returns=return_value(CimType.STRING)),
            ]
        ),
    )
    assert decode_class(encode_class(cls)) == cls


def test_embedded_objects_keep_class_and_location() -> None:
    outer = Class("Outer", properties=NameMap([Property("In", CimType.OBJECT), Property("Many", CimType.OBJECT, True)]))
    inner = DERIVED.new(Id=3)
    inner.namespace, inner.server = "root\\x", "host"
    instance = outer.new(In=inner, Many=[replace(LEAF, namespace="root"), None, BASE.new(Id=1)])
    found = decode_instance(encode_instance(instance), outer)
    assert found == instance
    assert (found["In"].namespace, found["In"].server) == ("root\\x", "host")
    assert found["In"].cls == DERIVED
    assert found["Many"][0].namespace == "root"
    assert found["Many"][2].namespace is None


def test_projections_and_inferred_types_survive() -> None:
    for shape in (
        DERIVED.shape.project(["note"]),
        Shape(DERIVED, tuple(DERIVED.properties.each()), declared=False),
        Shape(Class("Unknown"), [Property("Count", CimType.STRING), Property("More", CimType.STRING)], declared=False),
    ):
        instance = Instance.of_values(shape, ["7"] * len(shape.properties))
        if shape.cls is DERIVED:
            instance.values = [DEFAULT] * len(shape.properties)
        found = decode_instance(encode_instance(instance), shape.cls)
        assert same_slots(found, instance)
        assert found.shape.declared == shape.declared


def test_qualifiers_of_an_instance_and_its_properties_survive() -> None:
    instance = BASE.new(Id=1)
    instance.qualifiers = NameMap([Qualifier.of("One", 1.5)])
    instance.property_qualifiers = {"note": NameMap([Qualifier.of("Two", ["a"], Flavor.TO_INSTANCE)])}
    found = decode_instance(encode_instance(instance), BASE)
    assert found.qualifiers == instance.qualifiers
    assert found.property_qualifiers == instance.property_qualifiers


def test_states_are_told_apart() -> None:
    cls = Class("C", properties=NameMap([Property(n, CimType.SINT32, default=5) for n in "abcd"]))
    values = [5, None, DEFAULT, ABSENT]
    found = decode_instance(encode_instance(Instance.of_values(cls.shape, list(values))), cls)
    assert found.values == values


def test_infinities_are_valid_json() -> None:
    cls = Class("C", properties=NameMap([Property("P", CimType.REAL32, True)]))
    text = encode_instance(cls.new(P=[math.nan, math.inf, -math.inf]))
    assert json.loads(text)["p"] == {"p": ["nan", "inf", "-inf"]}


def test_a_row_outlives_changes_to_its_class() -> None:
    text = encode_instance(DERIVED.new(Id=1, Note="n", Extra=b"x"))
    renewed = Class(
        "Derived",
        properties=NameMap([Property("NOTE", CimType.STRING), Property("New", CimType.UINT8, default=4)]),
    )
    assert decode_instance(text, renewed).to_dict() == {"NOTE": "n", "New": 4}


def test_nesting_is_bounded() -> None:
    cls = Class("Nest", properties=NameMap([Property("In", CimType.OBJECT)]))
    instance = cls.new()
    for _ in range(MAX_DEPTH):
        instance = cls.new(In=instance)
    assert decode_instance(encode_instance(instance), cls) == instance
    with pytest.raises(ValueError, match="nest"):
        encode_instance(cls.new(In=instance))
    deep = json.loads(encode_instance(instance))
    deeper = {"v": 1, "p": {"in": {"class": {"n": "Nest", "p": [{"n": "In", "t": "object"}]}, "object": deep}}}
    with pytest.raises(DecodeError, match="nest deeper"):
        decode_instance(json.dumps(deeper), cls)


ALL = Class("All", properties=NameMap([Property(type_name(t, a), t, a) for t in CimType for a in (False, True)]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "JSON"),
        ("[1]", "an object is expected"),
        ("[" * 100_000, "JSON"),
        ('{"v":1,"p":{"real64":NaN}}', "NaN is no JSON"),
        ('{"v":1,"p":{"sint32":' + "9" * 5000 + "}}", "JSON"),
        ("{}", "version is None"),
        ('{"v":2,"p":{}}', "version is 2"),
        ('{"v":1}', "instance.p .*dict is expected"),
        ('{"v":1,"p":[]}', "dict is expected"),
        ('{"v":1,"p":{"uint8":256}}', r"instance\.uint8 .*outside uint8"),
        ('{"v":1,"p":{"uint8":1.0}}', r"instance\.uint8"),
        ('{"v":1,"p":{"uint8":true}}', r"instance\.uint8"),
        ('{"v":1,"p":{"boolean":1}}', r"instance\.boolean"),
        ('{"v":1,"p":{"string":1}}', r"instance\.string .*is not a value of string"),
        ('{"v":1,"p":{"char16":"ab"}}', r"instance\.char16"),
        ('{"v":1,"p":{"real32":"x"}}', r"instance\.real32"),
        ('{"v":1,"p":{"real32":1e300}}', r"instance\.real32"),
        ('{"v":1,"p":{"datetime":"today"}}', r"instance\.datetime"),
        ('{"v":1,"p":{"datetime":5}}', r"instance\.datetime"),
        ('{"v":1,"p":{"uint8[]":"%"}}', "base64"),
        ('{"v":1,"p":{"uint8[]":[1]}}', "base64"),
        ('{"v":1,"p":{"uint16[]":"12"}}', "list is expected"),
        ('{"v":1,"p":{"uint16[]":[1,null]}}', r"instance\.uint16\[\]"),
        ('{"v":1,"p":{"object":{}}}', r"instance\.object\.class"),
        ('{"v":1,"p":{"object":{"class":{"n":"C"},"object":7}}}', r"instance\.object"),
        ('{"v":1,"p":{"object":{"class":{"n":"C"},"at":[1,2]}}}', r"instance\.object\.at"),
        ('{"v":1,"p":{"object":"C"}}', r"instance\.object"),
        ('{"v":1,"p":{},"a":[[]]}', r"instance\.a"),
        ('{"v":1,"p":{},"s":[7]}', r"instance\.s\[0\]"),
        ('{"v":1,"p":{},"q":{}}', r"instance\.q"),
        ('{"v":1,"p":{},"pq":{"x":5}}', r"instance\.pq\.x"),
    ],
)
def test_instances_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_instance(text, ALL)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, r"class\.n"),
        ({"n": "C", "super": 1}, r"super"),
        ({"n": "C", "up": [1]}, r"up"),
        ({"n": "C", "p": [1]}, r"properties\[0\]"),
        ({"n": "C", "p": [{"n": "A", "t": "uint128"}]}, r"properties\[0\]\.type .*not a CIM type"),
        ({"n": "C", "p": [{"n": "A", "t": "uint8"}, {"n": "a", "t": "uint8"}]}, "there twice"),
        ({"n": "C", "p": [{"n": "A", "t": "uint8", "d": "x"}]}, r"default"),
        ({"n": "C", "q": [{"n": "A", "t": "boolean", "v": 1}]}, r"qualifiers\[0\]\.value"),
        ({"n": "C", "q": [{"n": "A", "t": "boolean", "f": "x"}]}, r"qualifiers\[0\]\.f"),
        ({"n": "C", "m": [{"n": "M", "r": "x"}]}, "returns"),
        ({"n": "C", "m": [{"n": "M", "p": [{"n": "A", "t": "uint8", "x": 4, "id": 0}]}]}, "direction"),
        ({"n": "C", "m": [{"n": "M", "p": [{"n": "A", "t": "uint8", "x": 1}]}]}, "id"),
    ],
)
def test_classes_that_are_refused(raw: dict, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_class(json.dumps({"v": 1, **raw}))


_TEXTS = [encode_class(LEAF), encode_instance(ALL.new({"uint8[]": b"abc", "object": LEAF.new(Id=1), "datetime[]": []}))]


@settings(max_examples=200)
@given(st.sampled_from(_TEXTS), st.integers(0, 2000), st.integers(0, 20), st.text('{}[]":,1ntf.e-', max_size=3))
def test_damage_is_a_decode_error_or_nothing(text: str, at: int, length: int, put: str) -> None:
    at %= len(text)
    damaged = text[:at] + put + text[at + length :]
    for read in (decode_class, lambda t: decode_instance(t, ALL)):
        with suppress(DecodeError):
            read(damaged)
