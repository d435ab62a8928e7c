"""Instances as users have them."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from openwmi.cim import CimType, Class, DateTime, NameMap, Property
from openwmi.cim import Instance as CimInstance
from openwmi.client.methods import MethodResult
from openwmi.client.objects import CimInt, Instance
from openwmi.errors import MethodFailed, WbemError
from tests.mof.support import compiled, objects

MOF = """
class Inner { [key] uint8 Number; };
class Sample {
    [key] string Name; string Note; uint64 Big; sint8 Small; boolean On; real64 Share; datetime Since; datetime Took;
    datetime Vague; datetime Never; uint8 Raw[]; sint32 Many[]; string Path; Inner Child; Inner Children[];
    uint32 Do([in] uint32 Times, [out] string Said);
};
"""


INNER, SAMPLE = (found for found in objects(MOF) if isinstance(found, Class))


class Caller:
    """A session that notes what it is to invoke."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def invoke(self, *arguments: Any, **named: Any) -> str:
        self.calls.append((*arguments, named))
        return "done"


def sample(origin: Any = None, **values: Any) -> Instance:
    child = CimInstance(INNER, {"Number": 7})
    given = {
        "Name": "one",
        "Big": 2**64 - 1,
        "Small": -5,
        "On": True,
        "Share": 0.5,
        "Since": datetime(2026, 1, 31, 12, 30, 15, 250, tzinfo=UTC),
        "Took": timedelta(hours=1, seconds=2),
        "Vague": DateTime("202601********.******+000"),
        "Never": DateTime("20260230120000.000000+000"),
        "Raw": b"\x00\xff",
        "Many": [1, -2],
        "Path": "a property",
        "Child": child,
        "Children": [child, None],
        **values,
    }
    return Instance.bound(CimInstance(SAMPLE, given), origin)


@pytest.mark.parametrize(
    ("name", "value", "type_"),
    [
        ("Name", "one", str),
        ("Note", None, type(None)),
        ("Big", 2**64 - 1, CimInt),
        ("Small", -5, CimInt),
        ("On", True, bool),
        ("Share", 0.5, float),
        ("Since", datetime(2026, 1, 31, 12, 30, 15, 250, tzinfo=UTC), datetime),
        ("Took", timedelta(hours=1, seconds=2), timedelta),
        ("Vague", DateTime("202601********.******+000"), DateTime),
        ("Never", DateTime("20260230120000.000000+000"), DateTime),
        ("Raw", b"\x00\xff", bytes),
        ("Many", (1, -2), tuple),
    ],
)
def test_values_are_pythons_own(name: str, value: Any, type_: type) -> None:
    it = sample()
    for found in (it[name], it[name.upper()], getattr(it, name), getattr(it, name.upper()), it.to_dict()[name]):
        assert found == value
        assert isinstance(found, type_)


@pytest.mark.parametrize(
    ("name", "type_", "text"), [("Big", CimType.UINT64, "Uint64"), ("Small", CimType.SINT8, "Sint8")]
)
def test_integers_know_their_type(name: str, type_: CimType, text: str) -> None:
    value = sample()[name]
    assert (value.cim_type, type(value).__name__) == (type_, text)
    assert value + 1 == int(value) + 1
    assert json.dumps(value) == str(int(value))
    again = pickle.loads(pickle.dumps(value))
    assert (again, again.cim_type) == (value, type_)
    assert sample().Many[0].cim_type is CimType.SINT32


def test_embedded_instances_are_like_their_holder() -> None:
    caller = Caller()
    it = sample(caller)
    assert isinstance(it.Child, Instance)
    assert (it.Child.Number, it.Child.origin) == (7, caller)
    first, second = it.Children
    assert (first["number"], second) == (7, None)


def test_names_of_its_own_come_first() -> None:
    it = sample()
    assert str(it.path) == 'Sample.Name="one"'
    assert (it["path"], it.Path) == ("a property", "a property")
    assert (it.cls.name, it.class_name, it.__CLASS, it["__class"]) == ("Sample", "Sample", "Sample", "Sample")


def test_what_is_not_there() -> None:
    it = sample()
    with pytest.raises(AttributeError, match="neither a property nor a method Nothing"):
        _ = it.Nothing
    with pytest.raises(KeyError, match="no property Nothing"):
        _ = it["Nothing"]
    partial = it.copy(it.shape.project(["Name"]))
    with pytest.raises(AttributeError, match="not part of this object"):
        _ = partial.Big
    assert not hasattr(it, "_private")


def test_a_method_that_the_class_did_not_bring_along() -> None:
    """Over the wire an instance's class has no methods."""
    bare = Class("Bare", properties=NameMap([Property("Name", CimType.STRING)]))
    caller = Caller()
    it = Instance.bound(CimInstance(bare, {"Name": "one"}), caller)
    assert it.Do(Times=2) == "done"
    assert caller.calls == [(it, "Do", None, {"Times": 2})]
    assert not hasattr(it, "to_arrow")  # what Python looks for is no method of CIM
    assert not hasattr(Instance.bound(CimInstance(bare), None), "Do")
    assert repr(it.Nmae) == "<the method Nmae of <Bare {'Name': 'one'}>, if Bare has one; it has no such property>"


def test_setting() -> None:
    it = sample()
    it.Note = "new"
    it["small"] = 3
    assert (it.Note, it.Small) == ("new", 3)
    it.namespace = "root\\cimv2"
    assert str(it.path) == 'root\\cimv2:Sample.Name="one"'
    with pytest.raises(WbemError):
        it.Nothing = 1
    with pytest.raises(WbemError):
        it.Small = 1000


def test_methods() -> None:
    caller = Caller()
    it = sample(caller)
    assert it.Do(Times=2) == "done"
    assert it.do({"Times": 3}) == "done"
    assert it.invoke("Do", Times=4) == "done"
    assert caller.calls == [
        (it, "Do", None, {"Times": 2}),
        (it, "do", {"Times": 3}, {}),
        (it, "Do", None, {"Times": 4}),
    ]
    assert it.Do.__name__ == "Do"
    assert repr(it.Do) == '<the method Do of <Sample.Name="one">>'
    with pytest.raises(AttributeError, match="belongs to no session"):
        sample().Do(Times=1)
    assert {"Do", "Name", "to_dict"} <= set(dir(it))


def test_conversions() -> None:
    it = sample()
    data = json.loads(it.to_json())
    assert (data["__CLASS"], data["Big"], data["Child"]["Number"]) == ("Sample", 2**64 - 1, 7)
    assert it.to_json(indent=2).startswith('{\n  "__CLASS"')
    (item,) = compiled(it.to_mof(), INNER, SAMPLE)
    assert item.object == it


def test_copies_and_pickles() -> None:
    caller = Caller()
    it = sample(caller)
    copied = it.copy()
    copied.Note = "changed"
    assert (it.Note, copied.origin) == (None, caller)
    again = pickle.loads(pickle.dumps(it))
    assert again == it
    assert isinstance(again, Instance)
    assert again.origin is None
    assert again.Big.cim_type is CimType.UINT64


def test_it_shares_values_with_the_original() -> None:
    original = CimInstance(Class("C", properties=NameMap([Property("A", CimType.UINT8)])))
    original["A"] = 1
    it = Instance.bound(original, None)
    assert it == original
    assert it.values is original.values


def test_representations() -> None:
    it = sample(Note="<b>&")
    assert dict(it.__rich_repr__())["Note"] == "<b>&"
    html = it._repr_html_()
    assert "&lt;b&gt;&amp;" in html
    assert "<b>" not in html
    assert repr(it) == '<Sample.Name="one">'


def test_the_result_of_a_method() -> None:
    result = MethodResult({"ReturnValue": 0, "Said": "hello"}, "Sample.Do")
    assert result.check() is result
    assert (result["Said"], result.said, result.RETURNVALUE) == ("hello", "hello", 0)
    with pytest.raises(AttributeError, match=r"Sample\.Do gave no Other"):
        _ = result.Other
    with pytest.raises(MethodFailed, match=r"Sample\.Do returned 5, and not 0") as caught:
        MethodResult({"ReturnValue": 5}, "Sample.Do").check()
    assert (caught.value.method, caught.value.returned) == ("Sample.Do", 5)
    assert MethodResult({}, "Sample.Do").check() == {}
    assert pickle.loads(pickle.dumps(result)) == result
