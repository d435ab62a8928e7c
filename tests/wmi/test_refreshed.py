"""What refreshers send: by hand, round trip, and malformed."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import DEFAULT, CimType, Class, Instance, NameMap, Property
from openwmi.errors import DecodeError
from openwmi.rpc.ndr import Struct
from openwmi.wmi.refreshed import BlobType, RefreshedObject, decode_blob, encode_blob
from openwmi.wmio import decode_refreshed, encode_refreshed
from tests import strategies

A = Class(
    "A",
    properties=NameMap(
        [Property("P", CimType.STRING), Property("N", CimType.UINT16), Property("D", CimType.UINT8, default=7)]
    ),
).rooted()
# the heap's size, NdTable (D is defaulted), values, no qualifiers, the heap
SINGLE = bytes.fromhex("07000000 20 00000000 0500 00 04000000 01 03000080 00 7800")
ONE = Instance.of_values(A.shape, ["x", 5, DEFAULT])


@pytest.mark.requirement("WMI-2.2.19-01")
def test_an_instance_to_the_octet() -> None:
    assert encode_refreshed(ONE) == SINGLE
    found = decode_refreshed(SINGLE, A.shape)
    assert (found.values, found.shape) == (ONE.values, A.shape)


def test_a_size_that_does_not_count_the_heaps_length() -> None:
    assert decode_refreshed(b"\3" + SINGLE[1:], A.shape).values == ONE.values


@pytest.mark.requirement(
    "WMI-2.2.16-01", "WMI-2.2.16-02", "WMI-2.2.16-03", "WMI-2.2.16-04", "WMI-2.2.18-01", "WMI-2.2.18-02"
)
def test_a_blob_to_the_octet() -> None:
    blob = struct.pack("<II", 1, 2) + 2 * (struct.pack("<I", len(SINGLE)) + SINGLE)
    assert encode_blob([ONE, ONE]) == blob
    assert decode_blob(blob, A.shape) == [ONE, ONE]
    assert decode_blob(encode_blob([]), A.shape) == []


@pytest.mark.requirement(*(f"WMI-2.2.15-0{i}" for i in range(2, 8)))
def test_what_a_request_has_come_to() -> None:
    kind = Struct(RefreshedObject)
    one, many, none = (RefreshedObject.of(i, found) for i, found in ((7, ONE), (8, [ONE, ONE]), (9, None)))
    assert (one.kind, one.length, one.blob) == (BlobType.ALL, len(SINGLE), SINGLE)
    assert kind.encode(one)[:12] == struct.pack("<iIi", 7, 2, len(SINGLE))
    assert (many.kind, many.blob) == (BlobType.ENUM, encode_blob([ONE, ONE]))
    assert kind.encode(none) == struct.pack("<iIiI", 9, 3, 0, 0)
    for sent, expected in ((one, [ONE]), (many, [ONE, ONE]), (none, None)):
        received = kind.decode(kind.encode(sent))
        assert received == sent
        assert received.instances(A.shape) == expected


@settings(max_examples=60)
@given(st.data())
def test_instances_survive(data: st.DataObject) -> None:
    cls = data.draw(strategies.classes())
    instances = data.draw(st.lists(strategies.instances(cls), max_size=3))
    found = decode_blob(encode_blob(instances), cls.shape)
    assert found == instances
    assert [i.values for i in found] == [i.values for i in instances]


BLOB = encode_blob([ONE])
ERRORS = [
    (b"\2" + BLOB[1:], "Version"),
    (BLOB[:4] + b"\2" + BLOB[5:], r"Objects\[1\]"),
    (BLOB[:4] + b"\xff\xff\xff\xff" + BLOB[8:], r"Objects\[1\]"),
    (BLOB + b"\0", "left over"),
    (BLOB[:8] + b"\xff" + BLOB[9:], "blobSize"),
    (BLOB[:12] + b"\x08" + BLOB[13:], "InstanceHeapSize"),
    (BLOB[:12] + b"\xff\xff\xff\xff" + BLOB[16:], "InstanceHeapSize"),
]


@pytest.mark.parametrize(("data", "match"), ERRORS)
def test_malformed_blobs(data: bytes, match: str) -> None:
    with pytest.raises(DecodeError, match=match):
        decode_blob(data, A.shape)


def test_every_truncation() -> None:
    for length in range(len(BLOB)):
        with pytest.raises(DecodeError):
            decode_blob(BLOB[:length], A.shape)


RESULTS = [(BlobType.ALL, None), (BlobType.ENUM, None), (BlobType.ERROR, b"x"), (1, b"x"), (BlobType.ALL, b"")]


@pytest.mark.parametrize(("kind", "blob"), RESULTS)
def test_malformed_results(kind: int, blob: bytes | None) -> None:
    result = RefreshedObject(request_id=1, kind=kind, length=len(blob or b""), blob=blob)
    with pytest.raises(DecodeError):
        result.instances(A.shape)
