from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import CimType, Class, DateTime, Instance, NameMap, Property
from openwmi.cim.json import MAX_DEPTH, class_to_json, instance_from_json, instance_to_json, to_jsonable
from openwmi.errors import InvalidClass, NotFound, WbemError
from openwmi.mof import compile_mof
from openwmi.status import WbemStatus


class _Nothing:
    def get_class(self, namespace: str, name: str) -> Class | None:
        return None


def _classes(text: str) -> dict[str, Class]:
    found = [item.object for item in compile_mof(text, _Nothing(), namespace="root\\cimv2")]
    return {cls.name: cls for cls in found if isinstance(cls, Class)}


CLASSES = _classes(
    """
    class Point { sint32 X = 1; sint32 Y; };
    class Every {
        [key] string Name; uint64 Big; sint64 Small; real64 Real; boolean Truth; char16 Sign; datetime When;
        Every ref Other; Point Place; object Anything; uint8 Octets[]; string Words[]; Point Places[];
    };
    class Base { [key] string Name; };
    class Derived : Base { [read] uint32 Size = 5; [static] uint32 Do([in] string What, [in, out] sint16 How[]); };
    """
)


def lookup(name: str) -> Class:
    if name not in CLASSES:
        raise InvalidClass(name)
    return CLASSES[name]


def there_and_back(instance: Instance) -> Instance:
    text = json.dumps(instance_to_json(instance), allow_nan=False)
    return instance_from_json(json.loads(text), instance.cls, lookup)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**64 - 1, 2**64 - 1),
        (CimType.SINT16, 2),
        (1.5, 1.5),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        ("text \ud800", "text \ud800"),
        (DateTime("20260131120000.000000+060"), "20260131120000.000000+060"),
        (b"\x00\xff", [0, 255]),
        ((), []),
        (("a", None), ["a", None]),
        ({"a": (1,)}, {"a": [1]}),
        (CLASSES["Point"].new(Y=2), {"__CLASS": "Point", "X": 1, "Y": 2}),
    ],
)
def test_values(value: Any, expected: Any) -> None:
    converted = to_jsonable(value)
    assert converted == expected
    assert type(converted) is type(expected) or isinstance(converted, int)
    json.dumps(converted, allow_nan=False)


def test_what_is_no_value() -> None:
    with pytest.raises(TypeError, match="a set is no CIM value"):
        to_jsonable({1})


def test_absent_is_not_null() -> None:
    partial = Instance(CLASSES["Point"].shape.project(["Y"]))
    assert instance_to_json(partial) == {"__CLASS": "Point", "Y": None}


def test_class() -> None:
    data = class_to_json(CLASSES["Derived"])
    assert (data["__CLASS"], data["__SUPERCLASS"], data["__DERIVATION"]) == ("Derived", "Base", ["Base"])
    assert data["properties"]["Name"]["origin"] == "Base"
    assert data["properties"]["Name"]["qualifiers"]["key"] is True
    assert data["properties"]["Size"]["type"] == "uint32"
    assert data["properties"]["Size"]["default"] == 5
    method = data["methods"]["Do"]
    assert method["returns"] == "uint32"
    assert method["parameters"]["How"]["type"] == "sint16[]"
    assert method["parameters"]["How"]["direction"] == ["in", "out"]
    json.dumps(data, allow_nan=False)


TEXT = st.text(st.characters(), max_size=8)
POINTS = st.builds(
    lambda x, y: CLASSES["Point"].new(X=x, Y=y), st.integers(-(2**31), 2**31 - 1), st.none() | st.integers(0, 9)
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "Name": TEXT,
    "Big": st.integers(0, 2**64 - 1),
    "Small": st.integers(-(2**63), 2**63 - 1),
    "Real": st.floats(allow_nan=False),
    "Truth": st.booleans(),
    "Sign": st.characters(max_codepoint=0xFFFF),
    "When": st.datetimes().map(DateTime.of),
    "Other": st.just('Every.Name="x"'),
    "Place": POINTS,
    "Anything": POINTS,
    "Octets": st.binary(max_size=8),
    "Words": st.lists(st.none() | TEXT, max_size=4).map(tuple),
    "Places": st.lists(POINTS, max_size=3).map(tuple),
}


@settings(max_examples=100)
@given(st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()}))
def test_round_trip(values: dict[str, Any]) -> None:
    instance = CLASSES["Every"].new(values)
    assert there_and_back(instance) == instance


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_not_finite(text: str) -> None:
    read = instance_from_json({"Real": text}, CLASSES["Every"], lookup)
    assert instance_to_json(read)["Real"] == text


def test_defaults_and_system_names() -> None:
    read = instance_from_json({"__CLASS": "Point", "__PATH": 7, "y": 3}, CLASSES["Point"], lookup)
    assert read.to_dict() == {"X": 1, "Y": 3}


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ({"Nothing": 1}, NotFound, "Every has no property Nothing"),
        ({"Big": "1"}, WbemError, "Big: '1' is not a value of uint64"),
        ({"Big": 2**64}, WbemError, "outside uint64"),
        ({"Truth": 1}, WbemError, "Truth"),
        ({"When": "yesterday"}, WbemError, "When"),
        ({"Words": "one"}, WbemError, "Words"),
        ({"Name": ["one"]}, WbemError, "Name"),
        ({"Place": 5}, WbemError, "Place"),
        ({"Place": {"X": "far"}}, WbemError, "X"),
        ({"Anything": {"X": 1}}, WbemError, "give it __CLASS"),
        ({"Anything": {"__CLASS": "Nowhere"}}, InvalidClass, "Nowhere"),
        ({"Octets": [256]}, WbemError, "Octets"),
    ],
)
def test_refused(data: dict[str, Any], error: type[WbemError], text: str) -> None:
    with pytest.raises(error, match=text):
        instance_from_json(data, CLASSES["Every"], lookup)


def test_depth_is_bounded() -> None:
    inner = Property("Inner", CimType.OBJECT, class_name="Box")
    box = Class("Box", properties=NameMap([inner]))
    data: dict[str, Any] = {}
    for _ in range(MAX_DEPTH + 2):
        data = {"Inner": data}
    with pytest.raises(WbemError) as caught:
        instance_from_json(data, box, lambda name: box)
    assert caught.value.status == WbemStatus.WBEM_E_TYPE_MISMATCH
