"""PDUs: captured ones, round trips, both data representations, and errors."""

from __future__ import annotations

import contextlib
import dataclasses
import struct
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.errors import CallerError, DecodeError, PeerError, ProtocolError
from openwmi.rpc.pdu import (
    NDR20,
    NDR64,
    AlterContext,
    AlterContextResponse,
    Auth3,
    Bind,
    BindAck,
    BindNak,
    CoCancel,
    ContextElement,
    ContextResult,
    Fault,
    Orphaned,
    PacketFlag,
    Pdu,
    Request,
    Response,
    SecurityTrailer,
    Shutdown,
    SyntaxId,
    decode,
    fragment_length,
)

DATA = Path(__file__).parents[1] / "data" / "rpc"
CAPTURED = sorted(path.name for path in DATA.glob("re*.bin"))

IF = SyntaxId(UUID("01020304-0506-0708-090a-0b0c0d0e0f10"), (2, 1))
IF_LE = "0403020106050807090a0b0c0d0e0f1002000100"
NDR_LE = "045d888aeb1cc9119fe808002b10486002000000"
AUTH = SecurityTrailer(10, 6, 7, b"tokentoken")

VECTORS: list[tuple[Pdu, str]] = [
    (
        Bind(call_id=1, max_xmit_frag=4280, max_recv_frag=5840, contexts=(ContextElement(3, IF),)),
        "05000b03 10000000 4800 0000 01000000 b810 d016 00000000 01000000 0300 01 00" + IF_LE + NDR_LE,
    ),
    (
        BindAck(call_id=1, max_xmit_frag=4280, max_recv_frag=5840, assoc_group_id=9, secondary_address="135",
                results=(ContextResult(0, 0, NDR20), ContextResult(2, 1))),
        "05000c03 10000000 5400 0000 01000000 b810 d016 09000000 0400 31333500 0000 02000000"
        "0000 0000" + NDR_LE + "0200 0100" + "00" * 20,
    ),
    (BindNak(call_id=1, reason=4), "05000d03 10000000 1500 0000 01000000 0400 01 0500"),
    (BindNak(call_id=1, reason=8, versions=()), "05000d03 10000000 1300 0000 01000000 0800 00"),
    (Auth3(call_id=2, auth=AUTH), "05001003 10000000 2600 0a00 02000000 00000000 0a060000 07000000" + AUTH.token.hex()),
    (
        Request(call_id=3, alloc_hint=2, context_id=1, opnum=4, stub=b"ab"),
        "05000003 10000000 1a00 0000 03000000 02000000 0100 0400 6162",
    ),
    (
        Request(call_id=3, opnum=4, object_uuid=IF.uuid, flags=PacketFlag.FIRST_FRAG),
        "05000081 10000000 2800 0000 03000000 00000000 0000 0400" + IF_LE[:32],
    ),
    (
        Response(call_id=3, alloc_hint=2, context_id=1, cancel_count=1, stub=b"ab"),
        "05000203 10000000 1a00 0000 03000000 02000000 0100 01 00 6162",
    ),
    (
        Fault(call_id=3, alloc_hint=32, context_id=1, status=0x1C01000B),
        "05000303 10000000 2000 0000 03000000 20000000 0100 00 00 0b00011c 00000000",
    ),
    (Shutdown(call_id=0), "05001103 10000000 1000 0000 00000000"),
    (CoCancel(call_id=5), "05001203 10000000 1000 0000 05000000"),
    (Orphaned(call_id=5, auth=AUTH), "05001303 10000000 2200 0a00 05000000 0a060000 07000000" + AUTH.token.hex()),
    (
        AlterContext(call_id=1, max_xmit_frag=1, max_recv_frag=2, assoc_group_id=3, auth=AUTH),
        "05000e03 10000000 2e00 0a00 01000000 0100 0200 03000000 00000000 0a060000 07000000" + AUTH.token.hex(),
    ),
    (
        AlterContextResponse(call_id=1, max_xmit_frag=1, max_recv_frag=2, assoc_group_id=3),
        "05000f03 10000000 2000 0000 01000000 0100 0200 03000000 0000 0000 00000000",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("pdu", "octets"), VECTORS, ids=lambda item: type(item).__name__)
def test_vectors(pdu: Pdu, octets: str) -> None:
    data = bytes.fromhex(octets)
    assert pdu.encode().hex() == data.hex()
    assert decode(data) == pdu
    assert fragment_length(data) == len(data)


@pytest.mark.parametrize("name", CAPTURED)
def test_captured_pdus_are_written_back_octet_for_octet(name: str) -> None:
    data = (DATA / name).read_bytes()
    pdu = decode(data)
    assert type(pdu) is (Request if name.startswith("request") else Response)
    assert (pdu.auth is not None) == ("sealed" in name)
    assert pdu.encode() == data


@pytest.mark.parametrize(("pdu", "octets"), VECTORS, ids=lambda item: type(item).__name__)
def test_truncation_names_a_field(pdu: Pdu, octets: str) -> None:
    data = bytes.fromhex(octets)
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            decode(data[:size])
    with pytest.raises(DecodeError, match="frag_length"):
        decode(data + b"\0")


def test_the_length_needs_sixteen_octets() -> None:
    data = bytes.fromhex("05000003100000001234000001000000")
    for size in range(16):
        assert fragment_length(data[:size]) is None
    assert fragment_length(data) == 0x3412


def _big_endian(pdu: Pdu) -> bytes:
    """A request or bind in the other data representation."""
    if isinstance(pdu, Request):
        assert pdu.object_uuid is not None
        body = struct.pack(">IHH", pdu.alloc_hint, pdu.context_id, pdu.opnum) + pdu.object_uuid.bytes + pdu.stub
    else:
        assert isinstance(pdu, Bind)
        body = struct.pack(">HHIBBH", pdu.max_xmit_frag, pdu.max_recv_frag, pdu.assoc_group_id, 1, 0, 0)
        body += struct.pack(">HBB", 3, 1, 0) + IF.uuid.bytes + struct.pack(">HH", 1, 2)
        body += NDR20.uuid.bytes + struct.pack(">HH", 0, 2)
    trailer = struct.pack(">BBBBI", 10, 6, 0, 0, 7) + AUTH.token
    length = 16 + len(body) + len(trailer)
    head = struct.pack(">BBBB4sHHI", 5, 0, pdu.ptype, int(pdu.flags), bytes(4), length, len(AUTH.token), pdu.call_id)
    return head + body + trailer


@pytest.mark.parametrize(
    "pdu",
    [
        Request(call_id=3, alloc_hint=2, context_id=1, opnum=4, object_uuid=IF.uuid, stub=b"abcd", auth=AUTH),
        Bind(call_id=1, max_xmit_frag=4280, max_recv_frag=5840, contexts=(ContextElement(3, IF),), auth=AUTH),
    ],
)
def test_big_endian_reading(pdu: Pdu) -> None:
    found = decode(_big_endian(pdu))
    assert not found.little_endian
    assert dataclasses.replace(found, representation=pdu.representation) == pdu


ERRORS: list[tuple[str, type[PeerError], str]] = [
    ("05000103 10000000 1000 0000 01000000", ProtocolError, "unknown PDU type 1"),
    ("04000003 10000000 1000 0000 01000000", ProtocolError, "version 4.0"),
    ("05010003 10000000 1000 0000 01000000", ProtocolError, "version 5.1"),
    ("05000003 20000000 1000 0000 01000000", DecodeError, "packed_drep"),
    ("05000003 10000000 0f00 0000 01000000", DecodeError, "frag_length"),
    ("05000003 10000000 1800 0100 01000000" + "00" * 8, DecodeError, "auth_length"),
    ("05000003 10000000 1200 0000 01000000 0000", DecodeError, r"request\.alloc_hint"),
    ("05000083 10000000 1900 0000 01000000" + "00" * 9, DecodeError, r"request\.object"),
    ("05001003 10000000 1400 0000 01000000 00000000", DecodeError, r"auth3\.auth_length"),
    ("05000b03 10000000 1c00 0000 01000000" + "00" * 8 + "ff000000", DecodeError, r"p_cont_elem\[0\]"),
    ("05000b03 10000000 2000 0000 01000000" + "00" * 8 + "00000000 00000000", DecodeError, "4 bytes are left over"),
    ("05000c03 10000000 1c00 0000 01000000" + "00" * 8 + "ff00 0000", DecodeError, r"bind_ack\.sec_addr"),
    ("05001103 10000000 1100 0000 01000000 00", DecodeError, "left over"),
    ("05000003 10000000 2100 0100 01000000" + "00" * 8 + "0a06ff00 00000000 00", DecodeError, "auth_pad_length"),
]


@pytest.mark.parametrize(("octets", "error", "message"), ERRORS)
def test_errors(octets: str, error: type[PeerError], message: str) -> None:
    with pytest.raises(error, match=message):
        decode(bytes.fromhex(octets))


def test_short_faults_are_read() -> None:
    fault = decode(bytes.fromhex("05000303 10000000 1c00 0000 03000000 00000000 0000 00 00 05000000"))
    assert isinstance(fault, Fault)
    assert fault.status == 5


def test_a_pdu_that_is_too_large_is_the_callers_mistake() -> None:
    with pytest.raises(CallerError):
        Request(call_id=1, stub=bytes(0x10000)).encode()


# --- Generated PDUs ---

U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
SYNTAXES = st.builds(SyntaxId, st.uuids(), st.tuples(U16, U16)) | st.sampled_from([NDR20, NDR64])
FLAGS = st.integers(0, 0x7F).map(PacketFlag)
TRAILERS = st.none() | st.builds(
    SecurityTrailer, st.integers(0, 255), st.integers(0, 255), U32, st.binary(min_size=1, max_size=40)
)
COMMON = {"call_id": U32, "flags": FLAGS, "auth": TRAILERS}
BINDING = {
    "max_xmit_frag": U16,
    "max_recv_frag": U16,
    "assoc_group_id": U32,
    "contexts": st.lists(
        st.builds(ContextElement, U16, SYNTAXES, st.lists(SYNTAXES, max_size=3).map(tuple)), max_size=3
    ).map(tuple),
}
ACKNOWLEDGING = {
    "max_xmit_frag": U16,
    "max_recv_frag": U16,
    "assoc_group_id": U32,
    "secondary_address": st.text("0123456789", max_size=6),
    "results": st.lists(st.builds(ContextResult, U16, U16, SYNTAXES), max_size=3).map(tuple),
}
STUBBED = {"alloc_hint": U32, "context_id": U16, "stub": st.binary(max_size=40)}
PDUS = st.one_of(
    st.builds(Bind, **COMMON, **BINDING),
    st.builds(AlterContext, **COMMON, **BINDING),
    st.builds(BindAck, **COMMON, **ACKNOWLEDGING),
    st.builds(AlterContextResponse, **COMMON, **ACKNOWLEDGING),
    st.builds(BindNak, call_id=U32, reason=U16, extended=st.binary(max_size=5)),
    st.builds(Auth3, **{**COMMON, "auth": TRAILERS.filter(bool)}),
    st.builds(Request, **COMMON, **STUBBED, opnum=U16, object_uuid=st.none() | st.uuids()),
    st.builds(Response, **COMMON, **STUBBED, cancel_count=st.integers(0, 255)),
    st.builds(Fault, **COMMON, **STUBBED, cancel_count=st.integers(0, 255), reserved=st.integers(0, 255), status=U32),
    st.builds(Shutdown, **COMMON),
    st.builds(CoCancel, **COMMON),
    st.builds(Orphaned, **COMMON),
)


@settings(max_examples=200, deadline=None)
@given(PDUS)
def test_generated_pdus_round_trip(pdu: Pdu) -> None:
    data = pdu.encode()
    found = decode(data)
    assert found.encode() == data
    if found.auth is not None:
        assert found.auth.pad_length < 4
        found = dataclasses.replace(found, auth=dataclasses.replace(found.auth, pad_length=0))
    assert found == pdu


@settings(max_examples=200, deadline=None)
@given(PDUS, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4))
def test_mutated_pdus_decode_or_are_typed_errors(pdu: Pdu, changes: list[tuple[int, int]]) -> None:
    data = bytearray(pdu.encode())
    for at, value in changes:
        data[at % len(data)] = value
    with contextlib.suppress(PeerError):
        assert decode(bytes(data)).encode()
