"""Others read what we write, and we read what they write: impacket and aiowmi, as far as they are right themselves.

impacket cannot do InstPropQualSetFlag 2, NULL elements, reals of instances, arrays of references, arrays with the type
numbers that MS-WMIO misprints, nor dictionary references as values; aiowmi no classes, embedded objects and wide
strings, and it takes 0 for NULL.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import (
    DEFAULT,
    CimType,
    Class,
    Direction,
    Instance,
    Method,
    NameMap,
    Parameter,
    Property,
    Qualifier,
)
from openwmi.wmio import decode_object, encode_object
from tests import strategies
from tests.wmio.test_vectors import read

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aiowmi.ndr.encoding_unit import EncodingUnit
    from impacket.dcerpc.v5.dcom import wmi

PLAIN = [t for t in strategies.SCALAR_TYPES if t is not CimType.DATETIME]
TEXTS = (CimType.STRING, CimType.REFERENCE)
ascii_names = st.text("ABCabc_", min_size=1, max_size=4)
ascii_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10)


def theirs(data: bytes) -> Any:
    """impacket's reading of an object: its ObjectBlock, parsed."""
    block = wmi.ENCODING_UNIT(data)["ObjectBlock"]
    block.parseObject()
    return block


def described(cls: Class) -> dict[str, tuple[int, bool, str]]:
    return {
        p.name: (p.type | 0x2000 * p.is_array | 0x4000 * p.propagated, p.propagated, p.type_text)
        for p in cls.properties.each()
    }


def shown(properties: Any) -> dict[str, tuple[int, bool, str]]:
    return {
        name: (found["type"], bool(found["inherited"]), found["qualifiers"]["CIMTYPE"])
        for name, found in properties.items()
    }


@st.composite
def simple_classes(draw: st.DrawFn) -> Class:
    """Classes within what impacket can read."""
    found = []
    for name in draw(st.lists(ascii_names, min_size=1, max_size=9, unique_by=str.lower)):
        type_, is_array = draw(st.sampled_from(PLAIN)), draw(st.booleans())
        if is_array and type_ in (CimType.REFERENCE, CimType.UINT64, CimType.SINT64, CimType.CHAR16):
            type_ = CimType.STRING
        if not is_array and type_ in (CimType.REAL32, CimType.REAL64):
            type_ = CimType.SINT32
        quals = draw(st.dictionaries(st.sampled_from(["key", "read", "Text"]), ascii_texts.filter(len), max_size=2))
        qualifiers = NameMap(Qualifier.of(q, v) for q, v in quals.items())
        found.append(Property(name, type_, is_array, qualifiers=qualifiers, propagated=draw(st.booleans())))
    return Class("A", "B", ("B", "C"), properties=NameMap(found))


@settings(max_examples=60)
@given(simple_classes())
def test_impacket_reads_our_classes(cls: Class) -> None:
    block = theirs(encode_object(cls))
    current = block["ClassType"]["CurrentClass"]
    assert current.getClassName().replace(" ", "") == "A:B:C"
    assert shown(block.ctCurrent["properties"]) == described(cls)
    assert list(block.ctCurrent["properties"]) == list(cls.properties)
    for declared in cls.properties.each():
        found = dict(block.ctCurrent["properties"][declared.name]["qualifiers"])
        found.pop("CIMTYPE")
        assert found == {q.name: q.value for q in declared.qualifiers.each()}


def simple_values(declared: Property) -> st.SearchStrategy[Any]:
    if declared.type in TEXTS:
        # impacket ends a wide string at the first two zero octets, wherever they are
        text = ascii_texts.filter(len)
        return st.lists(text, min_size=1, max_size=3).map(tuple) if declared.is_array else text
    return strategies.values(declared.type, declared.is_array)


@st.composite
def simple_instances(draw: st.DrawFn) -> Instance:
    cls = draw(simple_classes())
    return Instance.of_values(cls.shape, [draw(st.none() | simple_values(p)) for p in cls.properties.each()])


def as_impacket(declared: Property, value: Any) -> Any:
    if value is None or declared.type in TEXTS:
        return list(value) if isinstance(value, tuple) else value
    if declared.is_array:
        numbers = [0xFFFF * v if isinstance(v, bool) else v for v in value]
        return [ord(n) if isinstance(n, str) else n for n in numbers]
    if declared.type is CimType.BOOLEAN:
        return str(value)
    return ord(value) if declared.type is CimType.CHAR16 else value


@settings(max_examples=60)
@given(simple_instances())
def test_impacket_reads_our_instances(instance: Instance) -> None:
    properties = theirs(encode_object(instance)).ctCurrent["properties"]
    for declared, value in zip(instance.shape.properties, instance.values, strict=True):
        found = properties[declared.name]
        assert found["null_default"] == (value is None)
        if value is None or (isinstance(value, int) and value == 0xFFFFFFFF):
            continue  # impacket takes what it finds in the slot for a NULL as the value, and this number for NULL
        assert found["value"] == as_impacket(declared, value)


@pytest.mark.requirement("WMI-2.2.32-01", "WMI-2.2.32-02")
@settings(max_examples=60)
@given(simple_instances())
def test_aiowmi_reads_our_instances(instance: Instance) -> None:
    block = EncodingUnit(encode_object(instance)).object_block
    properties = block.class_part.properties
    properties.set_qualifiers(block.class_part.class_heap)
    properties.set_prop_values(block.instance_heap, block.nd_value_table)
    assert list(properties.properties) == list(instance.cls.properties)
    for declared, value in zip(instance.shape.properties, instance.values, strict=True):
        found = properties.properties[declared.name]
        assert found.qualifier_set.qualifiers["CIMTYPE"] == declared.type_text
        if not value or value == 0xFFFFFFFF or (declared.type is CimType.CHAR16 and not declared.is_array):
            continue  # 0, '' and NULL are the same to aiowmi, as is the number that is no reference
        if declared.is_array and declared.propagated and declared.type in TEXTS:
            continue  # aiowmi sees no strings in an array that is inherited
        expected = as_impacket(declared, value)
        assert found.value == (value if declared.type is CimType.BOOLEAN and not declared.is_array else expected)


@pytest.fixture
def service() -> Class:
    parameters = [
        Parameter("Text", CimType.STRING, id=0),
        Parameter("Number", CimType.UINT32, id=1),
        Parameter("Numbers", CimType.UINT32, True, id=2),
        Parameter("Both", CimType.SINT32, direction=Direction.IN_OUT, id=3),
        Parameter("Result", CimType.STRING, direction=Direction.OUT, id=4),
    ]
    texts = Qualifier.of("Values", ["a", "b"])
    start = Method("Start", NameMap(parameters), qualifiers=NameMap([texts, Qualifier.of("static")]))
    stop = Method("Stop", returns=None)
    key = Property("Name", CimType.STRING, qualifiers=NameMap([Qualifier.of("key")]))
    return Class("Service", properties=NameMap([key]), methods=NameMap([start, stop])).rooted()


def test_impacket_reads_our_methods(service: Class) -> None:
    methods = theirs(encode_object(service)).ctCurrent["methods"]
    assert list(methods) == ["Start", "Stop"]
    start, stop = methods["Start"], methods["Stop"]
    assert list(start["InParams"]) == ["Text", "Number", "Numbers", "Both"]
    assert list(start["OutParams"]) == ["Both", "Result", "ReturnValue"]
    assert [p["qualifiers"]["ID"] for p in start["InParams"].values()] == [0, 1, 2, 3]
    assert start["qualifiers"] == {"Values": ["a", "b"], "static": "True"}
    assert start["origin"] == 0
    assert (stop["InParams"], stop["OutParams"]) == (None, None)


class Wire:
    """Stands in for a connection: keeps what impacket sends."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def object(self, data: bytes) -> Any:
        """impacket's proxy of an object that it received."""
        custom = wmi.OBJREF_CUSTOM()
        custom["iid"] = wmi.IID_IWbemClassObject
        custom["clsid"] = wmi.CLSID_WbemClassObject
        custom["cbExtension"] = 0
        custom["ObjectReferenceSize"] = len(data)
        custom["pObjectData"] = data
        interface = wmi.INTERFACE(None, custom.getData(), None, target="t", oxid=0)
        return wmi.IWbemClassObject(interface, self)

    def ExecMethod(self, path: str, name: str, **more: Any) -> Any:
        in_params = more["pInParams"]
        self.sent.append(b"" if in_params is wmi.NULL else in_params["pObjectData"].getData())
        raise RuntimeError("there is no answer")  # impacket logs it, and goes on


def sent_by_impacket(cls: Class, *arguments: Any) -> Any:
    wire = Wire()
    wire.object(encode_object(cls)).Start(*arguments)
    return decode_object(wire.sent[0])


def test_we_read_the_parameters_that_impacket_sends(service: Class) -> None:
    found = sent_by_impacket(service, "t\u00e9xt", 4294967295, [1, 2], -3)
    assert found.class_name == "__PARAMETERS"
    assert found.to_dict() == {"Text": "t\u00e9xt", "Number": 4294967295, "Numbers": (1, 2), "Both": -3}
    assert [p.qualifiers["ID"].value for p in found.cls.properties.each()] == [0, 1, 2, 3]


def test_impackets_null_array_is_null(service: Class) -> None:
    assert sent_by_impacket(service, "t", 1, None, 2)["Numbers"] is None


def test_we_read_an_instance_that_impacket_spawns() -> None:
    """Of the real Win32_ProcessStartup, as it goes into Win32_Process.Create."""
    proxy = Wire().object(read("wmio_win32_process_startup"))
    spawned = proxy.SpawnInstance()
    spawned.ShowWindow = 5
    spawned.Title = "a title"
    found = decode_object(spawned.marshalMe()["pObjectData"].getData())
    assert isinstance(found, Instance)
    assert found.class_name == "Win32_ProcessStartup"
    assert (found["ShowWindow"], found["Title"], found["EnvironmentVariables"]) == (5, "a title", None)


def test_defaults_as_impacket_has_them() -> None:
    cls = Class("A", properties=NameMap([Property("T", CimType.STRING, default="text"), Property("N", CimType.UINT8)]))
    assert theirs(encode_object(cls)).ctCurrent["properties"]["T"]["value"] == "text"
    properties = theirs(encode_object(Instance.of_values(cls.shape, [DEFAULT, None]))).ctCurrent["properties"]
    assert properties["T"]["inherited_default"]
    assert not properties["T"]["null_default"]


@pytest.mark.requirement("WMI-2.2.32-01", "WMI-2.2.32-02")
def test_parameters_say_their_type_too() -> None:
    """A method's parameters are the properties of a class, as any other client sees them."""
    parameters = NameMap([Parameter("Count", CimType.UINT32), Parameter("Text", CimType.STRING, id=1)])
    signature = Method("Do", parameters).in_class
    assert signature is not None
    block = EncodingUnit(encode_object(signature.new())).object_block
    block.class_part.properties.set_qualifiers(block.class_part.class_heap)
    found = block.class_part.properties.properties
    assert {name: p.qualifier_set.qualifiers["CIMTYPE"] for name, p in found.items()} == {
        "Count": "uint32",
        "Text": "string",
    }
