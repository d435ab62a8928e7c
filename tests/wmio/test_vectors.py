"""Real bytes: the specification's examples, and a class as Windows sent it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from openwmi.cim import DEFAULT, CimType, Class, Direction, Flavor, Instance, NameMap, Qualifier
from openwmi.wmio import (
    ClassPartCache,
    decode_block,
    decode_class_part,
    decode_object,
    encode_block,
    encode_class_part,
    encode_object,
)

DATA = Path(__file__).parent.parent / "data" / "wmio"
KEY_FLAVOR = Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS | Flavor.NOT_OVERRIDABLE
# name, namespace, where the structures end (behind that is slack), properties: type, default, inherited from
VECTORS = {
    "base_class": ("Base", "ROOT", 183, {"Id": ("sint32", None, None)}),
    "MyClass_class": (
        "MyClass",
        "ROOT",
        528,
        {
            "Id": ("sint32", None, "Base"),
            "Data1": ("string", None, None),
            "Data2": ("string", "defaultValue", None),
            "Array": ("uint32[]", None, None),
        },
    ),
    "MyClass_instance": (
        "MyClass",
        "ROOT",
        475,
        {
            "Id": ("sint32", None, "Base"),
            "Data1": ("string", None, None),
            "Data2": ("string", "defaultValue", None),
            "Array": ("uint32[]", None, None),
        },
    ),
    "MyClass2_class_with_method": (
        "MyClass2",
        "ROOT",
        2185,
        {
            "Id": ("sint32", None, "Base"),
            "Data1": ("string", None, "MyClass"),
            "Data2": ("string", "defaultValue", "MyClass"),
            "Array": ("uint32[]", None, "MyClass"),
        },
    ),
    "wmio_win32_process_startup": (
        "Win32_ProcessStartup",
        r"ROOT\cimv2",
        3060,
        {
            "CreateFlags": ("uint32", None, None),
            "PriorityClass": ("uint32", None, None),
            "EnvironmentVariables": ("string[]", None, None),
            "WinstationDesktop": ("string", None, None),
            "Title": ("string", None, None),
            "X": ("uint32", None, None),
            "Y": ("uint32", None, None),
            "XSize": ("uint32", None, None),
            "YSize": ("uint32", None, None),
            "XCountChars": ("uint32", None, None),
            "YCountChars": ("uint32", None, None),
            "FillAttribute": ("uint32", None, None),
            "ShowWindow": ("uint16", None, None),
            "ErrorMode": ("uint16", 0, None),
        },
    ),
}


def read(name: str) -> bytes:
    return (DATA / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("vector", VECTORS)
def test_properties(vector: str) -> None:
    name, namespace, _, properties = VECTORS[vector]
    found = decode_object(read(vector))
    cls = found.shape.cls
    assert (cls.name, found.namespace) == (name, namespace)
    assert found.server in ("DPRAVAT-DEV", "WIN2019-X-XX")
    shown = {
        p.name: (p.type_text + "[]" * p.is_array, p.default, p.origin if p.propagated else None)
        for p in cls.properties.each()
    }
    assert shown == properties
    assert list(shown) == list(properties)  # the order of declaration
    assert all(p.origin == cls.name for p in cls.properties.each() if not p.propagated)


@pytest.mark.parametrize("vector", VECTORS)
def test_there_and_back(vector: str) -> None:
    found = decode_object(read(vector))
    again = decode_object(encode_object(found))
    assert again == found
    assert (again.server, again.namespace) == (found.server, found.namespace)
    assert again.shape == found.shape


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.requirement("WMIO-2.3.4-05", "WMIO-2.3.4-07")
def test_a_class_part_goes_back_as_it_came(vector: str) -> None:
    data = read(vector)
    assert encode_class_part(decode_object(data)) in data


@pytest.mark.parametrize("vector", VECTORS)
def test_our_own_class_part_is_what_windows_writes(vector: str) -> None:
    found = decode_object(read(vector)).shape.cls
    theirs = encode_class_part(found)
    ours = encode_class_part(replace(found))  # a copy does not remember the bytes
    assert len(ours) <= len(theirs)  # Windows leaves slack in the heap
    assert decode_class_part(ours) == decode_class_part(theirs)


@pytest.mark.requirement("WMIO-2.2.40-01", "WMIO-2.2.40-02")
def test_base_class_to_the_octet() -> None:
    data = bytearray(read("base_class"))
    ours = encode_object(replace(decode_object(bytes(data))))  # type: ignore[type-var]
    assert (data[102], data[177]) == (0x05, 0x34)
    data[102] &= 0x03  # the bits of no property
    data[177] = 0  # MethodCountPadding
    assert ours[8:] == data[8:183]


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.requirement("WMIO-2.2.66-03", "WMIO-2.3.4-03", "WMIO-2.3.4-04")
def test_what_is_slack_may_be_anything_or_missing(vector: str) -> None:
    data = read(vector)
    end = VECTORS[vector][2]
    whole = decode_object(data)
    noise = bytes(i * 7 & 0xFF for i in range(len(data) - end))
    assert decode_object(data[:end] + noise) == whole
    assert decode_block(data[8:end]) == whole


def test_qualifiers() -> None:
    cls = decode_object(read("MyClass_class"))
    assert isinstance(cls, Class)
    assert cls.qualifiers == NameMap([Qualifier("Description", CimType.STRING, "MyClass Example")])
    assert cls.properties["Id"].qualifiers == NameMap(
        [Qualifier("key", CimType.BOOLEAN, True, False, KEY_FLAVOR, True)]
    )
    assert cls.properties["Data1"].qualifiers == NameMap([Qualifier.of("read"), Qualifier.of("write")])
    startup = decode_object(read("wmio_win32_process_startup"))
    assert isinstance(startup, Class)
    assert startup.derivation == ("Win32_MethodParameterClass",)
    assert startup.properties["PriorityClass"].qualifiers["ValueMap"] == Qualifier(
        "ValueMap", CimType.STRING, ("32", "64", "128", "256", "16384", "32768"), True, Flavor.TO_SUBCLASS
    )
    assert startup.qualifiers["locale"].value == 1033


@pytest.mark.requirement("WMIO-2.3.3-01", "WMIO-2.2.50-02")
def test_methods() -> None:
    cls = decode_object(read("MyClass2_class_with_method"))
    assert isinstance(cls, Class)
    restart = cls.methods["restart"]
    assert (restart.name, restart.origin, restart.propagated) == ("Restart", "MyClass2", False)
    assert restart.returns is not None
    assert restart.returns.type is CimType.UINT32
    assert restart.qualifiers["performance"].value == ("fast", "sideffects")
    assert [(p.name, p.type, p.class_name, p.direction, p.id) for p in restart.parameters.each()] == [
        ("ServiceName", CimType.STRING, None, Direction.IN, 0),
        ("Status", CimType.OBJECT, "int", Direction.OUT, 1),
    ]
    assert restart.in_class is not None
    assert restart.in_class.is_abstract
    assert list(restart.in_class.properties["ServiceName"].qualifiers) == ["in", "ID"]


def test_an_instance() -> None:
    found = decode_object(read("MyClass_instance"))
    assert isinstance(found, Instance)
    assert found.to_dict() == {"Id": 123, "Data1": "StringField", "Data2": "defaultValue", "Array": (1, 2, 3)}
    assert found.state("Data2") is DEFAULT
    assert str(found.path) == r"\\DPRAVAT-DEV\ROOT:MyClass.Id=123"


def test_a_qualifier_of_an_instances_property() -> None:
    """The fragment that MS-WMIO 3.1 prints, in a whole object: one set per property, in the lookup table's order."""
    found = decode_object(read("MyClass_instance"))
    assert isinstance(found, Instance)
    found.property_qualifiers["data1"] = NameMap([Qualifier.of("test")])
    data = encode_object(found)
    empty, tested = "04000000", "0f000000{0}000b000000ffff"
    name = data.index(b"\0test\0") - data.index(b"\0MyClass\0", 400)
    sets = "02" + empty + tested.format(name.to_bytes(4, "little").hex()) + empty + empty
    assert bytes.fromhex(sets) in data
    again = decode_object(data)
    assert isinstance(again, Instance)
    assert again.property_qualifiers == found.property_qualifiers


@pytest.mark.requirement("WMIO-2.2.11-01", "WMIO-2.2.11-02", "WMIO-2.2.38-01", "WMIO-2.2.38-02")
def test_a_class_without_anything() -> None:
    empty_class = "1d000000 00 ffffffff 00000000 04000000 04000000 00000000 00000080"
    no_methods = "0c000000 0000 0000 00000080"
    own = "1f000000 00 00000000 00000000 04000000 04000000 00000000 0300008000 41 00"
    own = own.replace("1f", "20")
    expected = bytes.fromhex("01" + empty_class + no_methods + own + no_methods)
    assert encode_block(Class("A")) == expected
    assert decode_block(expected) == Class("A")


def test_a_class_without_a_name() -> None:
    """What GetObject gives for an empty path: the beginning of a new class."""
    assert decode_object(encode_object(Class(""))) == Class("")


def test_the_same_class_part_is_read_once() -> None:
    cache = ClassPartCache()
    data = read("MyClass_instance")
    one, two = (decode_object(data, cache=cache) for _ in range(2))
    assert one.shape is two.shape
    assert len(cache) == 1
    assert decode_object(data).shape is not one.shape
