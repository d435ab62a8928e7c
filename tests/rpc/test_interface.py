"""Declared methods: stubs of real traffic, counts between parameters, and mistakes of both kinds."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from openwmi.errors import CallerError, DecodeError
from openwmi.rpc import In, InOut, Interface, Method, Out
from openwmi.rpc.ndr import (
    Bstr,
    ConformantArray,
    ConformantBytes,
    ConformantVaryingArray,
    Int32,
    MInterfacePointer,
    Ref,
    ResultPointer,
    Slot,
    UInt16,
    UInt32,
    UInt64,
    Unique,
    WideString,
)
from openwmi.rpc.pdu import Request, Response, decode

DATA = Path(__file__).parents[1] / "data" / "rpc"

# IObjectExporter::ComplexPing (MS-DCOM 3.1.2.5.1.3): counts in front of the arrays that they dictate.
PINGER = Interface(
    "IObjectExporter",
    UUID("99fcfec4-5260-101b-bbcb-00aa0021347a"),
    (0, 0),
    (
        Method(
            2,
            "ComplexPing",
            (
                InOut("set_id", Ref(UInt64)),
                In("sequence", UInt16),
                In("add_count", UInt16),
                In("delete_count", UInt16),
                In("add", Unique(ConformantArray(UInt64, size_is="add_count"))),
                In("delete", Unique(ConformantArray(UInt64, size_is="delete_count"))),
                Out("backoff", Ref(UInt16)),
            ),
            UInt32,
        ),
    ),
)

OBJECT = Unique(MInterfacePointer)
ENUMERATOR = Interface(
    "IEnum",
    UUID(int=1),
    (0, 0),
    (
        Method(
            4,
            "Next",
            (
                In("timeout", Int32),
                In("count", UInt32),
                Out(
                    "objects", ConformantVaryingArray(Unique(MInterfacePointer), size_is="count", length_is="returned")
                ),
                Out("returned", Ref(UInt32)),
            ),
            UInt32,
        ),
        Method(3, "Open", (In("path", Bstr), InOut("space", ResultPointer(MInterfacePointer))), UInt32),
        Method(5, "Nothing"),
    ),
    leading=(In("this", UInt32), Out("that", UInt64)),
)


def test_a_captured_call_and_its_answer() -> None:
    method = PINGER["ComplexPing"]
    request = decode((DATA / "request-ComplexPing.bin").read_bytes())
    assert isinstance(request, Request)
    values = method.decode_request(request.stub)
    assert values == {
        "set_id": 0x38DA8D8C9,
        "sequence": 2,
        "add_count": 0,
        "delete_count": 1,
        "add": None,
        "delete": (0x1D0FA8FA914771A1,),
    }
    assert method.encode_request(values) == request.stub
    answer = decode((DATA / "response-ComplexPing.bin").read_bytes())
    assert isinstance(answer, Response)
    out = method.decode_response(answer.stub)
    assert out["result"] == 0
    assert method.encode_response(out) == answer.stub


def test_parameters_of_dcom_stand_in_front() -> None:
    method = ENUMERATOR["Next"]
    assert method.qualified_name == "IEnum.Next"
    assert method.encode_request(this=7, timeout=-1, count=2).hex() == "07000000ffffffff02000000"
    request = method.decode_request(bytes.fromhex("07000000ffffffff02000000"))
    assert request == {"this": 7, "timeout": -1, "count": 2}
    stub = method.encode_response({"that": 1, "objects": (b"M",), "result": 1}, request=request)
    assert stub.hex() == (
        "0100000000000000" "02000000" "00000000" "01000000" "00000200" "01000000" "01000000" "4d" "000000"
        "01000000" "01000000"
    )  # fmt: skip
    out = {"that": 1, "objects": (b"M",), "returned": 1, "result": 1}
    assert method.decode_response(stub, request=request) == out
    assert method.decode_response(stub) == out
    with pytest.raises(DecodeError) as caught:
        method.decode_response(stub, request={"count": 3})
    assert caught.value.field == "IEnum.Next.objects"


@pytest.mark.parametrize("wanted", [None, Slot(), Slot(b"MEOW")])
def test_result_pointers_travel_both_ways(wanted: Slot | None) -> None:
    method = ENUMERATOR["Open"]
    values = {"this": 1, "path": "root", "space": wanted}
    assert method.decode_request(method.encode_request(values)) == values
    out = {"that": 1, "space": wanted, "result": 0}
    assert method.decode_response(method.encode_response(out)) == out


def test_mistakes_of_the_caller() -> None:
    method = ENUMERATOR["Next"]
    with pytest.raises(CallerError, match=r"IEnum\.Next: count is missing"):
        method.encode_request(this=1, timeout=1)
    with pytest.raises(CallerError, match=r"IEnum\.Next: no parameter counts"):
        method.encode_request(this=1, timeout=1, count=1, counts=2)
    with pytest.raises(CallerError, match=r"IEnum\.Next\.timeout"):
        method.encode_request(this=1, timeout="x", count=1)
    with pytest.raises(CallerError, match="room for 1"):
        method.encode_response({"that": 1, "objects": (None, None), "result": 0}, request={"count": 1})


@pytest.mark.parametrize(
    ("stub", "field"),
    [
        ("", "IEnum.Next.this"),
        ("07000000ffffffff0200", "IEnum.Next.count"),
        ("07000000ffffffff02000000" + "00" * 8, "IEnum.Next"),
    ],
)
def test_malformed_stubs(stub: str, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        ENUMERATOR["Next"].decode_request(bytes.fromhex(stub))
    assert caught.value.field == field


def test_stubs_may_be_padded_and_big_endian() -> None:
    method = ENUMERATOR["Next"]
    assert method.decode_request(bytes.fromhex("07000000ffffffff02000000") + b"\xbb" * 7)["count"] == 2
    values = method.decode_request(bytes.fromhex("00000007fffffffe00000002"), little_endian=False)
    assert values == {"this": 7, "timeout": -2, "count": 2}


def test_counts_come_from_null_pointers_and_strings() -> None:
    method = Method(0, "M", (In("size", UInt32), In("data", Unique(ConformantBytes(size_is="size")))))
    assert method.decode_request(method.encode_request(data=None)) == {"size": 0, "data": None}
    assert method.decode_request(method.encode_request(data=b"abc")) == {"size": 3, "data": b"abc"}
    with pytest.raises(DecodeError, match="size says 4"):
        method.decode_request(bytes.fromhex("0400000000000000"))
    late = Method(0, "M", (In("text", WideString(size_is="size")), In("size", UInt32)))
    assert late.decode_request(late.encode_request(text="ab")) == {"size": 3, "text": "ab"}
    with pytest.raises(DecodeError, match="size says 4"):
        late.decode_request(bytes.fromhex("03000000 00000000 03000000 610062000000 0000 04000000"))


def test_the_answer_of_a_call_that_failed() -> None:
    method = ENUMERATOR["Next"]
    assert method.null_response({"count": 5}) == {"that": 0, "objects": (), "returned": 0, "result": 0}
    opened = ENUMERATOR["Open"]
    for given, empty in ((None, None), (Slot(), Slot()), (Slot(b"x"), Slot())):
        out = opened.null_response({"this": 1, "path": "x", "space": given})
        assert out == {"that": 0, "space": empty, "result": 0}
        assert opened.encode_response(out)
    sized = Method(0, "M", (In("count", UInt32), Out("codes", ConformantArray(UInt32, size_is="count"))))
    assert sized.null_response({"count": 3}) == {"codes": (0, 0, 0)}
    with pytest.raises(DecodeError, match="4294967295 elements"):
        sized.null_response({"count": 0xFFFFFFFF})


def test_lookup_and_declaration() -> None:
    assert ENUMERATOR.method(4) is ENUMERATOR["Next"]
    assert ENUMERATOR.method(99) is None
    nothing = ENUMERATOR["Nothing"]
    assert nothing.decode_response(nothing.encode_response(that=3)) == {"that": 3}
    with pytest.raises(TypeError, match="distinct"):
        Interface("I", UUID(int=2), (0, 0), (Method(1, "A"), Method(1, "B")))
    with pytest.raises(TypeError, match="distinct"):
        Method(1, "A", (In("result", UInt32),))
