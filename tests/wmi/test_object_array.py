"""ObjectArray packets: by hand, round trip, through other readers, and malformed."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import ABSENT, CimObject, CimType, Class, Instance, NameMap, Property
from openwmi.errors import DecodeError, WbemError
from openwmi.wmi.object_array import ObjectArrayReader, ObjectArrayWriter, PacketType
from openwmi.wmio import encode_block, encode_instance_no_class
from tests import strategies

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aiowmi.ndr.smart_response import SmartResponse
    from impacket.dcerpc.v5.dcom import wmi

NEXT = PacketType.NEXT
A = Class("A", properties=NameMap([Property("P", CimType.STRING), Property("N", CimType.UINT32)])).rooted()
B = Class("B", properties=NameMap([Property("P", CimType.UINT16)])).rooted()


def ids(first: int = 1) -> Iterator[UUID]:
    while True:
        yield UUID(int=first << 64)
        first += 1


def writer(entries: int = 256) -> ObjectArrayWriter:
    return ObjectArrayWriter(NEXT, entries=entries, new_id=ids().__next__)


def kinds(data: bytes) -> list[int]:
    at, found = 46, []
    while at < len(data):
        _, size, kind = struct.unpack_from("<IIB", data, at)
        found.append(kind)
        at += 9 + size
    return found


def header(body: bytes, count: int, kind: int = 1) -> bytes:
    return (
        b"\0\0\0\0WBEMDATA\x1a\0\0\0"
        + struct.pack("<IIBB", 20 + len(body), 0, 1, kind)
        + struct.pack("<II", 8, 12 + len(body))
        + struct.pack("<III", 12, len(body), count)
        + body
    )


def packed(kind: int, data: bytes, class_id: int | None = None) -> bytes:
    inner = b"" if class_id is None else UUID(int=class_id << 64).bytes_le
    inner = struct.pack("<II", 8 + len(inner), len(data)) + inner + data
    return struct.pack("<IIB", 9, len(inner), kind) + inner


@pytest.mark.requirement(
    *(f"WMI-2.2.14-{i:02}" for i in (3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)),
    "WMI-2.2.14.1-01", "WMI-2.2.14.1-02", "WMI-2.2.14.1-03", "WMI-2.2.14.1-04", "WMI-2.2.14.2-01", "WMI-2.2.14.2-02",
    "WMI-2.2.14.3-01", "WMI-2.2.14.3-02", "WMI-2.2.14.4-01", "WMI-2.2.14.4-02", "WMI-2.2.14.4-03", "WMI-2.2.14.4-04",
    "WMI-2.2.14.4-06", "WMIO-2.2.2-01",
)  # fmt: skip
def test_a_packet_to_the_octet() -> None:
    """In both directions: only the first instance of each class brings its class part."""
    objects: list[CimObject] = [A.new(P="x", N=1), A.new(P="y"), B.new(P=3), A, A.new(N=2)]
    body = b"".join((
        packed(2, encode_block(objects[0]), 1),
        packed(3, encode_instance_no_class(A.new(P="y")), 1),
        packed(2, encode_block(objects[2]), 2),
        packed(1, encode_block(A)),
        packed(3, encode_instance_no_class(A.new(N=2)), 1),
    ))  # fmt: skip
    assert writer().encode(objects) == header(body, 5)
    assert ObjectArrayReader(NEXT).decode(header(body, 5)) == objects
    for kind in PacketType:
        data = ObjectArrayWriter(kind, new_id=ids().__next__).encode(objects)
        assert data == header(body, 5, kind)
        assert ObjectArrayReader(kind).decode(data) == objects


@pytest.mark.requirement("WMI-2.2.14-05")
def test_classes_are_known_from_packets_before() -> None:
    sender, receiver = ObjectArrayWriter(NEXT), ObjectArrayReader(NEXT)
    first, second = (sender.encode([A.new(N=i), B.new(P=i)]) for i in (1, 2))
    assert (kinds(first), kinds(second)) == ([2, 2], [3, 3])
    assert first[63:79] != ObjectArrayWriter(NEXT).encode([A.new(N=1)])[63:79]  # a random id
    assert receiver.decode(first) == [A.new(N=1), B.new(P=1)]
    assert receiver.decode(second) == [A.new(N=2), B.new(P=2)]
    with pytest.raises(DecodeError, match="classID"):
        ObjectArrayReader(NEXT).decode(second)


def test_another_projection_is_another_class_part() -> None:
    whole = A.new(P="x", N=1)
    part = whole.copy(A.shape.project(["N"]))
    partial = Instance.of_values(A.shape, [ABSENT, 5])
    data = writer().encode([whole, part, partial, whole])
    assert kinds(data) == [2, 2, 3, 3]
    assert [i.to_dict() for i in ObjectArrayReader(NEXT).decode(data)] == [  # type: ignore[union-attr]
        {"P": "x", "N": 1}, {"N": 1}, {"N": 5}, {"P": "x", "N": 1}
    ]  # fmt: skip


def test_an_empty_packet() -> None:
    assert writer().encode([]) == header(b"", 0)
    assert ObjectArrayReader(NEXT).decode(header(b"", 0)) == []


def test_what_cannot_be_sent_leaves_no_trace() -> None:
    """The packet with the class part never went out, so the class is not known to have been sent."""
    sender = writer()
    with pytest.raises(WbemError):
        sender.encode([A.new(P="x"), A.new(P="a\0b")])
    data = sender.encode([A.new(P="y")])
    assert kinds(data) == [2]
    assert ObjectArrayReader(NEXT).decode(data) == [A.new(P="y")]


def test_the_writer_forgets_and_sends_again() -> None:
    sender, receiver = writer(entries=2), ObjectArrayReader(NEXT)
    classes = [Class(f"C{i}") for i in range(4)]
    for i, expected in ((0, 2), (1, 2), (0, 3), (2, 2), (0, 3), (1, 2)):
        data = sender.encode([classes[i].new()])
        assert kinds(data) == [expected]
        assert receiver.decode(data) == [classes[i].new()]


def test_the_reader_is_bounded() -> None:
    for receiver in (ObjectArrayReader(NEXT, entries=2), ObjectArrayReader(NEXT, size=250)):
        body = [packed(2, encode_block(B.new()), class_id) for class_id in (1, 2, 3)]
        receiver.decode(header(b"".join(body), 3))
        bare = encode_instance_no_class(B.new())
        assert receiver.decode(header(packed(3, bare, 3), 1)) == [B.new()]
        with pytest.raises(DecodeError, match=r"wbemObjects\[0\].classID"):
            receiver.decode(header(packed(3, bare, 1), 1))


def test_an_id_that_comes_again_names_the_newer_class() -> None:
    receiver = ObjectArrayReader(NEXT)
    body = packed(2, encode_block(A.new(N=1)), 1) + packed(2, encode_block(B.new(P=1)), 1)
    receiver.decode(header(body, 2))
    assert receiver.decode(header(packed(3, encode_instance_no_class(B.new(P=7)), 1), 1)) == [B.new(P=7)]


@pytest.mark.requirement("WMIO-2.2.3-06")
def test_an_instance_is_read_as_if_its_class_stood_behind_its_decoration() -> None:
    here, there = (
        Instance(A, {"N": 1}, namespace=namespace, server="S") for namespace in ("root\\here", "root\\there")
    )
    found = ObjectArrayReader(NEXT).decode(writer().encode([here, there]))
    assert [(o.namespace, o.shape.cls.namespace) for o in found] == [
        ("root\\here", "root\\here"),
        ("root\\there", "root\\there"),
    ]


@settings(max_examples=60)
@given(st.data())
def test_objects_survive(data: st.DataObject) -> None:
    classes = data.draw(st.lists(strategies.classes(), min_size=1, max_size=3))
    sender, receiver, on_demand = writer(), ObjectArrayReader(NEXT), ObjectArrayReader(NEXT, on_demand=True)
    for _ in range(2):
        chosen = data.draw(st.lists(st.sampled_from(classes), max_size=4))
        objects = [data.draw(st.just(cls) | strategies.instances(cls)) for cls in chosen]
        octets = sender.encode(objects)
        for reader in (receiver, on_demand):
            found = reader.decode(octets)
            assert found == objects
            assert [o.values for o in found if isinstance(o, Instance)] == [
                o.values for o in objects if isinstance(o, Instance)
            ]


def test_aiowmi_reads_our_packets() -> None:
    """It looks at the first object only."""
    sender = writer()
    known: dict[str, Any] = {}
    for number in (1, 2):
        data = sender.encode([A.new(P=f"text {number}", N=number)])
        response = struct.pack("<IIIIII", 0, 0, 1, len(data), 0x20000, len(data)) + data
        found = SmartResponse(response, known).get_properties()
        assert {name: p.value for name, p in found.items()} == {"P": f"text {number}", "N": number}


def test_impacket_reads_our_packets() -> None:
    data = writer().encode([A.new(P="x"), A.new(P="y")])
    first = wmi.WBEM_DATAPACKET_OBJECT(data[46:])
    assert (first["dwSizeOfHeader"], first["bObjectType"]) == (9, 2)
    instance = wmi.WBEMOBJECT_INSTANCE(first["Object"])
    assert (instance["dwSizeOfHeader"], instance["ObjectData"]) == (24, encode_block(A.new(P="x")))
    second = wmi.WBEM_DATAPACKET_OBJECT(data[46 + 9 + first["dwSizeOfData"] :])
    bare = wmi.WBEMOBJECT_INSTANCE_NOCLASS(second["Object"])
    assert bare["classID"] == instance["classID"]
    assert bare["ObjectData"] == encode_instance_no_class(A.new(P="y"))


GOOD = header(packed(2, encode_block(B.new(P=1)), 1), 1)


def changed(at: int, number: int, code: str = "<I") -> bytes:
    octets = bytearray(GOOD)
    struct.pack_into(code, octets, at, number)
    return bytes(octets)


ERRORS = [
    (changed(0, 1), "ObjectArray.dwByteOrdering"),
    (GOOD.replace(b"WBEMDATA", b"WBEMDATE"), "ObjectArray.abSignature"),
    (changed(12, 27), "ObjectArray.dwSizeOfHeader1"),
    (changed(16, len(GOOD)), "ObjectArray.dwDataSize1"),
    (changed(20, 1), "ObjectArray.dwFlags"),
    (changed(24, 2, "B"), "ObjectArray.bVersion"),
    (changed(25, 0, "B"), "ObjectArray.bPacketType"),
    (changed(26, 9), "ObjectArray.dwSizeOfHeader2"),
    (changed(30, 1), "ObjectArray.dwDataSize2"),
    (changed(34, 13), "ObjectArray.dwSizeOfHeader3"),
    (changed(38, 1), "ObjectArray.dwDataSize3"),
    (changed(42, 0), "ObjectArray.wbemObjects"),
    (changed(42, 0xFFFFFFFF), "wbemObjects[1]"),
    (changed(46, 8), "wbemObjects[0].dwSizeOfHeader"),
    (changed(50, 0x7FFFFFFF), "wbemObjects[0].dwSizeOfData"),
    (changed(50, 20), "wbemObjects[0]"),
    (changed(54, 0, "B"), "wbemObjects[0].bObjectType"),
    (changed(54, 4, "B"), "wbemObjects[0].bObjectType"),
    (changed(54, 1, "B"), "wbemObjects[0].Object.dwSizeOfHeader"),
    (changed(54, 3, "B"), "wbemObjects[0].classID"),
    (changed(55, 23), "wbemObjects[0].Object.dwSizeOfHeader"),
    (changed(59, 1), "wbemObjects[0].Object.dwSizeOfData"),
    (header(packed(2, encode_block(B), 1), 1), "wbemObjects[0].bObjectType"),
    (header(packed(1, encode_block(B.new())), 1), "wbemObjects[0].bObjectType"),
    (GOOD + b"\0", "ObjectArray.dwDataSize1"),
]  # fmt: skip


@pytest.mark.requirement("WMI-2.2.14.4-05")
@pytest.mark.parametrize(("data", "field"), ERRORS)
def test_malformed_packets_name_the_field(data: bytes, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        ObjectArrayReader(NEXT).decode(data)
    assert caught.value.field == field
    assert 0 <= caught.value.offset <= len(data)


def test_every_truncation() -> None:
    data = writer().encode([A.new(P="x"), A.new(P="y"), B])
    for length in range(len(data)):
        with pytest.raises(DecodeError):
            ObjectArrayReader(NEXT).decode(data[:length])
