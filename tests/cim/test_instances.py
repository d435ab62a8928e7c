from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openwmi.cim import (
    ABSENT,
    DEFAULT,
    SYSTEM_PROPERTIES,
    CimType,
    Class,
    Flavor,
    Instance,
    NameMap,
    ObjectPath,
    Property,
    Qualifier,
    Shape,
)
from openwmi.errors import NotFound, WbemError
from tests import strategies

KEY = NameMap([Qualifier.of("key", flavor=Flavor.TO_SUBCLASS)])
BASE = Class("Base", qualifiers=NameMap([Qualifier.of("abstract")])).rooted()
POINT = replace(
    BASE.derive(
        Class(
            "Point",
            properties=NameMap(
                [
                    Property("Zone", CimType.STRING, qualifiers=KEY),
                    Property("At", CimType.DATETIME, qualifiers=KEY),
                    Property("X", CimType.SINT32, default=7),
                    Property("Tags", CimType.STRING, True),
                ]
            ),
        )
    ),
    namespace="root\\cimv2",
    server="HOST",
)
NOW = "20260131120000.000000+060"
SINGLETON = Class("Clock", qualifiers=NameMap([Qualifier.of("singleton")])).rooted()


def point(**values: Any) -> Instance:
    return POINT.new({"Zone": "a", "At": NOW}, **values)


def test_the_four_states() -> None:
    made = Instance.of_values(POINT.shape, ["a", None, DEFAULT, ABSENT])
    assert made["zone"] == "a"
    assert made["At"] is None
    assert made["X"] == 7
    with pytest.raises(KeyError, match="only some properties"):
        made["Tags"]
    with pytest.raises(KeyError, match="has no property Y"):
        made["Y"]
    assert [made.state(n) for n in ("Zone", "at", "X", "TAGS")] == ["a", None, DEFAULT, ABSENT]
    with pytest.raises(KeyError):
        made.state("Y")
    assert list(made) == ["Zone", "At", "X"]
    assert len(made) == 3
    assert dict(made.items()) == made.to_dict() == {"Zone": "a", "At": None, "X": 7}
    assert "x" in made
    assert "Tags" not in made
    assert "Y" not in made
    assert 5 not in made
    assert made.get("tags", 1) == made.get("Y", 1) == 1
    assert made.get("At", 1) is None


def test_setting() -> None:
    made = point()
    made["x"] = None
    assert made["X"] is None
    made["X"] = DEFAULT
    assert made["X"] == 7
    made["tags"] = ["a", None]
    assert made["Tags"] == ("a", None)
    with pytest.raises(WbemError, match=r"^X: 'seven'") as caught:
        made["X"] = "seven"
    assert caught.value.name == "WBEM_E_TYPE_MISMATCH"
    for name in ("Y", "__PATH"):
        with pytest.raises(NotFound):
            made[name] = 1
    assert made["X"] == 7


def test_a_new_one_has_the_defaults() -> None:
    assert POINT.new().values == [DEFAULT] * 4
    assert Instance(POINT, {"x": 1}).to_dict() == {"Zone": None, "At": None, "X": 1, "Tags": None}
    assert Instance(POINT.shape).cls is POINT


def test_keys_identity_and_path() -> None:
    made = point()
    assert made.keys == {"Zone": "a", "At": made["At"]}
    assert str(made.relative_path) == f'Point.At="{NOW}",Zone="a"'
    assert str(made.path) == rf'\\HOST\root\cimv2:Point.At="{NOW}",Zone="a"'
    assert made.path is not None
    assert made.path.bind(POINT) == made.keys
    same = POINT.new(Zone="A", At="20260131110000.000000+000")
    assert made.identity == same.identity
    assert made.identity != point(Zone="b").identity
    assert repr(made) == f"<{made.relative_path}>"


@pytest.mark.parametrize("values", [["a", None, 1, None], ["a", DEFAULT, 1, None], [ABSENT, ABSENT, 1, None]])
def test_no_path_without_all_keys(values: list[Any]) -> None:
    made = Instance.of_values(POINT.shape, values)
    assert made.keys is None
    assert made.identity is None
    assert made.path is None
    assert made.relative_path is None
    assert made["__PATH"] is None
    assert made["__RELPATH"] is None
    assert repr(made).startswith("<Point {")


def test_a_class_without_keys_and_a_singleton() -> None:
    assert BASE.new().path is None
    assert BASE.new().identity is None
    assert SINGLETON.new().identity == ""
    assert SINGLETON.new().path == ObjectPath("Clock", singleton=True)


def test_a_projection_is_made_once() -> None:
    shape = Shape(POINT, tuple(POINT.properties.each()))
    assert shape.project(["X", "Tags"]) is shape.project(["tags", "x", "__CLASS"])
    assert shape.project(["X"]) is not shape.project(["Tags"])


def test_projections_are_not_kept_without_end() -> None:
    many = Class("Many", properties=NameMap(Property(f"P{i}", CimType.UINT8) for i in range(100)))
    first, *_ = [many.shape.project([name]) for name in many.properties]
    again = many.shape.project(["P0"])
    assert again == first
    assert again is not first


def test_projection() -> None:
    shape = POINT.shape.project(["TAGS", "x", "__CLASS"])
    assert [p.name for p in shape.properties] == ["X", "Tags"]
    assert not shape.is_whole
    assert POINT.shape.is_whole
    assert shape == POINT.shape.project(["X", "Tags"])
    assert hash(shape) == hash(POINT.shape.project(["X", "Tags"]))
    assert shape != POINT.shape
    assert shape != 5
    assert "X, Tags" in repr(shape)
    part = point(Tags=["t"]).copy(shape)
    assert part.to_dict() == {"X": 7, "Tags": ("t",)}
    assert part.path is None
    assert part["__CLASS"] == "Point"
    assert part.copy(POINT.shape).values == [ABSENT, ABSENT, DEFAULT, ("t",)]
    with pytest.raises(WbemError, match="Point has no property Y") as caught:
        POINT.shape.project(["X", "Y"])
    assert caught.value.name == "WBEM_E_INVALID_QUERY"


def test_a_copy_is_its_own() -> None:
    made = point()
    made.qualifiers = NameMap([Qualifier.of("q")])
    made.property_qualifiers = {"x": NameMap([Qualifier.of("p")])}
    other = made.copy()
    assert other == made
    assert (other.namespace, other.server) == ("root\\cimv2", "HOST")
    other["X"] = 1
    other.property_qualifiers.clear()
    assert made["X"] == 7
    assert made.property_qualifiers


def test_equality() -> None:
    made = point()
    elsewhere = replace(POINT, namespace=None, server=None).new({"Zone": "a", "At": NOW, "X": 7})
    assert made == elsewhere
    assert made != point(X=8)
    assert made != BASE.new()
    assert made != "Point"
    qualified = point()
    qualified.qualifiers = NameMap([Qualifier.of("q")])
    assert made != qualified
    assert made.copy(POINT.shape.project(["X"])) != made
    with pytest.raises(TypeError, match="unhashable"):
        hash(made)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_pickling(data: st.DataObject) -> None:
    made = data.draw(strategies.instances(data.draw(strategies.classes()), absent=True))
    made.namespace, made.server = "root", "h"
    made.property_qualifiers = {"x": NameMap([Qualifier.of("p")])}
    again = pickle.loads(pickle.dumps(made))
    assert again == made == copy.deepcopy(made)
    assert again.values == made.values
    assert (again.namespace, again.server, again.property_qualifiers) == ("root", "h", made.property_qualifiers)


def test_pickling_shares_shapes() -> None:
    one, two = pickle.loads(pickle.dumps([point(), point()]))
    assert one.shape is two.shape is one.cls.shape
    part = pickle.loads(pickle.dumps(point().copy(Shape(POINT, POINT.shape.properties[:1], declared=False))))
    assert [p.name for p in part.shape.properties] == ["Zone"]
    assert not part.shape.declared


SYSTEM = {
    "__GENUS": (2, 1),
    "__CLASS": ("Point", "Point"),
    "__SUPERCLASS": ("Base", "Base"),
    "__DYNASTY": ("Base", "Base"),
    "__RELPATH": (f'Point.At="{NOW}",Zone="a"', "Point"),
    "__PROPERTY_COUNT": (4, 4),
    "__DERIVATION": (("Base",), ("Base",)),
    "__SERVER": ("HOST", "HOST"),
    "__NAMESPACE": ("root\\cimv2", "root\\cimv2"),
    "__PATH": (rf'\\HOST\root\cimv2:Point.At="{NOW}",Zone="a"', r"\\HOST\root\cimv2:Point"),
}


def test_the_table_of_system_properties_is_whole() -> None:
    assert set(SYSTEM) == set(SYSTEM_PROPERTIES)


@pytest.mark.parametrize("name", SYSTEM)
def test_system_properties(name: str) -> None:
    of_instance, of_class = SYSTEM[name]
    assert point()[name] == point()[name.lower()] == point().get(name) == of_instance
    assert SYSTEM_PROPERTIES[name].read(POINT) == of_class
    assert SYSTEM_PROPERTIES[name].read(point()) == of_instance


def test_system_properties_of_a_root_and_of_nowhere() -> None:
    found = {name: p.read(BASE) for name, p in SYSTEM_PROPERTIES.items()}
    assert found["__DYNASTY"] == "Base"
    assert found["__SUPERCLASS"] is None
    assert found["__DERIVATION"] == ()
    assert found["__SERVER"] is None
    assert found["__NAMESPACE"] is None
    assert found["__PATH"] == "Base"
    part = point().copy(POINT.shape.project(["X"]))
    assert part["__PROPERTY_COUNT"] == 1
    with pytest.raises(KeyError):
        part["__UNKNOWN"]
